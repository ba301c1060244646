//! Whether what a release set still stands on the live object, judged finer than whole lists: somebody who
//! edits another container's environment has not touched the fields of this release.

use serde_json::Value;

use super::{Change, below, child, get, keys, none_of};

/// The keys by which Kubernetes merges the lists of its own kinds, the most telling first. `protocol`
/// defaults to TCP.
const MERGE_KEYS: [&[&str]; 5] = [
    &["name"],
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["mountPath"],
    &["devicePath"],
];

/// Do the fields that the release set still have the value it gave them? The error names those that do not.
pub fn stands(changes: &[Change], live: &Value) -> Result<(), Vec<String>> {
    let mut fallen = Vec::new();
    for Change { path, before, after } in changes {
        compare(
            path,
            before.as_ref(),
            after.as_ref(),
            get(live, path),
            &mut fallen,
        );
    }
    none_of(fallen)
}

fn compare(
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    live: Option<&Value>,
    fallen: &mut Vec<String>,
) {
    if before == after || live == after {
        return;
    }
    if maps(before, after, live) {
        for key in keys(before, after) {
            compare(
                &below(path, key),
                child(before, key),
                child(after, key),
                child(live, key),
                fallen,
            );
        }
    } else if let Some(key) = merge_key([before, after, live]) {
        elements(path, key, [before, after, live], fallen);
    } else {
        fallen.push(path.to_owned());
    }
}

/// An absent map counts as an empty one: a neighbour's key in a map that we brought or took away is not our
/// field.
fn maps(before: Option<&Value>, after: Option<&Value>, live: Option<&Value>) -> bool {
    let map_or_absent = |side: Option<&Value>| side.is_none_or(Value::is_object);
    // What we turned from something else into a map is ours in all its keys, hence `before` may be anything
    // then.
    let ours =
        after.is_some_and(Value::is_object) || (after.is_none() && before.is_some_and(Value::is_object));
    ours && map_or_absent(live)
}

fn elements(path: &str, key: &[&str], [before, after, live]: [Option<&Value>; 3], fallen: &mut Vec<String>) {
    let mut seen = Vec::new();
    for element in list(after).iter().chain(list(before)) {
        let Some(identity) = identity(element, key) else {
            continue;
        };
        if seen.contains(&identity) {
            continue;
        }
        let at = format!("{path}[{}]", readable(key, &identity));
        let find = |side| {
            list(side)
                .iter()
                .find(|e| self::identity(e, key).as_ref() == Some(&identity))
        };
        match (find(before), find(after), find(live)) {
            // The element was taken away as a whole, so having it back in any shape is not what we left.
            (Some(_), None, Some(_)) => fallen.push(at),
            (before, after, live) => compare(&at, before, after, live, fallen),
        }
        seen.push(identity);
    }
}

/// The first key that tells the elements of all three lists apart; none if one of them is no list of maps.
fn merge_key(sides: [Option<&Value>; 3]) -> Option<&'static [&'static str]> {
    if sides[0].is_some_and(|before| !before.is_array())
        || sides[1..].iter().any(|side| !side.is_some_and(Value::is_array))
    {
        return None;
    }
    MERGE_KEYS
        .into_iter()
        .find(|key| sides.iter().all(|side| unique(list(*side), key)))
}

fn unique(list: &[Value], key: &[&str]) -> bool {
    let identities: Option<Vec<_>> = list.iter().map(|element| identity(element, key)).collect();
    identities.is_some_and(|all| all.iter().enumerate().all(|(i, one)| !all[..i].contains(one)))
}

fn identity(element: &Value, key: &[&str]) -> Option<Vec<String>> {
    let field = |name: &&str| match element.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        None if *name == "protocol" => Some("TCP".to_owned()),
        _ => None,
    };
    element.as_object()?;
    key.iter().map(field).collect()
}

fn readable(key: &[&str], identity: &[String]) -> String {
    let pairs: Vec<_> = key
        .iter()
        .zip(identity)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(",")
}

fn list(side: Option<&Value>) -> &[Value] {
    side.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
