//! How many calls it takes: a constant, and one for each thousand machines.

use std::collections::BTreeMap;

use ec2_double::state::Settings;

use crate::harness::{Life, Scene, Stage, Wish};

type Calls = BTreeMap<String, u32>;

fn of(calls: &Calls, action: &str) -> u32 {
    calls.get(action).copied().unwrap_or_default()
}

/// So many pages has a look at so many machines.
fn pages(machines: u32) -> u32 {
    machines.div_ceil(1_000)
}

/// The calls of a create with so many workers, of a scale-down to one of them, and of a deletion.
fn measured(workers: u32) -> [Calls; 3] {
    let scene = Scene::new(Settings::default());
    let mut all = [Calls::new(), Calls::new(), Calls::new()];
    let life = scene.live(None, async |stage: &Stage<'_>| {
        for (wish, calls) in [Wish::Create(workers), Wish::Scale(1), Wish::Delete].into_iter().zip(&mut all) {
            stage.scene.account.forget_calls();
            stage.fulfil(wish).await?;
            *calls = stage.scene.account.calls();
        }
        Ok(())
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    assert_eq!(scene.account.launched(), workers as usize + 1);
    all
}

#[test]
fn calls_are_a_constant_and_one_for_each_thousand_machines() {
    for workers in [1, 10, 100, 1_000] {
        let [up, down, end] = measured(workers);
        let sums = [&up, &down, &end].map(|calls| calls.values().sum::<u32>());
        println!(
            "{workers} workers: up {} {up:?}, down {} {down:?}, end {} {end:?}",
            sums[0], sums[1], sums[2]
        );
        let machines = workers + 1;
        // The scheduler's launch, and one for each thousand workers.
        assert_eq!(of(&up, "CreateFleet"), 1 + workers.div_ceil(1_000), "{up:?}");
        // The scheduler's, and the workers'.
        assert_eq!(of(&up, "CreateLaunchTemplate"), 2, "{up:?}");
        assert!(of(&up, "CreateSecurityGroup") == 1 && of(&up, "PutParameter") <= 14, "{up:?}");
        assert!(of(&down, "TerminateInstances") <= 2 * pages(machines), "{down:?}");
        assert!(of(&end, "TerminateInstances") <= 2, "{end:?}");
        assert_eq!(of(&end, "DeleteSecurityGroup"), 1, "{end:?}");
        assert_eq!((of(&end, "DeleteFleets"), of(&end, "DeleteLaunchTemplate")), (1, 2), "{end:?}");
        // A look takes a page for each thousand machines; consoles are read two in a look, while machines boot.
        let pages = pages(machines);
        for (total, most) in sums.into_iter().zip([42 + 8 * pages, 12 + 6 * pages, 26 + 15 * pages]) {
            assert!(total <= most, "{total} calls, and {most} are allowed: {up:?}, {down:?}, {end:?}");
        }
    }
}
