//! The stage of the local provider: real processes, below directories of their own.

use std::sync::Arc;

use async_trait::async_trait;
use crewcall::{
    model::{ClusterKey, NodeName},
    provider::{AnchorRequest, NodeRequest, Provider},
};

use crate::{
    stage::Stage,
    support::{self, World, kill, python, read},
};

/// One installation on this machine.
pub struct LocalStage(World);

#[async_trait]
impl Stage for LocalStage {
    fn set() -> Option<Self> {
        python().map(|python| Self(World::new(python)))
    }

    fn neighbour(&self) -> Box<dyn Stage> {
        Box::new(Self(World::new(self.0.python.clone())))
    }

    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(self.0.provider())
    }

    fn anchor(&self, cluster: &ClusterKey) -> AnchorRequest {
        self.0.anchor(cluster)
    }

    fn scheduler(&self, cluster: &ClusterKey) -> NodeRequest {
        support::scheduler(cluster, self.0.identity(cluster))
    }

    fn worker(&self, cluster: &ClusterKey, slot: u32, scheduler: &str) -> NodeRequest {
        support::worker(cluster, slot, scheduler, self.0.identity(cluster))
    }

    async fn kill(&self, _: &ClusterKey, scheduler: &str, worker: &NodeName) {
        let path = self.0.root.path().join("pid");
        self.0.client(
            scheduler,
            &format!(
                "import os, time\n\
                 def known():\n\
                 \x20   workers = client.scheduler_info()['workers']\n\
                 \x20   return [address for address, info in workers.items() if info['name'] == '{worker}']\n\
                 deadline = time.monotonic() + 60\n\
                 while not known() and time.monotonic() < deadline: time.sleep(0.05)\n\
                 pid, = client.run(os.getpid, workers=known()).values()\n\
                 open(r'{}', 'w').write(str(pid))",
                path.display()
            ),
        );
        kill(read(&path).parse().unwrap(), "KILL");
    }

    fn running(&self) -> usize {
        self.0.marked().len().saturating_sub(self.0.fork_servers().len())
    }

    fn remains(&self) -> Vec<String> {
        let processes = self.0.marked().into_iter().chain(self.0.hosts());
        let files = self.0.host_directories().into_iter().map(|path| path.display().to_string());
        processes.map(|pid| format!("process {pid}")).chain(files).collect()
    }
}
