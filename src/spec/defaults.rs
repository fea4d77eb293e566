//! What a document means where it says nothing.

use std::time::Duration;

use super::{
    ClusterSpec, DaskSpec, EngineSpec, EnvironmentSpec, GroupName, ProviderKind, ProviderSpec, Size, Span,
    TimeLimit, WaitFor, WorkerGroupSpec, limits,
};

impl WaitFor {
    /// The default bound of a wait.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

    /// How long to wait.
    pub fn timeout(&self) -> Duration {
        self.timeout.map_or(Self::DEFAULT_TIMEOUT, Span::duration)
    }
}

impl Default for EngineSpec {
    fn default() -> Self {
        Self::Dask(DaskSpec::default())
    }
}

impl ProviderSpec {
    /// Which provider.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Self::Local(_) => ProviderKind::Local,
            Self::Kubernetes(_) => ProviderKind::Kubernetes,
            Self::Ec2(_) => ProviderKind::Ec2,
        }
    }
}

impl EnvironmentSpec {
    /// What an image's name may have in braces.
    pub const IMAGE_PLACEHOLDERS: [&str; 2] = ["{dask}", "{python}"];
    /// The images of Dask's own project, by their versions.
    pub const DEFAULT_IMAGE: &str = "ghcr.io/dask/dask:{dask}-py{python}";

    /// Whether the other is this one with something in the places of its braces, whoever's versions
    /// they are: the same image, perhaps with its digest.
    pub fn is_filled_in_by(&self, other: &Self) -> bool {
        let (Self::Image(template), Self::Image(image)) = (self, other) else {
            return false;
        };
        let image = image.split_once('@').map_or(image.as_str(), |(image, _)| image);
        let places =
            Self::IMAGE_PLACEHOLDERS.iter().fold(template.clone(), |text, place| text.replace(place, "{}"));
        let mut parts = places.split("{}");
        let Some(mut rest) = parts.next().and_then(|first| image.strip_prefix(first)) else {
            return false;
        };
        for part in parts {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let after = rest.get(end..).filter(|_| end > 0).and_then(|after| after.strip_prefix(part));
            let Some(after) = after else { return false };
            rest = after;
        }
        rest.is_empty()
    }
}

impl ProviderKind {
    /// The key that the document uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kubernetes => "kubernetes",
            Self::Ec2 => "ec2",
        }
    }
}

impl WorkerGroupSpec {
    /// Most workers a group may have.
    pub const MAX_WORKERS: u32 = limits::WORKERS;

    /// The size the document asks for; `None` when it says nothing.
    pub fn size(&self) -> Option<Size> {
        match (self.replicas, self.min, self.max) {
            (Some(replicas), _, _) => Some(Size::Fixed(replicas)),
            (None, None, None) => None,
            (None, min, max) => {
                let min = min.unwrap_or(0);
                Some(Size::Adaptive { min, max: max.unwrap_or(min) })
            }
        }
    }

    /// Threads per worker.
    pub fn threads(&self) -> u32 {
        self.threads.unwrap_or(1)
    }
}

impl ClusterSpec {
    /// How long a worker may take to hand its data over, unless the document says.
    pub const DEFAULT_DRAIN_GRACE: Duration = Duration::from_secs(25);
    /// How long a scale-down waits for a recipient, unless the document says.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_mins(10);

    /// All worker groups, the default one first.
    pub fn groups(&self) -> impl Iterator<Item = (GroupName, &WorkerGroupSpec)> {
        std::iter::once((GroupName::workers(), &self.workers))
            .chain(self.worker_groups.iter().map(|(name, group)| (name.clone(), group)))
    }

    /// Names of the caller's variables from which the document takes secrets.
    pub fn secret_variables(&self) -> impl Iterator<Item = &str> {
        let groups = self.groups().flat_map(|(_, group)| group.secret_env.values());
        groups.chain(self.secret_env.values()).map(String::as_str)
    }

    /// The group of that name.
    pub fn group(&self, name: &GroupName) -> Option<&WorkerGroupSpec> {
        if *name == GroupName::workers() { Some(&self.workers) } else { self.worker_groups.get(name) }
    }

    /// The same, to be changed.
    pub fn group_mut(&mut self, name: &GroupName) -> Option<&mut WorkerGroupSpec> {
        if *name == GroupName::workers() { Some(&mut self.workers) } else { self.worker_groups.get_mut(name) }
    }

    /// After how much idleness the cluster ends; `None`: never.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map_or_else(
            || match self.provider.kind() {
                ProviderKind::Local => None,
                ProviderKind::Kubernetes => Some(Duration::from_hours(1)),
                ProviderKind::Ec2 => Some(Duration::from_mins(20)),
            },
            TimeLimit::duration,
        )
    }

    /// How long after its creation the cluster ends; `None`: never.
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime.map_or_else(
            || match self.provider.kind() {
                ProviderKind::Local | ProviderKind::Kubernetes => None,
                ProviderKind::Ec2 => Some(Duration::from_hours(24)),
            },
            TimeLimit::duration,
        )
    }

    /// How long a worker may take to hand its data over when it is told to stop.
    pub fn drain_grace(&self) -> Duration {
        self.drain_grace.map_or(Self::DEFAULT_DRAIN_GRACE, Span::duration)
    }

    /// How long a scale-down waits for a recipient.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout.map_or(Self::DEFAULT_DRAIN_TIMEOUT, Span::duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::load;

    fn spec(provider: &str, rest: &str) -> ClusterSpec {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
             spec:\n  provider: {{{provider}: {{}}}}\n{rest}"
        );
        load("test", &text).unwrap().cluster.spec
    }

    #[test]
    fn what_costs_money_ends_by_itself_unless_the_document_says_otherwise() {
        let hours = |hours| Some(Duration::from_hours(hours));
        let limits = |spec: ClusterSpec| (spec.idle_timeout(), spec.max_lifetime());
        assert_eq!(limits(spec("local", "")), (None, None));
        assert_eq!(limits(spec("kubernetes", "")), (hours(1), None));
        assert_eq!(limits(spec("ec2", "")), (Some(Duration::from_mins(20)), hours(24)));
        assert_eq!(limits(spec("ec2", "  idleTimeout: never\n  maxLifetime: never\n")), (None, None));
        assert_eq!(limits(spec("local", "  idleTimeout: 1h\n  maxLifetime: 2h\n")), (hours(1), hours(2)));
    }

    #[test]
    fn an_image_with_places_is_filled_in_by_any_versions() {
        let image = |text: &str| EnvironmentSpec::Image(text.to_owned());
        let fills = |template: &str, other: &str| image(template).is_filled_in_by(&image(other));
        let template = EnvironmentSpec::DEFAULT_IMAGE;
        assert!(fills(template, "ghcr.io/dask/dask:2026.8.0-py3.11"));
        assert!(fills(template, "ghcr.io/dask/dask:2026.8.0-py3.11@sha256:abc"));
        assert!(
            fills("r.io/a:{dask}", "r.io/a:1") && fills("r.io/py{python}:{dask}", "r.io/py3.11:2026.8.0")
        );
        for other in [
            "ghcr.io/dask/dask:2026.8.0",
            "ghcr.io/dask/dask:-py3.11",
            "r.io/dask:2026.8.0-py3.11",
            "ghcr.io/dask/dask:2026.8.0-py3.11-dev",
        ] {
            assert!(!fills(template, other), "{other}");
        }
        assert!(!fills("r.io/a:1", "r.io/a:2") && fills("r.io/a:1", "r.io/a:1@sha256:abc"));
        assert!(!EnvironmentSpec::Packages(Vec::new()).is_filled_in_by(&image("a")));
    }

    #[test]
    fn a_group_is_fixed_adaptive_or_says_nothing() {
        let size = |text: &str| spec("local", &format!("  workers: {{{text}}}\n")).workers.size();
        assert_eq!(size(""), None);
        assert_eq!(size("replicas: 3"), Some(Size::Fixed(3)));
        assert_eq!(size("min: 1, max: 5"), Some(Size::Adaptive { min: 1, max: 5 }));
        assert_eq!(size("max: 5"), Some(Size::Adaptive { min: 0, max: 5 }));
    }

    #[test]
    fn waits_and_drains_have_bounds_that_a_document_can_change() {
        let plain = spec("local", "");
        assert_eq!(plain.wait_for.timeout(), Duration::from_mins(10));
        assert_eq!(
            (plain.drain_grace(), plain.drain_timeout()),
            (Duration::from_secs(25), Duration::from_mins(10))
        );
        let said = spec("local", "  waitFor: {timeout: 1m}\n  drainGrace: 5s\n  drainTimeout: 1h\n");
        assert_eq!(said.wait_for.timeout(), Duration::from_mins(1));
        assert_eq!(
            (said.drain_grace(), said.drain_timeout()),
            (Duration::from_secs(5), Duration::from_hours(1))
        );
    }

    #[test]
    fn the_default_group_comes_first_and_is_found_by_name() {
        let mut spec = spec("local", "  workers: {threads: 2}\n  workerGroups: {big: {threads: 4}, a: {}}\n");
        let names: Vec<_> = spec.groups().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["workers", "a", "big"]);
        assert_eq!(spec.group(&GroupName::workers()).unwrap().threads(), 2);
        let big = "big".parse().unwrap();
        spec.group_mut(&big).unwrap().threads = None;
        assert_eq!(spec.group(&big).unwrap().threads(), 1);
        assert!(spec.group(&"other".parse().unwrap()).is_none());
    }
}
