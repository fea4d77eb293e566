//! What the API server checks by CEL: values that do not go together, and what is fixed for a cluster's life.
//!
//! Messages are those of the parser where both know the rule. A rule that compares with the old object stands
//! at the spec, so that a field that comes or goes is seen too.

use serde_json::{Map, Value, json};

use crate::spec::limits;

/// One of `x-kubernetes-validations`.
pub(super) struct Rule {
    expression: String,
    message: String,
    field: Option<&'static str>,
    reason: &'static str,
}

impl Rule {
    pub(super) fn new(expression: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            expression: expression.into(),
            message: message.into(),
            field: None,
            reason: "FieldValueInvalid",
        }
    }

    /// The message is shown at this field; it must be one that the schema has.
    pub(super) fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    fn forbidden(mut self) -> Self {
        self.reason = "FieldValueForbidden";
        self
    }

    /// As the definition has it.
    pub(super) fn to_json(&self) -> Value {
        let mut made = json!({"rule": self.expression, "message": self.message, "reason": self.reason});
        if let (Some(field), Some(made)) = (self.field, made.as_object_mut()) {
            made.insert("fieldPath".to_owned(), json!(field));
        }
        made
    }
}

/// The rules of a type, by its name in the schema.
pub(super) fn of(name: &str) -> Vec<Rule> {
    match name {
        "ClusterSpec" => [fixed(), spec()].into_iter().flatten().collect(),
        "WorkerGroupSpec" => group(),
        "NetworkPolicySpec" => vec![
            Rule::new(
                "self.enabled || !has(self.clients) || self.clients.size() == 0",
                "clients are let in by a network policy that is switched off; remove `enabled: false`, or `clients`",
            )
            .at(".clients"),
        ],
        "NetworkPeer" => peer(),
        "IpBlock" => block(),
        "Ec2Spec" => super::machines::settings(),
        "MachineTemplate" => super::machines::template(),
        "DiskSpec" => super::machines::disk(),
        "Toleration" => toleration(),
        "PodTemplate" => pods(),
        "PodResources" => pod_resources(),
        _ => Vec::new(),
    }
}

/// How a quantity is written.
pub(super) struct Form {
    message: &'static str,
    least: Option<u64>,
    zero: Option<&'static str>,
}

/// The form of a type that is written as a text by a pattern of its own, and may be a whole number too.
pub(super) fn form(name: &str) -> Option<Form> {
    let text = |message| Form { message, least: None, zero: None };
    let number = |message, least| Form { message, least: Some(least), zero: None };
    let message = "no span of time; write it as 90s, 20m, 1h30m or 2d";
    Some(match name {
        "Cpu" => number("no number of processors; write it as 2, 500m or '0.5'", 1),
        "Memory" => number(
            "no amount of memory, or less than the 128MiB that Dask needs; write it as 2GiB, 500MB or 2Gi; \
             a number alone is in bytes",
            limits::LEAST_MEMORY,
        ),
        "Quantity" => number("no quantity of Kubernetes; write it as 1, 500m or 10Gi", 0),
        "Span" => Form { zero: Some("self.matches('[1-9]')"), ..text(message) },
        "TimeLimit" => {
            let message = "no span of time; write it as 90s, 20m, 1h30m or 2d, or `never`";
            Form { zero: Some("self == 'never' || self.matches('[1-9]')"), ..text(message) }
        }
        _ => return None,
    })
}

/// The rules for such a form.
pub(super) fn written(form: &Form, pattern: &str) -> Vec<Rule> {
    let matches = format!("self.matches('{}')", quoted(pattern));
    let rule = match form.least {
        Some(least) => format!("type(self) == int ? self >= {least} : {matches}"),
        None => matches,
    };
    let zero = form.zero.map(|rule| Rule::new(rule, "the least is 1s"));
    std::iter::once(Rule::new(rule, form.message)).chain(zero).collect()
}

/// A pattern within an expression.
fn quoted(pattern: &str) -> String {
    pattern.replace('\\', "\\\\").replace('\'', "\\'")
}

/// What is added to the free-form `podSpec`: CEL sees only fields that have a type.
pub(super) fn own_fields_of_pods() -> Map<String, Value> {
    let object = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let fields = json!({
        "restartPolicy": {"type": "string", "maxLength": 64},
        "activeDeadlineSeconds": {"type": "integer"},
        "terminationGracePeriodSeconds": {"type": "integer"},
        "ephemeralContainers": {"type": "array", "maxItems": 16, "items": object.clone()},
        "metadata": object.clone(),
        "spec": object,
    });
    let helps = [
        ("restartPolicy", "a node that ends is replaced by a new one, so its pod is never restarted"),
        ("activeDeadlineSeconds", "write `maxLifetime` in `spec`"),
        ("terminationGracePeriodSeconds", "write `drainGrace` in `spec`: the grace period follows it"),
        ("ephemeralContainers", "add them to a pod that runs, with `kubectl debug`"),
        (
            "metadata",
            "`podSpec` is a pod's `spec` itself; labels and annotations have keys of their own beside it",
        ),
        ("spec", "`podSpec` is a pod's `spec` itself; write its keys here"),
    ];
    let rules: Vec<Value> = helps
        .into_iter()
        .map(|(field, help)| {
            Rule::new(format!("!has(self.{field})"), format!("`{field}` is not to be changed; {help}"))
        })
        .map(|rule| rule.forbidden().to_json())
        .collect();
    let mut made = Map::new();
    made.insert("properties".to_owned(), fields);
    made.insert("x-kubernetes-validations".to_owned(), Value::Array(rules));
    made
}

/// The constant defaults of a type's fields. Those that depend on the provider are the operator's to know.
pub(super) fn defaults(name: &str) -> Vec<(&'static str, Value)> {
    match name {
        // An object without a spec is refused; these let rules and columns rely on what is there.
        "ClusterSpec" => vec![
            ("engine", json!({"dask": {}})),
            ("tls", json!(true)),
            ("scheduler", json!({})),
            ("workers", json!({})),
        ],
        "KubernetesSpec" => vec![("endpoint", json!("ClusterIP")), ("networkPolicy", json!({}))],
        "NetworkPolicySpec" => vec![("enabled", json!(true))],
        _ => Vec::new(),
    }
}

/// Of the variants of an enum there is one.
pub(super) fn exactly_one(names: &[String]) -> Rule {
    let given: Vec<String> = names.iter().map(|name| format!("has(self.{name})")).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let last = quoted.last().map_or("", String::as_str);
    let others = quoted.get(..quoted.len().saturating_sub(1)).unwrap_or_default().join(", ");
    Rule::new(
        format!("[{}].exists_one(given, given)", given.join(", ")),
        format!("write exactly one of {others} and {last}"),
    )
}

/// A map may not have this key.
pub(super) fn no_key(key: &str) -> Rule {
    Rule::new(format!("!('{key}' in self)"), format!("the name `{key}` is taken; choose another one"))
}

/// Keys have at most so many characters.
pub(super) fn key_length(most: u64) -> Rule {
    Rule::new(
        format!("self.all(key, size(key) <= {most})"),
        format!("a name here has at most {most} characters"),
    )
}

/// Keys have this form.
pub(super) fn key_pattern(pattern: &str) -> Rule {
    Rule::new(
        format!("self.all(key, key.matches('{}'))", quoted(pattern)),
        format!("a name here must match {pattern}"),
    )
}

/// The document's way of saying what `spec::compare` calls fixed.
fn fixed() -> Vec<Rule> {
    let rule = |what: &str, rule: &str, field: &'static str| {
        Rule::new(
            rule,
            format!(
                "{what} is fixed for a cluster's life; to change it, delete the cluster and create it again \
                 (`kubectl replace --force -f FILE` does both)"
            ),
        )
        .at(field)
        .forbidden()
    };
    let same = |field: &str| {
        let old = format!("old{}", field.replacen("self", "Self", 1));
        format!("has({field}) == has({old}) && (!has({field}) || {field} == {old})")
    };
    let kubernetes = |field: &str| {
        let both = "!has(self.provider.kubernetes) || !has(oldSelf.provider.kubernetes)";
        format!("{both} || ({})", same(&format!("self.provider.kubernetes.{field}")))
    };
    let ec2 = |field: &'static str| {
        let both = "!has(self.provider.ec2) || !has(oldSelf.provider.ec2)";
        let name = field.rsplit('.').next().unwrap_or_default();
        let kept = format!("{both} || ({})", same(&format!("self{field}")));
        rule(&format!("`{name}`"), &kept, field)
    };
    let mut all = vec![
        rule(
            "the provider",
            "has(self.provider.local) == has(oldSelf.provider.local) \
             && has(self.provider.kubernetes) == has(oldSelf.provider.kubernetes) \
             && has(self.provider.ec2) == has(oldSelf.provider.ec2)",
            ".provider",
        ),
        rule("`endpoint`", &kubernetes("endpoint"), ".provider.kubernetes.endpoint"),
        rule(
            "`serviceAnnotations`",
            &kubernetes("serviceAnnotations"),
            ".provider.kubernetes.serviceAnnotations",
        ),
        rule("`networkPolicy`", &kubernetes("networkPolicy"), ".provider.kubernetes.networkPolicy"),
        rule("`engine`", &same("self.engine"), ".engine"),
        rule("`environment`", &same("self.environment"), ".environment"),
        rule("`tls`", &same("self.tls"), ".tls"),
        rule("`scheduler`", &same("self.scheduler"), ".scheduler"),
    ];
    all.extend(
        [
            ".provider.ec2.region",
            ".provider.ec2.zones",
            ".provider.ec2.subnets",
            ".provider.ec2.addresses",
            ".provider.ec2.instanceProfiles",
            ".provider.ec2.taskCredentials",
            ".provider.ec2.keyName",
            ".provider.ec2.tags",
        ]
        .map(ec2),
    );
    all
}

fn spec() -> Vec<Rule> {
    let without = |key: &str| {
        let no = |role: &str| format!("!has({role}.{key})");
        format!(
            "has(self.provider.{key}) || ({} && {} && (!has(self.workerGroups) || \
             self.workerGroups.all(name, {})))",
            no("self.scheduler"),
            no("self.workers"),
            no("self.workerGroups[name]")
        )
    };
    let open = "(!has(self.workers.replicas) && !has(self.workers.max)) \
                || (has(self.workerGroups) && self.workerGroups.exists(name, \
                !has(self.workerGroups[name].replicas) && !has(self.workerGroups[name].max)))";
    let most = |group: &str| {
        format!("(has({group}.replicas) ? {group}.replicas : has({group}.max) ? {group}.max : 1)")
    };
    vec![
        Rule::new(
            "!has(self.provider.local)",
            "the operator runs nothing on your machine: write `kubernetes: {}`, \
             or create the cluster with `crewcall create`",
        )
        .at(".provider.local")
        .forbidden(),
        Rule::new(
            "!has(self.environment) || has(self.provider.local) \
             || !(has(self.environment.packages) || has(self.environment.interpreter))",
            "the provider cannot run an environment given as `packages` or `interpreter`; \
             write `image` with a container image, or remove `environment`",
        )
        .at(".environment"),
        Rule::new(
            "!has(self.environment) || !has(self.environment.image) \
             || !self.environment.image.replace('{dask}', '').replace('{python}', '').matches('[{}]')",
            "the image has braces around something unknown; `{dask}` and `{python}` stand for the versions of \
             whoever creates the cluster",
        )
        .at(".environment.image"),
        Rule::new(
            without("kubernetes"),
            "the provider has no pods to be shaped; remove `kubernetes` from the scheduler and from all groups",
        ),
        Rule::new(
            without("ec2"),
            "the provider has no machines to be chosen; remove `ec2` from the scheduler and from all groups",
        ),
        Rule::new(
            "!has(self.provider.ec2) || self.tls",
            "the scheduler of a cluster on EC2 has an open port, which only TLS guards; remove `tls: false`",
        )
        .at(".tls"),
        env_or_secret(),
        Rule::new(
            format!(
                "!has(self.waitFor) || !has(self.waitFor.workers) || {open} || self.waitFor.workers <= {} + \
                 (has(self.workerGroups) ? self.workerGroups.map(name, {}).sum() : 0)",
                most("self.workers"),
                most("self.workerGroups[name]")
            ),
            "`waitFor.workers` is more than the cluster can have; lower it, or raise `replicas` or `max` of \
             the workers",
        )
        .at(".waitFor.workers"),
    ]
}

fn env_or_secret() -> Rule {
    Rule::new(
        "!has(self.env) || !has(self.secretEnv) || self.secretEnv.all(name, !(name in self.env))",
        "a variable is given both in `env` and in `secretEnv`; keep one of the two",
    )
    .at(".secretEnv")
}

fn group() -> Vec<Rule> {
    vec![
        Rule::new(
            "!has(self.replicas) || !(has(self.min) || has(self.max))",
            "a group has either a fixed size or bounds, not both; keep `replicas`, or `min` and `max` for a \
             size that follows the work",
        ),
        Rule::new(
            "!has(self.min) || has(self.max) || has(self.replicas)",
            "`min` without `max`; add `max`, or write `replicas` for a fixed size",
        )
        .at(".min"),
        Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max", "`min` is larger than `max`")
            .at(".min"),
        Rule::new(
            "!has(self.max) || self.max > 0",
            "the group can never have a worker; give `max` at least 1; to stop a group for now, write \
             `replicas: 0`",
        )
        .at(".max"),
        env_or_secret(),
    ]
}

fn peer() -> Vec<Rule> {
    vec![
        Rule::new(
            "has(self.ipBlock) || has(self.podSelector) || has(self.namespaceSelector)",
            "a client that names nobody; write `podSelector`, `namespaceSelector` or `ipBlock`",
        ),
        Rule::new(
            "!has(self.ipBlock) || !(has(self.podSelector) || has(self.namespaceSelector))",
            "a block of addresses stands alone; make two clients of it",
        ),
    ]
}

fn block() -> Vec<Rule> {
    let is_first = |text: &str| format!("isCIDR({text}) && cidr({text}) == cidr({text}).masked()");
    vec![
        Rule::new(
            is_first("self.cidr"),
            "no block of addresses; write its first address and the length of its prefix, such as `10.0.0.0/8`",
        )
        .at(".cidr"),
        Rule::new(
            format!("!has(self.except) || self.except.all(hole, {})", is_first("hole")),
            "no block of addresses; write its first address and the length of its prefix, such as `10.1.0.0/16`",
        )
        .at(".except"),
        Rule::new(
            "!has(self.except) || !isCIDR(self.cidr) || self.except.all(hole, !isCIDR(hole) || \
             (cidr(self.cidr).containsCIDR(cidr(hole)) \
             && cidr(hole).prefixLength() > cidr(self.cidr).prefixLength()))",
            "what is left out does not lie within the block, or is all of it",
        )
        .at(".except"),
    ]
}

fn toleration() -> Vec<Rule> {
    let exists = "has(self.operator) && self.operator == 'Exists'";
    vec![
        Rule::new(
            format!("has(self.key) || ({exists})"),
            "a toleration without a key needs the operator `Exists`",
        ),
        Rule::new(
            format!("!has(self.value) || !({exists})"),
            "the operator `Exists` looks at no value; remove `value`, or write `operator: Equal`",
        )
        .at(".value"),
        Rule::new(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "only a taint with the effect `NoExecute` is tolerated for a time",
        )
        .at(".tolerationSeconds"),
    ]
}

fn pods() -> Vec<Rule> {
    let own_names =
        "['managed-by', 'name', 'instance'].exists(name, ('app.kubernetes.io/' + name) in self.labels)";
    vec![
        Rule::new(
            format!("!has(self.labels) || !({own_names})"),
            "the labels `managed-by`, `name` and `instance` of `app.kubernetes.io/` are Crewcall's own to set",
        )
        .at(".labels"),
        Rule::new(
            "!has(self.volumes) || self.volumes.all(volume, !volume.name.startsWith('crewcall-'))",
            "a volume would be one of Crewcall's own; use a name that does not begin with `crewcall-`",
        )
        .at(".volumes"),
        Rule::new(
            "!has(self.volumeMounts) || self.volumeMounts.all(mount, mount.mountPath.startsWith('/') \
             && mount.mountPath != '/etc/crewcall' && !mount.mountPath.startsWith('/etc/crewcall/'))",
            "a mount path must be absolute, and not within `/etc/crewcall`, where Crewcall mounts its own",
        )
        .at(".volumeMounts"),
    ]
}

fn pod_resources() -> Vec<Rule> {
    ["requests", "limits"]
        .into_iter()
        .map(|field| {
            Rule::new(
                format!("!has(self.{field}) || !('cpu' in self.{field} || 'memory' in self.{field})"),
                "`cpu` and `memory` are not said here; write them beside `kubernetes`, in `scheduler`, \
                 `workers` or the group",
            )
        })
        .collect()
}
