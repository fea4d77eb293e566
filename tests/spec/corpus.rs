//! Good files are accepted and bad ones refused, with messages that are looked at here.

use std::{collections::BTreeMap, fs, path::Path};

use crewcall::spec::{
    ColorChoice, ComputeCluster, Document, LoadError, Severity, json_schema, load, to_yaml, validate,
};
use serde_json::Value;

use crate::schema_check::violations;

/// The files of a folder beside this one, by name.
pub fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec").join(folder);
    let files: BTreeMap<_, _> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(!files.is_empty());
    files
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn refused(name: &str, text: &str) -> LoadError {
    match load(&format!("{name}.yaml"), text) {
        Err(error) => error,
        Ok(document) => panic!("{name} was accepted as {document:?}"),
    }
}

fn accepted(name: &str, text: &str) -> Document {
    load(&format!("{name}.yaml"), text)
        .unwrap_or_else(|error| panic!("{}", error.render(ColorChoice::Never, 100)))
}

#[test]
fn bad_documents_are_refused_with_a_message_that_helps() {
    let bad = files("bad");
    for (name, text) in &bad {
        let error = refused(name, text);
        snapshot(&format!("bad__{name}"), &error.render(ColorChoice::Never, 100));
        let errors =
            error.diagnostics().iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        let least = if name.starts_with("many_") { 2 } else { 1 };
        assert!(errors >= least, "{name} has {errors} errors");
    }
    assert!(bad.len() >= 137, "the corpus has shrunk to {}", bad.len());
}

#[test]
fn every_error_says_what_to_do_next() {
    for (name, text) in files("bad") {
        for diagnostic in refused(&name, &text).diagnostics() {
            let help = diagnostic.help.as_deref().unwrap_or_default();
            assert!(help.len() > 4, "{name}: {}", diagnostic.message);
        }
    }
}

#[test]
fn messages_carry_no_control_characters_of_the_document() {
    for (name, text) in files("bad") {
        let shown = refused(&name, &text).render(ColorChoice::Never, 100);
        assert!(
            shown.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')),
            "{name}: {shown:?}"
        );
    }
}

#[test]
fn good_documents_are_accepted_and_say_what_they_said() {
    for (name, text) in files("good") {
        let document = accepted(&name, &text);
        let warnings: String =
            document.warnings.iter().map(|warning| warning.render(ColorChoice::Never, 100)).collect();
        let yaml = to_yaml(&document.cluster).unwrap();
        snapshot(&format!("good__{name}"), &format!("{yaml}\n{warnings}"));
        assert_eq!(validate(&document.cluster), Ok(()), "{name}");
    }
}

#[test]
fn what_is_written_back_loads_as_the_same_document() {
    for (name, text) in files("good") {
        let cluster = accepted(&name, &text).cluster;
        assert_eq!(accepted(&name, &to_yaml(&cluster).unwrap()).cluster, cluster, "{name} as YAML");
        let json = serde_json::to_string_pretty(&cluster).unwrap();
        assert_eq!(accepted(&name, &json).cluster, cluster, "{name} as JSON");
        assert_eq!(serde_json::from_str::<ComputeCluster>(&json).unwrap(), cluster, "{name} through serde");
    }
}

/// Documents of values that JSON does not have, or that another reader stops at.
const NO_JSON_FORM: [&str; 2] = ["many_odd_text", "resources_not_finite"];

/// What only a reader with the text, or the rules, can refuse: the schema accepts these.
const BEYOND_THE_SCHEMA: [&str; 41] = [
    "ec2_clients_everybody",
    "ec2_disk",
    "ec2_disk_io2",
    "ec2_disk_size",
    "ec2_machines_on_kubernetes",
    "ec2_place",
    "ec2_places_twice",
    "ec2_private_without_subnets",
    "ec2_session_manager_with_clients",
    "ec2_tags_own",
    "ec2_tls_off",
    "ec2_types_and_requirements",
    "ec2_types_of_two_architectures",
    "ec2_types_twice",
    "ec2_zones_and_subnets",
    "engine_config_key",
    "env_value_with_escape",
    "environment_image_on_local",
    "environment_image_placeholder",
    "environment_interpreter_on_kubernetes",
    "environment_packages_on_ec2",
    "kubernetes_network_off_with_clients",
    "kubernetes_pod_spec_is_a_pod",
    "kubernetes_pod_spec_own_fields",
    "kubernetes_pod_spec_sidecar",
    "kubernetes_pod_spec_too_large",
    "kubernetes_pods_on_ec2",
    "kubernetes_pods_on_local",
    "kubernetes_resources",
    "kubernetes_volume_mounts",
    "kubernetes_volumes",
    "memory_number_in_gigabytes",
    "memory_of_scheduler_too_small",
    "namespace_on_local",
    "secret_env_and_env",
    "size_fixed_and_bounds",
    "size_max_zero",
    "size_min_over_max",
    "size_min_without_max",
    "wait_for_more_than_there_are",
    "warning_beside_error",
];

/// The document as another reader of YAML sees it.
fn first_value(name: &str, text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    values.into_iter().next().unwrap()
}

#[test]
fn the_schema_accepts_and_refuses_what_the_loader_does() {
    let schema = json_schema();
    for (name, text) in files("good") {
        let value = first_value(&name, &text);
        assert_eq!(violations(&schema, &value), Vec::<String>::new(), "{name}");
    }
    let mut beyond = Vec::new();
    for (name, text) in files("bad") {
        // What is no YAML, or has no JSON form, is outside the schema's reach.
        if name.starts_with("yaml_") || NO_JSON_FORM.contains(&name.as_str()) {
            continue;
        }
        let value = first_value(&name, &text);
        if violations(&schema, &value).is_empty() {
            beyond.push(name);
        }
    }
    assert_eq!(beyond, BEYOND_THE_SCHEMA);
}

/// The line by which an editor finds the schema of an example.
const SCHEMA_LINE: &str = "# yaml-language-server: $schema=../docs/schema/computecluster.v1alpha1.json\n";

#[test]
fn every_example_is_accepted_without_a_warning_and_names_its_schema() {
    let mut seen = 0;
    for (name, text) in files("../../examples") {
        if !text.contains("kind: ComputeCluster") {
            continue;
        }
        assert!(text.starts_with(SCHEMA_LINE), "{name}");
        let document = accepted(&name, &text);
        assert!(document.warnings.is_empty(), "{name}: {:?}", document.warnings);
        assert_eq!(violations(&json_schema(), &first_value(&name, &text)), Vec::<String>::new(), "{name}");
        seen += 1;
    }
    assert!(seen >= 3, "only {seen} examples were found");
}

#[test]
fn a_document_that_arrives_as_json_meets_the_same_rules() {
    let mut checked = 0;
    for (name, text) in files("bad") {
        let Ok(cluster) = serde_saphyr::from_str::<ComputeCluster>(&text) else { continue };
        if NO_JSON_FORM.contains(&name.as_str()) {
            continue;
        }
        let Err(invalid) = validate(&cluster) else { continue };
        let loaded: Vec<_> = refused(&name, &text)
            .diagnostics()
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|diagnostic| diagnostic.message.clone())
            .collect();
        for problem in &invalid.problems {
            assert!(loaded.contains(&problem.message), "{name}: {problem}");
        }
        checked += 1;
    }
    assert!(checked > 10, "only {checked} documents were compared");
}

#[test]
fn a_problem_without_a_text_names_the_field() {
    let mut cluster = accepted("smallest", &files("good")["smallest"]).cluster;
    cluster.spec.workers.min = Some(3);
    cluster.spec.workers.max = Some(1);
    let problem = validate(&cluster).unwrap_err().to_string();
    assert_eq!(
        problem,
        "spec.workers.min: `min` is larger than `max`; hint: did you mean `min: 1` and `max: 3`?"
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated_in_the_message() {
    let text = &files("bad")["secret_env_holds_a_secret"];
    let error = refused("secret", text);
    for diagnostic in error.diagnostics() {
        assert!(
            !diagnostic.message.contains("s3cr3t")
                && !diagnostic.help.as_deref().unwrap_or("").contains("s3cr3t")
        );
    }
}

#[test]
fn miette_can_show_the_errors_too() {
    let error = refused("demo", &files("bad")["size_min_over_max"]);
    let mut shown = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    handler.render_report(&mut shown, &error).unwrap();
    for part in ["demo.yaml has 1 error", "`min` is larger than `max`", "demo.yaml:7:10", "at most 2"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}
