//! The way to a machine that is reached at its scheduler's port alone.
//!
//! Dask's clients are passed through as they come. Whoever wants the dashboard travels in a connection of Dask's, which
//! the scheduler carries on to the port of its dashboard.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    carry::{Untaken, join},
    dashboard,
    end::End,
    gate::{Gate, Refuser},
    request::{DashboardAccess, ForwardRequest, MachineTarget},
    session::SessionWay,
    status::Door,
    status_board::StatusBoard,
    way::Refusal,
};
use crate::{
    engine::dask::rpc::{
        Bounds, Connection, Credentials, DaskAddress, RpcError, Target, Tunnel, TunnelEnd, dial,
    },
    model::ClusterUid,
};

/// How long a scheduler may not be reached until its cluster counts as gone.
const GIVEN_UP: Duration = Duration::from_hours(1);

/// Pauses between tries to reach it: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a connection must have held for the next failure to be the first of a row.
const WORKED: Duration = Duration::from_secs(30);

/// How long each step to the scheduler may take, below the time that a connection is held for.
const BOUNDS: Bounds = Bounds { connect: Duration::from_secs(15), call: Duration::from_secs(15) };

/// How often the way through a session is tried. Sessions that are idle for a minute may be ended, if somebody has set
/// that; AWS itself waits for 20.
const TRIED_EVERY: Duration = Duration::from_secs(20);

/// How many tries are not answered in a row until a session is not believed in any more.
const DOUBTS: u32 = 3;

/// The same while a client here does not take what has come for it: that holds up all that goes through its session.
const DOUBTS_HELD_UP: u32 = 40;

/// The way to one scheduler.
#[derive(Clone)]
pub struct DirectWay {
    address: String,
    access: DashboardAccess,
    cluster: ClusterUid,
    session: Option<SessionWay>,
    untaken: Untaken,
    board: Arc<StatusBoard>,
    gate: Arc<Gate>,
}

/// A connection to a machine.
pub enum DirectStream {
    /// To its scheduler; and where it is counted whether its client takes what comes.
    Scheduler(TcpStream, Untaken),
    /// To its dashboard.
    Dashboard(Tunnel),
}

impl DirectWay {
    /// Nothing is asked yet.
    pub fn new(
        target: &MachineTarget,
        session: Option<SessionWay>,
        request: &ForwardRequest,
        board: &Arc<StatusBoard>,
        gate: &Arc<Gate>,
    ) -> Self {
        Self {
            address: target.address.clone(),
            access: request.dashboard.clone(),
            cluster: request.cluster.uid.clone(),
            session,
            untaken: Untaken::default(),
            board: Arc::clone(board),
            gate: Arc::clone(gate),
        }
    }

    /// Its address.
    pub fn scheduler(&self) -> String {
        self.address.clone()
    }

    /// A stream to what is behind a local port.
    pub async fn open(&self, door: Door) -> Result<DirectStream, Refusal> {
        match door {
            Door::Comm => {
                let address = self.destination().await?;
                let dialled = dial(&address, BOUNDS.connect).await;
                let counted = |stream| DirectStream::Scheduler(stream, self.untaken.clone());
                dialled.map(counted).map_err(|error| refusal(&error))
            }
            Door::Dashboard => {
                let connection = self.connect().await?;
                let tunnel = connection.into_tunnel().await;
                tunnel.map(DirectStream::Dashboard).map_err(|error| refusal(&error))
            }
        }
    }

    /// Where the scheduler is to be dialled: at its address, or where its session listens.
    async fn destination(&self) -> Result<DaskAddress, Refusal> {
        let through = match &self.session {
            None => None,
            Some(session) => {
                let port = session.port(Instant::now() + BOUNDS.connect).await.map_err(passing)?;
                let scheme = self.address.split_once("://").map_or("tls", |(scheme, _)| scheme);
                Some(format!("{scheme}://127.0.0.1:{port}"))
            }
        };
        let address = through.as_ref().unwrap_or(&self.address);
        address.parse().map_err(|error: crate::engine::dask::rpc::AddressError| lasting(error.to_string()))
    }

    /// A connection of Dask's, with the client's certificate as it is now.
    async fn connect(&self) -> Result<Connection, Refusal> {
        let credentials = match &self.access {
            DashboardAccess::Plain => None,
            DashboardAccess::Tls(files) => {
                let (config, peer) = dashboard::settings(files, &self.cluster).map_err(lasting)?;
                Some(Credentials { config, peer })
            }
        };
        let target = Target { address: self.destination().await?, credentials, bounds: BOUNDS };
        Connection::open(&target).await.map_err(|error| refusal(&error))
    }

    /// Returns when the scheduler could not be reached for an hour. While it can, a connection to it is held, on which
    /// nothing is said: its end tells that there is something to look at.
    pub async fn is_gone(&self) {
        let mut reached = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut doubts = 0;
        loop {
            let tried = Instant::now();
            match self.connect().await {
                Ok(connection) => {
                    self.board.tried(Ok(()));
                    self.board.pod(Some(self.address.clone()));
                    self.gate.reopen();
                    doubts = 0;
                    let end = self.hold(connection).await;
                    reached = Instant::now();
                    self.board.pod(None);
                    tracing::info!(%end, "the scheduler has gone, or the way to it");
                }
                Err(Refusal { problem, .. }) => {
                    tracing::debug!(problem, "the scheduler cannot be reached");
                    self.doubt(tried, &mut doubts);
                    self.board.tried(Err(problem));
                }
            }
            if reached.elapsed() >= GIVEN_UP {
                return;
            }
            if reached.duration_since(tried) >= WORKED {
                pause = FIRST_PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl DirectWay {
    /// Until a connection ends. A session that carries nothing any more does not say so: it is tried now and then, which
    /// also keeps it from being idle.
    async fn hold(&self, connection: Connection) -> String {
        let ended = connection.ended();
        tokio::pin!(ended);
        let mut doubts = 0;
        loop {
            let pause = if doubts == 0 { TRIED_EVERY } else { FIRST_PAUSE };
            tokio::select! {
                end = &mut ended => return end.to_string(),
                () = sleep(pause), if self.session.is_some() => {}
            }
            let tried = Instant::now();
            match self.connect().await {
                Ok(connection) => {
                    doubts = 0;
                    connection.close().await;
                }
                Err(Refusal { problem, .. }) => {
                    if self.doubt(tried, &mut doubts) {
                        return problem;
                    }
                }
            }
        }
    }

    /// Has another session started when a few tries in a row came to nothing; whether that is so now. Who is refused has
    /// come through.
    fn doubt(&self, tried: Instant, doubts: &mut u32) -> bool {
        *doubts = if tried.elapsed() >= BOUNDS.connect { *doubts + 1 } else { 0 };
        let enough = *doubts >= if self.untaken.is_any() { DOUBTS_HELD_UP } else { DOUBTS };
        if let Some(session) = self.session.as_ref().filter(|_| enough) {
            *doubts = 0;
            session.doubt();
        }
        enough
    }

    /// Returns when only another forwarder can be of use.
    pub async fn is_over(&self) {
        match &self.session {
            Some(session) => session.is_over().await,
            None => std::future::pending().await,
        }
    }

    /// Ends its session, if it has one.
    pub async fn close(&self) {
        if let Some(session) = &self.session {
            session.close().await;
        }
    }
}

fn passing(problem: String) -> Refusal {
    Refusal { problem, refuser: Refuser::Silent, is_passing: true }
}

fn lasting(problem: String) -> Refusal {
    Refusal { problem, refuser: Refuser::Silent, is_passing: false }
}

fn refusal(error: &RpcError) -> Refusal {
    let problem = match error {
        RpcError::UnknownOp { peer, .. } => {
            format!("the scheduler at {peer} does not serve its dashboard, or not yet; its log says why")
        }
        error => error.to_string(),
    };
    Refusal { problem, refuser: Refuser::Silent, is_passing: error.is_transient() }
}

impl DirectStream {
    /// Carries bytes until either side ends. The machine has answered already.
    pub async fn carry<L>(self, local: L, on_reached: &(dyn Fn() + Send + Sync)) -> End
    where
        L: AsyncRead + AsyncWrite,
    {
        on_reached();
        match self {
            Self::Scheduler(remote, untaken) => join(local, remote, &untaken).await,
            Self::Dashboard(tunnel) => match tunnel.carry(local).await {
                TunnelEnd::Local => End::Local,
                TunnelEnd::Remote => End::Remote,
                TunnelEnd::Cut(error) => End::Cut(error.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        net::{TcpListener, TcpSocket},
    };

    use super::*;
    use crate::{
        model::ClusterKey,
        provider::forwarder::{files, request::Destination},
    };

    fn way(folder: &std::path::Path, address: std::net::SocketAddr) -> DirectWay {
        let cluster = ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() };
        let board = StatusBoard::open(files::of_cluster(folder, &cluster.uid));
        let gate = Arc::new(Gate::new(cluster.uid.as_str()));
        let target =
            MachineTarget { address: format!("tcp://{address}"), place: "here".to_owned(), session: None };
        let destination = Destination::Machine(target.clone());
        let request = ForwardRequest { cluster, destination, dashboard: DashboardAccess::Plain };
        DirectWay::new(&target, None, &request, &board, &gate)
    }

    #[tokio::test(start_paused = true)]
    async fn a_scheduler_that_was_not_reached_for_an_hour_is_gone_and_no_sooner() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpSocket::new_v4().unwrap();
        taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let began = Instant::now();
        way(folder.path(), taken.local_addr().unwrap()).is_gone().await;
        let waited = began.elapsed();
        assert!(waited >= GIVEN_UP && waited < GIVEN_UP + LONGEST_PAUSE + BOUNDS.connect, "{waited:?}");
    }

    #[tokio::test]
    async fn clients_of_dask_are_passed_through_to_the_end_of_either_side() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = way(folder.path(), listener.local_addr().unwrap());
        let stream = way.open(Door::Comm).await.map_err(|refusal| refusal.problem).unwrap();
        let (mut scheduler, _) = listener.accept().await.unwrap();
        let (mut client, near) = duplex(1 << 10);
        let carried = tokio::spawn(async move { stream.carry(near, &|| {}).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        scheduler.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        scheduler.write_all(b"answer").await.unwrap();
        drop(scheduler);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
        assert_eq!(carried.await.unwrap(), End::Remote);
    }

    #[tokio::test]
    async fn it_is_known_of_a_client_that_it_does_not_take_what_has_come_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = way(folder.path(), listener.local_addr().unwrap());
        let untaken = way.untaken.clone();
        let becomes = async |wanted| {
            let is_so = async {
                while untaken.is_any() != wanted {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), is_so).await.unwrap();
        };
        let stream = way.open(Door::Comm).await.map_err(|refusal| refusal.problem).unwrap();
        let (mut scheduler, _) = listener.accept().await.unwrap();
        let (mut client, near) = duplex(1 << 10);
        let carried = tokio::spawn(async move { stream.carry(near, &|| {}).await });
        scheduler.write_all(&[7; 4 << 10]).await.unwrap();
        becomes(true).await;
        client.read_exact(&mut [0; 4 << 10]).await.unwrap();
        becomes(false).await;
        scheduler.write_all(&[7; 4 << 10]).await.unwrap();
        becomes(true).await;
        drop(client);
        carried.await.unwrap();
        becomes(false).await;
    }

    #[tokio::test]
    async fn a_scheduler_that_breaks_off_is_a_cut_and_a_client_that_does_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = way(folder.path(), listener.local_addr().unwrap());
        let stream = way.open(Door::Comm).await.map_err(|refusal| refusal.problem).unwrap();
        let (scheduler, _) = listener.accept().await.unwrap();
        let (_client, near) = duplex(1 << 10);
        scheduler.set_zero_linger().unwrap();
        drop(scheduler);
        let end = stream.carry(near, &|| {}).await;
        assert!(matches!(&end, End::Cut(reason) if reason.contains("broke")), "{end:?}");
    }
}
