//! `-o`: the formats in which a command prints, for people and for programs.

use clap::ValueEnum;
use serde::Serialize;

use crate::domain::text::moves;

/// The formats of commands that print a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    #[default]
    Table,
    /// A table with more columns
    Wide,
    /// JSON for programs
    Json,
    /// YAML for programs
    Yaml,
    /// The names of the objects, one a line, as kubectl takes them
    Name,
}

/// `value` as indented JSON, with a line end.
///
/// # Errors
/// A sentence: it cannot be written as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| format!("Cannot print JSON: {e}"))?;
    Ok(escaped(&text) + "\n")
}

/// JSON allows characters that move a cursor, and only within strings: here each is an escape.
pub(crate) fn escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if moves(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// `value` as YAML.
///
/// # Errors
/// A sentence: it cannot be written as YAML.
pub(crate) fn yaml<T: Serialize>(value: &T) -> Result<String, String> {
    let text = serde_yaml_ng::to_string(value).map_err(|e| format!("Cannot print YAML: {e}"))?;
    // YAML without quotes has no escapes. JSON is YAML, too.
    if text.contains(|c| moves(c) && c != '\n') {
        json(value)
    } else {
        Ok(text)
    }
}
