//! Digests of texts and objects.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Hex of the SHA-256 of `text`, cut to `digits`.
#[must_use]
pub fn hex(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .take(digits)
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

/// JSON with sorted keys and without white space.
#[must_use]
pub fn canonical(value: &Value) -> String {
    // Written straight into one string: this runs for every environment in every reconcile.
    fn write(value: &Value, text: &mut String) {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                text.push('{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    scalar(key, text);
                    text.push(':');
                    write(value, text);
                }
                text.push('}');
            }
            Value::Array(list) => {
                text.push('[');
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    write(value, text);
                }
                text.push(']');
            }
            other => scalar(other, text),
        }
    }
    fn scalar(value: &impl serde::Serialize, text: &mut String) {
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
    let mut text = String::with_capacity(1024);
    write(value, &mut text);
    text
}

/// Stamp of a target's configuration, for `restartOn`: its content without metadata and status.
#[must_use]
pub fn configuration_stamp(object: &Value) -> String {
    let mut content = object.clone();
    if let Some(map) = content.as_object_mut() {
        map.remove("metadata");
        map.remove("status");
    }
    hex(&canonical(&content), 16)
}

/// The stamp of the components in `restart_on`, of those `(component, configuration stamp)` that are known. Absent: it names none.
#[must_use]
pub fn restart_stamp(restart_on: &[String], stamps: &[(String, String)]) -> Option<String> {
    let named = restart_on
        .iter()
        .filter_map(|on| stamps.iter().find(|(name, _)| name == on));
    let named: Vec<&str> = named.map(|(_, stamp)| stamp.as_str()).collect();
    (!restart_on.is_empty()).then(|| hex(&named.join("/"), 16))
}
