//! The document's own types, one function for each.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    fields::{Field, Reader, code_path},
    shapes,
};
use crate::spec::{
    ApiVersion, ClusterName, ClusterSpec, ComputeCluster, Cpu, DaskSpec, Diagnostic, EngineSpec,
    EnvironmentSpec, FieldPath, GroupName, Kind, LocalSpec, Memory, Metadata, NameError, ProviderSpec,
    SchedulerSpec, WaitFor, WorkerGroupSpec,
    diagnostic::Source,
    text::{closest, code},
    tree::Node,
};

const API_VERSION: &str = "crewcall.dev/v1alpha1";
const KIND: &str = "ComputeCluster";

/// The document, with stand-ins where [`Reader::failed`] says so; `None` when it is none of ours.
pub(in crate::spec) fn read(
    source: &Arc<Source>,
    root: &Node,
    findings: Vec<Diagnostic>,
) -> (Option<ComputeCluster>, Reader) {
    let mut reader = Reader::new(source, findings);
    let start = root.span.start;
    let field = Field { path: FieldPath::root(), name: "", key_span: start..start + 1, node: root };
    let cluster = reader.cluster(&field);
    (cluster, reader)
}

impl Reader {
    fn cluster(&mut self, field: &Field<'_>) -> Option<ComputeCluster> {
        let known = self.findings.len();
        let fields = self.fields(field, &shapes::CLUSTER)?;
        let unknown_keys = self.findings.split_off(known);
        self.required(&fields, "apiVersion", &format!("add `apiVersion: {API_VERSION}`"), |reader, field| {
            reader.constant(field, API_VERSION)
        });
        let mut foreign = false;
        self.required(&fields, "kind", &format!("add `kind: {KIND}`"), |reader, field| {
            let right = reader.constant(field, KIND);
            foreign = right == Some(Match::Foreign);
            right
        });
        if foreign {
            // Of another tool's document, every other line would be an error too.
            return None;
        }
        for finding in unknown_keys {
            self.report(finding);
        }
        let name_help = "add `metadata: {name: demo}`";
        let metadata = self.required(&fields, "metadata", name_help, Self::metadata);
        let spec = self.required(&fields, "spec", "add `spec:` with at least a `provider`", Self::spec);
        Some(ComputeCluster {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::ComputeCluster,
            metadata: metadata.or_else(stand_in_metadata)?,
            spec: spec.unwrap_or_else(stand_in_spec),
        })
    }

    fn constant(&mut self, field: &Field<'_>, expected: &'static str) -> Option<Match> {
        let text = self.text(field)?;
        if text == expected {
            return Some(Match::Same);
        }
        let message = format!("{} must be `{expected}`, but is {}", code_path(&field.path), code(&text));
        let (verdict, help) = match closest(&text, &[expected]) {
            Some(_) => (Match::Close, format!("did you mean `{expected}`?")),
            None => (Match::Foreign, format!("write `{expected}`; is this the right file?")),
        };
        self.refuse::<()>(field, message, help);
        Some(verdict)
    }

    fn name<T: std::str::FromStr<Err = NameError>>(&mut self, field: &Field<'_>) -> Option<T> {
        let text = self.text(field)?;
        match text.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let help = "use a-z, 0-9 and '-', starting and ending with a letter or digit";
                self.refuse(field, format!("{}: {}", code_path(&field.path), error.problem()), help)
            }
        }
    }

    fn metadata(&mut self, field: &Field<'_>) -> Option<Metadata> {
        let fields = self.fields(field, &shapes::METADATA)?;
        let name = self.required(&fields, "name", "add a name, such as `name: demo`", Self::name);
        let stand_in = stand_in_metadata()?;
        Some(Metadata {
            name: name.unwrap_or(stand_in.name),
            namespace: self.optional(&fields, "namespace", Self::name),
            labels: self.optional(&fields, "labels", Self::texts).unwrap_or_default(),
        })
    }

    fn spec(&mut self, field: &Field<'_>) -> Option<ClusterSpec> {
        let fields = self.fields(field, &shapes::SPEC)?;
        let provider_help = "add where it runs: `provider: {local: {}}`, `{kubernetes: {}}` or `{ec2: {}}`";
        let provider = self.required(&fields, "provider", provider_help, Self::provider);
        Some(ClusterSpec {
            provider: provider.unwrap_or(ProviderSpec::Local(LocalSpec {})),
            engine: self.optional(&fields, "engine", Self::engine).unwrap_or_default(),
            environment: self.optional(&fields, "environment", Self::environment),
            tls: self.optional(&fields, "tls", Self::boolean).unwrap_or(true),
            env: self.optional(&fields, "env", Self::texts).unwrap_or_default(),
            secret_env: self.optional(&fields, "secretEnv", Self::texts).unwrap_or_default(),
            scheduler: self.optional(&fields, "scheduler", Self::scheduler).unwrap_or_default(),
            workers: self.optional(&fields, "workers", Self::group).unwrap_or_default(),
            worker_groups: self.optional(&fields, "workerGroups", Self::groups).unwrap_or_default(),
            wait_for: self.optional(&fields, "waitFor", Self::wait_for).unwrap_or_default(),
            idle_timeout: self.optional(&fields, "idleTimeout", Self::time_limit),
            max_lifetime: self.optional(&fields, "maxLifetime", Self::time_limit),
            drain_grace: self.optional(&fields, "drainGrace", Self::span),
            drain_timeout: self.optional(&fields, "drainTimeout", Self::span),
        })
    }

    fn provider(&mut self, field: &Field<'_>) -> Option<ProviderSpec> {
        let (name, inner) = self.variant(field, &shapes::PROVIDER, "provider")?;
        if inner.node.is_null() {
            let message = format!("`{name}` has no value");
            return self.refuse(&inner, message, format!("without settings it is written `{name}: {{}}`"));
        }
        match name {
            "kubernetes" => {
                let kubernetes = self.kubernetes(&inner)?;
                Some(ProviderSpec::Kubernetes(Box::new(kubernetes)))
            }
            "ec2" => {
                let ec2 = self.ec2(&inner)?;
                Some(ProviderSpec::Ec2(Box::new(ec2)))
            }
            _ => {
                self.fields(&inner, &shapes::LOCAL)?;
                Some(ProviderSpec::Local(LocalSpec {}))
            }
        }
    }

    fn engine(&mut self, field: &Field<'_>) -> Option<EngineSpec> {
        let (name, inner) = self.variant(field, &shapes::ENGINE, "engine")?;
        if inner.node.is_null() {
            let message = format!("`{name}` has no value");
            return self.refuse(&inner, message, format!("without settings it is written `{name}: {{}}`"));
        }
        let fields = self.fields(&inner, &shapes::DASK)?;
        Some(EngineSpec::Dask(DaskSpec {
            config: self
                .optional(&fields, "config", |reader, field| reader.config(field))
                .unwrap_or_default(),
            worker_preload: self.optional(&fields, "workerPreload", Self::list).unwrap_or_default(),
            scheduler_preload: self.optional(&fields, "schedulerPreload", Self::list).unwrap_or_default(),
        }))
    }

    /// A map whose keys are another's to know, where null is a value like others.
    pub(super) fn config(&mut self, field: &Field<'_>) -> Option<BTreeMap<String, serde_json::Value>> {
        let mut map = BTreeMap::new();
        for child in self.entries(field, "a map")? {
            if self.is_full() {
                return self.give_up(field);
            }
            self.remember(&child);
            if let Some(value) = self.any(&child) {
                map.insert(child.name.to_owned(), value);
            }
        }
        Some(map)
    }

    fn environment(&mut self, field: &Field<'_>) -> Option<EnvironmentSpec> {
        let (name, inner) = self.variant(field, &shapes::ENVIRONMENT, "environment")?;
        match name {
            "packages" => self.list(&inner).map(EnvironmentSpec::Packages),
            "interpreter" => self.text(&inner).map(|path| EnvironmentSpec::Interpreter(PathBuf::from(path))),
            _ => self.text(&inner).map(EnvironmentSpec::Image),
        }
    }

    fn scheduler(&mut self, field: &Field<'_>) -> Option<SchedulerSpec> {
        let fields = self.fields(field, &shapes::SCHEDULER)?;
        Some(SchedulerSpec {
            cpu: self.optional(&fields, "cpu", Self::cpu),
            memory: self.optional(&fields, "memory", Self::memory),
            env: self.optional(&fields, "env", Self::texts).unwrap_or_default(),
            kubernetes: self
                .optional(&fields, "kubernetes", Self::pod_template)
                .map(Box::new)
                .unwrap_or_default(),
            ec2: self.optional(&fields, "ec2", Self::machine_template).unwrap_or_default(),
        })
    }

    fn group(&mut self, field: &Field<'_>) -> Option<WorkerGroupSpec> {
        let fields = self.fields(field, &shapes::GROUP)?;
        Some(WorkerGroupSpec {
            replicas: self.optional(&fields, "replicas", Self::count),
            min: self.optional(&fields, "min", Self::count),
            max: self.optional(&fields, "max", Self::count),
            threads: self.optional(&fields, "threads", Self::count),
            cpu: self.optional(&fields, "cpu", Self::cpu),
            memory: self.optional(&fields, "memory", Self::memory),
            resources: self
                .optional(&fields, "resources", |reader, field| reader.map_of(field, Self::number))
                .unwrap_or_default(),
            nanny: self.optional(&fields, "nanny", Self::boolean).unwrap_or(false),
            env: self.optional(&fields, "env", Self::texts).unwrap_or_default(),
            secret_env: self.optional(&fields, "secretEnv", Self::texts).unwrap_or_default(),
            kubernetes: self
                .optional(&fields, "kubernetes", Self::pod_template)
                .map(Box::new)
                .unwrap_or_default(),
            ec2: self.optional(&fields, "ec2", Self::machine_template).unwrap_or_default(),
        })
    }

    fn groups(&mut self, field: &Field<'_>) -> Option<BTreeMap<GroupName, WorkerGroupSpec>> {
        let mut groups = BTreeMap::new();
        for child in self.entries(field, "a map of groups by name")? {
            if self.is_full() {
                return self.give_up(field);
            }
            self.remember(&child);
            let name: Result<GroupName, NameError> = child.name.parse();
            if let Err(error) = &name {
                let finding = Diagnostic::error(&self.source, error.to_string())
                    .at(child.key_span.clone(), "")
                    .help("use a-z, 0-9 and '-', at most 10 characters, starting and ending with a letter or digit");
                self.report(finding);
                self.failed.insert(child.path.clone());
            }
            if child.node.is_null() {
                let message =
                    format!("the group `{}` has no value", crate::spec::text::printable(child.name));
                self.refuse::<()>(&child, message, "a group of the default kind is written `{}`");
                continue;
            }
            if let (Some(group), Ok(name)) = (self.group(&child), name) {
                groups.insert(name, group);
            }
        }
        Some(groups)
    }

    fn cpu(&mut self, field: &Field<'_>) -> Option<Cpu> {
        self.quantity(field, "a number of processors such as `2`")
    }

    pub(super) fn memory(&mut self, field: &Field<'_>) -> Option<Memory> {
        self.quantity(field, "an amount of memory such as `2GiB`")
    }

    fn wait_for(&mut self, field: &Field<'_>) -> Option<WaitFor> {
        let fields = self.fields(field, &shapes::WAIT_FOR)?;
        Some(WaitFor {
            workers: self.optional(&fields, "workers", Self::count),
            timeout: self.optional(&fields, "timeout", Self::span),
        })
    }
}

/// How a fixed word was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Same,
    Close,
    Foreign,
}

fn stand_in_metadata() -> Option<Metadata> {
    let name: ClusterName = "unnamed".parse().ok()?;
    Some(Metadata { name, namespace: None, labels: BTreeMap::new() })
}

fn stand_in_spec() -> ClusterSpec {
    ClusterSpec {
        provider: ProviderSpec::Local(LocalSpec {}),
        engine: EngineSpec::default(),
        environment: None,
        tls: true,
        env: BTreeMap::new(),
        secret_env: BTreeMap::new(),
        scheduler: SchedulerSpec::default(),
        workers: WorkerGroupSpec::default(),
        worker_groups: BTreeMap::new(),
        wait_for: WaitFor::default(),
        idle_timeout: None,
        max_lifetime: None,
        drain_grace: None,
        drain_timeout: None,
    }
}
