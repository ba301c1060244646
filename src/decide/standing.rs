//! How a target compares with what was captured, and which writer changed which field.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::FIELD_MANAGER;
use crate::decide::facts::{Live, LiveComponent, Observed};
use crate::decide::owned::{is_ours, our_entry};
use crate::decide::prestate::Captured;
use crate::domain::paths;

/// How a target compares with what was captured.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    /// Not read.
    Unread,
    /// As it was captured.
    Untouched,
    /// Our fields are as applied.
    Applied,
    /// Another writer changed our fields; which, as clauses.
    Changed(Vec<String>),
    /// Deleted, or another object of the same name. A clause.
    Gone(String),
}

/// What to do about a target that is [`Standing::Gone`] while its promotion is in progress, with why.
pub(crate) fn gone(why: &str) -> String {
    format!("{why}. Correct it by hand, then create a Decision (Accept or Abandon).")
}

/// How a target as `seen` compares with what was captured.
pub(crate) fn standing(
    o: &Observed,
    environment: &str,
    captured: &Captured,
    seen: &LiveComponent,
) -> Standing {
    let (target, created) = (&captured.target, captured.created());
    match &seen.object {
        Live::Unread => Standing::Unread,
        Live::Absent if created => Standing::Untouched,
        Live::Absent => Standing::Gone(format!("{target} was deleted")),
        Live::Present(object) if created && !is_ours(o, environment, object) => {
            Standing::Changed(vec![format!(
                "{target} (not the object that this release created)"
            )])
        }
        Live::Present(object) => {
            let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
            if !created && uid != captured.uid.as_deref() {
                return Standing::Gone(format!(
                    "{target} was deleted and created again, so it is not the captured object"
                ));
            }
            match paths::stands(&captured.changes, object) {
                Ok(()) => Standing::Applied,
                Err(_) if !created && paths::untouched(&captured.changes, object).is_ok() => {
                    Standing::Untouched
                }
                Err(fallen) => {
                    // If some fields are as before and the others as released, no other writer is involved.
                    let strange = paths::strange(&captured.changes, object);
                    let strange: Vec<String> = strange.into_iter().map(|s| s.path).collect();
                    let fields = if strange.is_empty() { fallen } else { strange };
                    let said = fields.iter();
                    Standing::Changed(
                        said.map(|path| format!("{target} {path}{}", written_by(seen, path)))
                            .collect(),
                    )
                }
            }
        }
    }
}

/// Who owns that field, for messages. Empty if that is not known.
pub(crate) fn written_by(seen: &LiveComponent, path: &str) -> String {
    owner_of(seen, path).map_or_else(String::new, |owner| format!(" (last written by {owner})"))
}

/// Who owns that field, besides ourselves.
pub(crate) fn owner_of(seen: &LiveComponent, path: &str) -> Option<String> {
    let fields = seen.managed_fields.as_deref().and_then(Value::as_array)?;
    paths::writers::of(fields, path, FIELD_MANAGER)
}

/// Whether this is older than the generation that our own patch returned.
pub(crate) fn is_stale(live: &LiveComponent) -> bool {
    let (Some(floor), Live::Present(object)) = (live.floor, &live.object) else {
        return false;
    };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    generation.is_some_and(|generation| generation < floor)
}

/// Who reverted a target to what was captured, for messages.
pub(crate) fn put_back_by(captured: &Captured, seen: &LiveComponent) -> String {
    let mut writers = captured.changes.iter().map(|c| written_by(seen, &c.path));
    writers.find(|writer| !writer.is_empty()).unwrap_or_default()
}

/// Who wrote an object last, for messages about the whole object.
pub(crate) fn last_writer(object: &Value) -> String {
    last_manager(object).map_or_else(String::new, |last| format!(" (last written by {last})"))
}

/// The same, by name.
pub(crate) fn last_manager(object: &Value) -> Option<String> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let text = |e: &Value, field: &str| {
        e.get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let writers = entries
        .into_iter()
        .flatten()
        .filter(|e| e.get("subresource").is_none());
    let last = text(writers.max_by_key(|e| text(e, "time"))?, "manager");
    // The current release is finished, so this was another one.
    Some(if last == FIELD_MANAGER {
        "another Signalbox release".to_owned()
    } else {
        last
    })
}

/// When we last wrote this object, by its managed fields.
pub(crate) fn last_written(object: &Value) -> Option<Timestamp> {
    our_entry(object)?.1.get("time")?.as_str()?.parse().ok()
}
