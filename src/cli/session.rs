//! The controller that a command speaks to.

use std::path::Path;

use super::{CliError, Exit, args::GlobalArguments, document::similar, printer::Printer};
use crate::{
    api::{ApiClient, ApiError, ErrorCode},
    controller::{ClusterSummary, ClusterView, Listed, process::Locations},
    model::{CallerContext, Event},
    spec::{ClusterName, Namespace},
    store::Past,
};

/// The context that is this machine's controller and nothing else.
const LOCAL: &str = "local";

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
}

/// Who answers questions about clusters.
pub enum Answerer {
    /// A controller.
    Controller(ApiClient),
    /// Nobody needs to: there is no controller and no cluster either.
    NoClusters,
}

impl Session {
    /// For a command line.
    pub fn new(printer: Printer, global: GlobalArguments) -> Self {
        Self { printer, global }
    }

    /// How much of its own work the command is to tell.
    pub fn verbosity(&self) -> u8 {
        self.global.verbose
    }

    /// Where the controller's files are, once context and namespace are seen to be this machine's.
    pub fn locations(&self) -> Result<Locations, CliError> {
        self.check_context()?;
        locations()
    }

    fn check_context(&self) -> Result<(), CliError> {
        match self.global.context.as_deref() {
            Some(kube) if kube.starts_with("kube:") => Err(CliError::Usage {
                message: format!(
                    "context {kube}: this version of crewcall speaks only to this machine's controller"
                ),
                hint: Some("name a context of the kubeconfig as it is, without `kube:`".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    /// Which Kubernetes is meant.
    pub fn place(&self) -> Place {
        let context = self.global.context.clone().filter(|name| !matches!(name.as_str(), LOCAL | ""));
        Place { context, namespace: self.global.namespace.clone() }
    }

    /// A controller, started if there is none.
    pub async fn controller(&self) -> Result<ApiClient, CliError> {
        Ok(ApiClient::connect_or_start(&self.locations()?).await?)
    }

    /// A controller if one runs or a cluster needs one. Looking at nothing starts nothing.
    pub async fn answerer(&self) -> Result<Answerer, CliError> {
        let locations = self.locations()?;
        if let Some(client) = ApiClient::connect(&locations).await? {
            return Ok(Answerer::Controller(client));
        }
        if has_no_clusters(&locations.state().join("clusters")) {
            return Ok(Answerer::NoClusters);
        }
        Ok(Answerer::Controller(ApiClient::connect_or_start(&locations).await?))
    }

    /// The controller that knows the cluster `name`; not found where there is none.
    pub async fn controller_of(&self, name: &ClusterName) -> Result<ApiClient, CliError> {
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

    /// One cluster.
    pub async fn cluster(&self, name: &ClusterName) -> Result<(ApiClient, ClusterView), CliError> {
        let client = self.controller_of(name).await?;
        match client.get(name).await {
            Ok(view) => Ok((client, view)),
            Err(error) => Err(explain(&client, name, error).await),
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
pub async fn explain(client: &ApiClient, name: &ClusterName, error: ApiError) -> CliError {
    if error.code != ErrorCode::NotFound {
        return CliError::Api(error);
    }
    let known = client.summaries().await.unwrap_or_default().into_iter().map(|listed| match listed {
        Listed::Cluster(view) => view.name.to_string(),
        Listed::Unreadable { name, .. } => name,
    });
    let similar = similar(name.as_str(), known).and_then(|name| name.parse().ok());
    no_cluster(name, similar)
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
