//! Nobody else gets in.

use std::fs;

use crate::{
    clients::{computes, workers},
    harness::{Home, below, mode, run, with_home},
};

const TWO: &str = "workers: {replicas: 2, memory: 1GiB}";

/// Says what a peer with these certificates (or none) gets to read from an address.
const KNOCK: &str = "
import socket, ssl, sys
host, port = sys.argv[1].split('://')[1].rsplit(':', 1)
connection = socket.create_connection((host, int(port)), timeout=20)
if sys.argv[2] != 'plain':
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if sys.argv[2] != 'anonymous':
        context.load_cert_chain(sys.argv[2], sys.argv[3])
try:
    if sys.argv[2] != 'plain':
        connection = context.wrap_socket(connection)
    else:
        connection.sendall(b'\\0' * 64)
    print('read', len(connection.recv(8)))
except (ssl.SSLError, ConnectionError) as error:
    print('refused', type(error).__name__)
";

fn knock(home: &Home, address: &str, certificate: &[&str]) -> bool {
    let mut python = home.program(home.interpreter());
    python.args(["-c", KNOCK, address]).args(certificate);
    let printed = run(python).ok();
    printed.starts_with("read") && printed.trim() != "read 0"
}

#[test]
fn scheduler_and_workers_refuse_peers_without_a_certificate_and_those_of_other_clusters() {
    with_home(|home| {
        home.create("demo", TWO);
        home.create("other", "workers: {replicas: 0}");
        let files = |cluster: &str| {
            let client = home.view(cluster)["client"].clone();
            [client["cert"].as_str().unwrap().to_owned(), client["key"].as_str().unwrap().to_owned()]
        };
        let (own, foreign) = (files("demo"), files("other"));
        let nodes = home.view("demo")["nodes"].clone();
        assert_eq!(nodes.as_array().unwrap().len(), 3);
        for node in nodes.as_array().unwrap() {
            let address = node["address"].as_str().unwrap();
            assert!(knock(home, address, &[&own[0], &own[1]]), "{address} answers its own client");
            assert!(!knock(home, address, &["plain"]), "{address} refuses plain text");
            assert!(!knock(home, address, &["anonymous"]), "{address} refuses who shows no certificate");
            assert!(!knock(home, address, &[&foreign[0], &foreign[1]]), "{address} refuses a foreign one");
        }
        computes(home, "demo", 2);
    });
}

#[test]
fn a_cluster_without_tls_works_and_says_that_it_is_open() {
    with_home(|home| {
        let printed = home.create("demo", &format!("{TWO}\n  tls: false"));
        assert!(printed.contains("endpoint   tcp://127.0.0.1:"), "{printed}");
        computes(home, "demo", 2);
        let condition = home.until_condition("demo", "Encrypted", "False");
        assert!(condition["message"].as_str().unwrap().contains("tls: false"), "{condition}");
        assert_eq!(below(&home.path("state/clusters/demo/tls")), Vec::<std::path::PathBuf>::new(), "no keys");
        // Variables of another cluster do not hinder its clients.
        let mut client = home.client("demo", "from dask.distributed import Client; Client()");
        client.env("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "True");
        run(client).ok();
    });
}

#[test]
fn keys_lie_only_in_files_of_their_owner() {
    with_home(|home| {
        home.create("demo", TWO);
        let tls = home.path("state/clusters/demo/tls");
        let mut secrets = vec!["PRIVATE KEY".to_owned()];
        for path in below(&tls) {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            if path.to_str().unwrap().ends_with("-key.pem") {
                let pem = fs::read_to_string(&path).unwrap();
                secrets.push(pem.lines().nth(1).unwrap().to_owned());
            }
        }
        assert_eq!(secrets.len(), 6, "five keys");
        for path in below(&home.path("state")).into_iter().chain(below(&home.path("run"))) {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let wanted = if kind.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), wanted, "{}", path.display());
            let Ok(content) = fs::read(&path) else { continue };
            if !path.starts_with(&tls) {
                assert!(!holds(&content, &secrets), "{} holds a key", path.display());
            }
        }
        // The nodes, their host and the fork server, the spare, the controller.
        let nodes = workers(home, "demo").into_iter().map(|pid| pid.as_raw_nonzero().get());
        let all: Vec<i32> = home.processes().into_iter().map(|(pid, _)| pid).chain(nodes).collect();
        assert!(all.len() >= 6, "{all:?}");
        for pid in all {
            for file in ["environ", "cmdline"] {
                let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                assert!(!holds(&content, &secrets), "{file} of process {pid} holds a key");
            }
        }
        for verb in [&["env", "demo"][..], &["get", "demo", "-o", "yaml"], &["describe", "demo"]] {
            assert!(!holds(home.ok(verb).as_bytes(), &secrets), "{verb:?} prints a key");
        }
    });
}

fn holds(content: &[u8], secrets: &[String]) -> bool {
    let text = String::from_utf8_lossy(content);
    secrets.iter().any(|secret| text.contains(secret.as_str()))
}
