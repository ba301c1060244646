//! `replace`: a component's map replaces the live one instead of being merged into it.

use serde_json::{Map, Value};

use crate::domain::patches::error::Unsendable;
use crate::domain::patches::lists::{key_alone, same};
use crate::domain::patches::pods::CONTAINER_LISTS;
use crate::domain::paths::{get, keyed, tokens};

/// Adds a null to the map that is sent at `path` for everything that the live map has and the patch does not state.
///
/// # Errors
/// The stated value is not a map.
pub(crate) fn replace(stated: &mut Value, path: &str, live: &Value) -> Result<(), Unsendable> {
    let Value::Object(stated) = stated else {
        return Err(Unsendable::ReplacesNoMap(path.to_owned()));
    };
    if let Some(Value::Object(there)) = get(live, path) {
        let last = tokens(path).last().unwrap_or_default();
        let element = keyed::element(&last).map(|(list, key, _)| (list, key));
        instead(stated, there, element);
    }
    Ok(())
}

/// `element` is the list that contains the map as an element, and its key.
fn instead(stated: &mut Map<String, Value>, there: &Map<String, Value>, element: Option<(&str, &str)>) {
    for (field, live) in there {
        match (stated.get_mut(field), live) {
            (None, _) if kept(field, element) => {}
            (None, _) => {
                stated.insert(field.clone(), Value::Null);
            }
            (Some(Value::Object(stated)), Value::Object(there)) => instead(stated, there, None),
            (Some(Value::Array(stated)), Value::Array(there)) => elements(field, stated, there),
            _ => {}
        }
    }
}

/// Fields that stay: an element's key, a container's image, which only `images` sets, and what Signalbox itself writes.
fn kept(field: &str, element: Option<(&str, &str)>) -> bool {
    let of_element = element
        .is_some_and(|(list, key)| field == key || (field == "image" && CONTAINER_LISTS.contains(&list)));
    of_element || field.starts_with("signalbox.dev/")
}

fn elements(list: &str, stated: &mut Vec<Value>, there: &[Value]) {
    let Some(by) = keyed::merge_key(list, &[there, stated]) else {
        return;
    };
    for element in stated.iter_mut() {
        if let (Some(Value::Object(there)), Value::Object(stated)) = (same(there, by, element), &mut *element)
        {
            instead(stated, there, Some((list, by)));
        }
    }
    let gone: Vec<Value> = there
        .iter()
        .filter(|live| same(stated, by, live).is_none())
        .map(|live| {
            let mut gone = key_alone(live, by);
            gone["$patch"] = Value::from("delete");
            gone
        })
        .collect();
    stated.extend(gone);
}
