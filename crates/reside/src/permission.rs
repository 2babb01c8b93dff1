//! What permissions are called: names, instance ids and the keys under which control blocks keep them.

use serde_json::{Map, Value};

use crate::identity::Identity;

/// Returns the text of a value in titles and instance ids: a string as it is, anything else as JSON.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns what tells this instance of a permission from others of its name: the values of the instance keys in their
/// order, joined by `:`, each with `%` and `:` percent-encoded. A permission without instance keys has no such id.
pub fn instance_id<K: AsRef<str>>(keys: &[K], params: &Map<String, Value>) -> Option<String> {
    if keys.is_empty() {
        return None;
    }
    let encode = |key: &K| {
        let text = params.get(key.as_ref()).map(value_text).unwrap_or_default();
        text.replace('%', "%25").replace(':', "%3A")
    };
    Some(keys.iter().map(encode).collect::<Vec<_>>().join(":"))
}

/// Returns the global name of a permission: `{contract}:{name}`.
pub fn global_name(contract: &Identity, name: &str) -> String {
    format!("{contract}:{name}")
}

/// Returns the key of a permission within one account: `{contract}:{name}[:{instance}]`.
pub fn grant_key(contract: &Identity, name: &str, instance: Option<&str>) -> String {
    match instance {
        None => format!("{contract}:{name}"),
        Some(instance) => format!("{contract}:{name}:{instance}"),
    }
}

/// Returns the key of a permission in a control block: `{account}:{contract}:{name}[:{instance}]`.
pub fn entry_key(account: &str, contract: &Identity, name: &str, instance: Option<&str>) -> String {
    format!("{account}:{}", grant_key(contract, name, instance))
}

/// Fills `{replica.name}` in a text.
pub fn fill_replica_name(text: &str, replica_name: &str) -> String {
    text.replace("{replica.name}", replica_name)
}

/// Fills `{replica.name}` in every string of a value; keys of objects stay as they are.
pub fn fill_replica_name_in(value: &mut Value, replica_name: &str) {
    match value {
        Value::String(text) => *text = fill_replica_name(text, replica_name),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| fill_replica_name_in(item, replica_name)),
        Value::Object(entries) => entries
            .values_mut()
            .for_each(|item| fill_replica_name_in(item, replica_name)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_instance(keys: &[&str], params: Value, expected: Option<&str>) {
        let params = params.as_object().cloned().unwrap_or_default();
        assert_eq!(instance_id(keys, &params).as_deref(), expected);
    }

    #[test]
    fn instance_ids_join_the_values_of_the_keys_in_declared_order() {
        check_instance(&[], json!({"a": 1}), None);
        check_instance(&["language"], json!({"language": "en", "other": 1}), Some("en"));
        check_instance(&["b", "a"], json!({"a": 1, "b": true}), Some("true:1"));
    }

    #[test]
    fn separators_inside_values_cannot_make_two_instances_look_alike() {
        check_instance(&["a", "b"], json!({"a": "x:y", "b": "z"}), Some("x%3Ay:z"));
        check_instance(&["a", "b"], json!({"a": "x", "b": "y:z"}), Some("x:y%3Az"));
        check_instance(&["a"], json!({"a": "%3A"}), Some("%253A"));
    }

    #[test]
    fn the_name_of_the_replica_is_filled_in_at_any_depth() {
        let mut value =
            json!({"a": ["{replica.name}-x", 1], "b": {"c": "{replica.name}"}, "{replica.name}": null});
        fill_replica_name_in(&mut value, "bot");
        assert_eq!(
            value,
            json!({"a": ["bot-x", 1], "b": {"c": "bot"}, "{replica.name}": null})
        );
    }
}
