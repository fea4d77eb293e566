//! Tests of what is asked of a scheduler and of what is made of its replies.

use super::super::{
    Ranking, StatusQuestion,
    codec::field,
    fake::{client, map},
};
use super::*;
use crate::model::{Demand, Departure, WorkerStatus};

fn node(name: &str) -> NodeName {
    NodeName::new(name)
}

fn worker(name: Value, status: &str, metrics: Value) -> Value {
    map([
        ("name", name),
        ("status", status.into()),
        ("nthreads", 2.into()),
        ("memory_limit", 1000.into()),
        ("nanny", Value::Nil),
        ("metrics", metrics),
        ("something-new", 1.into()),
    ])
}

fn identity() -> Value {
    let recent = map([
        ("managed_bytes", 7.into()),
        ("task_counts", map([("memory", 2.into()), ("executing", 1.into())])),
    ]);
    let old = map([("in_memory", 3.into()), ("executing", 1.into()), ("ready", 4.into())]);
    map([
        ("id", "Scheduler-1".into()),
        ("services", map([("dashboard", 8787.into())])),
        (
            "workers",
            map([
                ("tls://127.0.0.1:1", worker("demo-workers-0-0".into(), "running", recent)),
                ("tls://127.0.0.1:2", worker("demo-workers-1-0".into(), "closing_gracefully", old)),
                ("tls://127.0.0.1:3", worker(5.into(), "init", map([]))),
            ]),
        ),
    ])
}

fn versions(distributed: &str) -> Value {
    map([
        ("host", map([("python", "3.11.7.final.0".into())])),
        ("packages", map([("distributed", distributed.into()), ("numpy", Value::Nil)])),
    ])
}

fn status() -> Value {
    let worker = |state: &str| {
        map([
            ("address", "tls://127.0.0.1:1".into()),
            ("state", state.into()),
            ("held_bytes", 10.into()),
            ("held_results", 2.into()),
            ("processing", 1.into()),
            ("actors", 0.into()),
        ])
    };
    let demand = map([
        ("resources", map([("GPU", 1.into())])),
        ("runnable", 3.into()),
        ("unrunnable", 4.into()),
        ("occupancy", 1.5.into()),
    ]);
    let departure = map([
        ("sequence", 40.into()),
        ("worker", "c".into()),
        ("at", 1_800_000_000.25.into()),
        ("expected", false.into()),
        ("lost_computed", 5.into()),
        ("lost_scattered", 6.into()),
    ]);
    map([
        ("protocol", 1.into()),
        ("sequence", 41.into()),
        ("idle_since", 1_800_000_000.5.into()),
        ("clients", 2.into()),
        ("workers", map([("a", worker("running")), ("b", worker("retiring"))])),
        ("demand", Value::Array(vec![demand])),
        ("ranking", Value::Array(vec!["b".into(), "a".into(), 3.into()])),
        ("departures", Value::Array(vec![departure])),
        ("unavailable", Value::Array(vec!["queued".into()])),
    ])
}

fn question(ranking: Ranking) -> StatusQuestion {
    StatusQuestion { since: Some(40), wait: Duration::from_secs(100), ranking }
}

#[tokio::test]
async fn an_identity_gives_workers_by_name_whatever_their_release() {
    let (mut client, _) = client([("identity", identity())]).await;
    let identity = client.identity().await.unwrap();
    assert_eq!((identity.id.as_str(), identity.dashboard_port), ("Scheduler-1", Some(8787)));
    let first = &identity.workers[&node("demo-workers-0-0")];
    assert_eq!((first.state, first.threads, first.memory_limit), (WorkerState::Running, 2, 1000));
    assert_eq!(first.activity, WorkerActivity { held_bytes: 7, held_results: 2, assigned: 1 });
    let second = &identity.workers[&node("demo-workers-1-0")];
    assert_eq!(second.state, WorkerState::Retiring);
    assert_eq!(second.activity, WorkerActivity { held_bytes: 0, held_results: 3, assigned: 5 });
    let third = &identity.workers[&node("5")];
    assert_eq!((third.state, third.address.as_str()), (WorkerState::Starting, "tls://127.0.0.1:3"));
}

#[tokio::test]
async fn retiring_gives_the_names_that_were_let_go() {
    let reply = map([("tls://127.0.0.1:1", map([("name", "a".into())]))]);
    let (mut client, requests) = client([("retire_workers", reply)]).await;
    let names = BTreeSet::from([node("a"), node("b")]);
    let within = Duration::from_secs(15);
    let gone = client.retire_workers(&names, RetireMode::KeepProcess, within).await.unwrap();
    assert_eq!(gone, BTreeSet::from([node("a")]));
    client.retire_workers(&names, RetireMode::CloseWorkers, within).await.unwrap();
    let requests = requests.lock().unwrap();
    let closes = |i: usize| field(&requests[i], "close_workers").and_then(Value::as_bool);
    assert_eq!((closes(0), closes(1)), (Some(false), Some(true)));
    assert_eq!(field(&requests[0], "names"), Some(&Value::Array(vec!["a".into(), "b".into()])));
}

#[tokio::test]
async fn retiring_nobody_does_not_leave_the_choice_to_the_scheduler() {
    let (mut client, requests) = client([]).await;
    let gone =
        client.retire_workers(&BTreeSet::new(), RetireMode::CloseWorkers, Duration::from_secs(1)).await;
    assert!(gone.unwrap().is_empty());
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_status_is_read_in_full() {
    let (mut client, requests) = client([("crewcall_status", status())]).await;
    let status = client.status(question(Ranking::Wanted)).await.unwrap();
    assert_eq!((status.sequence, status.clients), (41, 2));
    assert_eq!(status.idle_since.unwrap().to_string(), "2027-01-15T08:00:00.5Z");
    let worker = |state| WorkerStatus {
        address: "tls://127.0.0.1:1".to_owned(),
        state,
        held_bytes: 10,
        held_results: 2,
        processing: 1,
        actors: 0,
        memory_limit: None,
    };
    let workers = [(node("a"), worker(WorkerState::Running)), (node("b"), worker(WorkerState::Retiring))];
    assert_eq!(status.workers, BTreeMap::from(workers));
    let resources = BTreeMap::from([("GPU".to_owned(), 1.0)]);
    let demand = Demand { resources, runnable: 3, unrunnable: 4, occupancy: Duration::from_millis(1500) };
    assert_eq!(status.demand, [demand]);
    assert_eq!(status.ranking, Some(vec![node("b"), node("a"), node("3")]));
    let departure = Departure {
        worker: node("c"),
        at: "2027-01-15T08:00:00.25Z".parse().unwrap(),
        expected: Some(false),
        lost_computed: 5,
        lost_scattered: 6,
    };
    assert_eq!(status.departures, [departure]);
    assert_eq!(status.unavailable, ["queued"]);
    let request = requests.lock().unwrap()[0].clone();
    assert_eq!(field(&request, "since"), Some(&40.into()));
    assert_eq!(field(&request, "wait"), Some(&60.0.into()));
    assert_eq!(field(&request, "ranking"), Some(&true.into()));
}

fn with(mut map: Value, key: &str, value: Option<Value>) -> Value {
    if let Value::Map(pairs) = &mut map {
        pairs.retain(|(k, _)| k.as_str() != Some(key));
        pairs.extend(value.map(|v| (key.into(), v)));
    }
    map
}

#[tokio::test]
async fn a_status_of_another_shape_is_an_error_and_never_half_read() {
    let text = |value| async move {
        let (mut client, _) = client([("crewcall_status", value)]).await;
        client.status(question(Ranking::NotWanted)).await.unwrap_err().to_string()
    };
    let error = text(with(status(), "protocol", Some(2.into()))).await;
    assert!(error.contains("its status has protocol 2, this version reads 1"), "{error}");
    let error = text(with(status(), "protocol", None)).await;
    assert!(error.contains("its status has protocol none"), "{error}");
    let error = text(with(status(), "workers", None)).await;
    assert!(error.contains("missing field `workers`"), "{error}");
    let error = text(with(status(), "clients", Some((-1).into()))).await;
    assert!(error.contains("answered crewcall_status with something else than expected"), "{error}");
    let workers = map([("a", map([("address", "x".into()), ("state", "asleep".into())]))]);
    let error = text(with(status(), "workers", Some(workers))).await;
    assert!(error.contains("\"asleep\" is no state of a worker"), "{error}");
    let error = text(with(status(), "idle_since", Some(f64::MAX.into()))).await;
    assert!(error.contains("is no moment"), "{error}");
}

#[tokio::test]
async fn rounding_below_zero_is_no_work() {
    let demand = map([
        ("resources", map([])),
        ("runnable", 0.into()),
        ("unrunnable", 0.into()),
        ("occupancy", (-1e-12).into()),
    ]);
    let (mut client, _) =
        client([("crewcall_status", with(status(), "demand", Some(Value::Array(vec![demand]))))]).await;
    let status = client.status(question(Ranking::NotWanted)).await.unwrap();
    assert_eq!(status.demand[0].occupancy, Duration::ZERO);
}

#[tokio::test]
async fn without_the_preload_the_stock_operations_answer_and_say_what_is_missing() {
    let ranked = Value::Array(vec!["demo-workers-1-0".into()]);
    let answers = |release: &str| {
        [
            ("identity", identity()),
            ("versions", versions(release)),
            ("check_idle", 1_800_000_000.5.into()),
            ("workers_to_close", ranked.clone()),
        ]
    };
    let (mut recent, _) = client(answers("2026.8.0")).await;
    let error = recent.status(question(Ranking::Wanted)).await.unwrap_err();
    assert!(matches!(error, RpcError::UnknownOp { .. }));
    let status = recent.status_from_stock_operations(Ranking::Wanted).await.unwrap();
    assert_eq!(status.idle_since.unwrap().to_string(), "2027-01-15T08:00:00.5Z");
    assert_eq!(status.ranking, Some(vec![node("demo-workers-1-0")]));
    assert_eq!(status.workers[&node("demo-workers-1-0")].processing, 5);
    assert_eq!(status.unavailable, ["sequence", "clients", "demand", "departures", "actors"]);

    let (mut old, requests) = client(answers("2022.10.2")).await;
    let status = old.status_from_stock_operations(Ranking::NotWanted).await.unwrap();
    assert_eq!((status.idle_since, status.ranking), (None, None));
    assert!(status.unavailable.contains(&"idle_since".to_owned()));
    let requests = requests.lock().unwrap();
    assert!(!requests.iter().any(|r| field(r, "op").and_then(Value::as_str) == Some("check_idle")));
}
