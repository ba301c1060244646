//! The value at a path of an object, and the keys of maps.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::paths::keyed;
use crate::domain::paths::pointer::tokens;

/// The value at a path that leads through maps and, by their keys, through elements of lists ([`keyed`]). Unlike
/// `Value::pointer`, it never selects an element of a list by its position.
pub fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    tokens(path).try_fold(object, |value, token| step(value, &token))
}

fn step<'a>(value: &'a Value, token: &str) -> Option<&'a Value> {
    match keyed::element(token) {
        Some((list, key, wanted)) => keyed::find(value.get(list)?.as_array()?, key, wanted),
        None => value.as_object()?.get(token),
    }
}

/// The value of a key, if the map exists and has it.
pub(crate) fn child<'a>(map: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    map?.get(key)
}

/// The keys of both, if they are maps.
pub(crate) fn keys<'a>(one: Option<&'a Value>, two: Option<&'a Value>) -> BTreeSet<&'a str> {
    let maps = [one, two].into_iter().flatten().filter_map(Value::as_object);
    maps.flat_map(|map| map.keys().map(String::as_str)).collect()
}
