//! What a host does about what is wanted of its workers' nannies, and who waits for it.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::{
    ending::do_deed,
    nannies::Wished,
    node::Deed,
    node_logs,
    restarts::Restart,
    service::{Next, Service},
};
use crate::{
    engine::dask::rpc::{NannyAnswer, NannyWish},
    model::{NodeName, Origin},
};

/// Most lines of a log that are given to who asks a nanny.
const MOST_LINES: usize = 10_000;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Waiters {
    /// For the end of a node.
    ended: BTreeMap<NodeName, Vec<oneshot::Sender<NannyAnswer>>>,
    /// For the registration of a node, or of its successor.
    registered: BTreeMap<NodeName, Vec<oneshot::Sender<NannyAnswer>>>,
}

impl Waiters {
    /// A node is registered.
    pub(super) fn registered(&mut self, node: &NodeName) {
        tell(self.registered.remove(node), &NannyAnswer::Restarted);
    }

    /// A node has ended; `successor` takes its place, or somebody knows why none does.
    fn ended(&mut self, node: &NodeName, successor: Result<&NodeName, String>) {
        tell(self.ended.remove(node), &NannyAnswer::Nothing);
        let Some(waiting) = self.registered.remove(node) else { return };
        match successor {
            Ok(successor) => self.registered.entry(successor.clone()).or_default().extend(waiting),
            Err(why) => tell(Some(waiting), &NannyAnswer::Failed(why)),
        }
    }
}

fn tell(waiting: Option<Vec<oneshot::Sender<NannyAnswer>>>, answer: &NannyAnswer) {
    for waiter in waiting.into_iter().flatten() {
        // Who has given up waiting needs no answer.
        let _gone = waiter.send(answer.clone());
    }
}

impl Service {
    /// Does what is wanted of a worker's nanny.
    pub fn wish(&mut self, wished: Wished) -> Next {
        let Wished { node, wish, answer } = wished;
        tracing::info!(%node, ?wish, "is wished for");
        let answered = match wish {
            NannyWish::Kill => return self.restart(node, answer, |waiters| &mut waiters.ended),
            NannyWish::Restart { .. } => {
                return self.restart(node, answer, |waiters| &mut waiters.registered);
            }
            NannyWish::LetGo => {
                self.nodes.let_go(&node);
                NannyAnswer::Nothing
            }
            NannyWish::Terminate => {
                if let Some(process) = self.nodes.let_go(&node) {
                    do_deed(Deed::Terminate(process));
                }
                NannyAnswer::Nothing
            }
            NannyWish::Note(lost) => {
                self.nodes.failed(&node, lost);
                NannyAnswer::Nothing
            }
            NannyWish::Logs { count } => NannyAnswer::Logs(self.log_lines(&node, count)),
        };
        tell(Some(vec![answer]), &answered);
        Next::GoOn
    }

    fn restart(
        &mut self,
        node: NodeName,
        answer: oneshot::Sender<NannyAnswer>,
        list: impl Fn(&mut Waiters) -> &mut BTreeMap<NodeName, Vec<oneshot::Sender<NannyAnswer>>>,
    ) -> Next {
        match self.nodes.restart(&node) {
            Restart::Kill(deed) | Restart::KillForGood(deed) => {
                list(&mut self.waiters).entry(node).or_default().push(answer);
                do_deed(deed);
            }
            Restart::Gone => tell(Some(vec![answer]), &NannyAnswer::Nothing),
        }
        Next::GoOn
    }

    fn log_lines(&self, node: &NodeName, count: Option<usize>) -> Vec<String> {
        let count = count.unwrap_or(MOST_LINES).min(MOST_LINES);
        self.claimed
            .as_ref()
            .map_or_else(Vec::new, |claimed| node_logs::last_lines(&claimed.log(node), count))
    }

    /// Starts what takes the place of a node that has ended, and tells who waited for the end.
    pub(super) fn follow_end(&mut self, node: &NodeName) {
        let successor = self.succeed(node);
        self.waiters.ended(node, successor.as_ref().map_err(Clone::clone));
    }

    fn succeed(&mut self, node: &NodeName) -> Result<NodeName, String> {
        let Some(launch) = self.nodes.successor(node) else {
            return Err(format!("{node} has ended, and is not started again"));
        };
        let successor = launch.id.name();
        match self.admission(launch, Origin::ClientRestart) {
            Ok(admission) => {
                self.nodes.admit(admission);
                self.nodes.forget(node);
                tracing::info!(%node, %successor, "was restarted on a client's wish");
                Ok(successor)
            }
            Err(failure) => {
                let why =
                    format!("it was ended on a client's wish, and could not be started again: {failure}");
                self.nodes.failed(node, why.clone());
                tracing::warn!(%node, why, "has no successor");
                Err(why)
            }
        }
    }
}
