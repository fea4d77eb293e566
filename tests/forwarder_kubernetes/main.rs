//! The forwarder on a real cluster: Dask's clients compute through it, and it follows the scheduler's pod.
//!
//! Runs where `CREWCALL_TEST_KUBECONFIG` names a cluster, `CREWCALL_TEST_KUBECTL` a kubectl, `CREWCALL_TEST_IMAGE` an image of
//! Dask with bokeh, and `CREWCALL_TEST_PYTHON` an interpreter with the same version of Dask.
#![cfg(all(feature = "kubernetes", target_os = "linux"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "../shared/kubectl.rs"]
mod kubectl;
mod proxy;
mod stage;

use rustix::process::Signal;
use stage::{Stage, eventually, kill};

#[tokio::test(flavor = "multi_thread")]
async fn clients_compute_through_it_and_it_goes_where_the_scheduler_goes() {
    let Some(stage) = Stage::new("compute").await else { return };
    let ports = stage.ensure().await;

    // A client, with data both ways.
    let sums = stage.client("print(client.submit(sum, range(1000)).result(), len(client.gather(client.scatter(b'x' * 50_000_000))))");
    assert_eq!(sums.trim(), "499500 50000000");
    let status = stage.status_where("nobody is connected any more", |status| status.connections == 0).await;
    assert_eq!((status.problem, status.cuts.len()), (None, 0));
    assert_eq!(status.pod.as_deref(), Some("demo-scheduler-0-0"));

    // The dashboard, over mutual TLS inside: pages, web socket, and nobody else's page.
    let answer = stage.script("dashboard.py", &[&ports.dashboard.to_string()]);
    assert_eq!(answer.trim(), "200 ACK 403", "{answer}");

    // kill -9 of the forwarder: the same ports.
    kill(stage.pid(), Signal::KILL);
    eventually("its death", || (!stage.forwarders.list().unwrap()[0].alive).then_some(())).await;
    assert_eq!(stage.ensure().await, ports);

    // Another scheduler: new connections go there, without anybody telling the forwarder.
    stage.kubectl(&[
        "delete",
        "pod",
        "demo-scheduler-0-0",
        "demo-workers-0-0",
        "--grace-period=0",
        "--force",
    ]);
    stage.start_nodes(1);
    stage
        .status_where("the new scheduler's pod", |status| status.pod.as_deref() == Some("demo-scheduler-0-1"))
        .await;
    let sum =
        stage.client("print(client.submit(sum, range(10)).result(), client.scheduler_info()['id'] != '')");
    assert_eq!(sum.trim(), "45 True");

    // Without its anchor it ends by itself and leaves nothing.
    let pid = stage.pid();
    stage.kubectl(&["delete", "configmap", "demo-crewcall"]);
    let began = std::time::Instant::now();
    eventually("its end", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())).await;
    println!("it ended {:?} after its anchor", began.elapsed());
    assert!(stage.forwarders.list().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_told_with_its_reason() {
    let Some(stage) = Stage::new("cut").await else { return };
    stage.ensure().await;
    let mut client = stage.waiting_client();
    stage.status_where("a client", |status| status.connections > 0).await;
    let forwarder = stage.pid();
    stage.proxy.cut_all();
    let status = stage.status_where("a cut", |status| !status.cuts.is_empty()).await;
    assert!(status.cuts[0].reason.contains("API server"), "{:?}", status.cuts);
    assert_eq!(stage.pid(), forwarder, "the forwarder itself goes on");
    client.kill().unwrap();
    client.wait().unwrap();
    let sum = stage.client("print(client.submit(sum, range(10)).result())");
    assert_eq!(sum.trim(), "45");
}
