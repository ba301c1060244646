//! One difference of a target, as it is kept.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::domain::digest;

/// One path that differs between the live object and the dry run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// A JSON pointer (RFC 6901) that leads through maps only.
    pub path: String,
    /// The value before the change; `None` is absent, which is something else than `null`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub before: Option<Value>,
    /// The value after the change; `None` is absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub after: Option<Value>,
    /// In place of `after`: the hash of a large value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_digest: Option<String>,
}

/// Serde reads `null` into an `Option` as `None`; here a key that is there is a value that is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The hash that stands for a large value.
pub(crate) fn digest_of(value: &Value) -> String {
    format!("sha256:{}", digest::hex(&digest::canonical(value), 64))
}

/// Serialized bytes from which on only the hash of what a change puts there is kept: it is compared, never written back.
const LARGE: usize = 1024;

impl Change {
    /// The same, with the hash of a large text in place of the text.
    #[must_use]
    pub fn with_digest(&self) -> Self {
        match &self.after {
            Some(after @ Value::String(text)) if text.len() > LARGE => Self {
                path: self.path.clone(),
                before: self.before.clone(),
                after: None,
                after_digest: Some(digest_of(after)),
            },
            _ => self.clone(),
        }
    }
}
