//! Lists whose elements have a key: the order that is sent with them, and how a path names one of their elements.

use serde_json::{Map, Value, json};

use crate::domain::patches::error::Unsendable;
use crate::domain::paths::{below, keyed, tokens};

/// Below these, a number is a key like any other.
const FREE_KEYS: [&str; 7] = [
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "limits",
    "requests",
    "selector",
];

/// Adds the order of the elements to every list with a merge key: existing elements in their order, then new ones as stated.
/// Without it, the API server puts new elements first, where `$(VAR)` is not defined yet.
pub(crate) fn order(sent: &mut Value, live: &Value) {
    let Value::Object(sent) = sent else { return };
    let mut orders = Vec::new();
    for (key, value) in sent.iter_mut() {
        match (value, live.get(key)) {
            (value @ Value::Object(_), Some(there)) => order(value, there),
            (Value::Array(stated), Some(Value::Array(there))) => {
                if let Some(by) = told_apart(key, there, stated) {
                    orders.push((format!("$setElementOrder/{key}"), in_order(stated, there, by)));
                }
            }
            _ => {}
        }
    }
    sent.extend(orders);
}

/// The merge key of a list of which both sides have elements.
pub(crate) fn told_apart(list: &str, there: &[Value], stated: &[Value]) -> Option<&'static str> {
    let nothing = there.is_empty() || stated.is_empty();
    keyed::merge_key(list, &[there, stated]).filter(|_| !nothing)
}

/// The element of `list` that has the same key as `element`.
pub(crate) fn same<'a>(list: &'a [Value], by: &str, element: &Value) -> Option<&'a Value> {
    keyed::find(list, by, &keyed::identity(element, by)?)
}

/// An element reduced to its key.
pub(crate) fn key_alone(element: &Value, by: &str) -> Value {
    json!({ by: element.get(by) })
}

fn in_order(stated: &mut [Value], there: &[Value], by: &str) -> Value {
    let place = |element: &Value| {
        let name = keyed::identity(element, by);
        name.and_then(|name| keyed::position(there, by, &name))
    };
    // The API server accepts the stated elements only in the given order.
    stated.sort_by_key(|element| place(element).unwrap_or(usize::MAX));
    for element in stated.iter_mut() {
        if let Some(there) = same(there, by, element) {
            order(element, there);
        }
    }
    let goes = |element: &&Value| same(stated, by, element).is_some_and(taken_out);
    let stays = there.iter().filter(|element| !goes(element));
    let new = stated.iter().filter(|element| place(element).is_none());
    stays.chain(new).map(|element| key_alone(element, by)).collect()
}

fn taken_out(element: &Value) -> bool {
    element.get("$patch").is_some()
}

/// The pointer of a removal with every element of a list named by its key. A position is accepted only if the list has no other
/// element.
///
/// # Errors
/// It leads through something that has no keys, or a position is ambiguous.
pub fn by_key(pointer: &str, live: &Value) -> Result<String, Unsendable> {
    let mut value = Some(live);
    let (mut above, mut at, mut last) = (String::new(), String::new(), String::new());
    for token in tokens(pointer) {
        match value {
            // Nothing exists here or below.
            None => {}
            Some(Value::Object(map)) => value = below_map(pointer, map, &token)?,
            Some(Value::Array(list)) => {
                let (key, element) = only(list, &last, &token)
                    .ok_or_else(|| Unsendable::ByPosition(by_position("remove", pointer)))?;
                value = Some(element);
                let name = keyed::identity(element, key).unwrap_or_default();
                at = below(&above, &keyed::token(&last, key, &name));
                continue;
            }
            Some(_) => {
                return Err(Unsendable::RemovesFromNoMap {
                    pointer: pointer.to_owned(),
                    at,
                });
            }
        }
        above.clone_from(&at);
        at = below(&at, &token);
        last = token;
    }
    Ok(at)
}

fn below_map<'a>(
    pointer: &str,
    map: &'a Map<String, Value>,
    token: &str,
) -> Result<Option<&'a Value>, Unsendable> {
    let Some((list, key, name)) = keyed::element(token) else {
        return Ok(map.get(token));
    };
    let elements = match map.get(list) {
        None => return Ok(None),
        Some(Value::Array(elements)) if elements.is_empty() => return Ok(None),
        Some(Value::Array(elements)) => elements,
        Some(_) => {
            return Err(Unsendable::RemovesFromNoList {
                pointer: pointer.to_owned(),
                list: list.to_owned(),
            });
        }
    };
    if keyed::merge_key(list, &[elements]) != Some(key) {
        return Err(Unsendable::RemovesByAnotherKey {
            pointer: pointer.to_owned(),
            list: list.to_owned(),
            key: key.to_owned(),
        });
    }
    Ok(keyed::find(elements, key, name))
}

/// The one element of a list, with the key that names it.
fn only<'a>(list: &'a [Value], name: &str, token: &str) -> Option<(&'static str, &'a Value)> {
    let [element] = list else { return None };
    let key = keyed::merge_key(name, &[list])?;
    (token == "0").then_some((key, element))
}

/// What is wrong with a pointer of `remove` or `replace` that names an element of a list by its position; none if it does not.
pub fn position(field: &str, pointer: &str) -> Option<String> {
    let all: Vec<String> = tokens(pointer).collect();
    let number = |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
    let positional = |pair: &[String]| number(&pair[1]) && !FREE_KEYS.contains(&pair[0].as_str());
    let lists = all.first().is_some_and(|first| first == "spec");
    (lists && all.windows(2).any(positional)).then(|| by_position(field, pointer))
}

/// The clause about a pointer that names an element by its position, with what to write instead.
fn by_position(field: &str, pointer: &str) -> String {
    let all: Vec<String> = tokens(pointer).collect();
    let (mut named, mut keyless) = (String::new(), None);
    for (index, token) in all.iter().enumerate() {
        let list = index.checked_sub(1).map_or("", |above| &all[above]);
        let number = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
        match keyed::merge_key(list, &[]) {
            Some(key) if number => named.push_str(&format!("[{key}=…]")),
            None if number && !FREE_KEYS.contains(&list) => {
                keyless = keyless.or(Some(list));
                named = below(&named, token);
            }
            _ => named = below(&named, token),
        }
    }
    let moves = "which changes when another writer adds an element";
    match keyless {
        Some(list) => format!(
            "{field} {pointer} names an element by its position, {moves}, and the elements of {list} have no key: state the whole list in patch"
        ),
        None => {
            format!(
                "{field} {pointer} names an element by its position, {moves}: name the element by its key, as in {named}"
            )
        }
    }
}
