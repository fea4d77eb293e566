//! An API server that fails in the ways that API servers do.

use std::time::Duration;

use crate::{
    faulty::{Asked, Fault, Faulty},
    harness::{start, touch, until},
    world::{World, with_world},
};

/// So many calls may a cluster take for what is done with it, and as many more in each second of its life, whatever
/// goes wrong.
const CALLS: usize = 200;
const EACH_SECOND: usize = 10;

/// So many calls at most in any second: what is more is a loop without a pause.
const BUSIEST: usize = 90;

fn is_change(asked: &Asked) -> bool {
    matches!(asked.verb, "create" | "delete" | "patch") && !asked.resource.contains("selfsubject")
}

fn is_stream(asked: &Asked) -> bool {
    asked.resource.contains('/')
}

/// Puts one between the program under test and the API server.
pub fn faulty(world: &World<'_>) -> Faulty {
    let server = Faulty::before(world.administrator());
    world.use_kubeconfig(&server.kubeconfig());
    server
}

/// A cluster is made, used, made larger and smaller, and deleted, while the API server has such faults.
fn lives_with(rule: impl FnMut(&Asked) -> Fault + Send + 'static) {
    with_world(|world| {
        let server = faulty(world);
        server.rule(rule);
        let home = world.home;
        world.create("demo", 1);
        home.ok(&["scale", "demo", "3"]);
        assert_eq!(world.pods().len(), 4, "{:?}", world.pods());
        let script = "from dask.distributed import Client\nprint(Client().submit(sum, [1, 2]).result())";
        assert_eq!(home.python("demo", script).trim(), "3");
        home.ok(&["scale", "demo", "1"]);
        until("the pods that are not needed to go", || (world.pods().len() == 2).then_some(()));
        server.no_doubles();
        home.ok(&["delete", "demo"]);
        assert_eq!(world.left(), Vec::<String>::new());
        is_patient(&server);
    });
}

fn is_patient(server: &Faulty) {
    let (all, busiest, seconds) = (server.asked().len(), server.busiest_second(), server.seconds());
    let told = format!("{all} calls in {seconds} s, {busiest} in the busiest second: {:#?}", server.table());
    eprintln!("{told}");
    assert!(all <= CALLS + EACH_SECOND * seconds && busiest <= BUSIEST, "{told}");
}

#[test]
fn too_many_requests_and_internal_errors_are_outlived() {
    lives_with(|asked| match asked.nth % 4 {
        _ if is_stream(asked) => Fault::None,
        1 => Fault::Answer(429, "retry-after: 1\r\n"),
        3 => Fault::Answer(500, ""),
        _ => Fault::None,
    });
}

#[test]
fn what_was_done_without_a_reply_is_not_done_twice_while_every_watch_has_expired() {
    let mut known = std::collections::BTreeSet::new();
    lives_with(move |asked| {
        let first = known.insert((asked.verb, asked.resource.clone(), asked.name.clone()));
        if asked.verb == "watch" {
            Fault::Answer(200, "")
        } else if is_change(asked) && !is_stream(asked) && first {
            Fault::DropReply
        } else {
            Fault::None
        }
    });
}

#[test]
fn lists_that_are_old_lead_to_no_second_pod() {
    with_world(|world| {
        let server = faulty(world);
        let home = world.home;
        world.create("demo", 1);
        // What was listed in the beginning is listed again for a while, and watches say nothing.
        let begun = std::time::Instant::now();
        server.rule(move |asked| match (asked.verb, asked.resource.as_str()) {
            ("watch", _) if begun.elapsed() < Duration::from_secs(4) => Fault::Answer(200, ""),
            ("list", "pods") if begun.elapsed() < Duration::from_secs(4) => Fault::Stale,
            _ => Fault::None,
        });
        server.cut_watches();
        home.ok(&["scale", "demo", "3"]);
        home.until_condition("demo", "WorkersReady", "True");
        server.no_doubles();
        assert!(!home.ok(&["events", "demo"]).contains("SchedulerLost"));
        server.rule(|_| Fault::None);
        home.ok(&["delete", "demo"]);
        is_patient(&server);
    });
}

/// Results held while the API server says nothing.
const HOLD: &str = "
import pathlib, time
from dask.distributed import Client, get_worker, wait
client = Client()
def counted(n):
    get_worker().log_event('runs', n)
    return n
results = client.map(counted, range(40))
wait(results)
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == list(range(40))
print('runs', len(client.get_events('runs')), flush=True)
";

#[test]
fn half_a_minute_of_silence_changes_nothing_that_is_there() {
    with_world(|world: &World<'_>| {
        let server = faulty(world);
        let home = world.home;
        world.create("demo", 1);
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        let before = server.asked().len();
        server.be_silent(Duration::from_secs(30));
        let growing = start(home.crewcall(&["scale", "demo", "3"]));
        server.until_asked("a pod asked for in the silence", |asked| asked.name == "demo-workers-1-0");
        drop(growing.end().ok());
        assert_eq!(world.pods().len(), 4, "{:?}", world.pods());
        server.no_doubles();
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("runs 40"), "nothing was computed again");
        let events = home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
        let asked = server.asked().len() - before;
        assert!(asked <= 150, "{asked} calls: {:#?}", server.table());
        home.ok(&["delete", "demo"]);
        is_patient(&server);
    });
}
