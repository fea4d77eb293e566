//! Ways from this machine to a scheduler, what may be wrong with them, and the credentials that they take.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    faults::faulty,
    faulty::Fault,
    harness::{run, until},
    refusals::RIGHTS,
    world::{usual, with_world},
};

const COMPUTE: &str = "from dask.distributed import Client\nprint(Client().submit(sum, [1, 2]).result())";

#[test]
fn a_scheduler_that_is_open_to_the_outside_is_reached_directly() {
    with_world(|world| {
        let home = world.home;
        let document = world.usual("demo", 1);
        let text = fs::read_to_string(&document).unwrap();
        fs::write(&document, text.replace("{kubernetes: {}}", "{kubernetes: {endpoint: NodePort}}")).unwrap();
        home.ok(&["create", "-f", document.to_str().unwrap()]);
        let address = "-o=jsonpath={.items[*].status.addresses[?(@.type=='InternalIP')].address}";
        let nodes = world.kubectl(&["get", "nodes", address]);
        let ports = "-o=jsonpath={.spec.ports[?(@.name=='comm')].nodePort}";
        let port = world.kubectl(&["get", "service", "demo-scheduler", ports]);
        let endpoint = until("the way through the port of a node", || {
            let endpoint = home.view("demo")["endpoint"].as_str()?.to_owned();
            (!endpoint.contains("127.0.0.1")).then_some(endpoint)
        });
        assert!(endpoint.ends_with(&format!(":{port}")), "{endpoint}");
        assert!(nodes.split(' ').any(|node| endpoint.contains(node)), "{endpoint}, nodes {nodes}");
        assert_eq!(home.python("demo", COMPUTE).trim(), "3");
        assert!(home.view("demo")["dashboard"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    });
}

#[test]
fn kubernetes_says_of_a_scheduler_whether_it_serves() {
    with_world(|world| {
        for (name, tls) in [("with", true), ("without", false)] {
            let spec = format!("{}\n  tls: {tls}", usual(0));
            world.try_create(name, &spec, &[]).ok();
            let pod = format!("pod/{name}-scheduler-0-0");
            world.kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=60s"]);
            let log = world.kubectl(&["logs", &pod]);
            assert!(!log.contains("SSL") && !log.contains("Traceback"), "{log}");
        }
    });
}

#[test]
fn a_connection_that_is_cut_and_a_way_that_is_barred_are_said_within_seconds() {
    with_world(|world| {
        let server = faulty(world);
        let home = world.home;
        world.create("demo", 1);
        assert!(!home.ok(&["events", "demo"]).contains("was cut"));
        server.rule(|asked| match asked.resource.as_str() {
            "pods/portforward" => Fault::Answer(503, ""),
            _ => Fault::None,
        });
        server.cut_streams();
        let said = until("an event about the cut", || {
            let events = home.ok(&["events", "demo"]);
            events.lines().find(|line| line.contains("ConnectionCut")).map(str::to_owned)
        });
        assert!(said.contains("cancels what it waits for"), "{said}");
        until("a condition that says what the forwarder was told", || {
            let degraded = home.until_condition("demo", "Degraded", "True");
            degraded["message"].as_str()?.contains("forward port 8786").then_some(())
        });
        server.rule(|_| Fault::None);
        home.until_condition("demo", "Degraded", "False");
        assert_eq!(home.python("demo", COMPUTE).trim(), "3");
        let events = home.ok(&["events", "demo"]);
        // Those that were cut together are told together, or as they are heard of.
        assert!(events.lines().filter(|line| line.contains("ConnectionCut")).count() <= 2, "{events}");
        home.ok(&["delete", "demo"]);
    });
}

/// Hands out a token to the blue team, as programs of cloud providers do to whoever has a profile.
const PROGRAM: &str = "#!/bin/sh
if [ \"$TEAM\" != blue ]; then echo \"there is no team '$TEAM'\" >&2; exit 3; fi
echo '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"TOKEN\"}}'
";

#[test]
fn a_program_that_hands_out_credentials_has_what_its_caller_has() {
    with_world(|world| {
        let home = world.home;
        let mut config: serde_json::Value =
            serde_json::from_str(&world.kubeconfig_with("somebody", &RIGHTS)).unwrap();
        let token = config["users"][0]["user"]["token"].as_str().unwrap().to_owned();
        let program = home.write("bin/team-token", &PROGRAM.replace("TOKEN", &token));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        config["users"][0]["user"] = serde_json::json!({ "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "team-token",
            "interactiveMode": "Never",
        } });
        world.use_kubeconfig(&config.to_string());
        let document = world.usual("demo", 1);
        let create = |team: &str| {
            let mut command = home.crewcall(&["create", "-f", document.to_str().unwrap()]);
            let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
            command.env("PATH", path).env("TEAM", team);
            command.arg("--python").arg(home.interpreter());
            run(command)
        };
        let refused = create("red");
        assert_ne!(refused.code, Some(0));
        assert!(refused.stderr.contains("team-token"), "{}", refused.stderr);
        assert!(refused.stderr.contains("there is no team 'red'"), "{}", refused.stderr);
        create("blue").ok();
        // The forwarder has it, too.
        assert_eq!(home.python("demo", COMPUTE).trim(), "3");
        for path in crate::harness::below(&home.path("state")) {
            let text = fs::read(&path).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&text).contains("TEAM"), "{}", path.display());
        }
    });
}
