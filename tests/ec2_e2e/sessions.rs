//! Clusters whose machines have no public address and no open port: clients come through Systems Manager.

use std::{net::SocketAddr, net::TcpStream, path::Path, time::Duration};

use rustix::process::Pid;
use serde_json::json;

use crate::{
    harness::{Outcome, is_gone, kill_9, run, start, touch, until},
    world::{World, with_world},
};

const PLUGIN: &str = "session-manager-plugin";
const SCHEDULER: &str = "crewcall-scheduler";
const PARAMETERS: [&str; 2] = ["ssm:GetParameter /crewcall/*", "ssm:GetParameters /crewcall/*"];
const AGENT: [&str; 2] = ["ssm:UpdateInstanceInformation", "ssmmessages:*"];

/// Holds a result until it is told to go, then computes with it.
const HOLD: &str = "
import pathlib, time
from dask.distributed import Client, wait
client = Client()
held = client.submit(lambda: bytes(1_000_000))
wait(held)
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
deadline = time.monotonic() + 120
while True:
    try:
        print('summed', sum(client.gather(client.map(abs, range(100)))), flush=True)
        break
    except Exception as error:
        assert time.monotonic() < deadline, error
        time.sleep(0.2)
";

/// Runs `test` in an account in which schedulers offer sessions.
fn with_sessions(test: impl FnOnce(&World<'_>)) {
    with_world(|world| {
        let offers: Vec<_> = PARAMETERS.iter().chain(&AGENT).collect();
        world.tell("profile", &json!({"name": SCHEDULER, "policy": {"allow": offers}}));
        test(world);
        world.home.ok(&["delete", "--all"]);
        world.tell("profile", &json!({"name": SCHEDULER, "policy": {"allow": PARAMETERS}}));
    });
}

/// A caller's path, with AWS' program on it.
fn path(world: &World<'_>) -> String {
    let tools = std::env::var("CREWCALL_TEST_EC2_TOOLS").unwrap();
    let own = world.home.crewcall(&[]);
    let own = own.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
    format!("{}:{tools}", own.unwrap().to_str().unwrap())
}

fn create(world: &World<'_>, path: Option<&str>) -> Outcome {
    let ec2 = "addresses: sessionManager\n      subnets: [subnet-0c0ffee0c0ffee00a]";
    let document = world.document_of(ec2, &World::usual(1));
    let mut create = world.home.crewcall(&["create", "-f", document.to_str().unwrap()]);
    create.envs(path.map(|path| ("PATH", path)));
    run(create)
}

/// The processes of a test whose command line has that in it.
fn running(world: &World<'_>, named: &str) -> Vec<Pid> {
    let all = world.home.processes().into_iter();
    all.filter(|(_, command)| command.contains(named)).filter_map(|(pid, _)| Pid::from_raw(pid)).collect()
}

/// The one program that keeps the session.
fn plugin(world: &World<'_>) -> Pid {
    until("the program that keeps a session", || match *running(world, PLUGIN) {
        [one] => Some(one),
        _ => None,
    })
}

fn sessions(world: &World<'_>) -> usize {
    let left = world.asked("leftovers");
    left.as_array().unwrap().iter().filter(|one| one.as_str().unwrap().starts_with("session ")).count()
}

#[test]
fn a_cluster_without_an_open_port_computes_outlives_its_session_and_leaves_nothing() {
    with_sessions(|world| {
        let home = world.home;
        let said = create(world, Some(&path(world))).ok();
        assert!(said.contains("Cluster demo is ready: 1 worker\n"), "{said}");
        let endpoint = home.view("demo")["endpoint"].as_str().unwrap().to_owned();
        assert!(endpoint.starts_with("tls://127.0.0.1:"), "{endpoint}");
        // Nobody is let in, neither by a rule nor by a public address.
        let report = world.asked("report");
        let scheduler = report["instances"].as_object().unwrap().values();
        let mut scheduler = scheduler.filter(|one| one["tags"]["crewcall:role"] == "scheduler");
        let scheduler = scheduler.next().unwrap();
        assert!(scheduler["public_ip"].is_null(), "{scheduler}");
        let address: SocketAddr =
            format!("{}:8786", scheduler["private_ip"].as_str().unwrap()).parse().unwrap();
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).unwrap_err();

        assert_eq!(sessions(world), 1);
        let link = home.ok(&["dashboard", "demo", "--print"]);
        assert!(link.starts_with("http://127.0.0.1:"), "{link}");
        home.ok(&["scale", "demo", "2"]);
        assert_eq!(world.workers().len(), 2);

        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        let before = plugin(world);
        kill_9(before);
        until("another program", || (plugin(world) != before).then_some(()));
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("summed 4950"));
        until("one session", || (sessions(world) == 1).then_some(()));

        // A forwarder that dies takes the program with it, and the next one ends its session.
        let (forwarder, program) = (running(world, "__forwarder")[0], plugin(world));
        kill_9(forwarder);
        until("the end of the program", || is_gone(program).then_some(()));
        until("the next forwarder's", || {
            (running(world, "__forwarder").len() == 1 && plugin(world) != program).then_some(())
        });
        until("one session", || (sessions(world) == 1).then_some(()));
        assert_eq!(
            home.python(
                "demo",
                "from dask.distributed import Client; print(Client().submit(abs, -7).result())"
            )
            .trim(),
            "7"
        );

        // Also one that was killed and had no successor: nobody is there to start one.
        home.ok(&["controller", "stop"]);
        let forwarder = running(world, "__forwarder")[0];
        kill_9(forwarder);
        home.ok(&["delete", "demo"]);
        assert_eq!(world.asked("leftovers"), json!([]));
        until("the end of forwarder and program", || {
            (running(world, "__forwarder").is_empty() && running(world, PLUGIN).is_empty()).then_some(())
        });
        let left: Vec<_> = std::fs::read_dir(home.path("tmp")).unwrap().flatten().collect();
        let scratch = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("crewcall-");
        assert!(!left.iter().any(|one| scratch(&one.path())), "{left:?}");
    });
}

#[test]
fn without_the_program_it_is_said_where_to_get_it_before_anything_is_made() {
    with_sessions(|world| {
        let refused = create(world, None);
        assert!(!refused.status.success());
        assert!(refused.stderr.contains(PLUGIN) && refused.stderr.contains("install"), "{}", refused.stderr);
        assert_eq!(world.asked("leftovers"), json!([]));
        let document = world.home.path("work/demo.yaml");
        let mut doctor = world.home.crewcall(&["doctor", "-f", document.to_str().unwrap()]);
        doctor.env("PATH", path(world));
        let said = run(doctor).stdout;
        assert!(said.contains("through Session Manager"), "{said}");
    });
}
