//! `$(VAR)` in a container: the kubelet expands only variables that are defined before it, and leaves the rest as written.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::patches::pods::{CONTAINER_LISTS, elements, pod_template_pointer, text};
use crate::domain::paths::{get, keyed};

/// Each `$(X)` of a stated patch that would not be expanded: a JSON pointer into the patch, and a clause.
/// `target` is the manifest of the target, if it is known. Without it, only variables that the patch itself defines too late count.
pub fn undefined(kind: &str, patch: &Value, target: Option<&Value>) -> Vec<(String, String)> {
    let Some(template) = pod_template_pointer(kind) else {
        return vec![];
    };
    let at = format!("{template}/spec");
    let Some(pod) = get(patch, &at) else { return vec![] };
    let known = target.and_then(|target| get(target, &at));
    let mut found = Vec::new();
    for list in CONTAINER_LISTS {
        for (index, container) in elements(pod, list).enumerate() {
            let live =
                known.and_then(|pod| elements(pod, list).find(|c| c.get("name") == container.get("name")));
            let here = format!("{at}/{list}/{index}");
            in_container(&here, container, live, target.is_some(), &mut found);
        }
    }
    found
}

fn in_container(
    here: &str,
    container: &Value,
    live: Option<&Value>,
    all_known: bool,
    found: &mut Vec<(String, String)>,
) {
    // Variables of `envFrom` are defined before all others, and their names are not known.
    let from_elsewhere = |c: &Value| c.get("envFrom").is_some();
    if from_elsewhere(container) || live.is_some_and(from_elsewhere) {
        return;
    }
    let name = text(container, "name");
    let before: Vec<String> = live.map(|live| variables(live).collect()).unwrap_or_default();
    let stated: Vec<String> = variables(container).collect();
    let new = stated.iter().filter(|name| !before.contains(name));
    let order: Vec<&String> = before.iter().chain(new).collect();
    let mut say = |at: String, used: &str, late: bool| {
        let why = if late {
            "is defined too late"
        } else {
            "is not defined"
        };
        let sentence = format!(
            "$({used}) is not expanded, because {used} {why} in container {name}: define {used} before it is used, or write $$({used}) for the literal text"
        );
        found.push((at, sentence));
    };
    for (index, element) in elements(container, "env").enumerate() {
        let own = order.iter().position(|name| **name == text(element, "name"));
        for used in references(&text(element, "value")) {
            let place = order.iter().position(|name| **name == used);
            let at = format!("{here}/env/{index}/value");
            match place {
                Some(place) if own.is_some_and(|own| place >= own) => say(at, &used, true),
                None if all_known && !of_service(&used) => say(at, &used, false),
                _ => {}
            }
        }
    }
    for field in ["command", "args"].into_iter().filter(|_| all_known) {
        for (index, word) in elements(container, field).enumerate() {
            for used in references(word.as_str().unwrap_or_default()) {
                if !order.contains(&&used) && !of_service(&used) {
                    say(format!("{here}/{field}/{index}"), &used, false);
                }
            }
        }
    }
}

fn variables(container: &Value) -> impl Iterator<Item = String> {
    elements(container, "env").filter_map(|element| keyed::identity(element, "name"))
}

/// The kubelet defines these for every Service.
fn of_service(name: &str) -> bool {
    name.contains("_SERVICE_") || name.contains("_PORT")
}

/// The names in `$(NAME)`; `$$` is a dollar sign.
fn references(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            names.insert(name.to_owned());
            rest = after;
        }
    }
    names
}
