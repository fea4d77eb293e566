//! From what the API server, or the way to it, said to what policy and people understand.

use kube::core::Status;

use super::{
    client::{Call, Resource},
    credentials,
};
use crate::{
    model::{ErrorKind, KubernetesContext, Residue, with_causes},
    provider::ProviderError,
};

/// How the operator comes to a Kubernetes.
const INSTALL: &str = "whoever administers it installs the operator with `helm upgrade --install crewcall-crds \
    charts/crewcall-crds` and then `charts/crewcall`; without one, name the context without `kube:`";

/// What came of a call that failed.
pub fn failure(error: kube::Error, call: Call<'_>, context: &KubernetesContext) -> ProviderError {
    match error {
        kube::Error::Api(status) => refused(&status, call, context),
        kube::Error::Auth(cause) => no_credentials(&credentials::failure(&cause, None), context),
        kube::Error::SerdeError(cause) => ProviderError::unsure(format!(
            "{} answered the call to {call} with something that is no such object: {cause}",
            whom(context)
        )),
        other => unreachable(&other, call, context),
    }
}

/// There is nothing to show to the API server.
pub fn no_credentials(cause: &str, context: &KubernetesContext) -> ProviderError {
    let message = format!("no credentials for {}: {cause}", whom(context));
    ProviderError::new(ErrorKind::Auth, message).with_hint(format!(
        "{}; then run the same `crewcall create` again, from where that works",
        renewal(context)
    ))
}

/// No answer within the call's bound.
pub fn too_long(call: Call<'_>, context: &KubernetesContext, seconds: u64) -> ProviderError {
    ProviderError::unsure(format!("{} did not answer the call to {call} within {seconds} s", whom(context)))
        .with_hint(reachability(context))
}

/// The API server, for a person.
pub fn whom(context: &KubernetesContext) -> String {
    format!("the API server {} ({})", context.server, context.described())
}

fn reachability(context: &KubernetesContext) -> String {
    match context.name() {
        Some(name) => format!("`kubectl --context {name} get --raw /readyz` says whether it can be reached"),
        None => "see whether pods of this namespace can reach the API server".to_owned(),
    }
}

fn renewal(context: &KubernetesContext) -> String {
    match context.name() {
        Some(name) => {
            format!("renew them, so that `kubectl --context {name} get pods -n {}` works", context.namespace)
        }
        None => "see whether the pod's service account still exists".to_owned(),
    }
}

fn unreachable(error: &kube::Error, call: Call<'_>, context: &KubernetesContext) -> ProviderError {
    let message = format!("{} cannot be reached to {call}: {}", whom(context), with_causes(error));
    // A connection that never was carried nothing.
    let residue = if never_connected(error) { Residue::None } else { Residue::Possible };
    ProviderError { residue, ..ProviderError::unsure(message) }.with_hint(reachability(context))
}

fn never_connected(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if this
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        cause = this.source();
    }
    false
}

fn refused(status: &Status, call: Call<'_>, context: &KubernetesContext) -> ProviderError {
    let namespace = &context.namespace;
    let say = |kind, message: String| ProviderError::new(kind, message);
    let cause = |reason: &str| {
        status.details.iter().any(|details| details.causes.iter().any(|cause| cause.reason == reason))
    };
    let message = &status.message;
    let plain = || format!("cannot {call}: {message}");
    match status.code {
        401 => say(ErrorKind::Auth, format!("{} does not accept the credentials: {message}", whom(context)))
            .with_hint(renewal(context)),
        403 if cause("NamespaceTerminating") || message.contains("is being terminated") => {
            say(ErrorKind::Conflict, format!("cannot {call}: namespace {namespace} is being deleted"))
                .with_hint("use another namespace, or wait until it is gone and create it anew")
        }
        403 if message.contains("exceeded quota") => say(ErrorKind::Quota, plain())
            .with_hint(format!("`kubectl describe quota -n {namespace}` shows what is used")),
        403 if message.contains("violates PodSecurity") => say(ErrorKind::Invalid, plain())
            .with_hint("the namespace forbids such pods: see the securityContext of the document's pods"),
        403 if message.contains("admission webhook") => say(ErrorKind::Invalid, plain()),
        403 => say(ErrorKind::Auth, format!("no permission to {call}: {message}"))
            .with_hint(role_hint(&[(call.verb, call.resource)], context)),
        404 if message.contains("namespaces") => {
            say(ErrorKind::NotFound, format!("cannot {call}: there is no namespace {namespace}"))
                .with_hint(format!("`kubectl create namespace {namespace}` makes it"))
        }
        // The answer to what is not there names it.
        404 if call.resource == Resource::ComputeClusters && !message.contains("computeclusters") => {
            let message =
                format!("{} does not know ComputeClusters: the operator is not installed", whom(context));
            say(ErrorKind::Invalid, message).with_hint(INSTALL)
        }
        404 => say(ErrorKind::NotFound, plain()),
        409 => say(ErrorKind::Conflict, plain()),
        400 | 413 | 422 => say(ErrorKind::Invalid, plain()),
        429 => say(ErrorKind::Throttled, plain()),
        500..=599 => ProviderError::unsure(plain()),
        _ => say(ErrorKind::Unknown, plain()),
    }
}

/// The Role that would allow all of this.
pub fn role_hint(
    missing: &[(super::client::Verb, super::client::Resource)],
    context: &KubernetesContext,
) -> String {
    use std::fmt::Write as _;

    let mut rules = std::collections::BTreeMap::<_, Vec<&str>>::new();
    for (verb, resource) in missing {
        let verbs = rules.entry(*resource).or_default();
        if !verbs.contains(&verb.as_str()) {
            verbs.push(verb.as_str());
        }
    }
    let mut text = format!(
        "this Role would allow it, with a RoleBinding to whoever you are there:\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
         metadata: {{name: crewcall-user, namespace: {}}}\nrules:",
        context.namespace
    );
    for (resource, verbs) in rules {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n- {{apiGroups: [\"{}\"], resources: [{}], verbs: [{}]}}",
            resource.group(),
            resource.as_str(),
            verbs.join(", ")
        );
    }
    text
}
