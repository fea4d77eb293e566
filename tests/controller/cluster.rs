//! A real cluster, asked for over the socket.

use std::{path::PathBuf, time::Duration};

use crewcall::{
    api::{ApiClient, Clusters as _, CreateMessage, WatchMessage},
    controller::{ClusterView, CreateMode, CreateOutcome, CreateRequest, ScaleRequest, Unplaced},
    model::{CallerContext, CallerEnvironment, Interpreter, SoftwareVersions},
    provider::Follow,
    spec::{ClusterName, Size},
};
use futures_util::{StreamExt, TryStreamExt};
use rustix::process::Signal;

use super::support::{Home, controllers, document, ended, eventually, signal, within};

const BOUND: Duration = Duration::from_mins(1);
const ORPHANED_SPARE: Duration = Duration::from_secs(20);

fn request(home: &Home) -> Option<CreateRequest> {
    let Some(python) = std::env::var_os("CREWCALL_TEST_PYTHON") else {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with Dask");
        return None;
    };
    let mut document = document("demo");
    document.spec.workers.replicas = Some(1);
    let context = CallerContext {
        working_directory: home.path(""),
        document_directory: home.path(""),
        interpreter: Some(Interpreter { path: PathBuf::from(python), versions: SoftwareVersions::default() }),
        ..CallerContext::default()
    };
    let variables = [("HOME", home.path("")), ("PATH", "/usr/bin:/bin".into()), ("TMPDIR", home.path(""))];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.display().to_string()));
    let environment = CallerEnvironment(variables.into());
    Some(CreateRequest { document, context, environment, mode: CreateMode::Apply })
}

/// Follows a cluster until it is as expected.
async fn until(client: &ApiClient, name: &ClusterName, is_so: impl Fn(&ClusterView) -> bool) -> ClusterView {
    let mut story = client.watch(name);
    let seen = async {
        while let Some(message) = story.try_next().await.unwrap() {
            if let WatchMessage::Cluster(view) = message
                && is_so(&view)
            {
                return *view;
            }
        }
        panic!("cluster {name} is gone");
    };
    tokio::time::timeout(BOUND, seen).await.expect("the cluster in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_outlives_its_creator_and_its_controller_and_is_torn_down_without_a_trace() {
    let home = Home::new().with("CREWCALL_CONTROLLER_LINGER", "1");
    let Some(request) = request(&home) else { return };
    let name = request.document.metadata.name.clone();
    let client = home.start().await;

    // The creator goes away as soon as its request has arrived.
    {
        let mut steps = client.create(request.clone());
        let first = tokio::time::timeout(BOUND, steps.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(first, CreateMessage::Progress(_)), "{first:?}");
    }
    eventually("the cluster nobody waited for", || async { client.get(&name).await.is_ok() }).await;
    let view = until(&client, &name, |view| view.awaited.reached).await;
    assert!(view.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("tls://127.0.0.1:")));

    let answers: Vec<_> = client.create(request.clone()).try_collect().await.unwrap();
    let Some(CreateMessage::Done(reply)) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(reply.outcome, CreateOutcome::Unchanged);

    signal(client.hello().pid, Signal::KILL);
    ended(client.hello().pid).await;
    let client = home.start().await;
    let adopted = until(&client, &name, |view| view.awaited.reached).await;
    assert_eq!((&adopted.uid, &adopted.endpoint), (&view.uid, &view.endpoint));

    let size = ScaleRequest { group: None, size: Size::Fixed(2), unplaced: Unplaced::Keep };
    let scaled = client.scale(&name, &size).await.unwrap();
    let view = until(&client, &name, |view| {
        view.observed_generation >= scaled.generation && view.awaited.ready == 2
    })
    .await;
    assert_eq!(client.logged_nodes(&name).await.unwrap().len(), 3);
    let scheduler = &view.nodes.first().unwrap().name;
    let log: Vec<Vec<u8>> =
        client.logs(&name, scheduler, Some(1000), Follow::No).try_collect().await.unwrap();
    assert!(String::from_utf8_lossy(&log.concat()).contains("Scheduler"), "{log:?}");

    let story = client.watch(&name);
    client.delete(&name).await.unwrap();
    let story: Vec<_> = tokio::time::timeout(BOUND, story.try_collect()).await.unwrap().unwrap();
    assert_eq!(story.last(), Some(&WatchMessage::Gone));
    ended(client.hello().pid).await;
    let directory = home.path("");
    // The killed controller's spare host was ended by its successor.
    within(ORPHANED_SPARE, "no process left", || async { controllers(&directory).is_empty() }).await;
}
