//! Which keys each map of a document has, and what people write instead of them.

/// A kind of map with a fixed set of keys.
pub(in crate::spec) struct Shape {
    /// The type's name in the schema.
    pub(in crate::spec) schema_name: &'static str,
    /// Where it stands, for "belongs in".
    pub(in crate::spec) place: &'static str,
    /// Every key.
    pub(in crate::spec) keys: &'static [&'static str],
}

macro_rules! shape {
    ($name:ident, $schema:literal, $place:literal, [$($key:literal),*]) => {
        pub(in crate::spec) const $name: Shape = Shape { schema_name: $schema, place: $place, keys: &[$($key),*] };
    };
}

shape!(CLUSTER, "ComputeCluster", "the document", ["apiVersion", "kind", "metadata", "spec"]);
shape!(METADATA, "Metadata", "`metadata`", ["name", "namespace", "labels"]);
shape!(
    SPEC,
    "ClusterSpec",
    "`spec`",
    [
        "provider",
        "engine",
        "environment",
        "tls",
        "env",
        "secretEnv",
        "scheduler",
        "workers",
        "workerGroups",
        "waitFor",
        "idleTimeout",
        "maxLifetime",
        "drainGrace",
        "drainTimeout"
    ]
);
shape!(PROVIDER, "ProviderSpec", "`spec.provider`", ["local", "kubernetes", "ec2"]);
shape!(LOCAL, "LocalSpec", "`spec.provider.local`", []);
shape!(KUBERNETES, "KubernetesSpec", "`spec.provider.kubernetes`", []);
shape!(EC2, "Ec2Spec", "`spec.provider.ec2`", ["region"]);
shape!(ENGINE, "EngineSpec", "`spec.engine`", ["dask"]);
shape!(DASK, "DaskSpec", "`spec.engine.dask`", ["config", "workerPreload", "schedulerPreload"]);
shape!(ENVIRONMENT, "EnvironmentSpec", "`spec.environment`", ["packages", "interpreter", "image"]);
shape!(SCHEDULER, "SchedulerSpec", "`spec.scheduler`", ["cpu", "memory", "env"]);
shape!(
    GROUP,
    "WorkerGroupSpec",
    "`spec.workers`",
    ["replicas", "min", "max", "threads", "cpu", "memory", "resources", "nanny", "env", "secretEnv"]
);
shape!(WAIT_FOR, "WaitFor", "`spec.waitFor`", ["workers", "timeout"]);

/// All of them, in the order in which a reader meets them and a misplaced key's home is looked for.
pub(in crate::spec) const ALL: [&Shape; 13] = [
    &CLUSTER,
    &METADATA,
    &SPEC,
    &GROUP,
    &SCHEDULER,
    &PROVIDER,
    &EC2,
    &LOCAL,
    &KUBERNETES,
    &ENGINE,
    &DASK,
    &ENVIRONMENT,
    &WAIT_FOR,
];

/// What people who know other tools write, and the key that says it here.
const OTHER_WORDS: [(&str, &str); 27] = [
    ("aws", "ec2"),
    ("k8s", "kubernetes"),
    ("kube", "kubernetes"),
    ("localhost", "local"),
    ("count", "replicas"),
    ("size", "replicas"),
    ("nworkers", "replicas"),
    ("numworkers", "replicas"),
    ("minimum", "min"),
    ("minreplicas", "min"),
    ("maximum", "max"),
    ("maxreplicas", "max"),
    ("nthreads", "threads"),
    ("threadsperworker", "threads"),
    ("mem", "memory"),
    ("memorylimit", "memory"),
    ("ram", "memory"),
    ("vcpu", "cpu"),
    ("cores", "cpu"),
    ("environ", "env"),
    ("secrets", "secretEnv"),
    ("pip", "packages"),
    ("requirements", "packages"),
    ("python", "interpreter"),
    ("docker", "image"),
    ("container", "image"),
    ("groups", "workerGroups"),
];

impl Shape {
    /// The key that was probably meant.
    pub(super) fn suggest(&self, word: &str) -> Option<&'static str> {
        let plain: String =
            word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let known = OTHER_WORDS.iter().find(|(other, key)| *other == plain && self.keys.contains(key));
        known.map(|(_, key)| *key).or_else(|| crate::spec::text::closest(word, self.keys))
    }

    /// Where the key would be right.
    pub(super) fn home_of(key: &str) -> Option<&'static Shape> {
        ALL.into_iter().find(|shape| shape.keys.contains(&key))
    }
}
