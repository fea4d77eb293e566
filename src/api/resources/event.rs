//! From a Kubernetes Event to what happened to a cluster. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::shared::uid_of;
use crate::model::{Event, NodeName, ObjectUid, Severity};

/// What an Event tells; `None` where it is not an operator's.
pub fn event(told: &Value) -> Option<Event> {
    let text = |path: &str| told.pointer(path).and_then(Value::as_str);
    let moment = |path: &str| text(path)?.parse::<Timestamp>().ok();
    let series = told.pointer("/series/count").and_then(Value::as_u64).filter(|count| *count > 1);
    let note = text("/note").unwrap_or_default();
    Some(Event {
        at: moment("/eventTime").or_else(|| moment("/metadata/creationTimestamp"))?,
        severity: if text("/type") == Some("Warning") { Severity::Warning } else { Severity::Normal },
        kind: serde_json::from_value(told.get("reason")?.clone()).ok()?,
        node: text("/related/name").map(NodeName::new),
        message: series.map_or_else(|| note.to_owned(), |count| format!("{note} ({count} times)")),
    })
}

/// Whether an Event is about that very object.
pub fn is_about(told: &Value, object: &ObjectUid) -> bool {
    told.get("regarding")
        .is_some_and(|regarding| regarding.pointer("/uid").and_then(Value::as_str) == Some(object.as_str()))
}

/// The newest events, oldest first: those of an object, or of all of its name that there have been.
pub fn newest(told: &[Value], object: Option<&Value>, limit: usize) -> Vec<Event> {
    let uid = object.map(uid_of);
    let meant = told.iter().filter(|told| uid.as_ref().is_none_or(|uid| is_about(told, uid)));
    let mut events: Vec<Event> = meant.filter_map(event).collect();
    events.sort_by_key(|event| event.at);
    events.drain(..events.len().saturating_sub(limit));
    events
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(uid: &str, at: &str, reason: &str) -> Value {
        json!({
            "eventTime": at, "type": "Warning", "reason": reason, "note": "it ended", "related": {"name": "demo-workers-0-0"},
            "regarding": {"uid": uid}, "series": {"count": 3},
        })
    }

    #[test]
    fn events_of_the_object_are_told_in_their_order_and_counted() {
        let all = [
            told("one", "2026-01-02T03:04:07.000000Z", "NodeFailed"),
            told("one", "2026-01-02T03:04:06.000000Z", "SchedulerReady"),
            told("other", "2026-01-02T03:04:08.000000Z", "NodeFailed"),
            told("one", "2026-01-02T03:04:09.000000Z", "SomebodyElses"),
        ];
        let object = json!({"metadata": {"uid": "one"}});
        let events = newest(&all, Some(&object), 10);
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].message, "it ended (3 times)");
        assert_eq!(events[1].node, Some(NodeName::new("demo-workers-0-0")));
        assert_eq!(newest(&all, Some(&object), 1), events[1..]);
        assert_eq!(newest(&all, None, 10).len(), 3);
    }
}
