//! Which environment variables reach a fork server, and which a node. Pure.

use std::collections::BTreeMap;

use super::paths::HostId;
use crate::model::{CallerEnvironment, ClusterUid};

/// Set in everything that a host starts, to its id: by this garbage collection knows what is ours.
pub const HOST_MARK: &str = "CREWCALL_HOST";
/// Set beside [`HOST_MARK`], to the state directory of this installation.
pub const STATE_MARK: &str = "CREWCALL_STATE";
/// Set in every node, to the uid of its cluster.
pub const CLUSTER_MARK: &str = "CREWCALL_CLUSTER_UID";

/// Numerical libraries start as many threads as there are processors unless these say otherwise; one
/// each, because the workers are the parallelism (Dask's nanny does the same), and because a process
/// with threads cannot be forked.
const THREADS: [&str; 3] = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];

/// Dask's own recommendation for workers: freed memory goes back to the system early.
const MALLOC_TRIM: (&str, &str) = ("MALLOC_TRIM_THRESHOLD_", "65536");

/// Variables of the caller that nodes do not get, beside those that begin with `CREWCALL_`:
/// - `DASK_INTERNAL_INHERIT_CONFIG` would replace the cluster's Dask configuration by that of a process
///   which is not its parent;
/// - `PYTHONSTARTUP` and `PYTHONINSPECT` are for people at a prompt;
/// - `NOTIFY_SOCKET`, `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES` belong to one process of systemd's.
const NOT_FOR_NODES: [&str; 8] = [
    "DASK_INTERNAL_INHERIT_CONFIG",
    "DASK_SCHEDULER_ADDRESS",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "PYTHONINSPECT",
    "PYTHONSTARTUP",
];

/// The same, by how they begin: how the caller connects to a cluster, which may be another one than
/// this (`eval "$(crewcall env other)"`), is nothing for its nodes.
const NOT_FOR_NODES_PREFIXES: [&str; 3] =
    ["CREWCALL_", "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "DASK_DISTRIBUTED__COMM__TLS__"];

fn is_for_nodes(name: &str) -> bool {
    !NOT_FOR_NODES.contains(&name) && !NOT_FOR_NODES_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables that act when a process starts and not later. Nodes are forks, so the fork server must
/// have been started with the caller's.
const ACT_AT_START: [&str; 6] = ["HOME", "LANG", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "TZ"];
/// The same, by how they begin; `PYTHON...` less [`NOT_AT_START`].
const ACT_AT_START_PREFIXES: [&str; 5] = ["GLIBC_", "LC_", "MALLOC_", "PYTHON", "_RJEM_MALLOC_"];
/// `PYTHONPATH` reaches nodes by their import path; the others are for people at a prompt.
const NOT_AT_START: [&str; 3] = ["PYTHONINSPECT", "PYTHONPATH", "PYTHONSTARTUP"];

/// What a fork server is started with: only what must be there from the start, so that callers who
/// differ in nothing else share a spare.
pub fn start_environment(caller: &CallerEnvironment) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = caller
        .0
        .iter()
        .filter(|(name, _)| acts_at_start(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    environment.extend(THREADS.map(|name| (name.to_owned(), "1".to_owned())));
    let (name, value) = MALLOC_TRIM;
    environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    environment
}

fn acts_at_start(name: &str) -> bool {
    ACT_AT_START.contains(&name)
        || (ACT_AT_START_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !NOT_AT_START.contains(&name))
}

/// A short text that differs when two environments differ, and tells nothing else of them.
pub fn fingerprint(environment: &BTreeMap<String, String>) -> String {
    super::fingerprint::fingerprint(
        environment.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]),
    )
}

/// What makes a process of a host recognisable.
pub fn marks(host: &HostId, state: &str) -> [(String, String); 2] {
    [(HOST_MARK.to_owned(), host.to_string()), (STATE_MARK.to_owned(), state.to_owned())]
}

/// A secret variable whose value the caller does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "secretEnv takes the value of {name} from the variable {source_name}, which is not set in the environment \
     of whoever created the cluster"
)]
pub struct MissingSecret {
    /// The name that the node would see.
    pub name: String,
    /// The caller's variable.
    pub source_name: String,
}

/// The values of `secrets`, which maps names to the caller's variables.
pub fn secret_values(
    caller: &CallerEnvironment,
    secrets: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, MissingSecret> {
    secrets
        .iter()
        .map(|(name, source)| match caller.0.get(source) {
            Some(value) => Ok((name.clone(), value.clone())),
            None => Err(MissingSecret { name: name.clone(), source_name: source.clone() }),
        })
        .collect()
}

/// A node's whole environment: the caller's less what is not for nodes, one thread for each numerical
/// library unless the caller says otherwise, then the document's, then its secrets.
pub fn node_environment(
    caller: &CallerEnvironment,
    document: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, String>,
    marks: &[(String, String)],
    cluster: &ClusterUid,
) -> Result<BTreeMap<String, String>, MissingSecret> {
    let mut environment: BTreeMap<String, String> =
        THREADS.map(|name| (name.to_owned(), "1".to_owned())).into();
    let (name, value) = MALLOC_TRIM;
    environment.insert(name.to_owned(), value.to_owned());
    environment.extend(
        caller
            .0
            .iter()
            .filter(|(name, _)| is_for_nodes(name))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    environment.extend(document.iter().map(|(name, value)| (name.clone(), value.clone())));
    environment.extend(secret_values(caller, secrets)?);
    environment.extend(marks.iter().cloned());
    environment.insert(CLUSTER_MARK.to_owned(), cluster.to_string());
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn node(
        caller: BTreeMap<String, String>,
        document: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let uid = ClusterUid::from_random(1);
        node_environment(&CallerEnvironment(caller), document, &BTreeMap::new(), &[], &uid).unwrap()
    }

    #[test]
    fn a_node_has_the_callers_environment_less_the_documented_list() {
        let caller = variables([("A", "1"), ("CREWCALL_CONTEXT", "x"), ("PYTHONSTARTUP", "x")]);
        let seen = node(caller, &variables([("B", "2")]));
        assert_eq!(seen.get("A").unwrap(), "1");
        assert_eq!(seen.get("B").unwrap(), "2");
        assert!(!seen.contains_key("CREWCALL_CONTEXT"));
        assert!(!seen.contains_key("PYTHONSTARTUP"));
    }

    #[test]
    fn numerical_libraries_have_one_thread_unless_somebody_says_otherwise() {
        let seen = node(variables([("MKL_NUM_THREADS", "3")]), &variables([("OPENBLAS_NUM_THREADS", "5")]));
        assert_eq!(seen.get("OMP_NUM_THREADS").unwrap(), "1");
        assert_eq!(seen.get("MKL_NUM_THREADS").unwrap(), "3");
        assert_eq!(seen.get("OPENBLAS_NUM_THREADS").unwrap(), "5");
    }

    #[test]
    fn a_secret_that_the_caller_does_not_have_is_named() {
        let caller = CallerEnvironment(variables([("TOKEN", "t")]));
        let has = secret_values(&caller, &variables([("API_KEY", "TOKEN")])).unwrap();
        assert_eq!(has, variables([("API_KEY", "t")]));
        let missing = secret_values(&caller, &variables([("API_KEY", "OTHER")])).unwrap_err();
        assert!(missing.to_string().contains("OTHER"), "{missing}");
    }

    #[test]
    fn callers_who_differ_only_in_what_acts_later_share_a_spare() {
        let of = |pairs| fingerprint(&start_environment(&CallerEnvironment(pairs)));
        let plain = of(variables([("PATH", "/bin")]));
        assert_eq!(plain, of(variables([("PATH", "/bin"), ("MINE", "1"), ("PYTHONPATH", "/x")])));
        assert_ne!(plain, of(variables([("PATH", "/bin"), ("LD_PRELOAD", "x.so")])));
        assert_ne!(plain, of(variables([("PATH", "/bin"), ("PYTHONUTF8", "1")])));
    }
}
