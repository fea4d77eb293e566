//! What tests of this provider begin with.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    engine::{Engine as _, dask::DaskEngine},
    model::{ClusterKey, ClusterUid, InstanceId, LaunchId, NodeId, TemplateHash},
    provider::LaunchRequest,
    security::{CertificateRole, ClusterAuthority, Identity},
    spec::{ComputeCluster, GroupName, load},
};

pub fn now() -> Timestamp {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

pub fn cluster() -> ClusterKey {
    ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() }
}

pub fn document(text: &str) -> Arc<ComputeCluster> {
    Arc::new(load("test", text).unwrap().cluster)
}

/// A worker's.
pub fn identity() -> Arc<Identity> {
    let authority = ClusterAuthority::new(&cluster().uid, Duration::from_hours(24), now()).unwrap();
    Arc::new(authority.issue(CertificateRole::Worker, &[]).unwrap())
}

/// A launch of three nodes, the first choice of their group.
pub fn request(
    document: &Arc<ComputeCluster>,
    group: &GroupName,
    launch: LaunchId,
    identity: Arc<Identity>,
) -> LaunchRequest {
    let cluster = cluster();
    let id = NodeId::launched(cluster.name.clone(), group.clone(), InstanceId::placeholder());
    let engine = DaskEngine::default();
    let program = if group.is_scheduler() {
        engine.scheduler_launch(document, &id)
    } else {
        engine.worker_launch(document, &id, group, "tls://10.0.0.5:8786")
    };
    LaunchRequest {
        token: launch.token(&cluster.uid),
        cluster,
        document: document.clone(),
        launch,
        group: group.clone(),
        count: 3,
        choice: 0,
        template: TemplateHash::new("abc"),
        expires_at: Some("2026-11-24T10:00:00Z".parse().unwrap()),
        program: Arc::new(program),
        identity: Some(identity),
        environment: None,
    }
}
