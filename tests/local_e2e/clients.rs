//! Python that looks at a cluster from inside.

use rustix::process::Pid;

use crate::harness::Home;

/// The processes of the workers.
pub fn workers(home: &Home, cluster: &str) -> Vec<Pid> {
    pids(home, cluster, "print(*client.run(os.getpid).values())")
}

/// The process of the scheduler.
pub fn scheduler(home: &Home, cluster: &str) -> Pid {
    pids(home, cluster, "print(client.run_on_scheduler(os.getpid))")[0]
}

fn pids(home: &Home, cluster: &str, expression: &str) -> Vec<Pid> {
    let script = format!("import os\nfrom dask.distributed import Client\nclient = Client()\n{expression}");
    let printed = home.python(cluster, &script);
    printed.split_whitespace().map(|word| Pid::from_raw(word.parse().unwrap()).unwrap()).collect()
}

/// Computes something, and counts the workers.
pub fn computes(home: &Home, cluster: &str, workers: usize) {
    let script = "
from dask.distributed import Client
client = Client()
assert sum(client.gather(client.map(lambda n: n * n, range(10)))) == 285
print(len(client.scheduler_info()['workers']))
";
    assert_eq!(home.python(cluster, script).trim(), workers.to_string(), "workers of {cluster}");
}
