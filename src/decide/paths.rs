//! What a release changes on a target, as paths through maps. A list is always one whole value: only then
//! does restoring it give back its order and its duplicates, which a strategic merge does not.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

mod standing;

pub use standing::stands;

/// One path that differs between the live object and the dry run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// A JSON pointer (RFC 6901) that leads through maps only.
    pub path: String,
    /// The value before the change; `None` is absent, which is something else than `null`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub before: Option<Value>,
    /// The value after the change; `None` is absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub after: Option<Value>,
}

/// Serde reads `null` into an `Option` as `None`; here a key that is there is a value that is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Every difference that counts, sorted by path. Identity, `status` and what the API server writes into
/// `metadata` do not count: nobody states them, and nobody could put them back.
pub fn difference(live: &Value, result: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    for key in keys(Some(live), Some(result)) {
        match key {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for key in ["annotations", "labels"] {
                    let (before, after) = (
                        child(live.get("metadata"), key),
                        child(result.get("metadata"), key),
                    );
                    compare(&format!("/metadata/{key}"), before, after, &mut changes);
                }
            }
            key => compare(&below("", key), live.get(key), result.get(key), &mut changes),
        }
    }
    // Escaping and the separator sort differently from the keys themselves.
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(_)), Some(Value::Object(_))) => {
            for key in keys(before, after) {
                compare(&below(path, key), child(before, key), child(after, key), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(Change {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

/// Does every path still hold exactly what it held before the change?
pub fn untouched(changes: &[Change], live: &Value) -> Result<(), Vec<String>> {
    differing(changes, live, |change| change.before.as_ref())
}

/// Does every path hold exactly what the change put there?
pub fn applied(changes: &[Change], live: &Value) -> Result<(), Vec<String>> {
    differing(changes, live, |change| change.after.as_ref())
}

fn differing(
    changes: &[Change],
    live: &Value,
    wanted: impl Fn(&Change) -> Option<&Value>,
) -> Result<(), Vec<String>> {
    let paths = changes
        .iter()
        .filter(|change| get(live, &change.path) != wanted(change));
    none_of(paths.map(|change| change.path.clone()).collect())
}

fn none_of(paths: Vec<String>) -> Result<(), Vec<String>> {
    if paths.is_empty() { Ok(()) } else { Err(paths) }
}

/// The JSON Patch (RFC 6902) that puts every path back to what it held before; empty where nothing is left to
/// do. Its first operation makes a stale `resource_version` a 409.
pub fn restoration(changes: &[Change], live: &Value, resource_version: &str) -> Vec<Value> {
    let mut operations = Vec::new();
    // The object as the operations so far leave it: a parent that one of them created is not created again.
    let mut object = live.clone();
    for Change {
        path,
        before,
        after: _,
    } in changes
    {
        if get(&object, path) == before.as_ref() {
            continue;
        }
        match before {
            Some(value) => put(&mut object, path, value, &mut operations),
            None => remove(&mut object, path, &mut operations),
        }
    }
    if !operations.is_empty() {
        let precondition =
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version});
        operations.insert(0, precondition);
    }
    operations
}

fn put(object: &mut Value, path: &str, value: &Value, operations: &mut Vec<Value>) {
    let mut parent = object;
    let mut at = String::new();
    let mut keys = tokens(path).peekable();
    while let Some(key) = keys.next() {
        // Somebody removed the parent, or made it something else. Adding over an existing member replaces it.
        if !parent.is_object() {
            operations.push(json!({"op": "add", "path": at, "value": {}}));
            *parent = Value::Object(Map::new());
        }
        let Value::Object(map) = parent else { return };
        at = below(&at, &key);
        if keys.peek().is_none() {
            let op = if map.contains_key(&key) { "replace" } else { "add" };
            operations.push(json!({"op": op, "path": at, "value": value}));
            map.insert(key, value.clone());
            return;
        }
        parent = map.entry(key).or_insert(Value::Null);
    }
}

fn remove(object: &mut Value, path: &str, operations: &mut Vec<Value>) {
    let Some((parent, _)) = path.rsplit_once('/') else {
        return;
    };
    let Some(key) = tokens(path).last() else { return };
    if let Some(Value::Object(map)) = get_mut(object, parent)
        && map.remove(&key).is_some()
    {
        operations.push(json!({"op": "remove", "path": path}));
    }
}

/// The value at a pointer that leads through maps only. Unlike `Value::pointer` it never indexes a list.
pub fn get<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    tokens(pointer).try_fold(object, |value, key| value.as_object()?.get(&key))
}

fn get_mut<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    tokens(pointer).try_fold(object, |value, key| value.as_object_mut()?.get_mut(&key))
}

/// The keys a pointer names, unescaped.
pub fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    // RFC 6901, 4: `~1` first, otherwise `~01` would become a slash.
    pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// The pointer to `key` in the map at `path`.
pub fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn child<'a>(map: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    map?.get(key)
}

fn keys<'a>(one: Option<&'a Value>, two: Option<&'a Value>) -> BTreeSet<&'a str> {
    let maps = [one, two].into_iter().flatten().filter_map(Value::as_object);
    maps.flat_map(|map| map.keys().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests;
