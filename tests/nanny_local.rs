//! What users of a `LocalCluster` have from its nannies, with real Dask and without a nanny.
#![cfg(all(feature = "local", target_os = "linux"))]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

#[path = "local/fleet.rs"]
mod fleet;

use std::{path::Path, sync::Arc, time::Duration};

use crewcall::{
    controller::{ClusterView, Fleet},
    model::{ConditionKind, ConditionStatus, Event, EventKind, Severity},
};
use fleet::*;

const TWO: &str = "  workers: {replicas: 2, memory: 1GiB}\n";

/// Restarts all workers, then one of them.
const RESTARTS: &str = "
first, pids = names(), client.run(os.getpid)
begun = time.monotonic()
client.restart(timeout=60)
print('restart took', round(time.monotonic() - begun, 2))
second = names()
assert len(second) == 2 and not set(first) & set(second), (first, second)
assert not set(pids.values()) & set(client.run(os.getpid).values())
address = list(client.run(os.getpid))[0]
begun = time.monotonic()
print(client.restart_workers([address], timeout=60))
print('restart_workers took', round(time.monotonic() - begun, 2))
client.wait_for_workers(2, timeout=60)
assert sum(client.gather(client.map(lambda x: x * x, range(100)))) == 328350
assert len(names()) == 2 and len(set(names()) & set(second)) == 1, (second, names())
";

fn of_kind(events: &[Event], kind: EventKind) -> Vec<String> {
    events.iter().filter(|event| event.kind == kind).map(|event| event.message.clone()).collect()
}

/// Nothing that ended counts as a failure.
fn assert_no_failure(events: &[Event], view: &ClusterView) {
    for kind in [EventKind::NodeFailed, EventKind::NodeLate, EventKind::BackingOff] {
        assert_eq!(of_kind(events, kind), Vec::<String>::new(), "{}", lines(events));
    }
    let degraded = view.conditions.iter().find(|condition| condition.kind == ConditionKind::Degraded);
    assert!(degraded.is_none_or(|condition| condition.status == ConditionStatus::False), "{view:#?}");
}

async fn all_ready(fleet: &Arc<Fleet>, count: u32) -> ClusterView {
    until(fleet, "all workers are ready", |view| {
        view.groups[0].ready == count && view.nodes.len() == 1 + count as usize
    })
    .await
}

fn run(spec: &str, test: impl AsyncFnOnce(&Arc<Fleet>, &Path, &Path, ClusterView)) {
    let Some(python) = python() else { return };
    let state = Home::new();
    controller().block_on(async {
        let fleet = fleet(state.path()).await;
        let view = create(&fleet, &python, state.path(), spec).await;
        test(&fleet, &python, state.path(), view).await;
        delete(&fleet).await;
    });
}

#[test]
fn a_client_restarts_workers_and_that_is_no_failure() {
    run(TWO, async |fleet, python, _, view| {
        client(python, &view, RESTARTS);
        let view = all_ready(fleet, 2).await;
        let is_restart = |event: &Event| event.kind == EventKind::NodeRestarted;
        let events = until_told(fleet, "a restart is told", is_restart).await;
        let told = of_kind(&events, EventKind::NodeRestarted);
        assert!((2..=3).contains(&told.len()), "{told:?}");
        assert!(told.iter().all(|text| text.contains("was restarted on a client's wish")), "{told:?}");
        assert_no_failure(&events, &view);
    });
}

#[test]
fn without_tls_a_client_restarts_workers_as_well() {
    run("  tls: false\n  workers: {replicas: 1, memory: 1GiB}\n", async |fleet, python, _, view| {
        let script =
            "before = names()\nclient.restart(timeout=60)\nassert len(names()) == 1 and names() != before";
        client(python, &view, script);
        let view = all_ready(fleet, 1).await;
        assert_no_failure(&fleet.events(&name(), 1000).await.unwrap(), &view);
    });
}

#[test]
fn while_no_controller_lives_workers_restart_and_the_next_one_adopts_them() {
    let Some(python) = python() else { return };
    let state = Home::new();
    let first = controller();
    let view = first.block_on(async {
        let fleet = fleet(state.path()).await;
        create(&fleet, &python, state.path(), TWO).await
    });
    first.shutdown_timeout(Duration::ZERO);
    client(&python, &view, RESTARTS);
    controller().block_on(async {
        let fleet = fleet(state.path()).await;
        let view = all_ready(&fleet, 2).await;
        let events = fleet.events(&name(), 1000).await.unwrap();
        assert_eq!(of_kind(&events, EventKind::NodeRestarted).len(), 2, "{}", lines(&events));
        assert_no_failure(&events, &view);
        client(
            &python,
            &view,
            "assert len(names()) == 2, names()\nassert client.submit(sum, [1, 2]).result() == 3",
        );
        delete(&fleet).await;
    });
}

#[test]
fn a_task_that_kills_workers_ends_as_killed_worker_and_the_cluster_is_whole_again() {
    run(TWO, async |fleet, python, _, view| {
        let script = "
from distributed import KilledWorker
try:
    client.submit(os._exit, 5).result(timeout=100)
except KilledWorker as error:
    print(error)
else:
    raise SystemExit('the task ended well')
";
        client(python, &view, script);
        let view = all_ready(fleet, 2).await;
        client(python, &view, "assert client.submit(sum, [1, 2]).result(timeout=60) == 3");
        let events = fleet.events(&name(), 1000).await.unwrap();
        assert!(of_kind(&events, EventKind::NodeFailed).len() >= 3, "{}", lines(&events));
    });
}

/// A task that takes more memory than its worker may have, step by step.
const HOG: &str = "
from distributed import KilledWorker
def hog():
    held = []
    for _ in range(40):
        held.append(b'x' * (32 << 20))
        time.sleep(0.05)
    return len(held)
task = client.submit(hog, key='hog-1', pure=False)
try:
    print(task.result(timeout=100))
except KilledWorker:
    print('killed')
";

#[test]
fn a_worker_at_the_end_of_its_memory_is_killed_and_the_event_says_why() {
    let spec = "  engine: {dask: {config: {distributed.scheduler.allowed-failures: 0}}}\n  \
                workers: {replicas: 1, memory: 512MiB}\n";
    run(spec, async |fleet, python, _, view| {
        let worker =
            view.nodes.iter().find(|node| !node.name.as_str().contains("scheduler")).unwrap().name.clone();
        assert_eq!(client(python, &view, HOG).trim(), "killed");
        let is_failure = |event: &Event| event.kind == EventKind::NodeFailed;
        let events = until_told(fleet, "the failure is told", is_failure).await;
        let told = of_kind(&events, EventKind::NodeFailed).join("\n");
        assert!(told.contains(worker.as_str()), "{told}");
        assert!(told.contains("more than 95 % of its memory limit of 512 MiB; its task was hog-1"), "{told}");
        all_ready(fleet, 1).await;
    });
}

#[test]
fn no_worker_is_killed_for_its_memory_where_the_configuration_forbids_it() {
    let spec = "  engine: {dask: {config: {distributed.worker.memory.terminate: false}}}\n  \
                workers: {replicas: 1, memory: 512MiB}\n";
    run(spec, async |fleet, python, _, view| {
        assert_eq!(client(python, &view, HOG).trim(), "40");
        let view = all_ready(fleet, 1).await;
        assert_no_failure(&fleet.events(&name(), 1000).await.unwrap(), &view);
    });
}

/// A plugin for nannies, registered as each version has it.
const PLUGIN: &str = "
from distributed.diagnostics.plugin import NannyPlugin
class Mark(NannyPlugin):
    name = 'mark'
    restart = True
    def setup(self, nanny):
        nanny.env['MARK'] = 'made'
def register():
    if hasattr(client, 'register_plugin'):
        return client.register_plugin(Mark())
    return client.register_worker_plugin(Mark(), nanny=True)
";

#[test]
fn what_needs_a_real_nanny_is_refused_with_the_setting_that_gives_one() {
    run(TWO, async |fleet, python, _, view| {
        let script = format!(
            "{PLUGIN}
for attempt in (register, lambda: client.run(os.getpid, nanny=True)):
    try:
        print(attempt())
    except Exception as error:
        assert '`nanny: true`' in str(error), error
    else:
        raise SystemExit('it was not refused')
logs = client.get_worker_logs(nanny=True, n=5)
assert len(logs) == 2 and all(len(lines) <= 5 for lines in logs.values()), logs
assert client.submit(sum, [1, 2]).result() == 3
"
        );
        client(python, &view, &script);
        assert_no_failure(&fleet.events(&name(), 1000).await.unwrap(), &view);
    });
}

#[test]
fn a_plugin_of_nannies_is_refused_while_there_is_no_worker_and_kept_where_nannies_will_come() {
    let refused = format!(
        "{PLUGIN}
assert not names()
try:
    register()
except Exception as error:
    assert '`nanny: true`' in str(error), error
else:
    raise SystemExit('it was not refused')
"
    );
    run("  workers: {replicas: 0}\n", async |_, python, _, view| {
        client(python, &view, &refused);
    });
    run("  workers: {replicas: 0, nanny: true}\n", async |_, python, _, view| {
        client(python, &view, &format!("{PLUGIN}\nregister()\n"));
    });
}

/// Tells a worker to stop with results in it, and looks that none was computed again.
const STOP_ONE: &str = "
import collections
def work(x):
    with open('runs', 'a') as runs:
        runs.write(f'{x}\\n')
    return x
futures = client.map(work, range(20))
distributed.wait(futures)
scattered = client.scatter(list(range(100, 110)))
# Sooner it would count as a worker that cannot live.
time.sleep(10)
os.kill(list(client.run(os.getpid, nanny=TARGET).values())[0], signal.SIGTERM)
deadline = time.monotonic() + 60
before = names()
while names() == before and time.monotonic() < deadline:
    time.sleep(0.1)
assert client.gather(futures) == list(range(20))
assert client.gather(scattered) == list(range(100, 110))
runs = collections.Counter(open('runs').read().split())
assert set(runs.values()) == {1}, runs
";

#[test]
fn a_group_with_nannies_of_its_own_runs_their_plugins_restarts_and_drains() {
    run("  workers: {replicas: 2, memory: 1GiB, nanny: true}\n", async |fleet, python, directory, view| {
        let script = format!(
            "{PLUGIN}
os.chdir({directory:?})
register()
client.wait_for_workers(2, timeout=60)
assert set(client.run(lambda: os.environ.get('MARK')).values()) == {{'made'}}
before = client.run(os.getpid)
client.restart(timeout=100)
assert len(names()) == 2 and not set(before.values()) & set(client.run(os.getpid).values())
{}
",
            STOP_ONE.replace("TARGET", "True"),
        );
        client(python, &view, &script);
        let view = all_ready(fleet, 2).await;
        let events = fleet.events(&name(), 1000).await.unwrap();
        assert_no_failure(&events, &view);
        assert_eq!(of_kind(&events, EventKind::ResultsLost), Vec::<String>::new(), "{}", lines(&events));
        assert_eq!(of_kind(&events, EventKind::NodeEnded).len(), 1, "{}", lines(&events));
    });
}

#[test]
fn a_stop_that_lost_nothing_is_an_end_and_one_that_did_is_told_with_what_was_lost() {
    run(TWO, async |fleet, python, directory, view| {
        let script = format!("os.chdir({directory:?})\n{}", STOP_ONE.replace("TARGET", "False"));
        client(python, &view, &script);
        let view = all_ready(fleet, 2).await;
        let events = fleet.events(&name(), 1000).await.unwrap();
        assert_no_failure(&events, &view);
        assert_eq!(of_kind(&events, EventKind::ResultsLost), Vec::<String>::new(), "{}", lines(&events));

        let script = "
class Counter:
    def at(self):
        return distributed.get_worker().address
counter = client.submit(Counter, actor=True).result(timeout=60)
pids = client.run(os.getpid, workers=[counter.at().result(timeout=60)])
before = names()
os.kill(list(pids.values())[0], signal.SIGTERM)
# An actor lives as long as its client.
deadline = time.monotonic() + 60
while names() == before and time.monotonic() < deadline:
    time.sleep(0.1)
";
        client(python, &view, script);
        let is_unclean = |event: &Event| event.message.contains("could not hand everything over");
        let events = until_told(fleet, "the loss is told", is_unclean).await;
        let loss = events.iter().find(|event| is_unclean(event)).unwrap();
        assert_eq!((loss.kind, loss.severity), (EventKind::ResultsLost, Severity::Warning));
        assert!(
            loss.message.contains("it still had") && loss.message.contains("1 actor"),
            "{}",
            loss.message
        );
        let view = all_ready(fleet, 2).await;
        assert_no_failure(&events, &view);
    });
}
