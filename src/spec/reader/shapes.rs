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
shape!(
    KUBERNETES,
    "KubernetesSpec",
    "`spec.provider.kubernetes`",
    ["endpoint", "serviceAnnotations", "networkPolicy", "pods"]
);
shape!(NETWORK_POLICY, "NetworkPolicySpec", "`networkPolicy`", ["enabled", "clients"]);
shape!(
    NETWORK_PEER,
    "NetworkPeer",
    "`networkPolicy.clients`",
    ["podSelector", "namespaceSelector", "ipBlock"]
);
shape!(LABEL_SELECTOR, "LabelSelector", "a selector of labels", ["matchLabels"]);
shape!(IP_BLOCK, "IpBlock", "`ipBlock`", ["cidr", "except"]);
shape!(
    POD_TEMPLATE,
    "PodTemplate",
    "a pod template (`spec.provider.kubernetes.pods`, or `kubernetes` of scheduler and workers)",
    [
        "labels",
        "annotations",
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
        "serviceAccountName",
        "imagePullSecrets",
        "imagePullPolicy",
        "volumes",
        "volumeMounts",
        "securityContext",
        "containerSecurityContext",
        "resources",
        "podSpec"
    ]
);
shape!(TOLERATION, "Toleration", "a toleration", ["key", "operator", "value", "effect", "tolerationSeconds"]);
shape!(PULL_SECRET, "PullSecret", "`imagePullSecrets`", ["name"]);
shape!(POD_RESOURCES, "PodResources", "`resources` of a pod", ["requests", "limits"]);
shape!(
    EC2,
    "Ec2Spec",
    "`spec.provider.ec2`",
    [
        "region",
        "zones",
        "subnets",
        "addresses",
        "clientCidrs",
        "instanceProfiles",
        "taskCredentials",
        "keyName",
        "tags",
        "capacityRetry",
        "prices",
        "maxCost",
        "maxHourlyCost",
        "machines"
    ]
);
shape!(INSTANCE_PROFILES, "InstanceProfiles", "`instanceProfiles`", ["scheduler", "workers"]);
shape!(
    MACHINE,
    "MachineTemplate",
    "a machine template (`spec.provider.ec2.machines`, or `ec2` of scheduler and workers)",
    ["instanceTypes", "architecture", "gpus", "ami", "disk", "purchase", "placementGroup"]
);
shape!(DISK, "DiskSpec", "`disk` of a machine", ["size", "type", "iops", "throughput"]);
shape!(ENGINE, "EngineSpec", "`spec.engine`", ["dask"]);
shape!(DASK, "DaskSpec", "`spec.engine.dask`", ["config", "workerPreload", "schedulerPreload"]);
shape!(ENVIRONMENT, "EnvironmentSpec", "`spec.environment`", ["packages", "interpreter", "image"]);
shape!(SCHEDULER, "SchedulerSpec", "`spec.scheduler`", ["cpu", "memory", "env", "kubernetes", "ec2"]);
shape!(
    GROUP,
    "WorkerGroupSpec",
    "`spec.workers`",
    [
        "replicas",
        "min",
        "max",
        "threads",
        "cpu",
        "memory",
        "resources",
        "nanny",
        "env",
        "secretEnv",
        "kubernetes",
        "ec2"
    ]
);
shape!(WAIT_FOR, "WaitFor", "`spec.waitFor`", ["workers", "timeout"]);

/// All of them, in the order in which a reader meets them and a misplaced key's home is looked for.
pub(in crate::spec) const ALL: [&Shape; 24] = [
    &CLUSTER,
    &METADATA,
    &SPEC,
    &GROUP,
    &SCHEDULER,
    &PROVIDER,
    &EC2,
    &MACHINE,
    &DISK,
    &INSTANCE_PROFILES,
    &LOCAL,
    &KUBERNETES,
    &POD_TEMPLATE,
    &TOLERATION,
    &PULL_SECRET,
    &POD_RESOURCES,
    &NETWORK_POLICY,
    &NETWORK_PEER,
    &LABEL_SELECTOR,
    &IP_BLOCK,
    &ENGINE,
    &DASK,
    &ENVIRONMENT,
    &WAIT_FOR,
];

/// What people who know other tools write, and the key that says it here.
const OTHER_WORDS: [(&str, &str); 45] = [
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
    ("serviceaccount", "serviceAccountName"),
    ("priorityclass", "priorityClassName"),
    ("pullsecrets", "imagePullSecrets"),
    ("podsecuritycontext", "securityContext"),
    ("template", "podSpec"),
    ("servicetype", "endpoint"),
    ("instancetype", "instanceTypes"),
    ("vmtypes", "instanceTypes"),
    ("workervmtypes", "instanceTypes"),
    ("imageid", "ami"),
    ("subnetid", "subnets"),
    ("subnet", "subnets"),
    ("availabilityzone", "zones"),
    ("iaminstanceprofile", "instanceProfiles"),
    ("spot", "purchase"),
    ("spotpolicy", "purchase"),
    ("filesystemsize", "disk"),
    ("volumesize", "size"),
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
