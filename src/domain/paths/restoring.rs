//! The way back: the JSON Patch (RFC 6902) that restores every changed field and keeps the changes of other writers.

use serde_json::{Map, Value, json};

use crate::domain::paths::change::FieldChange;
use crate::domain::paths::keyed;
use crate::domain::paths::leaves::{Leaf, Leaves};
use crate::domain::paths::lookup::get;
use crate::domain::paths::pointer::{below, tokens};

/// The JSON Patch that restores the previous value of every path; empty if nothing is left to do. Because of its first operation, a
/// stale `resource_version` results in a 409.
#[must_use]
pub fn restoration(changes: &[FieldChange], live: &Value, resource_version: &str) -> Vec<Value> {
    // The object after the operations so far: what one of them created is not created again, and positions move.
    let mut way = Way {
        object: live.clone(),
        operations: Vec::new(),
    };
    let leaves = Leaves::of(changes);
    for leaf in &leaves.all {
        if leaf.is_before(&way.object) {
            continue;
        }
        match leaf.before {
            Some(value) => way.put(leaf, value),
            None => way.remove(&leaf.path),
        }
    }
    for path in leaves.brought.iter().rev() {
        let left = get(&way.object, path);
        let nothing = |value: &Value| {
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        };
        if left.is_some_and(nothing) {
            way.remove(path);
        }
    }
    if way.operations.is_empty() {
        return way.operations;
    }
    let precondition =
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version});
    way.operations.insert(0, precondition);
    way.operations
}

/// `base`, the value at `path`, with the values of `result` at each of `fields`.
pub(crate) fn laid_over<'a>(
    path: &str,
    base: Option<&Value>,
    fields: impl Iterator<Item = &'a str>,
    result: &Value,
) -> Option<Value> {
    let mut way = Way {
        object: Value::Object(Map::new()),
        operations: Vec::new(),
    };
    if let Some(base) = base {
        way.put(&Leaf::at(path), base);
    }
    for field in fields {
        match get(result, field) {
            Some(value) => way.put(&Leaf::at(field), value),
            None => way.remove(field),
        }
    }
    get(&way.object, path).cloned()
}

struct Way {
    object: Value,
    operations: Vec<Value>,
}

impl Way {
    /// Sets `value` at the leaf's path. Missing parents are created, except for elements of lists: an element that another writer removed
    /// is not created again.
    fn put(&mut self, leaf: &Leaf<'_>, value: &Value) {
        let mut parent = &mut self.object;
        let mut at = String::new();
        let mut tokens = tokens(&leaf.path).peekable();
        while let Some(token) = tokens.next() {
            // Another writer removed the parent, or changed its type. Adding over an existing member replaces it.
            if !parent.is_object() {
                self.operations
                    .push(json!({"op": "add", "path": at, "value": {}}));
                *parent = Value::Object(Map::new());
            }
            let Value::Object(map) = parent else { return };
            let Some((list, key, id)) = keyed::element(&token) else {
                at = below(&at, &token);
                if tokens.peek().is_none() {
                    let op = if map.contains_key(&token) {
                        "replace"
                    } else {
                        "add"
                    };
                    self.operations
                        .push(json!({"op": op, "path": at, "value": value}));
                    map.insert(token, value.clone());
                    return;
                }
                parent = map.entry(token).or_insert(Value::Null);
                continue;
            };
            at = below(&at, list);
            let elements = map.entry(list).or_insert(Value::Null);
            if !elements.is_array() {
                self.operations
                    .push(json!({"op": "add", "path": at, "value": []}));
                *elements = json!([]);
            }
            let Value::Array(elements) = elements else { return };
            let there = keyed::position(elements, key, id);
            if tokens.peek().is_none() {
                let (op, place) = match there {
                    Some(place) => ("replace", place),
                    None => (
                        "add",
                        place_of(id, leaf.order.as_deref().unwrap_or(&[]), elements, key),
                    ),
                };
                self.operations
                    .push(json!({"op": op, "path": format!("{at}/{place}"), "value": value}));
                match there {
                    Some(place) => elements[place] = value.clone(),
                    None => elements.insert(place, value.clone()),
                }
                return;
            }
            let Some(place) = there else { return };
            at = format!("{at}/{place}");
            parent = &mut elements[place];
        }
    }

    fn remove(&mut self, path: &str) {
        let tokens: Vec<String> = tokens(path).collect();
        let Some((last, way)) = tokens.split_last() else {
            return;
        };
        let mut parent = &mut self.object;
        let mut at = String::new();
        for token in way {
            let next = match keyed::element(token) {
                None => {
                    at = below(&at, token);
                    parent.get_mut(token)
                }
                Some((list, key, id)) => {
                    let Some(elements) = parent.get_mut(list).and_then(Value::as_array_mut) else {
                        return;
                    };
                    let Some(place) = keyed::position(elements, key, id) else {
                        return;
                    };
                    at = format!("{}/{place}", below(&at, list));
                    elements.get_mut(place)
                }
            };
            let Some(next) = next.filter(|next| next.is_object()) else {
                return;
            };
            parent = next;
        }
        let Value::Object(map) = parent else { return };
        let removed = match keyed::element(last) {
            None => map.remove(last).map(|_| below(&at, last)),
            Some((list, key, id)) => {
                let elements = map.get_mut(list).and_then(Value::as_array_mut);
                elements.and_then(|elements| {
                    let place = keyed::position(elements, key, id)?;
                    elements.remove(place);
                    Some(format!("{}/{place}", below(&at, list)))
                })
            }
        };
        if let Some(path) = removed {
            self.operations.push(json!({"op": "remove", "path": path}));
        }
    }
}

/// Where an element is restored: after the nearest of its previous predecessors, else at the front.
fn place_of(id: &str, order: &[String], elements: &[Value], key: &str) -> usize {
    let ahead = order.iter().take_while(|other| *other != id);
    let behind = ahead
        .filter_map(|other| keyed::position(elements, key, other))
        .last();
    behind.map_or(0, |place| place + 1)
}
