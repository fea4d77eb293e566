//! What depends on the person who asked: resolved by the command line, sent along.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::ObjectUid;
use crate::spec::Namespace;

/// The part of the caller's context that is kept with the cluster. No secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerContext {
    /// Where local nodes run; absolute.
    pub working_directory: PathBuf,
    /// What local nodes put in front of their import path; absolute.
    #[serde(default)]
    pub import_path: Vec<PathBuf>,
    /// The caller's interpreter, if there is one.
    #[serde(default)]
    pub interpreter: Option<Interpreter>,
    /// The folder of the document, against which its relative paths are read.
    #[serde(default)]
    pub document_directory: PathBuf,
    /// The caller's file mode creation mask, which local nodes take over; without it they keep their
    /// host's, 077.
    #[serde(default)]
    pub umask: Option<u32>,
    /// Where Kubernetes is, for a cluster that runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesContext>,
    /// Where on AWS the cluster is, for one that runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ec2: Option<Ec2Context>,
    /// The custom resource that wants the cluster, and owns its objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_resource: Option<ObjectUid>,
}

/// An API server, who speaks to it, and a namespace; by reference, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesContext {
    /// The kubeconfig files, absolute, the first to have a word has it; none within a pod, which speaks with
    /// its service account.
    pub kubeconfig: Vec<PathBuf>,
    /// The context in them; empty without them.
    pub context: String,
    /// The namespace of the cluster's objects.
    pub namespace: Namespace,
    /// The API server's address. What the context says of another one is not followed.
    pub server: String,
}

impl KubernetesContext {
    /// The context's name; `None` within a pod.
    pub fn name(&self) -> Option<&str> {
        Some(self.context.as_str()).filter(|_| !self.kubeconfig.is_empty())
    }

    /// The context and where it is from, for a person.
    pub fn described(&self) -> String {
        let files: Vec<String> = self.kubeconfig.iter().map(|path| path.display().to_string()).collect();
        match self.name() {
            Some(name) => format!("context {name} of {}", files.join(":")),
            None => "this pod's service account".to_owned(),
        }
    }
}

/// An account and region of AWS, and where credentials for it are found; by reference, without them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ec2Context {
    /// The account's number. Credentials of another one are not used.
    pub account: String,
    /// The region.
    pub region: String,
    /// The profile of AWS' configuration files; `None`: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The configuration file, absolute, if it is not where AWS' tools have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<PathBuf>,
    /// The file of credentials, the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Another address than AWS' own, for every service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Who tells callers their own address; `None`: AWS does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_url: Option<String>,
}

/// A Python interpreter and what is installed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interpreter {
    /// Absolute path.
    pub path: PathBuf,
    /// What is installed.
    pub versions: SoftwareVersions,
}

/// Versions by package name (`python` among them); `None`: not installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SoftwareVersions(pub BTreeMap<String, Option<String>>);

/// The caller's environment variables: handed over, held in memory, never written.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallerEnvironment(pub BTreeMap<String, String>);

impl fmt::Debug for CallerEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallerEnvironment({} variables)", self.0.len())
    }
}

impl SoftwareVersions {
    /// The version of a package; `None` when it is not installed or was not asked for.
    pub fn get(&self, package: &str) -> Option<&str> {
        self.0.get(package)?.as_deref()
    }
}
