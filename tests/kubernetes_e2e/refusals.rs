//! What cannot be, and what is said of it.

use crate::world::{image, usual, with_world};

#[test]
fn the_image_that_matches_the_caller_is_found_and_pinned() {
    let Ok(registry) = std::env::var("CREWCALL_TEST_REGISTRY") else {
        crate::harness::skipped("CREWCALL_TEST_REGISTRY names no registry with images of Dask");
        return;
    };
    with_world(|world| {
        let spec = usual(1).replace(&image(), &format!("{registry}/dask/dask:{{dask}}-py{{python}}"));
        let document = world.document("demo", &spec);
        let mut create = world.home.crewcall(&["create", "-f", document.to_str().unwrap()]);
        create.env("CREWCALL_INSECURE_REGISTRIES", &registry);
        crate::harness::run(create).ok();
        let image = &world.home.view("demo")["document"]["spec"]["environment"]["image"];
        assert!(image.as_str().unwrap().contains("@sha256:"), "{image}");
    });
}

#[test]
fn an_image_that_does_not_exist_is_named_in_kubernetes_own_words() {
    with_world(|world| {
        let spec = "environment: {image: \"ghcr.io/dask/dask:no-such-tag\"}\n  workers: {replicas: 1}";
        let said = world.try_create("demo", spec, &["--timeout", "15s"]).fails(6);
        assert!(said.contains("no-such-tag"), "{said}");
        assert!(said.contains("ErrImagePull") || said.contains("ImagePullBackOff"), "{said}");
    });
}

#[test]
fn resources_that_no_node_has_are_said_by_the_scheduler_of_kubernetes() {
    with_world(|world| {
        let spec = usual(1).replace("cpu: 50m, memory: 512MiB", "cpu: 1000, memory: 512MiB");
        let said = world.try_create("demo", &spec, &["--timeout", "20s"]).fails(6);
        assert!(said.contains("Unschedulable") && said.contains("Insufficient cpu"), "{said}");
    });
}

#[test]
fn a_quota_that_is_used_up_is_said_and_waited_for() {
    with_world(|world| {
        world.kubectl(&["create", "quota", "few", "--hard=pods=2"]);
        let outcome = world.try_create("demo", &usual(2), &["--timeout", "40s"]);
        // Whichever comes first: the bound, or the third failure in a row.
        assert!(matches!(outcome.code, Some(6 | 8)), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("exceeded quota"), "{}", outcome.stderr);
        world.kubectl(&["delete", "quota", "few"]);
        world.home.until_condition("demo", "WorkersReady", "True");
    });
}

/// What the documentation says that a person needs.
pub const RIGHTS: [(&str, &str); 5] = [
    ("pods", "create,list,watch,delete"),
    ("pods/log", "get"),
    ("pods/portforward", "create,get"),
    ("configmaps", "create,get,list,watch,delete"),
    ("secrets,services,networkpolicies.networking.k8s.io", "create,get,list,delete"),
];

#[test]
fn a_missing_right_is_named_with_the_role_that_would_give_it() {
    with_world(|world| {
        let mut fewer = RIGHTS;
        fewer[0].1 = "list,watch,delete";
        world.use_kubeconfig(&world.kubeconfig_with("few", &fewer));
        let said = world.try_create("demo", &usual(1), &[]).fails(8);
        assert!(said.contains("no permission in namespace") && said.contains("create pods"), "{said}");
        assert!(said.contains("kind: Role") && said.contains("resources: [pods], verbs: [create]"), "{said}");
        world.use_kubeconfig(&world.kubeconfig_with("enough", &RIGHTS));
        world.create("demo", 1);
        world.home.ok(&["scale", "demo", "2"]);
        world.home.ok(&["delete", "demo"]);
    });
}

#[test]
fn an_object_of_somebody_else_is_neither_taken_nor_touched() {
    with_world(|world| {
        world.kubectl(&["create", "configmap", "demo-crewcall", "--from-literal=a=b"]);
        let said = world.try_create("demo", &usual(1), &[]).fails(8);
        assert!(said.contains("configmaps demo-crewcall already"), "{said}");
        assert!(world.home.ok(&["list", "-o", "name"]).is_empty(), "nothing is on record");
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
        let said = world.home.run(&["create", "-f", document.to_str().unwrap()]).fails(8);
        assert!(said.contains("there is no namespace no-such-namespace"), "{said}");
        assert!(world.home.ok(&["list", "-o", "name"]).is_empty(), "nothing is on record");
    });
}
