//! The host as the nanny of each worker that it starts: one listener per worker, whose address the worker hands on.
//!
//! A worker asks its nanny before it ends, and waits half a minute for one that does not answer; its scheduler asks for
//! restarts. What is asked and answered is Dask's (`engine::dask::rpc`), what is done about it the host's.

use std::{collections::BTreeMap, io, net::TcpListener as StdListener, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    super::build::OWN_NANNY,
    protocol::{HostFailure, NodeLaunch, Tls},
};
use crate::{
    engine::dask::rpc::{CodecError, NannyAnswer, NannyWish, serve_nanny},
    model::{ClusterUid, NodeName, Role},
    provider::ErrorKind,
    security::{self, CertificateRole},
};

/// How long a peer may take for TLS.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long the kernel may take to end a process.
const LONGEST_END: Duration = Duration::from_secs(10);

/// Without file descriptors, accepting would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Something that is wanted of a worker's nanny.
pub struct Wished {
    /// Which worker.
    pub node: NodeName,
    /// What.
    pub wish: NannyWish,
    /// Where the answer goes.
    pub answer: oneshot::Sender<NannyAnswer>,
}

/// All nannies of a host.
pub struct Nannies {
    wishes: mpsc::Sender<Wished>,
    /// Open listeners; they end when they are dropped.
    open: BTreeMap<NodeName, watch::Sender<()>>,
    /// The newest settings and the certificate that they are made from: all workers have the same.
    tls: Option<(String, Arc<ServerConfig>)>,
}

/// What the connections of one nanny share.
#[derive(Clone)]
struct Nanny {
    node: NodeName,
    cluster: ClusterUid,
    tls: Option<TlsAcceptor>,
    wishes: mpsc::Sender<Wished>,
    /// Closed when the worker has ended.
    life: watch::Receiver<()>,
}

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
enum NannyError {
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("no TLS handshake within {} s", HANDSHAKE.as_secs())]
    Late,
    #[error("the caller's certificate is neither the scheduler's nor a worker's")]
    Stranger,
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Whether the host has to pose as the nanny of what is launched.
pub fn needs_nanny(launch: &NodeLaunch) -> bool {
    launch.role() == Role::Worker
        && launch.arguments.get(OWN_NANNY).and_then(serde_json::Value::as_bool) != Some(true)
}

impl Nannies {
    /// None yet. What is wanted of them is sent to `wishes`.
    pub fn new(wishes: mpsc::Sender<Wished>) -> Self {
        Self { wishes, open: BTreeMap::new(), tls: None }
    }

    /// Listens as the nanny of a worker until [`Nannies::retain`] lets it go; returns the address for the worker.
    ///
    /// # Errors
    /// When there is no port, or the certificate is none.
    pub fn open(
        &mut self,
        node: &NodeName,
        cluster: &ClusterUid,
        tls: Option<&Tls>,
    ) -> Result<String, HostFailure> {
        let config = tls.map(|tls| self.config(tls)).transpose()?;
        let failed = |error: io::Error| {
            let message = format!("cannot listen as the nanny of {node}: {error}");
            HostFailure::new(ErrorKind::Transient, message)
        };
        let listener = StdListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let (alive, life) = watch::channel(());
        let nanny = Nanny {
            node: node.clone(),
            cluster: cluster.clone(),
            tls: config.map(TlsAcceptor::from),
            wishes: self.wishes.clone(),
            life,
        };
        let scheme = if nanny.tls.is_some() { "tls" } else { "tcp" };
        tokio::spawn(nanny.listen(listener));
        self.open.insert(node.clone(), alive);
        Ok(format!("{scheme}://127.0.0.1:{port}"))
    }

    /// Keeps those of workers that live. The others answer what is being asked, and listen no more.
    pub fn retain(&mut self, lives: impl Fn(&NodeName) -> bool) {
        self.open.retain(|node, _| lives(node));
    }

    fn config(&mut self, tls: &Tls) -> Result<Arc<ServerConfig>, HostFailure> {
        if let Some((_, config)) = self.tls.as_ref().filter(|(cert, _)| *cert == tls.cert) {
            return Ok(Arc::clone(config));
        }
        let config = security::server_config(&tls.identity()).map_err(|error| {
            HostFailure::new(ErrorKind::Invalid, format!("cannot use the worker's certificate: {error}"))
        })?;
        self.tls = Some((tls.cert.clone(), Arc::clone(&config)));
        Ok(config)
    }
}

impl Nanny {
    async fn listen(self, listener: TcpListener) {
        let mut life = self.life.clone();
        loop {
            tokio::select! {
                _ended = life.changed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(self.clone().serve(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, node = %self.node, "cannot accept a nanny's connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        if let Err(error) = self.try_serve(stream).await {
            tracing::info!(%error, node = %self.node, "a connection to a worker's nanny broke off");
        }
    }

    async fn try_serve(&self, stream: TcpStream) -> Result<(), NannyError> {
        // Without it each answer would wait for the peer's acknowledgement.
        stream.set_nodelay(true).map_err(CodecError::Io)?;
        let Some(acceptor) = &self.tls else {
            return Ok(serve_nanny(stream, |wish| self.fulfil(wish), self.ended()).await?);
        };
        let accepted = timeout(HANDSHAKE, acceptor.accept(stream)).await.map_err(|_| NannyError::Late)?;
        let stream = accepted.map_err(NannyError::Tls)?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        match certificate.and_then(|certificate| security::peer_role(certificate, &self.cluster)) {
            Some(CertificateRole::Scheduler | CertificateRole::Worker) => {}
            Some(CertificateRole::Client | CertificateRole::Controller) | None => {
                return Err(NannyError::Stranger);
            }
        }
        Ok(serve_nanny(stream, |wish| self.fulfil(wish), self.ended()).await?)
    }

    /// Returns when the worker has ended.
    fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut life = self.life.clone();
        async move {
            let _ended = life.changed().await;
        }
    }

    async fn fulfil(&self, wish: NannyWish) -> NannyAnswer {
        let restart = match wish {
            NannyWish::Restart { within } => Some(within),
            _ => None,
        };
        let (answer, answered) = oneshot::channel();
        let gone = || NannyAnswer::Failed("the host of this worker is ending".to_owned());
        if self.wishes.send(Wished { node: self.node.clone(), wish, answer }).await.is_err() {
            return gone();
        }
        match timeout(restart.unwrap_or(LONGEST_END), answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| gone()),
            Err(_) if restart.is_some() => NannyAnswer::TimedOut,
            Err(_) => {
                let bound = LONGEST_END.as_secs();
                NannyAnswer::Failed(format!("{} was killed, and has not ended within {bound} s", self.node))
            }
        }
    }
}
