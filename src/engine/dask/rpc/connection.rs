//! One connection to a Dask process: calls strictly in turn, each with a bound.

use std::{io, sync::Arc, time::Duration};

use rmpv::Value;
use rustix::net::sockopt;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Awaited, CodecError, DaskAddress, RpcError, Transport, Tunnel, codec, tunnel};

/// Largest message accepted, in bytes: about four times the identity of 10,000 workers.
pub const MESSAGE_LIMIT: u64 = 32 << 20;
/// Largest handshake accepted, in bytes.
pub(super) const HELLO_LIMIT: u64 = 64 << 10;
/// After how long a peer is taken for dead whose machine acknowledges nothing; Dask's own `timeouts.tcp`.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Silence before the first probe, and between probes; with [`PROBES`] they add up to [`DEAD_AFTER`].
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBES: u32 = 10;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For each of: TCP, TLS, Dask handshake.
    pub connect: Duration,
    /// For a reply that the peer gives at once.
    pub call: Duration,
}

impl Default for Bounds {
    /// 30 s for each. A scheduler of 2024.1 and before stands still for several seconds when its first worker or
    /// client comes, so less than 15 s calls a healthy one dead.
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), call: Duration::from_secs(30) }
    }
}

/// What we show to a peer, and who it has to be.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Our certificate and the authority that we trust; see [`crate::security::client_config`].
    pub config: Arc<ClientConfig>,
    /// The name in the peer's certificate; see [`crate::security::server_name`].
    pub peer: ServerName<'static>,
}

/// Whom to call, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: DaskAddress,
    /// Needed for `tls`; with `tcp` there must be none, so that nobody can talk us out of TLS.
    pub credentials: Option<Credentials>,
    /// How long to wait.
    pub bounds: Bounds,
}

/// What carries messages.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whether the next byte from the peer begins a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// A call was begun and not finished, by an error or because its future was dropped.
    Poisoned,
}

/// A connection after the handshake.
pub struct Connection {
    stream: Box<dyn Stream>,
    peer: DaskAddress,
    bounds: Bounds,
    state: State,
}

impl Connection {
    /// Connects and exchanges handshakes, each step within `target.bounds.connect`.
    pub async fn open(target: &Target) -> Result<Self, RpcError> {
        let (peer, bounds) = (target.address.clone(), target.bounds);
        let mut stream: Box<dyn Stream> = match (peer.transport, &target.credentials) {
            (Transport::Tcp, None) => Box::new(dial(&peer, bounds.connect).await?),
            (Transport::Tls, Some(credentials)) => {
                let tcp = dial(&peer, bounds.connect).await?;
                Box::new(secure(tcp, credentials, &peer, bounds.connect).await?)
            }
            (Transport::Tcp, Some(_)) | (Transport::Tls, None) => {
                return Err(RpcError::TransportMismatch { peer });
            }
        };
        let exchange = async {
            // A refusal of our certificate can end the connection before our bytes are out, so the reading, which
            // knows the reason, has the first word.
            let sent = codec::write(&mut stream, &codec::hello()).await;
            let theirs = codec::read(&mut stream, HELLO_LIMIT).await?;
            sent?;
            codec::check_hello(&theirs)
        };
        bounded(&peer, Awaited::DaskHandshake, bounds.connect, async {
            exchange.await.map_err(|e| RpcError::from_codec(e, &peer, Awaited::DaskHandshake))
        })
        .await?;
        Ok(Self { stream, peer, bounds, state: State::Ready })
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &DaskAddress {
        &self.peer
    }

    /// The bounds that it was opened with.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Calls `op` and waits for its reply, at most `within`. `Nil` may be the result or mean that the peer has no such
    /// operation. Not cancel-safe: if the future is dropped, the connection is poisoned.
    pub async fn call_nullable(
        &mut self,
        op: &str,
        arguments: Vec<(&str, Value)>,
        within: Duration,
    ) -> Result<Value, RpcError> {
        if std::mem::replace(&mut self.state, State::Poisoned) == State::Poisoned {
            return Err(RpcError::Poisoned { peer: self.peer.clone() });
        }
        let mut request = vec![("op".into(), op.into()), ("reply".into(), true.into())];
        request.extend(arguments.into_iter().map(|(name, value)| (name.into(), value)));
        let awaited = Awaited::Reply(op.to_owned());
        let (stream, peer) = (&mut self.stream, &self.peer);
        let reply = bounded(peer, awaited.clone(), within, async {
            let exchanged = exchange(stream, &Value::Map(request)).await;
            exchanged.map_err(|e| RpcError::from_codec(e, peer, awaited))
        })
        .await?;
        self.state = State::Ready;
        self.raised(op, &reply).map_or(Ok(reply), Err)
    }

    /// Calls an operation whose result is never `None` in Python: a `Nil` means that it is unknown.
    pub async fn call(
        &mut self,
        op: &str,
        arguments: Vec<(&str, Value)>,
        within: Duration,
    ) -> Result<Value, RpcError> {
        match self.call_nullable(op, arguments, within).await? {
            Value::Nil => Err(RpcError::UnknownOp { peer: self.peer.clone(), op: op.to_owned() }),
            reply => Ok(reply),
        }
    }

    /// Has the peer, a scheduler with our preload that serves its dashboard over TLS, carry this connection on to it.
    pub async fn into_tunnel(mut self) -> Result<Tunnel, RpcError> {
        let within = self.bounds.call;
        self.call(tunnel::OPERATION, Vec::new(), within).await?;
        Ok(Tunnel { stream: self.stream, peer: self.peer })
    }

    /// Waits for the end of a connection on which nothing is asked, and returns how it came.
    pub async fn ended(mut self) -> RpcError {
        let unasked = || CodecError::Malformed("nothing was asked".to_owned());
        let end = codec::read(&mut self.stream, HELLO_LIMIT).await.err().unwrap_or_else(unasked);
        RpcError::from_codec(end, &self.peer, Awaited::End)
    }

    /// Says farewell, so that the peer's log stays clean; never fails.
    pub async fn close(mut self) {
        if self.state == State::Ready {
            let farewell = Value::Map(vec![("op".into(), "close".into()), ("reply".into(), false.into())]);
            let _ = timeout(FAREWELL, codec::write(&mut self.stream, &farewell)).await;
        }
    }

    /// The exception that a reply stands for; see `error_message` in distributed's core.py.
    fn raised(&self, op: &str, reply: &Value) -> Option<RpcError> {
        let text = |key| codec::field(reply, key).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("status") == "uncaught-error").then(|| RpcError::Remote {
            peer: self.peer.clone(),
            op: op.to_owned(),
            exception: text("exception_text"),
            traceback: text("traceback_text"),
        })
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

async fn exchange(stream: &mut Box<dyn Stream>, request: &Value) -> Result<Value, CodecError> {
    codec::write(stream, request).await?;
    codec::read(stream, MESSAGE_LIMIT).await
}

async fn bounded<T>(
    peer: &DaskAddress,
    awaited: Awaited,
    after: Duration,
    work: impl Future<Output = Result<T, RpcError>>,
) -> Result<T, RpcError> {
    let outcome = timeout(after, work).await;
    outcome.unwrap_or_else(|_| Err(RpcError::Timeout { peer: peer.clone(), awaited, after }))
}

/// A TCP connection whose other end is noticed to be dead within 30 s, made within that time.
pub async fn dial(peer: &DaskAddress, within: Duration) -> Result<TcpStream, RpcError> {
    bounded(peer, Awaited::TcpConnection, within, async {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::ConnectionRefused => RpcError::Refused { peer: peer.clone() },
            _ => RpcError::Connect { peer: peer.clone(), source },
        };
        let tcp = TcpStream::connect((peer.host.as_str(), peer.port)).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        watch_over(&tcp).map_err(|errno| failed(errno.into()))?;
        Ok(tcp)
    })
    .await
}

/// Lets the kernel notice a dead peer, since a healthy one may be silent for as long as it likes.
fn watch_over(tcp: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(tcp, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(tcp, PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(tcp, u32::try_from(DEAD_AFTER.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

async fn secure(
    tcp: TcpStream,
    credentials: &Credentials,
    peer: &DaskAddress,
    within: Duration,
) -> Result<impl Stream + use<>, RpcError> {
    let connector = TlsConnector::from(Arc::clone(&credentials.config));
    bounded(peer, Awaited::TlsHandshake, within, async {
        let connected = connector.connect(credentials.peer.clone(), tcp).await;
        connected.map_err(|e| RpcError::from_io(e, peer.clone(), Awaited::TlsHandshake))
    })
    .await
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
