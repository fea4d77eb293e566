//! What a new document changes in a cluster that exists.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{
    ClusterSpec, ComputeCluster, Cpu, FieldPath, GroupName, MachineTemplate, Memory, PodTemplate,
    ProviderSpec, WorkerGroupSpec,
};

/// A field with two values; `None` where a document does not have it. Values are JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Where, such as `spec.scheduler.memory`.
    pub path: String,
    /// What it was.
    pub old: Option<Value>,
    /// What it is to be.
    pub new: Option<Value>,
}

/// What has to happen for a cluster to follow its new document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    /// Changes that no cluster can follow during its life; not empty: the edit is refused.
    pub fixed: Vec<FieldChange>,
    /// Changes that apply without a node being replaced.
    pub in_place: Vec<FieldChange>,
    /// Changes for which the nodes of `rolled_groups` are replaced.
    pub template: Vec<FieldChange>,
    /// Groups whose nodes are replaced, one new first, then one old drained.
    pub rolled_groups: Vec<GroupName>,
    /// Groups that are new.
    pub added_groups: Vec<GroupName>,
    /// Groups that go.
    pub removed_groups: Vec<GroupName>,
}

impl Edit {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two documents of one cluster. A size that the new one does not say is no change.
pub fn compare(old: &ComputeCluster, new: &ComputeCluster) -> Edit {
    let new = &carry_sizes(old, new);
    let mut edit = Edit::default();
    let (before, after) = (&old.spec, &new.spec);
    identity(old, new, &mut edit.fixed);
    fixed(before, after, &mut edit.fixed);
    in_place(old, new, &mut edit.in_place);
    groups(before, after, &mut edit);
    let mut template = Differences::default();
    template.add(&FieldPath::of("spec.env"), &before.env, &after.env);
    template.add(&FieldPath::of("spec.secretEnv"), &before.secret_env, &after.secret_env);
    let pods = |spec: &ClusterSpec| spec.kubernetes().map(|kubernetes| kubernetes.pods.clone());
    template.add(&FieldPath::of("spec.provider.kubernetes.pods"), &pods(before), &pods(after));
    let machines = |spec: &ClusterSpec| spec.ec2().map(|ec2| ec2.machines.clone());
    template.add(&FieldPath::of("spec.provider.ec2.machines"), &machines(before), &machines(after));
    edit.template.splice(0..0, template.0);
    edit
}

/// The new document with the old one's sizes for the groups whose size it does not say.
#[must_use]
pub fn carry_sizes(old: &ComputeCluster, new: &ComputeCluster) -> ComputeCluster {
    let mut carried = new.clone();
    for (name, group) in old.spec.groups() {
        if let Some(wanted) = carried.spec.group_mut(&name).filter(|wanted| wanted.size().is_none()) {
            (wanted.replicas, wanted.min, wanted.max) = (group.replicas, group.min, group.max);
        }
    }
    carried
}

fn identity(old: &ComputeCluster, new: &ComputeCluster, changes: &mut Vec<FieldChange>) {
    let mut found = Differences::default();
    let metadata = FieldPath::of("metadata");
    found.add(&metadata.key("name"), &old.metadata.name, &new.metadata.name);
    found.add(&metadata.key("namespace"), &old.metadata.namespace, &new.metadata.namespace);
    changes.extend(found.0);
}

fn fixed(old: &ClusterSpec, new: &ClusterSpec, changes: &mut Vec<FieldChange>) {
    let mut found = Differences::default();
    let spec = FieldPath::of("spec");
    found.add(&spec.key("provider"), &for_life(&old.provider), &for_life(&new.provider));
    found.add(&spec.key("engine"), &old.engine, &new.engine);
    found.add(&spec.key("environment"), &old.environment, &new.environment);
    found.add(&spec.key("tls"), &old.tls, &new.tls);
    found.add(&spec.key("scheduler"), &old.scheduler, &new.scheduler);
    if outlives_pods(old, new) {
        found.add(&spec.key("maxLifetime"), &old.max_lifetime, &new.max_lifetime);
    }
    changes.extend(found.0);
}

/// Whether a cluster would have to outlive its pods: Kubernetes ends them at the limit that they were made with, the
/// scheduler's among them, and lets nobody put it off (`activeDeadlineSeconds`).
pub fn outlives_pods(old: &ClusterSpec, new: &ClusterSpec) -> bool {
    let limit = old.kubernetes().and_then(|_| old.max_lifetime());
    limit.is_some_and(|limit| new.max_lifetime().is_none_or(|longer| longer > limit))
}

fn in_place(old: &ComputeCluster, new: &ComputeCluster, changes: &mut Vec<FieldChange>) {
    let mut found = Differences::default();
    found.add(&FieldPath::of("metadata.labels"), &old.metadata.labels, &new.metadata.labels);
    let (old, new) = (&old.spec, &new.spec);
    let spec = FieldPath::of("spec");
    found.add(&spec.key("waitFor"), &old.wait_for, &new.wait_for);
    found.add(&spec.key("idleTimeout"), &old.idle_timeout, &new.idle_timeout);
    if !outlives_pods(old, new) {
        found.add(&spec.key("maxLifetime"), &old.max_lifetime, &new.max_lifetime);
    }
    found.add(&spec.key("drainGrace"), &old.drain_grace, &new.drain_grace);
    found.add(&spec.key("drainTimeout"), &old.drain_timeout, &new.drain_timeout);
    ec2_in_place(old, new, &mut found);
    for (name, after) in new.groups() {
        let Some(before) = old.group(&name) else { continue };
        let path = group_path(&name);
        found.add(&path.key("replicas"), &before.replicas, &after.replicas);
        found.add(&path.key("min"), &before.min, &after.min);
        found.add(&path.key("max"), &before.max, &after.max);
    }
    changes.extend(found.0);
}

fn groups(old: &ClusterSpec, new: &ClusterSpec, edit: &mut Edit) {
    for (name, after) in new.groups() {
        let Some(before) = old.group(&name) else {
            edit.added_groups.push(name);
            continue;
        };
        if Template::of(old, &name, before) != Template::of(new, &name, after) {
            let mut found = Differences::default();
            found.add(&group_path(&name), &without_size(before), &without_size(after));
            edit.template.extend(found.0);
            edit.rolled_groups.push(name);
        }
    }
    let gone = old.groups().map(|(name, _)| name).filter(|name| new.group(name).is_none());
    edit.removed_groups.extend(gone);
}

fn group_path(name: &GroupName) -> FieldPath {
    let spec = FieldPath::of("spec");
    if *name == GroupName::workers() {
        spec.key("workers")
    } else {
        spec.key("workerGroups").key(name.as_str())
    }
}

fn without_size(group: &WorkerGroupSpec) -> WorkerGroupSpec {
    WorkerGroupSpec { replicas: None, min: None, max: None, ..group.clone() }
}

/// The provider's own settings that are fixed. A template of pods or machines is one of nodes, and rolls them; what
/// a cluster may cost, what machines cost, and who reaches it may change.
fn for_life(provider: &ProviderSpec) -> ProviderSpec {
    let mut provider = provider.clone();
    match &mut provider {
        ProviderSpec::Local(_) => {}
        ProviderSpec::Kubernetes(kubernetes) => kubernetes.pods = PodTemplate::default(),
        ProviderSpec::Ec2(ec2) => {
            ec2.machines = MachineTemplate::default();
            ec2.client_cidrs = Vec::new();
            ec2.capacity_retry = None;
            ec2.prices = BTreeMap::new();
            (ec2.max_cost, ec2.max_hourly_cost) = (None, None);
        }
    }
    provider
}

fn ec2_in_place(old: &ClusterSpec, new: &ClusterSpec, found: &mut Differences) {
    let (Some(old), Some(new)) = (old.ec2(), new.ec2()) else { return };
    let path = FieldPath::of("spec.provider.ec2");
    found.add(&path.key("clientCidrs"), &old.client_cidrs, &new.client_cidrs);
    found.add(&path.key("capacityRetry"), &old.capacity_retry, &new.capacity_retry);
    found.add(&path.key("prices"), &old.prices, &new.prices);
    found.add(&path.key("maxCost"), &old.max_cost, &new.max_cost);
    found.add(&path.key("maxHourlyCost"), &old.max_hourly_cost, &new.max_hourly_cost);
}

/// What a group's nodes are made from, defaults and the cluster's variables filled in.
#[derive(PartialEq)]
struct Template<'a> {
    threads: u32,
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    resources: &'a BTreeMap<String, f64>,
    nanny: bool,
    env: BTreeMap<&'a str, Variable<'a>>,
    pod: PodTemplate,
    machine: MachineTemplate,
}

#[derive(PartialEq)]
enum Variable<'a> {
    Plain(&'a str),
    Secret(&'a str),
}

impl<'a> Template<'a> {
    fn of(spec: &'a ClusterSpec, name: &GroupName, group: &'a WorkerGroupSpec) -> Self {
        let mut env = BTreeMap::new();
        for (plain, secret) in [(&spec.env, &spec.secret_env), (&group.env, &group.secret_env)] {
            env.extend(plain.iter().map(|(name, value)| (name.as_str(), Variable::Plain(value))));
            env.extend(secret.iter().map(|(name, holder)| (name.as_str(), Variable::Secret(holder))));
        }
        let threads = group.threads();
        let cpu = group.cpu.or_else(|| Cpu::from_millis(threads.saturating_mul(1000)));
        Self {
            threads,
            cpu,
            memory: group.memory,
            resources: &group.resources,
            nanny: group.nanny,
            env,
            pod: spec.pod_template(name),
            machine: spec.machine_template(name),
        }
    }
}

/// Collects the leaves in which two values differ.
#[derive(Default)]
struct Differences(Vec<FieldChange>);

impl Differences {
    fn add(&mut self, path: &FieldPath, old: &impl Serialize, new: &impl Serialize) {
        // A document's types always have a JSON form; null stands for what is not there.
        let json = |value: Result<Value, _>| value.unwrap_or(Value::Null);
        self.compare(path, &json(serde_json::to_value(old)), &json(serde_json::to_value(new)));
    }

    fn compare(&mut self, path: &FieldPath, old: &Value, new: &Value) {
        if old == new {
            return;
        }
        if let (Value::Object(before), Value::Object(after)) = (old, new) {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let side =
                    |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                self.compare(&path.key(key), &side(before), &side(after));
            }
            return;
        }
        let present = |value: &Value| (!value.is_null()).then(|| value.clone());
        self.0.push(FieldChange { path: path.to_string(), old: present(old), new: present(new) });
    }
}
