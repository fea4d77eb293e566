//! What cannot work is said.

use serde_json::json;

use crate::world::{World, with_world};

#[test]
fn an_image_that_does_not_exist_is_said_in_the_words_of_the_machine_that_pulled_it() {
    with_world(|world| {
        let spec = World::usual(1).replace("dask:2026.8.0", "dask:0.0.1");
        let refused = world.try_create(&spec, &[]);
        assert_ne!(refused.code, Some(0));
        let said = refused.stderr;
        assert!(said.contains("docker pull") && said.contains("0.0.1"), "{said}");
    });
}

#[test]
fn without_room_for_spot_machines_the_full_price_is_paid() {
    with_world(|world| {
        world.tell("capacity", &json!({"instance_type": "*", "zone": "*", "market": "spot", "room": 0}));
        world.create(1);
        let events = world.home.ok(&["events", "demo"]);
        assert!(events.contains("InsufficientInstanceCapacity"), "{events}");
    });
}

#[test]
fn credentials_of_nobody_are_refused_before_anything_is_made() {
    with_world(|world| {
        let home = world.home;
        std::fs::remove_file(home.path("home/.aws/credentials")).unwrap();
        let refused = world.try_create(&World::usual(1), &[("AWS_EC2_METADATA_DISABLED", "true")]);
        assert_ne!(refused.code, Some(0));
        let said = refused.stderr;
        assert!(said.contains("no credentials") && said.contains("hint: log in"), "{said}");
        assert!(!said.contains("ConnectorError"), "{said}");
        assert!(home.ok(&["list"]).lines().count() <= 1);
    });
}
