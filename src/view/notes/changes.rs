//! What a component sets, compared with what an earlier Release set on the same target.
//!
//! Only manifests are compared: fields that neither Release sets are not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::api::release::Component;
use crate::domain::paths::{below, keyed};
use crate::view::layout::{abbreviated, cut};

/// What is shown instead of a value that may be secret.
const MASKED: &str = "***";
/// The longest value that is shown, in characters.
const MOST_SHOWN: usize = 80;
/// Parts of keys whose values may be secret. A value that is masked without need does less harm than a secret that is shown.
const SECRET_KEYS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "key",
    "private",
    "auth",
    "cert",
    "cookie",
    "dsn",
];
/// Parts of values that show that a secret is in them.
const SECRET_VALUES: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "bearer ",
    "-----begin",
    "apikey",
];

/// A component, and how it differs from the earlier Release.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed<'a> {
    /// The component.
    pub component: &'a Component,
    /// Whether the earlier Release has no component with this target. Without an earlier Release it is false.
    pub is_new: bool,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Something that one of two components sets differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A container whose image is set, a field, or a path that is removed.
    pub what: String,
    /// What the earlier Release sets. Absent if it sets nothing.
    pub before: Option<String>,
    /// What this Release sets. Absent if it sets nothing.
    pub after: Option<String>,
}

/// What a component sets, in the order in which it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Image(String),
    /// A field; in all environments, or in one.
    Field(Option<String>, String),
    Removed(String),
}

/// What `component` sets differently from `earlier`.
#[must_use]
pub(crate) fn differences(component: &Component, earlier: Option<&Component>) -> Vec<Difference> {
    let (before, after) = (earlier.map(stated).unwrap_or_default(), stated(component));
    let all: BTreeSet<&What> = before.keys().chain(after.keys()).collect();
    let differ = all.into_iter().filter(|what| before.get(what) != after.get(what));
    let difference = |what: &What| Difference {
        what: what.to_string(),
        before: before.get(what).map(|value| what.shown(value)),
        after: after.get(what).map(|value| what.shown(value)),
    };
    differ.map(difference).collect()
}

/// Everything that a component sets.
fn stated(component: &Component) -> BTreeMap<What, Value> {
    let mut found = BTreeMap::new();
    for image in &component.images {
        found.insert(
            What::Image(image.container.clone()),
            Value::from(image.image.clone()),
        );
    }
    let whole = component.patch.iter().map(|patch| (None, patch));
    let single = component
        .overrides
        .iter()
        .map(|over| (Some(over.environment.clone()), &over.patch));
    for (environment, patch) in whole.chain(single) {
        let mut fields = BTreeMap::new();
        leaves("", patch, &mut fields);
        let fields = fields.into_iter();
        found.extend(fields.map(|(path, value)| (What::Field(environment.clone(), path), value.clone())));
    }
    for path in &component.remove {
        found.insert(What::Removed(path.clone()), Value::from("removed"));
    }
    found
}

/// Every value that is not a map or a list with keys, by its path.
fn leaves<'a>(path: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                list_or_leaf(&below(path, name), name, value, found);
            }
        }
        value => drop(found.insert(path.to_owned(), value)),
    }
}

fn list_or_leaf<'a>(path: &str, name: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let key = keyed::merge_key(name, &[list]).filter(|_| !list.is_empty());
    let Some(key) = key else {
        return leaves(path, value, found);
    };
    for element in list {
        let identity = keyed::identity(element, key).unwrap_or_default();
        let at = keyed::below(path, key, &identity);
        for (name, value) in element
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != key)
        {
            list_or_leaf(&below(&at, name), name, value, found);
        }
    }
}

impl What {
    /// The value as people read it: one line, and no secret.
    fn shown(&self, value: &Value) -> String {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self {
            Self::Image(_) => return abbreviated(&text),
            Self::Removed(_) => return text,
            Self::Field(_, path) if may_be_secret(path, &text) => return MASKED.to_owned(),
            Self::Field(..) => {}
        }
        match text.lines().count() {
            0 => "(empty)".to_owned(),
            1 => cut(&abbreviated(&text), MOST_SHOWN),
            lines => format!("(text of {lines} lines)"),
        }
    }
}

fn may_be_secret(path: &str, value: &str) -> bool {
    let (path, value) = (path.to_lowercase(), value.to_lowercase());
    // user:password@host
    let user = value.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    SECRET_KEYS.iter().any(|word| path.contains(word))
        || SECRET_VALUES.iter().any(|word| value.contains(word))
        || user.is_some_and(|(user, _)| !user.contains('/'))
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(container) => write!(f, "image of {container}"),
            Self::Field(None, path) => f.write_str(path),
            Self::Field(Some(environment), path) => write!(f, "{path} in {environment}"),
            Self::Removed(path) => write!(f, "removal of {path}"),
        }
    }
}
