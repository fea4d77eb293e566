//! From what a plan asks for to the calls that do it.

use std::{collections::BTreeSet, sync::Arc};

use super::{Reconciler, copies, failpoint::failpoint, identities::Identities, operations::Finished};
use crate::{
    model::{ClusterRecord, ErrorKind, InstanceId, NodeId, NodeName, Role},
    plan::{Action, PlannedLaunch, PlannedNode},
    provider::{AnchorRequest, LaunchRequest, NodeRequest, NodesRequest, ProviderError},
    spec::GroupName,
};

impl Reconciler {
    /// Makes the call that an action asks for; its end is noted by the loop.
    pub(super) fn begin(&mut self, record: &ClusterRecord, action: Action) {
        self.tools.measure.action(action.name());
        let provider = self.tools.provider.clone();
        let cluster = self.cell.key().clone();
        match action {
            Action::EnsureAnchor => {
                let request = AnchorRequest {
                    cluster,
                    document: Arc::new(record.wanted.document.clone()),
                    interpreter: record.wanted.interpreter.clone(),
                    context: record.wanted.context.clone(),
                    environment: self.cell.environment().unwrap_or_default(),
                };
                self.running.spawn(async move {
                    failpoint("anchor.before-call");
                    let result = provider.ensure_anchor(&request).await;
                    failpoint("anchor.after-call");
                    Finished::Anchor(result)
                });
            }
            Action::Launch { group, role, nodes, scheduler } => {
                self.begin_launch(record, &group, role, nodes, scheduler.as_deref());
            }
            Action::LaunchBatch(planned) => self.begin_batch(record, planned),
            Action::SetExpiry { nodes, at } => {
                self.running.spawn(async move {
                    failpoint("expiry.before-call");
                    let result = provider.set_expiry(&cluster, &nodes, at).await;
                    failpoint("expiry.after-call");
                    Finished::Expiry { at, result }
                });
            }
            Action::KeepCopy { generation } => {
                let (store, record) = (self.tools.store.clone(), record.clone());
                self.running.spawn(async move {
                    failpoint("copy.before-call");
                    let result = copies::keep(&*store, &*provider, &record).await;
                    failpoint("copy.after-call");
                    Finished::Copy { generation, result: result.map_err(|error| error.to_string()) }
                });
            }
            Action::Drain { nodes } => self.begin_drain(record, nodes),
            Action::Remove { nodes, how } => {
                self.running.spawn(async move {
                    failpoint("remove.before-call");
                    let result = provider.remove_nodes(&cluster, &nodes, how).await;
                    failpoint("remove.after-call");
                    Finished::Remove { nodes, result }
                });
            }
            Action::RemoveAnchor => {
                self.running.spawn(async move {
                    failpoint("remove-anchor.before-call");
                    let result = provider.remove_anchor(&cluster).await;
                    failpoint("remove-anchor.after-call");
                    Finished::RemoveAnchor(result)
                });
            }
        }
    }

    fn begin_launch(
        &mut self,
        record: &ClusterRecord,
        group: &GroupName,
        role: Role,
        nodes: Vec<PlannedNode>,
        scheduler: Option<&str>,
    ) {
        let (provider, engine, store) =
            (self.tools.provider.clone(), self.tools.engine.clone(), self.tools.store.clone());
        let document = &record.wanted.document;
        let launches = nodes.iter().map(|node| match scheduler {
            Some(scheduler) => engine.worker_launch(document, &node.id, group, scheduler),
            None => engine.scheduler_launch(document, &node.id),
        });
        let launches: Vec<_> = launches.map(Arc::new).collect();
        let wanted = Arc::new(document.clone());
        let cluster = self.cell.key().clone();
        let (tls, lifetime, now) = (document.spec.tls, document.spec.max_lifetime(), self.tools.clock.now());
        let kept = self.identities.clone();
        self.running.spawn(async move {
            let names = nodes.iter().map(|node| node.id.name()).collect();
            let identities = match kept {
                _ if !tls => Ok(None),
                Some(kept) => Ok(Some(kept)),
                None => Identities::of(&*store, &cluster, lifetime, now).await.map(Some),
            };
            let result = match identities {
                Err(error) => Err(ProviderError::new(ErrorKind::Transient, error.to_string())),
                Ok(identities) => {
                    let identity = identities.map(|identities| identities.of_role(role));
                    let request = |(node, launch): (PlannedNode, _)| NodeRequest {
                        id: node.id,
                        template: node.template,
                        launch,
                        identity: identity.clone(),
                    };
                    let nodes = nodes.into_iter().zip(launches).map(request).collect();
                    failpoint("launch.before-call");
                    let result =
                        provider.ensure_nodes(&NodesRequest { cluster, document: wanted, nodes }).await;
                    failpoint("launch.after-call");
                    result
                }
            };
            Finished::Launch { nodes: names, result }
        });
    }

    fn begin_batch(&mut self, record: &ClusterRecord, planned: PlannedLaunch) {
        let (provider, engine, store) =
            (self.tools.provider.clone(), self.tools.engine.clone(), self.tools.store.clone());
        let document = Arc::new(record.wanted.document.clone());
        let cluster = self.cell.key().clone();
        // What they run is one text for all of them: each puts its own name in.
        let anyone = NodeId::launched(cluster.name.clone(), planned.group.clone(), InstanceId::placeholder());
        let program = Arc::new(match &planned.scheduler {
            Some(scheduler) => engine.worker_launch(&document, &anyone, &planned.group, scheduler),
            None => engine.scheduler_launch(&document, &anyone),
        });
        let (tls, lifetime, now) = (document.spec.tls, document.spec.max_lifetime(), self.tools.clock.now());
        let (kept, environment) = (self.identities.clone(), self.cell.environment());
        self.running.spawn(async move {
            let identities = match kept {
                _ if !tls => Ok(None),
                Some(kept) => Ok(Some(kept)),
                None => Identities::of(&*store, &cluster, lifetime, now).await.map(Some),
            };
            let role = planned.role();
            let PlannedLaunch { launch, group, count, choice, template, expires_at, .. } = planned;
            let result = match identities {
                Err(error) => Err(ProviderError::new(ErrorKind::Transient, error.to_string())),
                Ok(identities) => {
                    let identity = identities.map(|identities| identities.of_role(role));
                    let (launch, token) = (launch.clone(), launch.token(&cluster.uid));
                    let request = LaunchRequest {
                        cluster,
                        document,
                        launch,
                        token,
                        group,
                        count,
                        choice,
                        template,
                        expires_at,
                        program,
                        identity,
                        environment,
                    };
                    failpoint("launch.before-call");
                    let result = provider.launch(&request).await;
                    failpoint("launch.after-call");
                    result
                }
            };
            Finished::Batch { launch, result }
        });
    }

    fn begin_drain(&mut self, record: &ClusterRecord, nodes: Vec<NodeName>) {
        let engine = self.tools.engine.clone();
        let endpoint = self.watch.as_ref().map(|watch| watch.endpoint().clone());
        let bound = record.wanted.document.spec.drain_timeout();
        self.running.spawn(async move {
            failpoint("drain.before-call");
            let result = match endpoint {
                Some(endpoint) => engine.retire(&endpoint, &nodes, bound).await,
                None => Ok(BTreeSet::new()),
            };
            failpoint("drain.after-call");
            Finished::Drain { nodes, result }
        });
    }
}
