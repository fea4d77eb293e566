//! Whether a link leads somewhere.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Whether a server answers the plain HTTP link with something other than an error, within `bound`. A
/// scheduler listens some moments before its dashboard is there, and answers 404 until then.
pub async fn answers(link: &str, bound: Duration) -> bool {
    matches!(timeout(bound, status(link)).await, Ok(Some(200..400)))
}

async fn status(link: &str) -> Option<u16> {
    let (host, path) = link.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(host).await.ok()?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    // `HTTP/1.1 200`
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.ok()?;
    std::str::from_utf8(&head).ok()?.split_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_link_leads_somewhere_once_it_is_no_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = format!("http://{}/status", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            for status in ["404 Not Found", "200 OK", "302 Found"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 20];
                stream.read_exact(&mut request).await.unwrap();
                assert!(request.starts_with(b"GET /status HTTP/1.0"));
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        let bound = Duration::from_mins(1);
        assert!(!answers(&link, bound).await);
        assert!(answers(&link, bound).await);
        assert!(answers(&link, bound).await);
        server.await.unwrap();
        assert!(!answers(&link, bound).await, "nobody listens");
        assert!(!answers("tls://127.0.0.1", bound).await);
    }
}
