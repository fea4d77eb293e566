//! From what is asked for to what is written into an object. Pure.

use serde_json::{Map, Value, json};

use crate::spec::{ComputeCluster, GroupName, Size};

/// An object as a document describes it.
pub fn object(document: &ComputeCluster) -> Result<Value, serde_json::Error> {
    serde_json::to_value(document)
}

/// A merge patch that makes the document's part of an object what it is to be, of that version alone; labels and
/// annotations of others stay.
pub fn patch(object: &Value, wanted: &Value) -> Value {
    let field = |name: &str| (object.get(name).cloned(), wanted.get(name).cloned().unwrap_or_default());
    let (before, after) = field("spec");
    let mut metadata = version(object);
    if let (Some(labels), Some(metadata)) = (wanted.pointer("/metadata/labels"), metadata.as_object_mut()) {
        metadata.insert("labels".to_owned(), labels.clone());
    }
    json!({ "metadata": metadata, "spec": difference(&before.unwrap_or_default(), &after) })
}

/// A merge patch that gives a group another size, in an object of that version alone.
pub fn resize(object: &Value, group: &GroupName, size: Size) -> Value {
    let size = match size {
        Size::Fixed(replicas) => json!({ "replicas": replicas, "min": null, "max": null }),
        Size::Adaptive { min, max } => json!({ "replicas": null, "min": min, "max": max }),
    };
    let spec = if *group == GroupName::workers() {
        json!({ "workers": size })
    } else {
        json!({ "workerGroups": { group.as_str(): size } })
    };
    json!({ "metadata": version(object), "spec": spec })
}

fn version(object: &Value) -> Value {
    let text = |path| object.pointer(path).cloned().unwrap_or_default();
    json!({ "uid": text("/metadata/uid"), "resourceVersion": text("/metadata/resourceVersion") })
}

/// RFC 7396: what to merge into `before` so that it becomes `after`.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for (key, after) in after {
        match before.get(key) {
            Some(before) if before == after => {}
            Some(before) => drop(patch.insert(key.clone(), difference(before, after))),
            None => drop(patch.insert(key.clone(), after.clone())),
        }
    }
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Value {
        json!({
            "metadata": {"uid": "u", "resourceVersion": "7", "labels": {"theirs": "stays"}},
            "spec": {"workers": {"replicas": 2, "cpu": "1"}, "idleTimeout": "1h"},
        })
    }

    #[test]
    fn a_patch_says_what_differs_and_takes_back_what_is_not_said_any_more() {
        let wanted = json!({
            "metadata": {"name": "demo", "labels": {"ours": "new"}},
            "spec": {"workers": {"min": 1, "max": 4, "cpu": "1"}},
        });
        assert_eq!(
            patch(&stored(), &wanted),
            json!({
                "metadata": {"uid": "u", "resourceVersion": "7", "labels": {"ours": "new"}},
                "spec": {"workers": {"min": 1, "max": 4, "replicas": null}, "idleTimeout": null},
            })
        );
    }

    #[test]
    fn a_new_size_takes_the_place_of_the_other_kind() {
        let group: GroupName = "big".parse().unwrap();
        assert_eq!(
            resize(&stored(), &group, Size::Adaptive { min: 0, max: 3 })["spec"],
            json!({"workerGroups": {"big": {"replicas": null, "min": 0, "max": 3}}})
        );
        assert_eq!(
            resize(&stored(), &GroupName::workers(), Size::Fixed(3))["spec"],
            json!({"workers": {"replicas": 3, "min": null, "max": null}})
        );
    }
}
