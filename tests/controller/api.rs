//! What is asked and answered over the socket.

use std::{
    fs::File,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
};

use crewcall::{
    api::{ApiClient, Clusters as _, ErrorCode, WatchMessage},
    controller::{CreateMode, CreateRequest, Listed, ScaleRequest, Sweep, Unplaced},
    model::{BootId, CallerContext, CallerEnvironment, EventKind, MachineId, NodeName, Phase},
    provider::{Follow, boot_id, machine_id},
    spec::{ClusterName, Size},
    store::{DirectoryStore, Store},
};
use futures_util::StreamExt;

use super::support::{Home, document, eventually};

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn request(cluster: &str) -> CreateRequest {
    CreateRequest {
        document: document(cluster),
        context: CallerContext::default(),
        environment: CallerEnvironment::default(),
        mode: CreateMode::Apply,
    }
}

/// Sends bytes, and reads the answer to its end.
async fn raw(client: &ApiClient, text: &str) -> String {
    let socket = client.status().await.unwrap().socket;
    let text = text.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

/// Sends a request, and goes away while the controller cannot yet write what it asks for.
async fn ask_and_go_away(client: &ApiClient, state: &Path, text: String) {
    let socket = client.status().await.unwrap().socket;
    let store = File::options().write(true).open(state.join("store.lock")).unwrap();
    let changes = async || client.status().await.unwrap().changes;
    eventually("nothing else is being carried out", || async { changes().await == 0 }).await;
    store.lock().unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    eventually("it is being carried out", || async { changes().await == 1 }).await;
    let asked = tokio::task::spawn_blocking(move || {
        stream.shutdown(Shutdown::Write).unwrap();
        // When the controller has closed its side, it has given up the request, or carries it out.
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert_eq!(asked.await.unwrap(), "", "it was answered before it could be carried out");
}

#[tokio::test]
async fn what_a_client_asked_for_is_done_even_if_the_client_goes_away() {
    let home = Home::new();
    home.record("demo", &machine_id(), &boot_id().unwrap()).await;
    let client = home.start().await;
    let (demo, state) = (name("demo"), home.path("state"));
    let head = "HTTP/1.1\r\nhost: c\r\nconnection: close\r\ncontent-length:";
    let size = ScaleRequest { group: None, size: Size::Fixed(2), unplaced: Unplaced::Keep };
    let size = serde_json::to_string(&size).unwrap();
    let scale = format!("POST /v1/clusters/demo/scale {head} {}\r\n\r\n{size}", size.len());
    ask_and_go_away(&client, &state, scale).await;
    eventually("the new size is acted upon", || async {
        client.get(&demo).await.is_ok_and(|view| view.observed_generation == 2)
    })
    .await;
    ask_and_go_away(&client, &state, format!("DELETE /v1/clusters/demo {head} 0\r\n\r\n")).await;
    eventually("the cluster is gone", || async { client.get(&demo).await.is_err() }).await;
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_not_found_whatever_is_asked_of_it() {
    let home = Home::new();
    let client = home.start().await;
    let (ghost, node) = (name("ghost"), NodeName::new("ghost-workers-0-0"));
    let size = ScaleRequest { group: None, size: Size::Fixed(2), unplaced: Unplaced::Keep };
    let errors = [
        client.get(&ghost).await.unwrap_err(),
        client.delete(&ghost).await.unwrap_err(),
        client.scale(&ghost, &size).await.unwrap_err(),
        client.events(&ghost, 10).await.unwrap_err(),
        client.logged_nodes(&ghost).await.unwrap_err(),
        client.watch(&ghost).next().await.unwrap().unwrap_err(),
        client.logs(&ghost, &node, Some(3), Follow::Yes).next().await.unwrap().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code, ErrorCode::NotFound, "{error}");
        assert_eq!(error.message, "there is no cluster named ghost");
        assert!(error.hint.is_some());
    }
    assert_eq!(client.list().await.unwrap(), []);
    assert_eq!(client.gc(Sweep::DryRun).await.unwrap(), []);
}

#[tokio::test]
async fn a_document_that_cannot_be_a_cluster_is_refused_in_the_stream() {
    let home = Home::new();
    let client = home.start().await;
    let mut request = request("demo");
    request.document.spec.workers.min = Some(3);
    request.document.spec.workers.max = Some(1);
    let answers: Vec<_> = client.create(request).collect().await;
    let [Err(error)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(error.code, ErrorCode::Invalid, "{error}");
    assert_eq!(client.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_cluster_of_another_machine_is_shown_and_not_touched() {
    let home = Home::new();
    home.record("far", &MachineId::new("another"), &BootId::new("b")).await;
    let client = home.start().await;
    let far = name("far");
    let listed = client.list().await.unwrap();
    let [Listed::Cluster(view)] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((&view.name, view.phase), (&far, Phase::Elsewhere));
    assert_eq!(client.get(&far).await.unwrap(), **view);
    assert_eq!(client.delete(&far).await.unwrap_err().code, ErrorCode::Elsewhere);
    let answers: Vec<_> = client.create(request("far")).collect().await;
    assert_eq!(answers.last().unwrap().as_ref().unwrap_err().code, ErrorCode::Elsewhere);
    let first = client.watch(&far).next().await.unwrap().unwrap();
    assert_eq!(first, WatchMessage::Cluster(view.clone()));
    assert_eq!(client.status().await.unwrap().clusters, 0, "it is not this controller's to look after");
}

#[tokio::test]
async fn what_another_machine_does_in_the_same_store_is_seen_at_once() {
    let home = Home::new();
    let client = home.start().await;
    let (far, elsewhere) = (name("far"), MachineId::new("another"));
    assert_eq!(client.get(&far).await.unwrap_err().code, ErrorCode::NotFound);
    let record = home.record("far", &elsewhere, &BootId::new("b")).await;
    assert_eq!(client.get(&far).await.unwrap().phase, Phase::Elsewhere);
    assert_eq!(client.list().await.unwrap().len(), 1);
    let answers: Vec<_> = client.create(request("far")).collect().await;
    let [Err(error)] = answers.as_slice() else { panic!("nothing is prepared for it: {answers:?}") };
    assert_eq!(error.code, ErrorCode::Elsewhere, "{error}");

    let mut changed = record.clone();
    (changed.revision, changed.wanted.generation) = (2, 2);
    let other = DirectoryStore::new(home.path("state"), elsewhere).unwrap();
    other.replace(&changed).await.unwrap();
    assert_eq!(client.get(&far).await.unwrap().generation, 2);

    other.remove(&record.key()).await.unwrap();
    assert_eq!(client.list().await.unwrap(), []);
    assert_eq!(client.get(&far).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_cluster_of_another_boot_is_lost_and_can_be_deleted() {
    let home = Home::new();
    home.record("old", &machine_id(), &BootId::new("an-earlier-one")).await;
    let client = home.start().await;
    let old = name("old");
    assert_eq!(client.get(&old).await.unwrap().phase, Phase::Lost);
    let events = client.events(&old, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::Lost]);
    let mut story = client.watch(&old);
    assert!(matches!(story.next().await, Some(Ok(WatchMessage::Cluster(_)))));
    client.delete(&old).await.unwrap();
    let rest: Vec<_> = story.map(Result::unwrap).collect().await;
    let deleting = |message: &WatchMessage| matches!(message, WatchMessage::Event(event) if event.kind == EventKind::Deleting);
    assert!(rest.iter().any(deleting), "{rest:?}");
    assert_eq!(rest.last(), Some(&WatchMessage::Gone));
    assert_eq!(client.get(&old).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_listed_with_what_to_do() {
    let home = Home::new();
    home.record("torn", &machine_id(), &BootId::new("b")).await;
    std::fs::write(home.path("state/clusters/torn/record.json"), "{").unwrap();
    let client = home.start().await;
    let listed = client.list().await.unwrap();
    let [Listed::Unreadable { name, problem }] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(name, "torn");
    assert!(problem.contains("hint: "), "{problem}");
    let answers: Vec<_> = client.create(request("torn")).collect().await;
    assert!(answers.last().unwrap().is_err(), "{answers:?}");
    assert_eq!(std::fs::read_to_string(home.path("state/clusters/torn/record.json")).unwrap(), "{");
}

#[tokio::test]
async fn a_stream_ends_with_an_error_when_its_controller_does() {
    let home = Home::new();
    home.record("far", &MachineId::new("another"), &BootId::new("b")).await;
    let client = home.start().await;
    let mut story = client.watch(&name("far"));
    assert!(story.next().await.unwrap().is_ok());
    client.stop().await.unwrap();
    let error = story.next().await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable);
    assert!(error.hint.unwrap().contains("clusters live on"));
    assert!(story.next().await.is_none());
}

#[tokio::test]
async fn whatever_is_sent_is_answered_with_an_error_that_names_it() {
    let home = Home::new();
    let client = home.start().await;
    let unknown = raw(&client, "GET /v2/clusters HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n").await;
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    assert!(unknown.contains(r#"{"code":"notFound","message":"there is no GET /v2/clusters"}"#), "{unknown}");
    let post = |body: &str| {
        format!(
            "POST /v1/clusters HTTP/1.1\r\nhost: c\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let nonsense = raw(&client, &post("{]")).await;
    assert!(nonsense.starts_with("HTTP/1.1 400"), "{nonsense}");
    assert!(nonsense.contains("the request cannot be read"), "{nonsense}");
    let path = "GET /v1/clusters/demo/logs/..%2F..%2Fsecret HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n";
    let elsewhere = raw(&client, path).await;
    assert!(elsewhere.starts_with("HTTP/1.1 40"), "{elsewhere}");
    let query = "GET /v1/clusters/demo/events?limit=x HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n";
    let answer = raw(&client, query).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(r#""code":"invalid""#), "{answer}");
}
