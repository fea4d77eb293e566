//! Launches by fleets, and by one call each.

use std::collections::BTreeSet;

use super::*;

/// With `workers` of these settings, in these places.
fn scene(places: &str, workers: &str) -> Scene {
    let document = DOCUMENT
        .replace("region: eu-central-1", &format!("region: eu-central-1\n      {places}"))
        .replace("purchase: spotWithFallback", workers);
    Scene::of(&document)
}

fn calls(scene: &Scene, name: &str) -> u32 {
    scene.fake.with(|account| account.calls.get(name).copied().unwrap_or_default())
}

#[tokio::test]
async fn one_type_in_one_place_on_demand_takes_no_template_and_no_fleet() {
    let scene = scene("zones: [eu-central-1a]", "instanceTypes: [m7i.large]");
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    assert_eq!(provider.launch(&scene.launch(1, 0)).await.unwrap().instances.len(), 3);
    assert_eq!((calls(&scene, "run_instances"), calls(&scene, "create_template")), (1, 0));
    assert_eq!(calls(&scene, "create_fleet"), 0);
}

#[tokio::test]
async fn launches_alike_share_a_template_also_after_a_restart() {
    let scene = Scene::new();
    scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| account.lose.insert("create_template"));
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    assert!(provider.launch(&scene.launch(1, 0)).await.is_err());
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    provider.launch(&scene.launch(2, 0)).await.unwrap();
    assert_eq!(calls(&scene, "create_template"), 2, "what is known to be there is not made again");
    scene.provider().launch(&scene.launch(3, 0)).await.unwrap();
    // The fallback's machines are told that they are not taken back.
    provider.launch(&scene.launch(4, 1)).await.unwrap();
    scene.fake.with(|account| {
        assert_eq!((account.templates.len(), account.instances.len()), (2, 12));
        let longest = account.templates.keys().map(String::len).max();
        assert!(longest.is_some_and(|length| length <= 128), "{:?}", account.templates.keys());
    });
}

#[tokio::test]
async fn a_template_of_that_name_that_is_not_ours_is_not_used() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    scene.fake.with(|account| account.templates.values_mut().for_each(|one| one.tags.clear()));
    let refused = scene.provider().launch(&scene.launch(2, 0)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Transient);
    assert!(refused.message.contains("does not show it as ours"), "{}", refused.message);
}

#[tokio::test]
async fn a_template_that_somebody_removed_is_made_again() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    scene.fake.with(|account| account.templates.clear());
    assert_eq!(provider.launch(&scene.launch(2, 0)).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(provider.launch(&scene.launch(2, 0)).await.unwrap().instances.len(), 3);
}

#[tokio::test]
async fn a_type_without_room_is_filled_from_another_in_the_same_call() {
    let scene = scene("prices: {m6i.large: 0.2, m5.large: 0.3}", "instanceTypes: [m6i.large, m5.large]");
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| account.full_type = Some("m6i.large"));
    assert_eq!(provider.launch(&scene.launch(1, 0)).await.unwrap().instances.len(), 3);
    assert_eq!(calls(&scene, "create_fleet"), 1);
    let observed = provider.observe(&scene.cluster).await.unwrap();
    let prices: BTreeSet<_> =
        observed.nodes.iter().map(|node| node.machine.clone().unwrap().hourly).collect();
    assert_eq!(prices, [Some(crate::model::Money(300_000))].into(), "each machine costs what its type does");
    let launching = provider.launching(&scene.document).unwrap();
    let choices = &launching.choices[&GroupName::workers()];
    assert_eq!(choices.len(), 1);
    assert_eq!(choices[0].label, "m6i.large or m5.large");
    assert_eq!(choices[0].hourly, Some(crate::model::Money(300_000)), "limits of costs hold for the dearest");
}

#[tokio::test]
async fn a_fleet_has_one_subnet_of_each_zone() {
    let subnets = ["subnet-0000000000000001a", "subnet-0000000000000002a", "subnet-0000000000000003b"];
    let scene = scene(&format!("subnets: [{}]", subnets.join(", ")), "instanceTypes: [m7i.large]");
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    provider.launch(&scene.launch(2, 0)).await.unwrap();
    assert_eq!(calls(&scene, "zones_of"), 1);
    let pools = scene.fake.with(|account| account.pools());
    assert_eq!(pools, [[subnets[0], subnets[2]]; 2].map(|each| each.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_launch_whose_body_has_changed_while_its_machines_are_unseen_makes_no_others() {
    for workers in ["purchase: spot", "instanceTypes: [m7i.large]"] {
        let scene = scene("zones: [eu-central-1a]", workers);
        let provider = scene.provider();
        provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
        let made = provider.launch(&scene.launch(1, 0)).await.unwrap().instances;
        scene.fake.with(|account| account.hides = true);
        let changed = LaunchRequest { count: 2, ..scene.launch(1, 0) };
        let unseen = scene.provider().launch(&changed).await.unwrap_err();
        assert_eq!(unseen.kind, ErrorKind::Conflict);
        scene.fake.with(|account| account.hides = false);
        assert_eq!(scene.provider().launch(&changed).await.unwrap().instances, made);
        assert_eq!(scene.fake.with(|account| account.instances.len()), 3);
    }
}

#[tokio::test]
async fn a_cluster_of_which_only_templates_are_left_is_found_and_swept() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    scene.fake.with(|account| {
        account.instances.clear();
        account.groups.clear();
    });
    let managed = scene.provider().list_managed().await.unwrap();
    assert_eq!((managed.len(), managed[0].vitality), (1, Vitality::Dead));
    scene.provider().sweep(&managed[0]).await.unwrap();
    assert!(scene.fake.with(|account| account.templates.is_empty() && account.fleets.is_empty()));
    assert!(scene.provider().list_managed().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_template_that_is_not_described_yet_goes_with_its_cluster() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| account.lose.insert("create_template"));
    assert!(provider.launch(&scene.launch(1, 0)).await.is_err());
    scene.fake.with(|account| account.templates.values_mut().for_each(|one| one.tags.clear()));
    while provider.remove_anchor(&scene.cluster).await.unwrap() == Removal::Ending {}
    assert!(scene.fake.with(|account| account.templates.is_empty()));
}
