//! The API server and the parser accept and refuse the same documents, but for what is listed here.

use std::{collections::BTreeMap, fs, path::Path, sync::Mutex};

use crewcall::spec::{Document, ProviderKind, crd, load};
use regex::Regex;
use serde_json::Value;

use crate::stage::{Stage, stage};

/// What only the parser refuses, and why the API server cannot.
const ONLY_BY_THE_PARSER: [(&str, &str); 15] = [
    ("ec2_disk_size", "CEL does not compute with units of memory"),
    ("ec2_types_of_two_architectures", "CEL does not know which family has which processors"),
    ("engine_config_key, moved", FREE_FORM),
    (
        "env_value_with_escape, moved",
        "a rule over the characters of all variables' values would cost too much",
    ),
    ("kubernetes_pod_spec_sidecar", FREE_FORM),
    ("kubernetes_pod_spec_too_large", "bytes of a value in its JSON form are not known to CEL"),
    ("memory_of_scheduler_too_small", "CEL cannot read Dask's units"),
    ("replicas_leading_zero, moved", READING),
    ("status_given, moved", "`status` is a part of the object"),
    ("tls_is_yes, moved", READING),
    ("yaml_anchor_and_alias, moved", READING),
    ("yaml_duplicate_key, moved", READING),
    ("yaml_merge_key, moved", READING),
    ("yaml_second_document, moved", READING),
    ("yaml_tag, moved", READING),
];

/// What only the API server refuses, and why.
const ONLY_BY_THE_SERVER: [(&str, &str); 1] = [(
    "kubernetes",
    "a field of the API server is a text or a whole number: `cpu: 0.5` has to be written as `500m`",
)];

const FREE_FORM: &str = "CEL does not see what is free-form";
const READING: &str = "it is kubectl that reads the text, by YAML 1.1; what it sends is a good object";

const LOCAL: &str = "the operator runs nothing on your machine";

fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.is_file())
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// In the namespace of the test.
fn here(text: &str, stage: &Stage) -> String {
    text.replace("namespace: data", &format!("namespace: {}", stage.namespace()))
}

/// The same document, run by Kubernetes; the environment goes where it is one of this machine.
fn moved(text: &str) -> String {
    let environment =
        Regex::new(r"(?m)^  environment: \{(interpreter|packages).*\n|^  environment:\n    packages: .*\n")
            .unwrap();
    let words = [("local: {}", "kubernetes: {}"), (r#""local": {}"#, r#""kubernetes": {}"#)];
    let text = environment.replace(text, "");
    words.into_iter().fold(text.into_owned(), |text, (local, kubernetes)| text.replace(local, kubernetes))
}

/// A document and its forms.
fn documents(stage: &Stage) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in ["good", "bad"] {
        for (name, text) in files(folder) {
            let text = here(&text, stage);
            let elsewhere = moved(&text);
            if folder == "good" && elsewhere != text {
                all.push((format!("{name}, moved"), elsewhere));
            } else if folder == "bad" {
                // What is wrong with it is to be found where nothing else is.
                let only = text.replace("local: {}", "kubernetes: {}");
                if only != text {
                    all.push((format!("{name}, moved"), only));
                }
            }
            all.push((name, text));
        }
    }
    all
}

/// Each document, and what the API server makes of it; some at a time.
fn rehearsals(stage: &Stage) -> Vec<(String, String, Result<Value, String>)> {
    let documents = Mutex::new(documents(stage));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((name, text)) = documents.lock().unwrap().pop() else { return };
                    let rehearsed = stage.rehearse(&text);
                    done.lock().unwrap().push((name, text, rehearsed));
                }
            });
        }
    });
    done.into_inner().unwrap()
}

fn is_local(document: &Document) -> bool {
    document.cluster.spec.provider.kind() == ProviderKind::Local
}

#[test]
fn the_api_server_accepts_and_refuses_what_the_parser_does() {
    let Some(stage) = stage() else { return };
    let (mut parser, mut server) = (Vec::new(), Vec::new());
    let mut agreed = 0;
    for (name, text, rehearsed) in rehearsals(&stage) {
        let loaded = load(&name, &text);
        match (loaded, rehearsed) {
            (Ok(document), Err(message)) if is_local(&document) => {
                assert!(message.contains(LOCAL), "{name}: {message}");
            }
            (Ok(_), Err(message)) => {
                eprintln!("only the server refuses {name}: {message}");
                server.push(name);
            }
            (Err(_), Ok(_)) => {
                eprintln!("only the parser refuses {name}");
                parser.push(name);
            }
            (Ok(mut document), Ok(object)) => {
                agreed += 1;
                let mut stored = crd::document_of(&object).unwrap_or_else(|error| panic!("{name}: {error}"));
                stored.cluster.metadata.namespace = None;
                document.cluster.metadata.namespace = None;
                assert_eq!(stored.cluster, document.cluster, "{name} is stored as something else");
            }
            (Err(_), Err(message)) => {
                agreed += 1;
                if std::env::var_os("CREWCALL_TEST_SHOW").is_some() {
                    eprintln!("{name}: {message}");
                }
            }
        }
    }
    assert!(agreed > 100, "only {agreed} documents were compared");
    let listed = |list: &[(&str, &str)]| list.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    parser.sort();
    server.sort();
    assert_eq!(parser, listed(&ONLY_BY_THE_PARSER), "refused by the parser only");
    assert_eq!(server, listed(&ONLY_BY_THE_SERVER), "refused by the API server only");
}

#[test]
fn every_example_for_kubernetes_is_accepted() {
    let Some(stage) = stage() else { return };
    let namespace = Regex::new("(?m)^  namespace: .*$").unwrap();
    let mut seen = 0;
    for (name, text) in files("../../examples") {
        if text.contains("kind: ComputeCluster") && text.contains("kubernetes:") {
            let text = namespace.replace(&text, "").into_owned();
            if let Err(message) = stage.rehearse(&text) {
                panic!("{name}: {message}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 2, "only {seen} examples were found");
}
