//! What cannot be, and what is said of it.

use std::process::Command;

use crate::world::{image, usual, with_world};

#[test]
fn a_document_without_an_image_says_what_to_write() {
    with_world(|world| {
        let said = world.try_create("demo", "workers: {replicas: 1}", &[]).fails(4);
        assert!(said.contains("needs an image") && said.contains("environment: {image:"), "{said}");
        assert_eq!(world.left(), Vec::<String>::new());
    });
}

#[test]
fn an_image_that_does_not_exist_is_named_in_kubernetes_own_words() {
    with_world(|world| {
        let spec = "environment: {image: \"ghcr.io/dask/dask:no-such-tag\"}\n  workers: {replicas: 1}";
        let said = world.try_create("demo", spec, &["--timeout", "15s"]).fails(5);
        assert!(said.contains("no-such-tag"), "{said}");
        assert!(said.contains("ErrImagePull") || said.contains("ImagePullBackOff"), "{said}");
    });
}

#[test]
fn resources_that_no_node_has_are_said_by_the_scheduler_of_kubernetes() {
    with_world(|world| {
        let spec = usual(1).replace("cpu: 50m, memory: 512MiB", "cpu: 1000, memory: 512MiB");
        let said = world.try_create("demo", &spec, &["--timeout", "20s"]).fails(5);
        assert!(said.contains("Unschedulable") && said.contains("Insufficient cpu"), "{said}");
    });
}

#[test]
fn a_quota_that_is_used_up_is_said_and_waited_for() {
    with_world(|world| {
        world.kubectl(&["create", "quota", "few", "--hard=pods=2"]);
        let said = world.try_create("demo", &usual(2), &["--timeout", "20s"]).fails(5);
        assert!(said.contains("exceeded quota"), "{said}");
        world.kubectl(&["delete", "quota", "few"]);
        world.home.ok(&["create", "-f", world.usual("demo", 2).to_str().unwrap()]);
    });
}

#[test]
fn a_missing_right_is_named_with_the_role_that_would_give_it() {
    with_world(|world| {
        let Some(restricted) = restricted(&world.namespace, &["create/pods"]) else { return };
        world.use_kubeconfig(&restricted);
        let said = world.try_create("demo", &usual(1), &[]).fails(4);
        assert!(said.contains("no permission in namespace") && said.contains("create pods"), "{said}");
        assert!(said.contains("kind: Role") && said.contains("verbs: [create]"), "{said}");
        let Some(enough) = self::restricted(&world.namespace, &[]) else { return };
        world.use_kubeconfig(&enough);
        world.create("demo", 1);
        world.home.ok(&["delete", "demo"]);
    });
}

/// A kubeconfig with the rights of one namespace, less some; `None` where the lab does not make them.
fn restricted(namespace: &str, without: &[&str]) -> Option<String> {
    let program = std::env::var("CREWCALL_TEST_ACCESS").ok();
    let Some(program) = program else {
        crate::harness::skipped("CREWCALL_TEST_ACCESS names no command that makes restricted kubeconfigs");
        return None;
    };
    let mut command = Command::new("sh");
    let without: String = without.iter().map(|right| format!(" --without {right}")).collect();
    command.args(["-c", &format!("{program} {namespace}{without}")]);
    Some(crate::harness::run(command).ok())
}

#[test]
fn an_object_of_somebody_else_is_neither_taken_nor_touched() {
    with_world(|world| {
        world.kubectl(&["create", "configmap", "demo-crewcall", "--from-literal=a=b"]);
        let said = world.try_create("demo", &usual(1), &["--timeout", "10s"]).fails(5);
        assert!(said.contains("configmaps demo-crewcall already"), "{said}");
        world.home.ok(&["delete", "demo"]);
        let kept = world.kubectl(&["get", "configmap", "demo-crewcall", "-o", "jsonpath={.data.a}"]);
        assert_eq!(kept, "b");
    });
}

#[test]
fn a_namespace_that_is_not_there_is_said_before_anything_is_made() {
    with_world(|world| {
        let document = world.usual("demo", 1);
        let text = std::fs::read_to_string(&document).unwrap().replace(&world.namespace, "no-such-namespace");
        std::fs::write(&document, text).unwrap();
        let said = world.home.run(&["create", "-f", document.to_str().unwrap()]).fails(4);
        assert!(said.contains("there is no namespace no-such-namespace"), "{said}");
        assert!(world.home.ok(&["list", "-o", "name"]).is_empty(), "nothing is on record");
        assert!(!image().is_empty());
    });
}
