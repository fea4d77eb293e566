//! What `doctor` says of an account, and that it leaves nothing there.

use serde_json::json;

use crate::{
    harness::run,
    world::{World, with_world},
};

#[test]
fn an_account_that_will_do_is_found_good_and_left_as_it_was() {
    with_world(|world| {
        let document = world.document(&World::usual(2));
        let said = world.home.ok(&["doctor", "-f", document.to_str().unwrap()]);
        for good in [
            "us-east-1",
            "subnet-",
            "scheduler: ",
            "workers: ",
            "workers: by a fleet",
            "L-1216C47A",
            "below /crewcall/",
            "10.251.0.1/32",
        ] {
            assert!(said.contains(good), "without {good}: {said}");
        }
        assert!(!said.contains("fail"), "{said}");
        assert_eq!(world.asked("leftovers"), json!([]));
    });
}

#[test]
fn what_is_missing_is_named_with_what_helps() {
    with_world(|world| {
        let key = "AKIANOTALLOWED000000";
        let policy = json!({"allow": ["*"], "deny": ["ec2:RunInstances", "ssm:PutParameter"]});
        world.tell("credentials", &json!({"access_key": key, "policy": policy}));
        world.tell("settings", &json!({"on_demand_vcpus": 1}));
        let document = world.document(&World::usual(2));
        let mut doctor = world.home.crewcall(&["doctor", "-f", document.to_str().unwrap()]);
        doctor.envs([("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", "test")]);
        let outcome = run(doctor);
        world.tell("settings", &json!({"on_demand_vcpus": -1}));
        assert_ne!(outcome.code, Some(0));
        let said = outcome.stdout;
        for missing in [
            "ec2:RunInstances was refused",
            "allow ec2:RunInstances",
            "allow ssm:PutParameter",
            "L-1216C47A allows 1 at a time",
            "request-service-quota-increase",
        ] {
            assert!(said.contains(missing), "without {missing}: {said}");
        }
        assert!(said.contains("ok    groups"), "{said}");
    });
}

#[test]
fn without_instance_profiles_the_module_that_makes_them_is_named() {
    with_world(|world| {
        let outcome = world.home.run(&["doctor", "--provider", "ec2"]);
        assert_ne!(outcome.code, Some(0));
        assert!(
            outcome.stdout.contains("instanceProfiles") && outcome.stdout.contains("terraform/"),
            "{}",
            outcome.stdout
        );
    });
}
