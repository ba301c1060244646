//! One difference of a target, as it is stored.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::domain::digest;

/// One path that differs between the live object and the dry run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// A JSON pointer (RFC 6901) that leads through maps only.
    pub path: String,
    /// The value before the change; `None` means absent, which differs from `null`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub before: Option<Value>,
    /// The value after the change; `None` means absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub after: Option<Value>,
    /// Instead of `after`: the hash of a large value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_digest: Option<String>,
}

/// Serde reads `null` into an `Option` as `None`. Here a key with `null` is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The hash of a large value.
pub(crate) fn digest_of(value: &Value) -> String {
    format!("sha256:{}", digest::hex(&digest::canonical(value), 64))
}

/// From this size in serialized bytes on, only the hash of the new value is stored: it is compared, never written back.
const LARGE: usize = 1024;

impl FieldChange {
    /// The same, with the hash of a large text instead of the text.
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
