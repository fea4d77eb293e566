//! Whom a command speaks to: the controller of this machine, or an operator through custom resources.

use std::{cell::OnceCell, path::Path, sync::Arc};

use super::{CliError, Exit, args::GlobalArguments, document::similar, printer::Printer, settings::Settings};
use crate::{
    api::{Answering, ApiClient, ApiError, Clusters, ErrorCode},
    controller::{ClusterSummary, ClusterView, Listed, process::Locations},
    model::{CallerContext, Event},
    spec::{ClusterName, ComputeCluster, Metadata, Namespace, ProviderKind},
    store::Past,
};

/// The context that is this machine's controller and nothing else.
const LOCAL: &str = "local";

/// In front of a context of the kubeconfig whose clusters an operator looks after.
const KUBE: &str = "kube:";

/// Which Kubernetes the command line means, where it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// A context of the kubeconfig.
    pub context: Option<String>,
    /// A namespace.
    pub namespace: Option<Namespace>,
}

/// What every command has at hand.
pub struct Session {
    /// Where results and talk go.
    pub printer: Printer,
    global: GlobalArguments,
    settings: OnceCell<Settings>,
    /// The namespace that a document says.
    settled: OnceCell<Namespace>,
    #[cfg(feature = "kubernetes")]
    resources: OnceCell<crate::api::Resources>,
}

/// Who looks after the clusters that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Home {
    /// The controller of this machine.
    Machine,
    /// The operator of this context of the kubeconfig; empty: of the current one.
    Operator(String),
}

/// Who answers questions about clusters.
pub enum Answerer {
    /// A controller, or custom resources.
    Controller(Answering),
    /// Nobody needs to: there is no controller and no cluster either.
    NoClusters,
}

impl Session {
    /// For a command line.
    pub fn new(printer: Printer, global: GlobalArguments) -> Self {
        Self {
            printer,
            global,
            settings: OnceCell::new(),
            settled: OnceCell::new(),
            #[cfg(feature = "kubernetes")]
            resources: OnceCell::new(),
        }
    }

    /// The words that lead from another command line to the same clusters, with a space in front; none where the
    /// defaults lead there.
    pub fn way_back(&self) -> String {
        let context = self.global.context.as_deref().filter(|name| name.starts_with(KUBE));
        let namespace = self.settled.get().or(self.global.namespace.as_ref());
        let namespace = namespace.filter(|_| matches!(self.home(), Ok(Home::Operator(_))));
        let words = context.map(|name| format!(" --context {name}")).into_iter();
        words.chain(namespace.map(|name| format!(" -n {name}"))).collect()
    }

    /// How much of its own work the command is to tell.
    pub fn verbosity(&self) -> u8 {
        self.global.verbose
    }

    /// Where the files of this machine's controller are, for a verb that is about those.
    pub fn locations(&self) -> Result<Locations, CliError> {
        match self.home()? {
            Home::Machine => locations(),
            Home::Operator(name) => Err(CliError::Usage {
                message: format!(
                    "this verb is about the controller of this machine, and the context is {KUBE}{name}"
                ),
                hint: Some(
                    "add `--context local`; the operator is a deployment: `kubectl get deployments -A -l \
                     app.kubernetes.io/name=crewcall` shows it"
                        .to_owned(),
                ),
            }),
        }
    }

    /// The context that is meant: the command line's, else the variable's, else the file's.
    fn context(&self) -> Result<Option<&str>, CliError> {
        if let Some(named) = self.global.context.as_deref().filter(|name| !name.is_empty()) {
            return Ok(Some(named));
        }
        if self.settings.get().is_none() {
            // Nobody else sets it meanwhile.
            let _ = self.settings.set(Settings::of_this_person()?);
        }
        Ok(self.settings.get().and_then(|settings| settings.context.as_deref()))
    }

    fn home(&self) -> Result<Home, CliError> {
        let operator = self.context()?.and_then(|context| context.strip_prefix(KUBE));
        Ok(operator.map_or(Home::Machine, |name| Home::Operator(name.to_owned())))
    }

    /// Which Kubernetes is meant, for clusters that the controller of this machine looks after there.
    pub fn place(&self) -> Place {
        match self.home() {
            Ok(Home::Machine) => {
                let context = self.context().ok().flatten().filter(|name| *name != LOCAL);
                Place { context: context.map(str::to_owned), namespace: self.global.namespace.clone() }
            }
            // All that is answered is of that context and namespace.
            Ok(Home::Operator(_)) | Err(_) => Place::default(),
        }
    }

    /// Takes note of what a document says of its place.
    ///
    /// # Errors
    /// When the command line names another namespace to an operator.
    pub fn settle(&self, metadata: &Metadata) -> Result<(), CliError> {
        let (Home::Operator(_), Some(namespace)) = (self.home()?, &metadata.namespace) else {
            return Ok(());
        };
        match &self.global.namespace {
            Some(named) if named != namespace => Err(CliError::Usage {
                message: format!(
                    "the document's cluster is in namespace {namespace}, the command line names {named}"
                ),
                hint: Some("leave one of the two out".to_owned()),
            }),
            _ => {
                // It is the only one of the command.
                let _ = self.settled.set(namespace.clone());
                Ok(())
            }
        }
    }

    /// The context of what is created.
    #[cfg(feature = "kubernetes")]
    fn kubernetes(&self, context: &str) -> Result<crate::model::KubernetesContext, CliError> {
        use crate::provider::kubernetes::{ContextChoice, resolve};

        let (environment, _) = super::caller::split_environment(std::env::vars_os());
        let choice = ContextChoice {
            context: Some(context.to_owned()).filter(|name| !name.is_empty()),
            namespace: self.settled.get().or(self.global.namespace.as_ref()).cloned(),
        };
        resolve(&environment, &super::caller::working_directory()?, &choice)
            .map_err(|error| CliError::Usage { message: error.message, hint: error.hint })
    }

    #[cfg(feature = "kubernetes")]
    fn operator(&self, context: &str) -> Result<Answering, CliError> {
        if let Some(known) = self.resources.get() {
            return Ok(Arc::new(known.clone()));
        }
        let kubernetes = self.kubernetes(context)?;
        let program = std::env::current_exe()
            .map_err(|error| CliError::Bug(format!("cannot find this program: {error}")))?;
        let (environment, _) = super::caller::split_environment(std::env::vars_os());
        let made = crate::api::Resources::new(kubernetes, locations()?.state(), program, &environment)?;
        Ok(Arc::new(self.resources.get_or_init(|| made).clone()))
    }

    #[cfg(not(feature = "kubernetes"))]
    fn operator(&self, context: &str) -> Result<Answering, CliError> {
        Err(CliError::Usage {
            message: format!("context {KUBE}{context}: this build of crewcall has no provider `kubernetes`"),
            hint: Some("build it with `cargo build --features kubernetes`".to_owned()),
        })
    }

    /// Which Kubernetes a document's cluster is for.
    ///
    /// # Errors
    /// When an operator is meant, and the cluster is not on Kubernetes.
    pub fn place_of(&self, document: &ComputeCluster) -> Result<Place, CliError> {
        let kind = document.spec.provider.kind();
        match self.home()? {
            Home::Machine => Ok(self.place()),
            Home::Operator(name) if kind != ProviderKind::Kubernetes => Err(CliError::Usage {
                message: format!(
                    "`provider: {{{}: …}}` is not for an operator, which runs pods, and the context is {KUBE}{name}",
                    kind.as_str()
                ),
                hint: Some(
                    "write `provider: {kubernetes: {}}`, or have this machine's controller make it: `--context local`"
                        .to_owned(),
                ),
            }),
            Home::Operator(name) => Ok(Place {
                context: Some(name).filter(|name| !name.is_empty()),
                namespace: self.settled.get().or(self.global.namespace.as_ref()).cloned(),
            }),
        }
    }

    /// Whoever looks after clusters; a controller is started if there is none.
    pub async fn controller(&self) -> Result<Answering, CliError> {
        match self.home()? {
            Home::Machine => Ok(Arc::new(ApiClient::connect_or_start(&locations()?).await?)),
            Home::Operator(name) => self.operator(&name),
        }
    }

    /// The same; `None` where there is no controller.
    pub async fn existing(&self) -> Result<Option<Answering>, CliError> {
        match self.home()? {
            Home::Machine => {
                let client = ApiClient::connect(&locations()?).await?;
                Ok(client.map(|client| Arc::new(client) as Answering))
            }
            Home::Operator(name) => self.operator(&name).map(Some),
        }
    }

    /// Whoever looks after clusters, if somebody does or a cluster needs it. Looking at nothing starts nothing.
    pub async fn answerer(&self) -> Result<Answerer, CliError> {
        if let Some(client) = self.existing().await? {
            return Ok(Answerer::Controller(client));
        }
        let locations = locations()?;
        if has_no_clusters(&locations.state().join("clusters")) {
            return Ok(Answerer::NoClusters);
        }
        Ok(Answerer::Controller(Arc::new(ApiClient::connect_or_start(&locations).await?)))
    }

    /// Whoever looks after the cluster `name`; not found where there is none.
    pub async fn controller_of(&self, name: &ClusterName) -> Result<Answering, CliError> {
        match self.answerer().await? {
            Answerer::Controller(client) => {
                if self.place() != Place::default()
                    && let Ok(view) = client.get(name).await
                {
                    self.place().check(&view.name, &view.context)?;
                }
                Ok(client)
            }
            Answerer::NoClusters => Err(no_cluster(name, None)),
        }
    }

    /// One cluster that clients on this machine can connect to, once it has an endpoint.
    pub async fn reached(&self, name: &ClusterName) -> Result<ClusterView, CliError> {
        let (client, view) = self.cluster(name).await?;
        Ok(client.reach(view).await?)
    }

    /// One cluster.
    pub async fn cluster(&self, name: &ClusterName) -> Result<(Answering, ClusterView), CliError> {
        let client = self.controller_of(name).await?;
        match client.get(name).await {
            Ok(view) => Ok((client, view)),
            Err(error) => Err(explain(&*client, name, error).await),
        }
    }
}

impl Place {
    /// Whether a cluster is where the command line says; everywhere, where it says nothing.
    pub fn holds(&self, context: &CallerContext) -> bool {
        let there = context.kubernetes.as_ref();
        self.is(there.map(|there| there.context.as_str()), there.map(|there| &there.namespace))
    }

    /// The same of a cluster of which less is known.
    pub fn holds_summary(&self, summary: &ClusterSummary) -> bool {
        self.is(summary.kubernetes_context.as_deref(), summary.namespace.as_ref())
    }

    fn is(&self, context: Option<&str>, namespace: Option<&Namespace>) -> bool {
        self.context.as_ref().is_none_or(|name| context == Some(name))
            && self.namespace.as_ref().is_none_or(|name| namespace == Some(name))
    }

    /// Refuses a cluster that is elsewhere.
    pub fn check(&self, name: &ClusterName, context: &CallerContext) -> Result<(), CliError> {
        if self.holds(context) {
            return Ok(());
        }
        let place = match &context.kubernetes {
            None => "runs on this machine, where there are no namespaces".to_owned(),
            Some(there) => format!("is in namespace {} ({})", there.namespace, there.described()),
        };
        Err(CliError::Usage {
            message: format!("cluster {name} {place}"),
            hint: Some("leave --context and -n out: names are unique on this machine".to_owned()),
        })
    }
}

/// Whether there is surely nothing on record. What is wrong with a directory that cannot be read the
/// controller says better.
fn has_no_clusters(directory: &Path) -> bool {
    match std::fs::read_dir(directory) {
        // What begins with a dot is the store's own.
        Ok(mut entries) => {
            entries.all(|entry| entry.is_ok_and(|it| it.file_name().as_encoded_bytes().starts_with(b".")))
        }
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Where this person's files are.
pub fn locations() -> Result<Locations, CliError> {
    Locations::of_this_process()
        .map_err(|error| CliError::Usage { message: error.to_string(), hint: error.hint() })
}

/// An error about a cluster; one that is not there offers the name that was meant.
pub async fn explain(client: &dyn Clusters, name: &ClusterName, error: ApiError) -> CliError {
    if error.code != ErrorCode::NotFound {
        return CliError::Api(error);
    }
    let known = client.summaries().await.unwrap_or_default().into_iter().map(|listed| match listed {
        Listed::Cluster(view) => view.name.to_string(),
        Listed::Unreadable { name, .. } => name,
    });
    let similar: Option<ClusterName> = similar(name.as_str(), known).and_then(|name| name.parse().ok());
    if client.is_of_this_machine() {
        return no_cluster(name, similar);
    }
    // Its message says where there is none.
    CliError::Api(match similar {
        Some(similar) => error.with_hint(format!("did you mean `{similar}`?")),
        None => error,
    })
}

/// There is no cluster of that name; there may have been one.
pub fn no_cluster(name: &ClusterName, similar: Option<ClusterName>) -> CliError {
    let ended = past_events(name, 1).ok().and_then(|mut events| events.pop());
    CliError::NoCluster { name: name.clone(), similar, ended: ended.map(Box::new) }
}

/// The history of the last cluster of that name that has ended; empty where nothing is known of one.
pub fn past_events(name: &ClusterName, limit: usize) -> Result<Vec<Event>, CliError> {
    let past = Past::of(locations()?.state());
    past.events(name, limit).map_err(|error| CliError::Process {
        message: format!("cannot read the history of the last cluster named {name}: {error}"),
        hint: None,
        exit: Exit::Failed,
    })
}
