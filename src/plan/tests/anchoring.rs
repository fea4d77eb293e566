//! The anchor while it is there: looked after when nobody gets in, and copied to.

use super::{batches, story::Story};
use crate::{
    model::{ErrorKind, RecordCopies, WayIn},
    plan::{Adoption, AnchorCall, CopyCall, EngineView, LaunchFailure, Operations, adopt},
    spec::{Ec2Spec, ProviderSpec},
};

/// A cluster at rest whose scheduler does not answer any more.
fn unanswered(way_in: WayIn) -> Story {
    let mut story = Story::running(2);
    story.facts.way_in = way_in;
    // The anchor was made a while ago.
    story.after(60);
    story.engine = EngineView::Unreachable { since: story.now, message: "no route".to_owned() };
    story
}

#[test]
fn an_address_that_is_not_let_in_any_more_is_let_in_anew_once_a_minute() {
    let mut story = unanswered(WayIn::ByAddress);
    assert!(!story.after(9).plan().contains("make the anchor"));
    assert!(story.after(1).plan().contains("make the anchor"));
    assert!(!story.after(30).plan().contains("make the anchor"));
    assert!(story.after(30).plan().contains("make the anchor"));
}

#[test]
fn where_addresses_do_not_matter_the_anchor_is_left_alone() {
    let mut story = unanswered(WayIn::Open);
    assert!(!story.after(20).plan().contains("make the anchor"));
}

#[test]
fn failures_to_let_an_address_in_are_tried_ever_less_often() {
    let mut story = unanswered(WayIn::ByAddress);
    assert!(story.after(10).plan().contains("make the anchor"));
    let mut tries = 0;
    for _ in 0..120 {
        if story.operations.anchor == AnchorCall::Made(story.now) {
            tries += 1;
            let failure = LaunchFailure {
                node: None,
                at: story.now,
                kind: ErrorKind::Auth,
                message: "not allowed".to_owned(),
            };
            story.operations.anchor = AnchorCall::Failed(failure);
        } else if matches!(story.operations.anchor, AnchorCall::Failed(_)) {
            story.operations.anchor = AnchorCall::NotMade;
        }
        story.after(1).plan();
    }
    assert!((3..20).contains(&tries), "{tries}");
}

/// As `edited` has it, who is let in.
fn lets_in(story: &mut Story, clients: &str) {
    let provider =
        ProviderSpec::Ec2(Box::new(Ec2Spec { client_cidrs: vec![clients.to_owned()], ..Ec2Spec::default() }));
    story.record.wanted.document.spec.provider = provider;
    story.record.wanted.generation += 1;
}

#[test]
fn clients_that_are_edited_are_let_in_once_while_the_scheduler_answers() {
    let mut story = Story::running(1);
    story.facts.way_in = WayIn::ByAddress;
    story.after(60);
    assert!(!story.plan().contains("make the anchor"), "as it was made");
    lets_in(&mut story, "203.0.113.7/32");
    assert!(story.plan().contains("make the anchor"));
    assert!(!story.after(60).plan().contains("make the anchor"));
    // Another controller knows it from the ledger.
    story.operations = Operations::default();
    assert!(!story.plan().contains("make the anchor"));
}

#[test]
fn clients_that_nobody_knows_to_be_let_in_are_let_in_again() {
    let mut story = Story::running(1);
    story.facts.way_in = WayIn::ByAddress;
    story.after(60).plan();
    lets_in(&mut story, "203.0.113.7/32");
    assert!(story.plan().contains("make the anchor"));
    story.operations = Operations::default();
    assert!(story.plan().contains("make the anchor"), "the controller died before the reply");
}

#[test]
fn a_copy_of_the_record_is_kept_once_for_each_generation() {
    let mut story = Story::running(1);
    story.facts.record_copies = RecordCopies::Kept;
    let generation = story.record.wanted.generation;
    assert!(story.plan().contains(&format!("keep a copy of generation {generation}")));
    assert!(!story.plan().contains("keep a copy"), "while one is under way");
    story.operations.copy_ended(generation, true, story.now);
    assert!(!story.plan().contains("keep a copy"));
    // Another controller knows it from the ledger.
    story.operations.copy = CopyCall::NotMade;
    assert!(!story.plan().contains("keep a copy"));
    story.record.wanted.generation += 1;
    assert!(story.plan().contains(&format!("keep a copy of generation {}", generation + 1)));
}

#[test]
fn a_copy_that_could_not_be_kept_is_tried_again_after_a_while() {
    let mut story = Story::running(1);
    story.facts.record_copies = RecordCopies::Kept;
    let generation = story.record.wanted.generation;
    story.plan();
    story.operations.copy_ended(generation, false, story.now);
    assert!(!story.after(29).plan().contains("keep a copy"));
    assert!(story.after(1).plan().contains("keep a copy"));
}

#[test]
fn a_cluster_is_taken_up_as_it_is_and_goes_on_without_a_change() {
    let mut story = batches::running(2);
    story.look();
    let now = story.now;
    let lost = story.record.clone();
    let adopted = adopt(lost.clone(), &story.world, None, now);
    let Adoption::Possible(record) = adopted else { panic!("{adopted:?}") };
    assert_eq!(record.wanted, lost.wanted);
    assert!(record.progress.ledger.spending.is_some());
    story.record = *record;
    story.operations = Operations::default();
    for _ in 0..3 {
        let told = story.after(5).plan();
        assert!(!told.contains("launch") && !told.contains("remove"), "{told}");
    }
    assert_eq!(story.phase(), "Ready");
}

#[test]
fn a_cluster_without_a_scheduler_is_not_taken_up() {
    let mut story = batches::running(1);
    story.look();
    story.world.nodes.retain(|node| !node.id.group.is_scheduler());
    let adopted = adopt(story.record.clone(), &story.world, None, story.now);
    assert!(matches!(adopted, Adoption::Pointless(why) if why.contains("scheduler")));
}
