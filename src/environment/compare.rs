//! The client's software against the cluster's.

use std::fmt;

use crate::model::SoftwareVersions;

/// Packages that must be the same for tasks and results to be understood on both ends: those that
/// Dask itself compares (distributed's `versions.py`), less what merely has to be installed.
const COMPARED: [&str; 9] =
    ["python", "dask", "distributed", "msgpack", "cloudpickle", "tornado", "toolz", "numpy", "pandas"];

/// A package that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub package: String,
    /// The client's version; `None`: not installed.
    pub client: Option<String>,
    /// The cluster's version; `None`: not installed.
    pub cluster: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "not installed".to_owned());
        write!(f, "{}: client {}, cluster {}", self.package, text(&self.client), text(&self.cluster))
    }
}

/// Where client and cluster differ, in the order of importance. Packages that neither has, or that
/// were looked for on one side only, are left out.
pub fn compare(client: &SoftwareVersions, cluster: &SoftwareVersions) -> Vec<Difference> {
    let differs = |package: &str| {
        let (ours, theirs) = (client.0.get(package)?, cluster.0.get(package)?);
        (ours != theirs).then(|| Difference {
            package: package.to_owned(),
            client: ours.clone(),
            cluster: theirs.clone(),
        })
    };
    COMPARED.iter().filter_map(|package| differs(package)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(pairs: &[(&str, Option<&str>)]) -> SoftwareVersions {
        SoftwareVersions(pairs.iter().map(|(name, v)| ((*name).to_owned(), v.map(str::to_owned))).collect())
    }

    #[test]
    fn only_packages_that_differ_are_named() {
        let client = versions(&[("python", Some("3.11.7")), ("dask", Some("2026.8.0")), ("numpy", None)]);
        let cluster =
            versions(&[("python", Some("3.12.1")), ("dask", Some("2026.8.0")), ("numpy", Some("2.1"))]);
        let found: Vec<String> = compare(&client, &cluster).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["python: client 3.11.7, cluster 3.12.1", "numpy: client not installed, cluster 2.1"]
        );
    }
}
