//! What a backout would restore, a sentence for each field.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::api::RESTARTED_FOR;
use crate::decide::prestate::{Captured, PreState};
use crate::manifests::token;
use crate::world::Spot;

/// What a backout does to a target, or to one of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// `Kind/name`.
    pub target: String,
    /// The field. Absent if the target itself is deleted.
    pub field: Option<Field>,
}

/// A field that is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// A JSON pointer, items of lists by their names.
    pub at: String,
    /// The value that it gets.
    pub back: Back,
}

/// The restored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// JSON, shortened to a line.
    To(String),
    /// The field did not exist.
    Absent,
    /// The object was assumed, so its value is not known.
    WhatStandsThere,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            None => write!(f, "{}: deleted, because it did not exist before", self.target),
            Some(field) => write!(f, "{}: {field}", self.target),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.at;
        match &self.back {
            Back::To(value) => write!(f, "{at} back to {value}"),
            Back::Absent => write!(f, "{at} removed"),
            Back::WhatStandsThere => write!(f, "{at} back to the current value"),
        }
    }
}

/// The values of the targets before the first change, field by field.
pub(crate) fn restores(kept: &PreState, assumed: &BTreeSet<Spot>) -> Vec<Restored> {
    let of = |captured: &Captured| {
        let target = &captured.target;
        let spot = (kept.namespace.clone(), target.kind.clone(), target.name.clone());
        restored(captured, assumed.contains(&spot))
    };
    kept.components.iter().flat_map(of).collect()
}

fn restored(captured: &Captured, assumed: bool) -> Vec<Restored> {
    let of = |field| Restored {
        target: captured.target.to_string(),
        field,
    };
    if captured.created() {
        return vec![of(None)];
    }
    let mut found = Vec::new();
    for change in &captured.changes {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        fields(&change.path, before, after, &mut found);
    }
    let told = found.into_iter().map(|field| match assumed {
        true => Field {
            back: Back::WhatStandsThere,
            ..field
        },
        false => field,
    });
    told.map(|field| of(Some(field))).collect()
}

/// The fields in which the two differ, as deep as possible.
pub(crate) fn fields(at: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Field>) {
    // The annotation that records for which configuration the pods were restarted is of no use to readers.
    if before == after || at.contains(&token(RESTARTED_FOR)) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let at = format!("{at}/{}", token(key));
                fields(&at, old.get(key), new.get(key), found);
            }
        }
        (None, Some(Value::Object(new))) if new.keys().all(|key| key == RESTARTED_FOR) => {}
        (Some(Value::Array(old)), Some(Value::Array(new))) if named(old) && named(new) => {
            for item in old {
                let name = item["name"].as_str().unwrap_or_default();
                let now = new.iter().find(|other| other["name"] == item["name"]);
                fields(&format!("{at}/{name}"), Some(item), now, found);
            }
            let known = |item: &Value| old.iter().any(|other| other["name"] == item["name"]);
            for item in new.iter().filter(|item| !known(item)) {
                let name = item["name"].as_str().unwrap_or_default();
                fields(&format!("{at}/{name}"), None, Some(item), found);
            }
        }
        (before, _) => found.push(Field {
            at: at.to_owned(),
            back: before.map_or(Back::Absent, |before| Back::To(short(before))),
        }),
    }
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|item| item["name"].is_string())
}

/// One line of limited length.
fn short(value: &Value) -> String {
    const MOST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
