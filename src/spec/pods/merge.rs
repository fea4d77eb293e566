//! One piece of a Kubernetes object over another.

use serde_json::{Map, Value};

/// What a key with the value `null` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// It is kept, to remove something from what the result goes over later.
    Keep,
    /// It removes the key.
    Remove,
}

/// Puts `over` over `base`, by the rule of [`super::PodTemplate`]. A text, number or list as `over`
/// takes the place of `base`.
pub(crate) fn merge(base: &mut Value, over: &Value, nulls: Nulls) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => merge_maps(base, over, nulls),
        (base, Value::Object(over)) => {
            let mut fresh = Map::new();
            merge_maps(&mut fresh, over, nulls);
            *base = Value::Object(fresh);
        }
        (base, over) => *base = over.clone(),
    }
}

fn merge_maps(base: &mut Map<String, Value>, over: &Map<String, Value>, nulls: Nulls) {
    for (key, value) in over {
        if value.is_null() && nulls == Nulls::Remove {
            base.remove(key);
            continue;
        }
        let there = base.entry(key.clone()).or_insert(Value::Null);
        match (Named::list(key), &mut *there, value) {
            (Some(named), Value::Array(there), Value::Array(items)) => named.join(there, items, nulls),
            _ => merge(there, value, nulls),
        }
    }
}

/// A list whose items have names.
struct Named {
    /// Fields that are the same in an item and the one whose place it takes.
    name: &'static [&'static str],
    same: Same,
}

/// What becomes of an item whose name is there already.
#[derive(PartialEq, Eq)]
enum Same {
    /// It takes the other's place: a volume has one source, a variable one value.
    Replaces,
    /// It is merged with the other.
    Merges,
}

impl Named {
    /// The list that stands under this key of a pod, a container or a template.
    fn list(key: &str) -> Option<Self> {
        let (name, same): (&[&str], _) = match key {
            "containers" | "initContainers" => (&["name"], Same::Merges),
            "volumes" | "env" | "imagePullSecrets" => (&["name"], Same::Replaces),
            "volumeMounts" => (&["mountPath"], Same::Replaces),
            "tolerations" => (&["key", "effect"], Same::Replaces),
            _ => return None,
        };
        Some(Self { name, same })
    }

    fn join(&self, there: &mut Vec<Value>, items: &[Value], nulls: Nulls) {
        for item in items {
            let is_it =
                |other: &&mut Value| self.name.iter().all(|field| other.get(field) == item.get(field));
            match there.iter_mut().find(is_it) {
                Some(other) if self.same == Same::Merges => merge(other, item, nulls),
                Some(other) => *other = item.clone(),
                None => there.push(item.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(base: Value, over: &Value, nulls: Nulls) -> Value {
        let mut base = base;
        merge(&mut base, over, nulls);
        base
    }

    #[test]
    fn containers_merge_by_name_and_variables_replace_each_other() {
        let base = json!({"containers": [
            {"name": "dask", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        ]});
        let over = json!({"containers": [
            {"name": "dask", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
            {"name": "other", "image": "b"},
        ]});
        let expected = json!({"containers": [
            {"name": "dask", "image": "a", "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "B", "value": "2"},
            ]},
            {"name": "other", "image": "b"},
        ]});
        assert_eq!(merged(base, &over, Nulls::Remove), expected);
    }

    #[test]
    fn null_removes_a_key_at_last_and_is_carried_until_then() {
        let base = json!({"securityContext": {"runAsUser": 1000, "fsGroup": 1}});
        let over = json!({"securityContext": {"runAsUser": null, "seccompProfile": {"type": null}}});
        assert_eq!(
            merged(base.clone(), &over, Nulls::Remove),
            json!({"securityContext": {"fsGroup": 1, "seccompProfile": {}}})
        );
        assert_eq!(
            merged(base, &over, Nulls::Keep),
            json!({"securityContext": {"runAsUser": null, "fsGroup": 1, "seccompProfile": {"type": null}}})
        );
    }

    #[test]
    fn a_list_without_names_and_a_value_take_the_place_of_the_one_before() {
        let base = json!({"dnsConfig": {"searches": ["a", "b"]}, "nodeName": "one"});
        let over = json!({"dnsConfig": {"searches": ["c"]}, "nodeName": "two", "affinity": {"x": [1]}});
        assert_eq!(
            merged(base, &over, Nulls::Remove),
            json!({"dnsConfig": {"searches": ["c"]}, "nodeName": "two", "affinity": {"x": [1]}})
        );
    }
}
