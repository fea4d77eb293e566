//! How an operator is started.

use std::{collections::BTreeMap, env};

use clap::Args;

use super::OperatorError;
use crate::{
    model::{CallerEnvironment, KubernetesContext},
    provider::kubernetes::{ContextChoice, resolve},
    spec::Namespace,
    telemetry::LogFormat,
};

/// Arguments of `operator`.
#[derive(Debug, Clone, Args)]
pub struct OperatorArguments {
    /// Look after the clusters of this namespace; more than once for several [default: all namespaces].
    // It takes the place of the global option of that name, which is given once.
    #[arg(short, long, value_name = "NAMESPACE", value_delimiter = ',', action = clap::ArgAction::Append)]
    pub namespace: Vec<Namespace>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// The image of clusters that name none [default: such a cluster gets no nodes].
    #[arg(long, value_name = "IMAGE")]
    pub default_image: Option<String>,
    /// The form of log lines, which go to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The Lease that one operator of several holds.
    #[arg(long, value_name = "NAME", default_value = "crewcall-operator")]
    pub lease: String,
    /// The namespace of that Lease [default: that of the operator's pod].
    #[arg(long, value_name = "NAMESPACE")]
    pub lease_namespace: Option<Namespace>,
}

/// All that an operator goes by.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Namespaces; none: all.
    pub namespaces: Vec<Namespace>,
    pub port: u16,
    pub default_image: Option<String>,
    pub lease: String,
    pub lease_namespace: Namespace,
    /// Who it is: its pod's name, or that of its machine with something unique.
    pub identity: String,
    pub context: KubernetesContext,
}

impl Options {
    /// From arguments and the environment variables of this process.
    pub fn new(arguments: &OperatorArguments, context: Option<String>) -> Result<Self, OperatorError> {
        let pod_namespace = env::var("POD_NAMESPACE").ok().filter(|text| !text.is_empty());
        let pod_namespace: Option<Namespace> = pod_namespace.map(|text| text.parse()).transpose()?;
        let lease_namespace =
            arguments.lease_namespace.clone().or(pod_namespace).ok_or(OperatorError::NoLeaseNamespace)?;
        let identity = env::var("POD_NAME").ok().filter(|text| !text.is_empty()).unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{host}_{}", uuid::Uuid::new_v4())
        });
        let variables: BTreeMap<String, String> = env::vars().collect();
        let here = env::current_dir().map_err(OperatorError::system("tell the working directory"))?;
        // The namespace is each cluster's own; this one is only for the record of where the server is.
        let choice = ContextChoice { context, namespace: Some(lease_namespace.clone()) };
        let context = resolve(&CallerEnvironment(variables), &here, &choice)?;
        let mut namespaces = arguments.namespace.clone();
        namespaces.sort();
        namespaces.dedup();
        Ok(Self {
            namespaces,
            port: arguments.port,
            default_image: arguments.default_image.clone().filter(|image| !image.is_empty()),
            lease: arguments.lease.clone(),
            lease_namespace,
            identity,
            context,
        })
    }
}
