//! Stories in which AWS is not itself.

use std::time::Duration;

use crewcall::model::ConditionKind;
use ec2_double::state::{Market, Settings};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    account::name_of,
    calls::{ACCESS_KEY, CHANGING},
    harness::{Fault, Life, Scene, Stage, Wish},
};

fn tell(scene: &Scene, story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), Fault>) {
    assert_eq!(scene.live(None, story), Ok(Life::Fulfilled));
}

fn total(stage: &Stage<'_>) -> u32 {
    stage.scene.account.calls().values().sum()
}

/// What the controller says under a condition, with its reason.
fn said(stage: &Stage<'_>, kind: ConditionKind) -> String {
    let view = stage.view();
    view.condition(kind).map(|found| format!("{}: {}", found.reason, found.message)).unwrap_or_default()
}

/// Refuses all calls for a minute, then every other one that changes something. Returns how many were made meanwhile.
async fn storm(stage: &Stage<'_>) -> u32 {
    let account = &stage.scene.account;
    account.control(json!({"throttle": {"action": "*", "burst": 0.0, "per_second": 0.0}}));
    let before = total(stage);
    tokio::time::sleep(Duration::from_mins(1)).await;
    account.control(json!({"calm": {}}));
    for action in CHANGING {
        let code = if action.contains("Parameter") { "ThrottlingException" } else { "RequestLimitExceeded" };
        for number in 0..6 {
            let fault =
                json!({"refuse": {"code": code, "message": "Request limit exceeded.", "status": 503}});
            account.control(json!({"mishap": {"action": action, "skip": 2 * number, "fault": fault}}));
        }
    }
    total(stage) - before
}

#[test]
fn a_storm_of_throttling_passes_without_a_hot_loop() {
    tell(&Scene::new(Settings::default()), async |stage| {
        let mut made = Vec::new();
        for wish in [Wish::Create(3), Wish::Scale(6), Wish::Scale(2)] {
            stage.ask(wish).await;
            made.push(storm(stage).await);
            stage.until_settled().await?;
            stage.fulfil(Wish::Compute(1)).await?;
        }
        stage.ask(Wish::Delete).await;
        made.push(storm(stage).await);
        stage.until_gone().await?;
        println!(
            "calls in a minute in which all are refused: {made:?}; in all {:?}",
            stage.scene.account.calls()
        );
        assert!(made.iter().all(|calls| *calls <= 40), "{made:?}");
        // The scheduler, three workers, three more.
        assert_eq!(stage.scene.account.launched(), 7);
        Ok(())
    });
}

#[test]
fn a_drought_of_capacity_is_said_and_ends_one_machine_at_a_time() {
    let scene = Scene::new(Settings::default());
    let room = |room: u32| json!({"capacity": {"instance_type": "*", "zone": "*", "room": room}});
    scene.account.control(room(0));
    tell(&scene, async |stage| {
        stage.ask(Wish::Create(4)).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        let dry = stage.scene.account.calls()["CreateFleet"];
        let degraded = said(stage, ConditionKind::Degraded);
        println!("fleets in five minutes without room: {dry}; {degraded}");
        // One choice for the scheduler, tried anew each minute.
        assert!((4..=6).contains(&dry), "{dry}");
        assert!(degraded.contains("sufficient") || degraded.contains("room"), "{degraded}");
        for machines in 1..=5_u32 {
            stage.scene.account.control(room(machines));
            let filled = |stage: &Stage<'_>| stage.scene.account.live().len() == machines as usize;
            stage.until("one machine more", filled).await?;
            tokio::time::sleep(Duration::from_mins(2)).await;
        }
        stage.until_settled().await?;
        assert_eq!(stage.scene.account.launched(), 5);
        stage.fulfil(Wish::Delete).await
    });
}

#[test]
fn credentials_that_end_are_asked_for_and_nothing_is_removed_or_made_twice() {
    let scene = Scene::new(Settings::default());
    let known = json!({"credentials": {"access_key": ACCESS_KEY}});
    scene.account.control(known.clone());
    tell(&scene, async |stage| {
        stage.fulfil(Wish::Create(2)).await?;
        stage.fulfil(Wish::Compute(2)).await?;
        stage.scene.account.control(json!({"expire": {"access_key": ACCESS_KEY}}));
        stage.ask(Wish::Scale(4)).await;
        let before = total(stage);
        tokio::time::sleep(Duration::from_mins(10)).await;
        let (made, degraded) = (total(stage) - before, said(stage, ConditionKind::Degraded));
        println!("calls in ten minutes without credentials: {made}; {degraded}");
        assert!(made <= 120, "{made}");
        assert!(degraded.starts_with("CredentialsNeeded: ") && degraded.contains("renew"), "{degraded}");
        assert_eq!(stage.scene.account.live().len(), 3);
        stage.scene.account.control(known);
        stage.until_settled().await?;
        assert_eq!(stage.scene.account.launched(), 5);
        // A deletion that nobody may make is made once somebody may.
        stage.scene.account.control(json!({"expire": {"access_key": ACCESS_KEY}}));
        stage.ask(Wish::Delete).await;
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(stage.scene.account.live().len(), 5);
        stage.scene.account.control(json!({"credentials": {"access_key": ACCESS_KEY}}));
        stage.until_gone().await
    });
}

#[test]
fn clocks_that_differ_by_five_minutes_change_nothing() {
    for minutes in [-5, 5] {
        let settings = Settings { visibility: SignedDuration::from_secs(5), ..Settings::default() };
        tell(&Scene::skewed(settings, SignedDuration::from_mins(minutes)), async |stage| {
            for wish in [Wish::Create(2), Wish::Compute(2), Wish::Scale(4), Wish::Scale(1)] {
                stage.fulfil(wish).await?;
            }
            assert_eq!(stage.scene.account.launched(), 5);
            stage.fulfil(Wish::Delete).await
        });
    }
}

#[test]
fn a_worker_that_is_taken_back_hands_its_results_over_and_is_replaced() {
    tell(&Scene::new(Settings::default()), async |stage| {
        stage.fulfil(Wish::Create(3)).await?;
        stage.fulfil(Wish::Compute(3)).await?;
        let spot = |one: &&_| ec2_double::state::Instance::lives(one) && one.market == Market::Spot;
        let taken = stage.scene.account.live().iter().find(spot).map(|one| one.id.clone()).unwrap();
        stage.scene.account.control(json!({"interrupt": {"instance": taken}}));
        let gone = |stage: &Stage<'_>| stage.scene.account.live().iter().all(|one| one.id != taken);
        stage.until("the end of the machine that is taken back", gone).await?;
        stage.until_settled().await?;
        assert_eq!(stage.scene.account.launched(), 5);
        stage.fulfil(Wish::Delete).await
    });
}

#[test]
fn machines_that_never_come_up_are_replaced_ever_more_slowly() {
    tell(&Scene::new(Settings::default()), async |stage| {
        stage.fulfil(Wish::Create(1)).await?;
        stage.scene.account.break_machines(true);
        stage.ask(Wish::Scale(3)).await;
        tokio::time::sleep(Duration::from_mins(40)).await;
        let (launched, live) = (stage.scene.account.launched(), stage.scene.account.live().len());
        println!("machines launched in forty minutes in which none comes up: {}", launched - 2);
        // Twelve minutes for each to come up.
        assert!((4..=10).contains(&(launched - 2)) && live <= 4, "{launched} launched, {live} live");
        assert!(said(stage, ConditionKind::WorkersReady).contains("1 of 3"), "{:?}", stage.view().conditions);
        stage.scene.account.break_machines(false);
        stage.until_settled().await?;
        stage.fulfil(Wish::Delete).await
    });
}

#[test]
fn a_machine_that_ends_by_itself_is_replaced_with_its_loss_told() {
    tell(&Scene::new(Settings::default()), async |stage| {
        stage.fulfil(Wish::Create(2)).await?;
        let worker = stage.scene.account.live().into_iter().find(|one| one.market == Market::Spot).unwrap();
        stage.scene.account.stock().cloud.host_ended(&worker.id);
        stage.scene.account.tell();
        let gone = |stage: &Stage<'_>| {
            stage.view().nodes.iter().all(|node| Some(&node.name) != name_of(&worker).as_ref())
        };
        stage.until("the end of the machine", gone).await?;
        stage.until_settled().await?;
        assert_eq!(stage.scene.account.launched(), 4);
        stage.fulfil(Wish::Delete).await
    });
}
