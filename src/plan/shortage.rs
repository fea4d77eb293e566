//! What to ask for when the provider has no room: the next choice, and when there is none, patience.

use std::time::Duration;

use super::{launching::nodes, planner::Planner};
use crate::{
    model::{Choice, EventKind, LaunchIntent, Launching, Severity, Shortage},
    spec::GroupName,
};

/// All choices are not tried anew sooner than this.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// What a group's next launch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// This choice.
    Choice(u32),
    /// None of them has room for now.
    Nowhere,
}

/// How many choices a group has.
pub(super) fn choices(launching: &Launching, group: &GroupName) -> u32 {
    let count = launching.choices.get(group).map_or(1, Vec::len).max(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Planner<'_> {
    /// One of a group's choices; of one that nobody has described nothing is known.
    pub(super) fn choice(&self, group: &GroupName, choice: u32) -> Choice {
        let choices = self.launching().and_then(|launching| launching.choices.get(group));
        choices.and_then(|choices| choices.get(choice as usize)).cloned().unwrap_or_default()
    }

    fn retry(&self) -> Duration {
        self.launching().map_or(SHORTEST_RETRY, |launching| launching.capacity_retry.max(SHORTEST_RETRY))
    }

    /// What the group's next launch asks for. What was refused is tried again after a while, from the
    /// first choice on.
    pub(super) fn room(&mut self, group: &GroupName) -> Room {
        let Some(shortage) = self.ledger.groups.get(group).and_then(|group| group.shortage.clone()) else {
            return Room::Choice(0);
        };
        let retry = self.retry();
        if self.passed(shortage.at, retry) {
            if let Some(ledger) = self.ledger.groups.get_mut(group) {
                ledger.shortage = None;
            }
            return Room::Choice(0);
        }
        let choices = self.launching().map_or(1, |launching| choices(launching, group));
        if shortage.next < choices { Room::Choice(shortage.next) } else { Room::Nowhere }
    }

    /// A launch found less room than it asked for.
    pub(super) fn note_shortage(&mut self, intent: &LaunchIntent, message: String) {
        let (group, now, retry) = (&intent.group, self.now(), self.retry());
        let next = intent.choice.saturating_add(1);
        let choices = self.launching().map_or(1, |launching| choices(launching, group));
        let known = self.ledger.groups.get(group).and_then(|group| group.shortage.as_ref());
        // Several launches that were refused alike are one piece of news.
        if known
            .is_some_and(|known| known.next >= next && known.at.duration_since(now).unsigned_abs() < retry)
        {
            return;
        }
        let (what, tried) = (nodes(group, intent.count), self.choice(group, intent.choice).label);
        let as_what = if tried.is_empty() { String::new() } else { format!(" ({tried})") };
        let then = if next < choices {
            format!("tried next: {}", self.choice(group, next).label)
        } else {
            format!("tried again in {} s", retry.as_secs())
        };
        let text = format!("no room for {what}{as_what}: {message}; {then}");
        self.event(Severity::Warning, EventKind::NoCapacity, None, text);
        self.ledger.groups.entry(group.clone()).or_default().shortage =
            Some(Shortage { next, at: now, message });
    }
}
