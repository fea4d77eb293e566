//! What every provider must be able to do.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    model::{
        CallerContext, CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, InstanceId, Interpreter,
        LaunchId, Launching, Money, NodeId, NodeName, Observed, Passage, RecordCopies, Residue, Role, Stop,
        TemplateHash, WayIn,
    },
    security::Identity,
    spec::{ClusterName, ComputeCluster, GroupName},
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

/// Where clusters run.
///
/// # Guarantees asked of an implementation
/// - Every call may be repeated at any time, also after a crash of the caller in the middle of it.
/// - What a creating call makes carries its identity from that call on.
/// - A call has a bound of its own; what it leaves behind when it fails is said by
///   [`ProviderError::residue`].
///
/// Providers decide nothing: what to make, when to try again and what to give up on is `plan`'s.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What this provider is like; constant.
    fn capabilities(&self) -> Capabilities;

    /// Resolves what a new cluster needs before anything of it is stored: the software environment.
    /// Leaves nothing behind but caches. Reports its steps to `progress`.
    async fn prepare(
        &self,
        cluster: &ComputeCluster,
        caller: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Prepared, ProviderError>;

    /// Takes over credentials from whoever asks for a cluster that is there already: they may be newer.
    fn renew(&self, _: &CallerEnvironment) {}

    /// All that exists of a cluster.
    async fn observe(&self, cluster: &ClusterKey) -> Result<Observed, ProviderError>;

    /// Makes the cluster's anchor, if it is not there yet.
    async fn ensure_anchor(&self, request: &AnchorRequest) -> Result<(), ProviderError>;

    /// How the cluster's nodes are launched, if this provider launches them in batches and names them
    /// itself. Constant for a document; `None`: nodes are started by [`Provider::ensure_nodes`].
    fn launching(&self, _: &ComputeCluster) -> Option<Launching> {
        None
    }

    /// Makes the one call of a launch. The same launch is the same call, with the same token: it makes
    /// nothing twice, and is answered alike. Whoever does not know whether it had its effect, repeats it.
    ///
    /// # Errors
    /// Of kind `Capacity` or `Quota`, without residue: nothing was made, and the launch is given up. The
    /// same for `Invalid` and for `Conflict`: the token was used for another request. After any other
    /// error it is repeated.
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, ProviderError> {
        let message = format!("nodes of group {} are not launched in batches here", request.group);
        Err(ProviderError::new(ErrorKind::Invalid, message))
    }

    /// Notes on nodes when they are to be gone whatever happens; `None`: never.
    async fn set_expiry(
        &self,
        _cluster: &ClusterKey,
        _nodes: &[NodeName],
        _at: Option<Timestamp>,
    ) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Starts nodes, each at most once for its name. One that exists, or existed, is left as it is.
    /// Returns what could not be started; the others were.
    async fn ensure_nodes(&self, request: &NodesRequest) -> Result<Vec<NodeFailure>, ProviderError>;

    /// Ends nodes and forgets them, but for their logs. Returns once they are told to end; they are
    /// gone when [`Provider::observe`] no longer shows them.
    async fn remove_nodes(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        how: Stop,
    ) -> Result<(), ProviderError>;

    /// Removes the anchor and all that belongs to it, nodes included.
    async fn remove_anchor(&self, cluster: &ClusterKey) -> Result<Removal, ProviderError>;

    /// Everything that this installation has made, of whatever cluster; for garbage collection.
    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError>;

    /// Ends and removes something that [`Provider::list_managed`] found.
    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError>;

    /// Keeps, where the cluster is, what its controller could take it up from if the store were lost; in place of what
    /// was kept before. Only of a provider whose [`Capabilities::record_copies`] are kept.
    async fn keep_copy(&self, cluster: &ClusterKey, _: &RecordCopy) -> Result<(), ProviderError> {
        Err(no_copies(&cluster.uid))
    }

    /// The newest that was kept of a cluster, if it is whole.
    async fn copy_of(&self, _: &ClusterUid) -> Result<Option<RecordCopy>, ProviderError> {
        Ok(None)
    }

    /// Notes in the context of a cluster's first caller by which way this provider reaches the place it is in: its own
    /// may be lost, like a profile of another machine.
    fn note_place(&self, _: &mut CallerContext) {}

    /// What is known of the way from this machine to the cluster's scheduler. Asks nobody.
    fn passage(&self, _cluster: &ClusterKey) -> Passage {
        Passage::default()
    }

    /// Takes the environment variables of a caller, for programs that hand out credentials. Held in memory only.
    fn lend(&self, _environment: &CallerEnvironment) {}

    /// Yields whenever [`Provider::observe`] or [`Provider::passage`] may show something new. Only a hint.
    fn watch(&self, cluster: &ClusterKey) -> BoxStream<'static, ()>;

    /// The log of a node, dead or alive.
    async fn logs(
        &self,
        cluster: &ClusterKey,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<LogStream, ProviderError>;

    /// Nodes that have a log, newest last.
    async fn logged_nodes(&self, cluster: &ClusterKey) -> Result<Vec<NodeName>, ProviderError>;
}

/// Chunks of a log.
pub type LogStream = BoxStream<'static, Result<Vec<u8>, ProviderError>>;

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRequest {
    /// Only so many of its last lines; `None`: all.
    pub tail: Option<usize>,
    /// Whether to go on when the end is reached.
    pub follow: Follow,
}

/// Whether a stream goes on when its end is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It does, until the node ends.
    Yes,
    /// It does not.
    No,
}

/// What a provider is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How long a node may take from the creating call to its registration.
    pub start_deadline: Duration,
    /// How long a node may be missing from [`Provider::observe`] after its creation.
    pub visibility_delay: Duration,
    /// What it needs of the caller each time an anchor is made.
    pub surrounding: Surrounding,
    /// How long a worker that an adaptive group does not need has nothing to do before it goes.
    pub idle_period: Duration,
    /// What was seen is good for so long, as long as nothing was changed by us: looking costs calls.
    pub look_interval: Duration,
    /// Whether copies of records are kept where the clusters are.
    pub record_copies: RecordCopies,
    /// Whether the way to a scheduler is open only to the addresses that the anchor was last made for.
    pub way_in: WayIn,
}

/// What a controller could take a cluster up from that lost its store: text, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordCopy {
    /// Which state of the record it is of; a higher one is newer.
    pub generation: u64,
    /// The copy.
    pub text: String,
}

/// Without the text, which holds keys.
impl std::fmt::Debug for RecordCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordCopy").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn no_copies(cluster: &ClusterUid) -> ProviderError {
    let message = format!("this provider keeps no copy of the record of cluster {cluster}");
    ProviderError::new(ErrorKind::Invalid, message)
}

/// What a provider needs of the caller each time an anchor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surrounding {
    /// Nothing.
    NotNeeded,
    /// The caller's environment variables.
    CallersEnvironment,
}

/// Who asks, in what surroundings.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What is kept.
    pub context: CallerContext,
    /// What is not.
    pub environment: CallerEnvironment,
}

/// What [`Provider::prepare`] resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The document with everything filled in that depends on the caller.
    pub cluster_environment: Option<crate::spec::EnvironmentSpec>,
    /// Local: the interpreter that nodes run with.
    pub interpreter: Option<Interpreter>,
}

/// What a cluster's nodes have in common.
#[derive(Debug, Clone)]
pub struct AnchorRequest {
    /// Which cluster.
    pub cluster: ClusterKey,
    /// What is wanted.
    pub document: Arc<ComputeCluster>,
    /// What local nodes run with.
    pub interpreter: Option<Interpreter>,
    /// Working directory and import path of local nodes.
    pub context: CallerContext,
    /// Environment variables of local nodes.
    pub environment: CallerEnvironment,
}

/// Nodes to be started.
#[derive(Debug, Clone)]
pub struct NodesRequest {
    /// Of which cluster.
    pub cluster: ClusterKey,
    /// What is wanted of it.
    pub document: Arc<ComputeCluster>,
    /// Which nodes; all of one role.
    pub nodes: Vec<NodeRequest>,
}

/// One node to be started.
#[derive(Debug, Clone)]
pub struct NodeRequest {
    /// Its name.
    pub id: NodeId,
    /// Fingerprint of its template, kept with the node.
    pub template: TemplateHash,
    /// What the engine wants to run there.
    pub launch: Arc<crate::engine::Launch>,
    /// Its certificate; `None` when the cluster runs without TLS.
    pub identity: Option<Arc<Identity>>,
}

impl NodeRequest {
    /// What it does.
    pub fn role(&self) -> Role {
        self.id.role()
    }
}

/// One launch: as many nodes alike as the provider has room for, at most `count`, at least one.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    /// Of which cluster.
    pub cluster: ClusterKey,
    /// What is wanted of it.
    pub document: Arc<ComputeCluster>,
    /// Goes into the tags of all that is made.
    pub launch: LaunchId,
    /// Goes with the call, and makes it one.
    pub token: String,
    /// The nodes' group.
    pub group: GroupName,
    /// Most nodes.
    pub count: u32,
    /// Which of the group's [`Launching::choices`], from 0.
    pub choice: u32,
    /// Fingerprint of the nodes' template; goes into their tags.
    pub template: TemplateHash,
    /// When they are to be gone whatever happens; goes into their tags. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// What the engine wants to run on each; in the node's name, [`InstanceId::placeholder`] stands for
    /// the instance's own id.
    pub program: Arc<crate::engine::Launch>,
    /// The certificate of their role; `None` when the cluster runs without TLS.
    pub identity: Option<Arc<Identity>>,
    /// The caller's environment, for the values of secret variables; `None`: it is not at hand.
    pub environment: Option<CallerEnvironment>,
}

impl LaunchRequest {
    /// What the nodes do.
    pub fn role(&self) -> Role {
        if self.group.is_scheduler() { Role::Scheduler } else { Role::Worker }
    }
}

/// What came of a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launched {
    /// All that the launch has made, whether or not it is still there. Fewer than were asked for: there
    /// was no more room, and no more will come of it.
    pub instances: Vec<InstanceId>,
    /// Why there are fewer, if the provider has said so.
    pub shortfall: Option<ProviderError>,
}

/// A node that could not be started.
#[derive(Debug)]
pub struct NodeFailure {
    /// Which.
    pub node: NodeName,
    /// Why.
    pub error: ProviderError,
}

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is on its way; ask again.
    Ending,
    /// Nothing is left. What a call made that nobody remembers may still appear.
    Gone,
    /// Nothing is left that was asked for, whenever it would have appeared: the look was at what is, and what came
    /// later would go with its owner.
    GoneForGood,
}

impl Removal {
    /// Whether nothing is left.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Gone | Self::GoneForGood)
    }
}

/// Something that this installation has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// For which cluster.
    pub cluster: ClusterUid,
    /// That cluster's name, if it is known.
    pub name: Option<ClusterName>,
    /// What it is, in the provider's own terms; enough for [`Provider::sweep`].
    pub id: String,
    /// What it is, for a person.
    pub description: String,
    /// How old it is, by the clock that dates the store.
    pub age: Duration,
    /// Whether a cluster may be at work in it.
    pub vitality: Vitality,
    /// What it costs an hour, where that is known.
    pub hourly: Option<Money>,
}

/// Whether a cluster may be at work in something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vitality {
    /// It may.
    Alive,
    /// What was at work has ended; this is what it left.
    Dead,
    /// It says itself that it should be gone, whoever made it.
    Expired,
}

/// A call to a provider that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// Whether the call may have had its effect all the same.
    pub residue: Residue,
    /// What went wrong, as the provider said it.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl ProviderError {
    /// A failure that left nothing behind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, residue: Residue::None, message: message.into(), hint: None }
    }

    /// A failure after which nobody knows whether the call had its effect.
    pub fn unsure(message: impl Into<String>) -> Self {
        Self { residue: Residue::Possible, ..Self::new(ErrorKind::Transient, message) }
    }

    /// With the next step for the person who reads it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Directories that a process-wide provider may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Durable state.
    pub state: PathBuf,
    /// Sockets; gone after a logout or reboot.
    pub runtime: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
}
