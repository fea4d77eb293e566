//! Idleness, lifetime, deletion.

use std::time::Duration;

use insta::assert_snapshot;
use jiff::Timestamp;

use super::story::{Story, fixed};
use crate::{
    model::{AnchorState, ConditionKind, EndReason, Ending, ErrorKind, Observed, Presence},
    plan::{Action, AnchorCall, CopyCall, unseen_action, unseen_conditions},
    spec::{Span, TimeLimit},
};

fn after_minutes(minutes: u64) -> Option<TimeLimit> {
    Span::from_seconds(minutes * 60).map(TimeLimit::After)
}

fn delete(story: &mut Story) {
    story.record.wanted.presence = Presence::Absent(Ending { at: story.now, reason: EndReason::Deleted });
}

#[test]
fn a_cluster_that_cannot_be_seen_is_not_shown_as_ready_and_can_still_be_removed() {
    let mut story = Story::running(1);
    story.plan();
    assert_eq!(story.phase(), "Ready");
    let unseen = |story: &mut Story| {
        let (record, transient) = (&mut story.record, ErrorKind::Transient);
        record.progress.conditions =
            unseen_conditions(record, transient, "the host does not answer", story.now);
        unseen_action(record, &story.operations, story.now)
    };
    assert_eq!(unseen(&mut story), None, "what is wanted is left alone");
    assert_eq!(story.phase(), "Degraded");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, CannotObserve: the host does not answer");
    assert_snapshot!(story.condition(ConditionKind::WorkersReady), @"unknown, CannotObserve: what runs cannot be seen");

    let renewed =
        unseen_conditions(&story.record, ErrorKind::Auth, "credentials ended; renew them", story.now);
    assert!(renewed.iter().any(|one| one.reason == "CredentialsNeeded" && one.message.contains("renew")));

    delete(&mut story);
    assert_eq!(unseen(&mut story), Some(Action::RemoveAnchor));
    assert_eq!(story.phase(), "Deleting");
    story.operations.copy = CopyCall::InFlight;
    assert_eq!(unseen(&mut story), None, "what lands afterwards would stay");
    story.operations.copy = CopyCall::NotMade;
    story.operations.removing_anchor = true;
    assert_eq!(unseen(&mut story), None, "it is under way");
    story.operations.anchor_removal_ended(None, story.now);
    assert_eq!(unseen(&mut story), None, "it has just failed");
    story.after(1);
    assert_eq!(unseen(&mut story), Some(Action::RemoveAnchor));
}

#[test]
fn an_idle_cluster_announces_its_end_and_then_ends() {
    let mut story = Story::running(1);
    story.spec().idle_timeout = after_minutes(10);
    story.status().idle_since = Some(story.now);
    assert_snapshot!(story.plan(), @"looks again in 540 s");
    assert_snapshot!(story.after(540).plan(), @"
    !EndAnnounced: will be torn down at 1970-01-01T00:10:00Z, if it stays idle until then
    looks again in 60 s
    ");
    assert_snapshot!(story.after(30).plan(), @"looks again in 30 s");
    assert_snapshot!(story.after(30).plan(), @"
    !Deleting: being torn down: it was idle for its idleTimeout
    ends, because it was idle for its idleTimeout
    ");
}

#[test]
fn work_before_the_end_takes_the_announcement_back() {
    let mut story = Story::running(1);
    story.spec().idle_timeout = after_minutes(10);
    story.status().idle_since = Some(story.now);
    story.after(540).plan();
    story.status().idle_since = None;
    story.plan();
    assert!(story.record.progress.ledger.ends_announced.is_empty());
    story.status().idle_since = Some(story.now);
    story.after(540);
    assert!(story.plan().contains("!EndAnnounced"));
}

#[test]
fn a_cluster_ends_with_its_lifetime_whatever_it_does() {
    let mut story = Story::running(1);
    story.spec().max_lifetime = after_minutes(60);
    assert_snapshot!(story.after(3300).plan(), @"
    !EndAnnounced: will be torn down at 1970-01-01T01:00:00Z: its maxLifetime ends then
    looks again in 300 s
    ");
    assert_snapshot!(story.after(300).plan(), @"
    !Deleting: being torn down: its maxLifetime has passed
    ends, because its maxLifetime has passed
    ");
}

#[test]
fn each_coming_end_is_announced() {
    let mut story = Story::running(1);
    story.spec().idle_timeout = after_minutes(60);
    story.spec().max_lifetime = after_minutes(63);
    story.status().idle_since = Some(story.now);
    assert!(story.after(3300).plan().contains("if it stays idle until then"));
    assert!(story.after(200).plan().contains("its maxLifetime ends then"));
}

#[test]
fn a_deleted_cluster_is_torn_down_without_drains() {
    let mut story = Story::running(2);
    delete(&mut story);
    assert_snapshot!(story.plan(), @"remove the anchor");
    assert_eq!(story.phase(), "Deleting");
    assert_snapshot!(story.plan(), @"nothing");
    story.operations.removing_anchor = false;
    story.operations.anchor_removed = Some(story.now);
    story.world.anchor = AnchorState::Ending;
    assert_snapshot!(story.plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(1).plan(), @"remove the anchor");
    story.operations.removing_anchor = false;
    story.operations.anchor_gone = true;
    story.world = crate::model::Observed::default();
    assert_snapshot!(story.plan(), @"nothing is left");
}

#[test]
fn a_cluster_of_which_nothing_shows_is_removed_all_the_same() {
    // Its host was killed, and what that had on disk has not gone with it.
    let mut story = Story::running(1);
    story.world = crate::model::Observed::default();
    delete(&mut story);
    assert_snapshot!(story.plan(), @"remove the anchor");
    story.operations.removing_anchor = false;
    story.operations.anchor_removed = Some(story.now);
    assert_snapshot!(story.plan(), @"looks again in 1 s");
    story.operations.anchor_gone = true;
    assert_snapshot!(story.plan(), @"nothing is left");
}

#[test]
fn a_deletion_waits_for_creating_calls_that_are_under_way() {
    let mut story = Story::running(1);
    story.facts.visibility_delay = Duration::from_secs(30);
    story.edit(|spec| spec.workers = fixed(2));
    story.plan();
    let name = story.name("workers-1-0");
    story.operations.launching.insert(name);
    delete(&mut story);
    story.after(100);
    assert_snapshot!(story.plan(), @"nothing");
    story.operations.launching.clear();
    story.operations.anchor_gone = true;
    story.world = crate::model::Observed::default();
    // What the call has made may appear only now.
    assert_snapshot!(story.after(29).plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(1).plan(), @"nothing is left");
}

#[test]
fn a_deletion_right_after_a_creation_waits_for_what_cannot_be_seen_yet() {
    let mut story = Story::of(1);
    story.facts.visibility_delay = Duration::from_secs(30);
    story.plan();
    story.operations.anchor = AnchorCall::InFlight;
    delete(&mut story);
    assert_snapshot!(story.plan(), @"nothing");
    story.operations.anchor = AnchorCall::Made(story.now);
    story.operations.anchor_gone = true;
    assert_snapshot!(story.plan(), @"looks again in 30 s");
    story.restart().operations.anchor_gone = true;
    assert_snapshot!(story.after(29).plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(1).plan(), @"nothing is left");
}

#[test]
fn a_deletion_waits_for_nothing_where_nothing_can_appear_any_more() {
    let mut story = Story::running(1);
    story.facts.visibility_delay = Duration::from_secs(30);
    delete(&mut story);
    story.operations.anchor_gone = true;
    story.world = crate::model::Observed::default();
    assert_snapshot!(story.plan(), @"looks again in 30 s");
    story.operations.gone_for_good = true;
    assert_snapshot!(story.plan(), @"nothing is left");
}

#[test]
fn a_deletion_right_after_a_scale_down_waits_for_what_cannot_be_seen_yet() {
    let mut story = Story::running(1);
    story.facts.visibility_delay = Duration::from_secs(30);
    story.edit(|spec| spec.workers = fixed(2));
    story.plan();
    story.edit(|spec| spec.workers = fixed(1));
    story.plan();
    delete(&mut story);
    story.restart().operations.anchor_gone = true;
    story.world = crate::model::Observed::default();
    assert_snapshot!(story.after(29).plan(), @"looks again in 1 s");
}

/// A running cluster with an idle timeout of ten minutes, as its controller last knew it.
fn with_idle_timeout(idle_since: Option<u64>) -> Story {
    let mut story = Story::running(1);
    story.spec().idle_timeout = after_minutes(10);
    story.after(1000);
    story.status().idle_since =
        idle_since.map(|seconds| Timestamp::from_second(seconds.cast_signed()).unwrap());
    story.plan();
    story
}

#[test]
fn a_scheduler_that_ended_by_its_idle_timeout_is_not_made_again() {
    let mut story = with_idle_timeout(None);
    story.restart().after(700).ends("scheduler-0-0", Some(77));
    assert_snapshot!(story.plan(), @"
    !Deleting: being torn down: it was idle for its idleTimeout; its scheduler ended by its own idle timeout. It is not made again
    ends, because it was idle for its idleTimeout
    ");
}

#[test]
fn a_cluster_that_went_while_nobody_looked_for_longer_than_its_idle_timeout_is_not_made_again() {
    for idle_since in [None, Some(900)] {
        let mut story = with_idle_timeout(idle_since);
        story.restart().after(601);
        story.world = Observed::default();
        let told = story.plan();
        assert!(told.contains("ends, because it was idle"), "{told}");
        assert!(!told.contains("make the anchor"), "{told}");
    }
}

#[test]
fn a_scheduler_that_died_while_somebody_looked_is_made_again() {
    let mut story = with_idle_timeout(Some(900));
    story.after(400).ends("scheduler-0-0", Some(1));
    assert!(story.plan().contains("launch demo-scheduler-0-1"));
}

#[test]
fn a_cluster_that_worked_on_while_nobody_looked_goes_on() {
    let mut story = with_idle_timeout(None);
    let engine = story.engine.clone();
    story.restart().after(7200);
    assert_snapshot!(story.plan(), @"looks again in 120 s");
    story.engine = engine;
    assert_snapshot!(story.plan(), @"looks again in 120 s");
}

#[test]
fn a_connected_client_does_not_keep_an_idle_cluster_and_is_told_of() {
    let mut story = with_idle_timeout(Some(1000));
    story.status().clients = 2;
    assert_snapshot!(story.after(550).plan(), @"
    !EndAnnounced: will be torn down at 1970-01-01T00:26:40Z, if it stays idle until then (2 connected clients; a client alone is no work)
    looks again in 50 s
    ");
}

#[test]
fn that_somebody_looks_is_noted_now_and_then_only() {
    let mut story = with_idle_timeout(None);
    let noted = story.record.progress.ledger.idle_from;
    story.after(59).plan();
    assert_eq!(story.record.progress.ledger.idle_from, noted);
    story.after(1).plan();
    assert_eq!(story.record.progress.ledger.idle_from, Some(story.now));
}

#[test]
fn certificates_that_end_before_their_cluster_are_told_of_two_weeks_ahead() {
    let day = 24 * 3600;
    let mut story = Story::running(1);
    let end = story.now + Duration::from_secs(100 * day);
    story.facts.certificates_until = Some(end);
    story.after(85 * day).plan();
    assert_snapshot!(story.condition(ConditionKind::Encrypted), @"yes, MutualTls: every connection is mutually authenticated");
    story.after(2 * day).plan();
    assert_snapshot!(story.condition(ConditionKind::Encrypted), @"yes, CertificatesEnd: the cluster's certificates end at 1970-04-11T00:00:00Z, after which nobody can connect: create it anew before");
    story.spec().max_lifetime = after_minutes(99 * day / 60);
    story.plan();
    assert_snapshot!(story.condition(ConditionKind::Encrypted), @"yes, MutualTls: every connection is mutually authenticated");
}
