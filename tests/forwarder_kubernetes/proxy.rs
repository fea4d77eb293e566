//! A way to the API server that the test can break.

use std::sync::{Arc, Mutex};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// Passes TCP connections on.
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    open: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Proxy {
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::clone(&open);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let server = server.clone();
                let carried = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(server).await {
                        // How it ends is the test's affair.
                        drop(copy_bidirectional(&mut near, &mut far).await);
                    }
                });
                connections.lock().unwrap().push(carried.abort_handle());
            }
        });
        Self { port, open }
    }

    /// Ends every connection as a router would that has lost its memory.
    pub fn cut_all(&self) {
        for connection in self.open.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}
