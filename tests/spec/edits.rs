//! What an edit of a document does to a cluster that exists.

use crewcall::spec::{ComputeCluster, Edit, GroupName, Size, carry_sizes, compare, load};

fn cluster(spec: &str) -> ComputeCluster {
    let text = format!(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\nspec:\n{spec}"
    );
    load("test", &text).unwrap().cluster
}

fn edit(old: &str, new: &str) -> Edit {
    compare(
        &cluster(&format!("  provider: {{local: {{}}}}\n{old}")),
        &cluster(&format!("  provider: {{local: {{}}}}\n{new}")),
    )
}

fn paths(changes: &[crewcall::spec::FieldChange]) -> Vec<&str> {
    changes.iter().map(|change| change.path.as_str()).collect()
}

fn names(groups: &[GroupName]) -> Vec<&str> {
    groups.iter().map(GroupName::as_str).collect()
}

#[test]
fn the_same_document_changes_nothing() {
    assert!(edit("  workers: {replicas: 2}\n", "  workers: {replicas: 2}\n").is_empty());
    assert!(edit("", "  workers: {threads: 1, cpu: 1}\n").is_empty(), "defaults spelled out are no change");
}

#[test]
fn provider_engine_environment_scheduler_and_tls_are_fixed() {
    let old = cluster("  provider: {local: {}}\n  scheduler: {memory: 2GiB}\n");
    let new = cluster(
        "  provider: {kubernetes: {}}\n  scheduler: {memory: 4GiB}\n  tls: false\n  environment: {image: a}\n  engine: {dask: {config: {a.b: 1}}}\n",
    );
    let edit = compare(&old, &new);
    assert_eq!(
        paths(&edit.fixed),
        [
            "spec.provider.kubernetes",
            "spec.provider.local",
            "spec.engine.dask.config",
            "spec.environment",
            "spec.tls",
            "spec.scheduler.memory"
        ]
    );
    let memory = edit.fixed.last().unwrap();
    assert_eq!(
        (memory.old.as_ref().unwrap(), memory.new.as_ref().unwrap()),
        (&"2GiB".into(), &"4GiB".into())
    );
    assert!(edit.in_place.is_empty() && edit.rolled_groups.is_empty());
}

#[test]
fn another_name_or_namespace_is_another_cluster() {
    let old = cluster("  provider: {kubernetes: {}}\n");
    let mut new = old.clone();
    new.metadata.name = "other".parse().unwrap();
    new.metadata.namespace = Some("data".parse().unwrap());
    assert_eq!(paths(&compare(&old, &new).fixed), ["metadata.name", "metadata.namespace"]);
}

#[test]
fn sizes_timeouts_and_labels_apply_in_place() {
    let mut old = cluster("  provider: {local: {}}\n  workers: {replicas: 2}\n");
    old.metadata.labels.insert("team".to_owned(), "a".to_owned());
    let new = cluster(
        "  provider: {local: {}}\n  workers: {min: 1, max: 3}\n  idleTimeout: 1h\n  maxLifetime: 2h\n  drainGrace: 1m\n  drainTimeout: 2m\n  waitFor: {timeout: 1m}\n",
    );
    let edit = compare(&old, &new);
    assert_eq!(
        paths(&edit.in_place),
        [
            "metadata.labels.team",
            "spec.waitFor.timeout",
            "spec.idleTimeout",
            "spec.maxLifetime",
            "spec.drainGrace",
            "spec.drainTimeout",
            "spec.workers.replicas",
            "spec.workers.min",
            "spec.workers.max"
        ]
    );
    assert!(edit.fixed.is_empty() && edit.rolled_groups.is_empty() && edit.template.is_empty());
}

#[test]
fn a_changed_template_rolls_its_group_and_no_other() {
    let old = "  workers: {memory: 2GiB}\n  workerGroups: {big: {memory: 8GiB}, gone: {}}\n";
    let new = "  workers: {memory: 2048MiB}\n  workerGroups: {big: {memory: 8GiB, resources: {GPU: 1}}, fresh: {}}\n";
    let edit = edit(old, new);
    assert_eq!(names(&edit.rolled_groups), ["big"]);
    assert_eq!(names(&edit.added_groups), ["fresh"]);
    assert_eq!(names(&edit.removed_groups), ["gone"]);
    assert_eq!(paths(&edit.template), ["spec.workerGroups.big.resources"]);
    for (before, after) in [
        ("{threads: 1}", "{threads: 2}"),
        ("{}", "{cpu: 2}"),
        ("{}", "{memory: 1GiB}"),
        ("{env: {A: a}}", "{env: {A: b}}"),
        ("{secretEnv: {A: B}}", "{secretEnv: {A: C}}"),
        ("{env: {A: B}}", "{secretEnv: {A: B}}"),
    ] {
        let edit = self::edit(&format!("  workers: {before}\n"), &format!("  workers: {after}\n"));
        assert_eq!(names(&edit.rolled_groups), ["workers"], "{before} to {after}");
    }
}

#[test]
fn a_variable_of_the_cluster_rolls_the_groups_that_see_it() {
    let groups = "  workerGroups: {own: {env: {A: mine}}}\n";
    let edit = edit(&format!("  env: {{A: old}}\n{groups}"), &format!("  env: {{A: new}}\n{groups}"));
    assert_eq!(names(&edit.rolled_groups), ["workers"]);
    assert_eq!(paths(&edit.template), ["spec.env.A"]);
}

#[test]
fn a_document_without_sizes_leaves_the_sizes_alone() {
    let provider = "  provider: {local: {}}\n";
    let old = cluster(&format!(
        "{provider}  workers: {{replicas: 7}}\n  workerGroups: {{a: {{max: 3}}, b: {{replicas: 1}}}}\n"
    ));
    let new = cluster(&format!("{provider}  workerGroups: {{a: {{}}, b: {{replicas: 2}}, c: {{}}}}\n"));
    let carried = carry_sizes(&old, &new);
    let size = |name: &str| carried.spec.group(&name.parse().unwrap()).unwrap().size();
    assert_eq!(size("workers"), Some(Size::Fixed(7)));
    assert_eq!(size("a"), Some(Size::Adaptive { min: 0, max: 3 }));
    assert_eq!(size("b"), Some(Size::Fixed(2)));
    assert_eq!(size("c"), None);
    assert_eq!(paths(&compare(&old, &new).in_place), ["spec.workerGroups.b.replicas"]);
}

#[test]
fn a_nanny_of_its_own_is_part_of_the_template() {
    let edit = edit("  workers: {replicas: 2}\n", "  workers: {replicas: 2, nanny: true}\n");
    assert_eq!(paths(&edit.template), ["spec.workers.nanny"]);
    assert_eq!(names(&edit.rolled_groups), ["workers"]);
}

#[test]
fn a_template_of_pods_rolls_the_groups_that_it_changes() {
    let edit = |old: &str, new: &str| {
        let spec = |pods: &str| format!("  provider: {{kubernetes: {{pods: {{{pods}}}}}}}\n");
        let groups = "  workerGroups: {own: {kubernetes: {nodeSelector: {disk: ssd}}}}\n";
        compare(&cluster(&(spec(old) + groups)), &cluster(&(spec(new) + groups)))
    };
    let all = edit("", "labels: {team: a}");
    assert_eq!(paths(&all.template), ["spec.provider.kubernetes.pods.labels"]);
    assert_eq!(names(&all.rolled_groups), ["workers", "own"]);
    let overridden = edit("nodeSelector: {disk: hdd}", "nodeSelector: {disk: nvme}");
    assert_eq!(names(&overridden.rolled_groups), ["workers"]);
    assert!(all.fixed.is_empty() && overridden.fixed.is_empty());
}

#[test]
fn the_way_to_a_cluster_and_the_schedulers_pod_are_fixed() {
    let edit = compare(
        &cluster("  provider: {kubernetes: {}}\n"),
        &cluster(
            "  provider: {kubernetes: {endpoint: NodePort, networkPolicy: {enabled: false}}}\n  scheduler: {kubernetes: {priorityClassName: high}}\n",
        ),
    );
    assert_eq!(
        paths(&edit.fixed),
        [
            "spec.provider.kubernetes.endpoint",
            "spec.provider.kubernetes.networkPolicy",
            "spec.scheduler.kubernetes"
        ]
    );
    assert!(edit.template.is_empty() && edit.rolled_groups.is_empty());
}

#[test]
fn what_machines_may_cost_and_who_reaches_them_applies_in_place_and_what_they_are_rolls() {
    let ec2 = |settings: &str| cluster(&format!("  provider: {{ec2: {{{settings}}}}}\n"));
    let edit =
        compare(&ec2("maxCost: 5, clientCidrs: [anywhere]"), &ec2("maxHourlyCost: 1, capacityRetry: 5m"));
    assert_eq!(
        paths(&edit.in_place),
        [
            "spec.provider.ec2.clientCidrs",
            "spec.provider.ec2.capacityRetry",
            "spec.provider.ec2.maxCost",
            "spec.provider.ec2.maxHourlyCost"
        ]
    );
    assert!(edit.fixed.is_empty() && edit.rolled_groups.is_empty());
    let edit = compare(&ec2(""), &ec2("machines: {purchase: spot}, keyName: mine"));
    assert_eq!(paths(&edit.fixed), ["spec.provider.ec2.keyName"]);
    assert_eq!(names(&edit.rolled_groups), ["workers"]);
    assert_eq!(paths(&edit.template), ["spec.provider.ec2.machines.purchase"]);
}

#[test]
fn the_lifetime_of_pods_can_only_be_shortened() {
    let limited = |provider: &str, limit: &str| {
        cluster(&format!("  provider: {{{provider}: {{}}}}\n  maxLifetime: {limit}\n"))
    };
    for longer in ["3h", "never"] {
        let edit = compare(&limited("kubernetes", "2h"), &limited("kubernetes", longer));
        assert_eq!(paths(&edit.fixed), ["spec.maxLifetime"]);
        assert!(edit.in_place.is_empty());
    }
    for (old, new) in [("2h", "1h"), ("never", "1h")] {
        let edit = compare(&limited("kubernetes", old), &limited("kubernetes", new));
        assert_eq!(paths(&edit.in_place), ["spec.maxLifetime"]);
        assert!(edit.fixed.is_empty());
    }
    let elsewhere = compare(&limited("local", "2h"), &limited("local", "3h"));
    assert_eq!(paths(&elsewhere.in_place), ["spec.maxLifetime"]);
}
