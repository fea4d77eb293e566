//! The local ports: who comes in, and how they are carried.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use super::{
    dashboard,
    end::End,
    gate::Gate,
    ports::Ports,
    request::ForwardRequest,
    status::Door,
    status_board::StatusBoard,
    way::{Refusal, Stream, Way},
};

/// How long a connection is held while there is no scheduler, or no way to it. Dask's clients give up after 30 s.
const HOLD: Duration = Duration::from_secs(20);

/// How many bytes may wait between a browser's connection and the tunnel, in each direction.
const DASHBOARD_BUFFER: usize = 256 << 10;

/// The sockets of both local ports.
pub struct Listeners {
    /// For Dask's clients.
    pub comm: std::net::TcpListener,
    /// For browsers.
    pub dashboard: std::net::TcpListener,
}

impl Listeners {
    /// Listens on the first pair that is free, on loopback only.
    ///
    /// # Errors
    /// When not even the system finds a free port.
    pub fn open(candidates: impl Iterator<Item = Ports>) -> io::Result<Self> {
        let mut failed = io::Error::other("there is no port to try");
        for ports in candidates {
            match bind(ports.comm).and_then(|comm| Ok(Self { comm, dashboard: bind(ports.dashboard)? })) {
                Ok(listeners) => return Ok(listeners),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Where they listen.
    pub fn ports(&self) -> io::Result<Ports> {
        Ok(Ports { comm: self.comm.local_addr()?.port(), dashboard: self.dashboard.local_addr()?.port() })
    }
}

fn bind(port: u16) -> io::Result<std::net::TcpListener> {
    // With SO_REUSEADDR, which std sets: connections that have ended do not keep the port.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What every connection needs.
#[derive(Clone)]
pub struct Hall {
    /// What is connected.
    pub request: Arc<ForwardRequest>,
    /// How.
    pub way: Way,
    /// When.
    pub gate: Arc<Gate>,
    /// Where it is told how that went.
    pub board: Arc<StatusBoard>,
}

impl Hall {
    /// Takes connections in, for ever.
    pub async fn admit(self, door: Door, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((local, _)) => {
                    let hall = self.clone();
                    tokio::spawn(async move { hall.carry(door, local).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Without file descriptors this would be a busy loop.
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn carry(self, door: Door, local: TcpStream) {
        // Small messages must not wait for large ones.
        if let Err(error) = local.set_nodelay(true) {
            tracing::debug!(%error, "cannot have small packets sent at once");
        }
        match door {
            Door::Comm => self.carry_client(local).await,
            Door::Dashboard => self.carry_browser(local).await,
        }
    }

    async fn carry_client(self, local: TcpStream) {
        let stream = match self.reach(Door::Comm).await {
            Ok(stream) => stream,
            Err(problem) => return self.unreached(Door::Comm, problem),
        };
        let counted = self.board.count(Door::Comm);
        let end = stream.carry(local, &|| self.board.tried(Ok(()))).await;
        drop(counted);
        self.ended(Door::Comm, end);
    }

    async fn carry_browser(self, mut browser: TcpStream) {
        let Some(head) = dashboard::read_head(&mut browser).await else { return };
        let stream = match self.reach(Door::Dashboard).await {
            Ok(stream) => stream,
            Err(problem) => {
                let text = format!("{problem}\n");
                dashboard::refuse(&mut browser, "503 Service Unavailable", &text).await;
                return self.unreached(Door::Dashboard, problem);
            }
        };
        let (near, far) = tokio::io::duplex(DASHBOARD_BUFFER);
        let board = Arc::clone(&self.board);
        let tunnel = tokio::spawn(async move { stream.carry(far, &|| board.tried(Ok(()))).await });
        let (access, uid) = (&self.request.dashboard, &self.request.cluster.uid);
        let carried = dashboard::carry(&mut browser, &head, near, access, uid).await;
        let end = tunnel.await.unwrap_or(End::Local);
        let problem = match (carried, end) {
            // The tunnel knows better why TLS came to nothing.
            (Err(problem), end) if !matches!(end, End::Unreached(_)) => End::Unreached(problem),
            (_, end) => end,
        };
        if let End::Unreached(problem) = &problem {
            let text = format!("{problem}\n");
            dashboard::refuse(&mut browser, "502 Bad Gateway", &text).await;
        }
        self.ended(Door::Dashboard, problem);
    }

    /// A stream to the scheduler of this moment, or what kept it from being made.
    async fn reach(&self, door: Door) -> Result<Stream, String> {
        let deadline = Instant::now() + HOLD;
        loop {
            let scheduler = self.way.scheduler(deadline).await?;
            let pass = self.gate.turn(deadline).await?;
            let Refusal { problem, refuser, is_passing } = match self.way.open(&scheduler, door).await {
                Ok(stream) => {
                    self.gate.reopen();
                    return Ok(stream);
                }
                Err(refusal) => refusal,
            };
            self.gate.failed(pass, refuser, &problem);
            if !is_passing || Instant::now() >= deadline {
                return Err(problem);
            }
            tracing::debug!(problem, "trying again");
        }
    }

    fn ended(&self, door: Door, end: End) {
        match end {
            End::Unreached(problem) if door == Door::Comm => self.unreached(door, problem),
            // The dashboard starts after the scheduler, and can be missing; Dask's clients do not care.
            End::Unreached(problem) => tracing::warn!(?door, problem, "a connection could not be made"),
            End::Cut(reason) => {
                tracing::warn!(?door, reason, "a connection was cut");
                self.board.cut(door, reason);
            }
            End::Local | End::Remote => tracing::debug!(?door, ?end, "a connection ended"),
        }
    }

    fn unreached(&self, door: Door, problem: String) {
        tracing::warn!(?door, problem, "a connection could not be made");
        self.board.tried(Err(problem));
    }
}
