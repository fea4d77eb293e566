//! The custom resources of a namespace, and this machine's ways to their clusters.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::view;
use crate::{
    api::{ApiError, ErrorCode},
    controller::{ClientFiles, ClusterView},
    model::{CallerEnvironment, ErrorKind, KubernetesContext, ObjectUid, Phase},
    provider::{
        ProviderError,
        kubernetes::{ClientPaths, CustomResources, Guest, Way},
    },
    spec::ClusterName,
    store::kubernetes::ObjectReader,
};

/// The clusters of a namespace, as its custom resources have them.
#[derive(Clone)]
pub struct Resources {
    pub(super) shared: Arc<Shared>,
}

/// What all requests have in common.
pub(super) struct Shared {
    pub custom: CustomResources,
    pub guest: Guest,
    pub reader: ObjectReader,
    /// Clusters that this process has looked at: when the object of one is gone, its pods may not be yet.
    seen: Mutex<BTreeMap<ClusterName, ClusterView>>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<ClusterName, ClusterView>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resources {
    /// Those of a context's namespace; forwarders and certificates lie below `state`. Forwarders are `program`, with
    /// `environment`, which programs that get credentials may need. Nothing is asked yet.
    ///
    /// # Errors
    /// When this machine cannot have forwarders.
    pub fn new(
        context: KubernetesContext,
        state: &std::path::Path,
        program: PathBuf,
        environment: &CallerEnvironment,
    ) -> Result<Self, ApiError> {
        let guest = Guest::new(state, program, environment.0.clone()).map_err(refused)?;
        let reader = ObjectReader { context: context.clone(), default_image: None };
        let custom = CustomResources::new(context);
        Ok(Self { shared: Arc::new(Shared { custom, guest, reader, seen: Mutex::default() }) })
    }

    pub(super) fn context(&self) -> &KubernetesContext {
        self.shared.custom.context()
    }

    /// The object of a cluster.
    pub(super) async fn object(&self, name: &ClusterName) -> Result<Value, ApiError> {
        let found = self.shared.custom.get(name).await.map_err(refused)?;
        found.ok_or_else(|| self.not_found(name))
    }

    /// A cluster, also one whose object is gone and of which this process knows that its pods are not.
    pub(super) async fn look_at(&self, name: &ClusterName) -> Result<ClusterView, ApiError> {
        if let Some(object) = self.shared.custom.get(name).await.map_err(refused)? {
            let view = self.view(&object)?;
            self.remember(&view);
            return Ok(view);
        }
        if let Some(mut view) = self.recall(name)
            && let Ok(pods) = self.shared.custom.pods(&view.uid).await
            && !pods.is_empty()
        {
            view.phase = Phase::Deleting;
            view.nodes.retain(|node| pods.contains(&node.name));
            return Ok(view);
        }
        self.forget(name);
        Err(self.not_found(name))
    }

    /// A cluster as this process has seen it last.
    pub(super) fn recall(&self, name: &ClusterName) -> Option<ClusterView> {
        self.shared.seen().get(name).cloned()
    }

    pub(super) fn remember(&self, view: &ClusterView) {
        self.shared.seen().insert(view.name.clone(), view.clone());
    }

    pub(super) fn forget(&self, name: &ClusterName) {
        self.shared.seen().remove(name);
    }

    pub(super) fn not_found(&self, name: &ClusterName) -> ApiError {
        let context = self.context();
        let message = format!(
            "there is no cluster named {name} in namespace {} ({})",
            context.namespace,
            context.described()
        );
        ApiError::new(ErrorCode::NotFound, message).with_hint("`crewcall list` shows what there is")
    }

    /// What is shown of an object, with the way that there is to it already.
    pub(super) fn view(&self, object: &Value) -> Result<ClusterView, ApiError> {
        let view = view::view(&self.shared.reader, object)?;
        let known = view.endpoint.as_ref().and_then(|address| self.shared.guest.known(&view.uid, address));
        Ok(match known {
            Some((way, files)) => reached(view, way, files),
            None => view,
        })
    }

    /// A view with the address of this machine's forwarder, started if there is none.
    pub(super) async fn way_to(&self, mut view: ClusterView) -> Result<ClusterView, ApiError> {
        let Some(address) = view.endpoint.clone().filter(|_| view.phase != Phase::Deleting) else {
            return Ok(view);
        };
        if address.contains("://127.0.0.1:") {
            return Ok(view);
        }
        if view.document.spec.tls {
            let identity = self.shared.custom.identity(&view.name).await.map_err(refused)?;
            let identity = identity.ok_or_else(|| {
                let message = format!("cluster {} has no Secret {0}-client yet", view.name);
                ApiError::new(ErrorCode::Refused, message)
                    .with_hint("the operator makes it; its log says more")
            })?;
            let files = self.shared.guest.keep(&view.uid, &identity).map_err(refused)?;
            view.client = Some(client_files(files));
        }
        if self.context().name().is_none() {
            // Within a pod the Service is reached as it is.
            return Ok(view);
        }
        let way = self.shared.guest.way(&view.key(), self.context(), &address).await.map_err(refused)?;
        view.endpoint = Some(way.reach);
        view.dashboard = way.dashboard;
        Ok(view)
    }
}

fn reached(mut view: ClusterView, way: Way, files: ClientPaths) -> ClusterView {
    view.endpoint = Some(way.reach);
    view.dashboard = way.dashboard;
    view.client = view.document.spec.tls.then(|| client_files(files));
    view
}

fn client_files([ca, cert, key]: ClientPaths) -> ClientFiles {
    ClientFiles { ca, cert, key }
}

/// Which object it is.
pub(super) fn uid_of(object: &Value) -> ObjectUid {
    ObjectUid::new(object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default())
}

/// What came of a call that failed, for whoever asked.
pub(super) fn refused(error: ProviderError) -> ApiError {
    let code = match error.kind {
        ErrorKind::Invalid => ErrorCode::Invalid,
        ErrorKind::Conflict => ErrorCode::Conflict,
        _ => ErrorCode::Provider,
    };
    ApiError { code, message: error.message, hint: error.hint }
}
