//! Which part of a dry run's result is ours: what was stated, and everything below it. Admission or the API server added everything
//! else in the result: it may differ from one request to the next, and is not restored.

use serde_json::{Map, Value};

use crate::domain::paths::keyed;
use crate::domain::paths::pointer::below;

/// `live` with only the fields changed that `sent`, a strategic merge patch, states, with their values in `result`, the dry run's result.
#[must_use]
pub fn stated(live: &Value, sent: &Value, result: &Value) -> Value {
    merged("", Some(live), sent, Some(result)).unwrap_or(Value::Null)
}

/// The part of `result` that `sent` states for a new object.
#[must_use]
pub fn stated_anew(sent: &Value, result: &Value) -> Option<Value> {
    merged("", None, sent, Some(result))
}

fn merged(name: &str, live: Option<&Value>, sent: &Value, result: Option<&Value>) -> Option<Value> {
    match sent {
        Value::Object(sent) => map(live, sent, result),
        Value::Array(sent) => match list(name, live, sent, result) {
            Some(elements) => Some(Value::Array(elements)),
            None => result.cloned(),
        },
        // A null removes the field, unless the API server sets a default.
        _ => result.cloned(),
    }
}

fn map(live: Option<&Value>, sent: &Map<String, Value>, result: Option<&Value>) -> Option<Value> {
    let result = result?;
    let mut merged_map = live.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in sent.iter().filter(|(key, _)| !is_directive(key)) {
        let was = live.and_then(|live| live.get(key));
        match merged(key, was, value, result.get(key)) {
            Some(value) => merged_map.insert(key.clone(), value),
            None => merged_map.remove(key),
        };
    }
    Some(Value::Object(merged_map))
}

/// None if the list is one value.
fn list(name: &str, live: Option<&Value>, sent: &[Value], result: Option<&Value>) -> Option<Vec<Value>> {
    let elements = |side: Option<&'_ Value>| side.and_then(Value::as_array).cloned().unwrap_or_default();
    if live.is_some_and(|live| !live.is_array()) {
        return None;
    }
    let (live, result) = (elements(live), elements(result));
    let key = keyed::merge_key(name, &[&live, sent, &result])?;
    let of_result = |id: &str| keyed::find(&result, key, id);
    let of_sent = |element: &Value| keyed::identity(element, key).and_then(|id| keyed::find(sent, key, &id));
    let mut merged_list = Vec::new();
    for was in &live {
        let id = keyed::identity(was, key)?;
        match of_sent(was) {
            None => merged_list.push(was.clone()),
            Some(stated) => merged_list.extend(merged("", Some(was), stated, of_result(&id))),
        }
    }
    for is in &result {
        let id = keyed::identity(is, key)?;
        if keyed::find(&live, key, &id).is_none()
            && let Some(stated) = of_sent(is)
        {
            merged_list.extend(merged("", None, stated, Some(is)));
        }
    }
    Some(merged_list)
}

/// The paths that `sent`, a strategic merge patch, removes from `live`: by a null, or by the directive of an element.
#[must_use]
pub fn taken_away(sent: &Value, live: &Value) -> Vec<String> {
    fn walk(path: &str, sent: &Value, live: &Value, taken: &mut Vec<String>) {
        let Value::Object(sent) = sent else { return };
        for (key, stated) in sent.iter().filter(|(key, _)| !is_directive(key)) {
            let (path, Some(live)) = (below(path, key), live.get(key)) else {
                continue;
            };
            match (stated, live) {
                (Value::Null, _) => taken.push(path),
                (Value::Array(stated), Value::Array(there)) => {
                    let Some(by) = keyed::merge_key(key, &[stated, there]) else {
                        continue;
                    };
                    for element in stated {
                        let Some(id) = keyed::identity(element, by) else {
                            continue;
                        };
                        let Some(live) = keyed::find(there, by, &id) else {
                            continue;
                        };
                        let path = keyed::below(&path, by, &id);
                        if element.get("$patch").is_some() {
                            taken.push(path);
                        } else {
                            walk(&path, element, live, taken);
                        }
                    }
                }
                _ => walk(&path, stated, live, taken),
            }
        }
    }
    let mut taken = Vec::new();
    walk("", sent, live, &mut taken);
    taken
}

/// `$patch`, `$setElementOrder/…`, `$retainKeys`: how to merge, not what.
fn is_directive(key: &str) -> bool {
    key.starts_with('$')
}
