//! Whose machines are whose: a store that was lost, and other installations in the same account.

use std::time::Duration;

use crewcall::controller::{Fate, Sweep};
use ec2_double::state::Settings;

use crate::{
    counted::cluster_name,
    harness::{Life, STORE, Scene, Stage, THERE, Wish},
};

#[test]
fn a_controller_whose_store_was_lost_takes_its_cluster_up_when_it_is_asked_to() {
    let scene = Scene::new(Settings::default());
    let life = scene.live(None, async |stage: &Stage<'_>| {
        stage.fulfil(Wish::Create(2)).await?;
        stage.fulfil(Wish::Compute(2)).await?;
        stage.fulfil(Wish::Scale(3)).await
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    let launched = scene.account.launched();
    let life = scene.live_on("empty", None, async |stage: &Stage<'_>| {
        tokio::time::sleep(Duration::from_hours(1)).await;
        for (sweep, expected) in [(Sweep::RemoveDead, "kept"), (Sweep::DryRun, "would be taken up")] {
            let found = stage.fleet.gc(sweep).await.unwrap();
            let [one] = &found[..] else { panic!("{found:?}") };
            let fits = match &one.fate {
                Fate::Kept(why) => expected == "kept" && why.contains("older than the directory"),
                fate => expected != "kept" && *fate == Fate::WouldBeAdopted,
            };
            assert!(fits, "{one:?}");
            assert!(one.hourly.is_some() && one.description.contains("4 machines"), "{one:?}");
        }
        let found = stage.fleet.gc(Sweep::Remove).await.unwrap();
        assert!(matches!(&found[..], [one] if one.fate == Fate::Adopted), "{found:?}");
        stage.until_settled().await?;
        // The size is that of before, nothing is launched; that results are there is looked at with every rest.
        assert_eq!((stage.scene.account.live().len(), stage.scene.account.launched()), (4, launched));
        assert!(stage.fleet.gc(Sweep::Remove).await.unwrap().is_empty());
        stage.fulfil(Wish::Scale(1)).await?;
        stage.fulfil(Wish::Scale(2)).await?;
        stage.fulfil(Wish::Delete).await
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    assert_eq!(scene.account.launched(), launched + 1);
}

#[test]
fn a_cluster_whose_record_alone_was_lost_is_taken_up_too() {
    let scene = Scene::new(Settings::default());
    let life = scene.live(None, async |stage: &Stage<'_>| {
        stage.fulfil(Wish::Create(2)).await?;
        stage.fulfil(Wish::Compute(2)).await
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    scene.forget_record();
    let life = scene.live(None, async |stage: &Stage<'_>| {
        tokio::time::sleep(Duration::from_mins(10)).await;
        let found = stage.fleet.gc(Sweep::RemoveDead).await.unwrap();
        assert!(matches!(&found[..], [one] if matches!(one.fate, Fate::Kept(_))), "{found:?}");
        let found = stage.fleet.gc(Sweep::Remove).await.unwrap();
        assert!(matches!(&found[..], [one] if one.fate == Fate::Adopted), "{found:?}");
        stage.until_settled().await?;
        stage.fulfil(Wish::Delete).await
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    assert_eq!(scene.account.launched(), 3);
}

#[test]
fn a_cluster_of_which_no_copy_is_kept_is_left_alone() {
    let scene = Scene::new(Settings::default());
    let life = scene.live(None, async |stage: &Stage<'_>| stage.fulfil(Wish::Create(2)).await);
    assert_eq!(life, Ok(Life::Fulfilled));
    scene.account.forget_copies();
    let life = scene.live_on("empty", None, async |stage: &Stage<'_>| {
        tokio::time::sleep(Duration::from_hours(1)).await;
        for sweep in [Sweep::DryRun, Sweep::RemoveDead, Sweep::Remove] {
            let found = stage.fleet.gc(sweep).await.unwrap();
            assert!(
                matches!(&found[..], [one] if matches!(&one.fate, Fate::Kept(why) if why.contains("older than"))),
                "{found:?}"
            );
        }
        // A cluster of the same name is another one, and its end is not that of the first.
        stage.ask(Wish::Create(1)).await;
        stage.until("the other cluster", |stage| stage.scene.account.live().len() == 5).await?;
        stage.ask(Wish::Delete).await;
        stage.until("the other cluster's end", |stage| stage.fleet.get(&cluster_name()).is_err()).await?;
        assert_eq!(stage.scene.account.live().len(), 3);
        Ok(())
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    // The store is found again, and with it the cluster and its results.
    let life = scene.live_on(STORE, None, async |stage: &Stage<'_>| {
        stage.until_settled().await?;
        stage.fulfil(Wish::Delete).await
    });
    assert_eq!(life, Ok(Life::Fulfilled));
    assert_eq!(scene.account.launched(), 5);
}

#[test]
fn machines_of_another_installation_are_left_alone_until_their_own_tag_says_that_they_are_over() {
    let scene = Scene::new(Settings::default());
    let life = scene.live_on(THERE, None, async |stage: &Stage<'_>| stage.fulfil(Wish::Create(2)).await);
    assert_eq!(life, Ok(Life::Fulfilled));
    let life = scene.live(None, async |stage: &Stage<'_>| {
        // Its lifetime is a day, and the tag an hour more.
        tokio::time::sleep(Duration::from_hours(24)).await;
        assert!(stage.fleet.gc(Sweep::Remove).await.unwrap().is_empty());
        assert_eq!(stage.scene.account.live().len(), 3);
        tokio::time::sleep(Duration::from_hours(2)).await;
        let found = stage.fleet.gc(Sweep::RemoveDead).await.unwrap();
        assert!(matches!(&found[..], [one] if one.fate == Fate::Removed), "{found:?}");
        assert_eq!(stage.scene.account.live().len(), 0);
        Ok(())
    });
    assert_eq!(life, Ok(Life::Fulfilled));
}
