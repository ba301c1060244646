//! The state of every target before the first change: the backout plan, armed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::release::Target;
use crate::domain::paths::FieldChange;
use crate::domain::readiness::Was;

/// Bytes that the pre-state of one promotion may take, as it is stored.
pub const MOST_BYTES: usize = 512 * 1024;
/// From this many bytes of JSON, it is stored compressed. A smaller one stays readable, also for v0.1.0.
const COMPRESSED_FROM: usize = 32 * 1024;
/// Bytes that a compressed one may expand to: 64 components of the 1 MiB that a ConfigMap may have.
const MOST_EXPANDED: usize = 64 << 20;

/// The content of the ControllerRevision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreState {
    /// Version of this format, 1. The compressed form around it has version 2.
    pub version: i64,
    /// `namespace/name` of the Release.
    pub release: String,
    /// uid of the Release.
    pub release_uid: String,
    /// Name of the Environment.
    pub environment: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// The target namespace.
    pub namespace: String,
    /// Hash of the plan for which it was captured, as in [`crate::decide::plan::hash`].
    pub plan_hash: String,
    /// One for each component of the Release, in its order.
    pub components: Vec<Captured>,
}

/// One target as it was, and as it is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Captured {
    /// Name of the component in the Release.
    pub name: String,
    /// The object that the component changes.
    pub target: Target,
    /// Absent: the target did not exist. Restoring deletes what was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Version of the target when it was captured. Absent if the target did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Stamp of the configuration that the pods are restarted for. Absent without `restartOn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_for: Option<String>,
    /// Our own entry in `managedFields` as it was, if an earlier release had left one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<Value>,
    /// Its health.
    #[serde(default, skip_serializing_if = "Was::is_whole")]
    pub was: Was,
    /// For each path that changes: the value before (or absent), and the value that the dry run showed.
    pub changes: Vec<FieldChange>,
}

/// Why what is stored cannot be read as a pre-state.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or not the JSON of a pre-state.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Compressed, but not base64.
    #[error(transparent)]
    Base64(#[from] base64::DecodeError),
    /// Compressed, but cannot be expanded.
    #[error(transparent)]
    Compression(#[from] lz4_flex::block::DecompressError),
    /// Compressed, but would expand to more bytes than any pre-state has.
    #[error("it would take {0} bytes")]
    TooLarge(usize),
}

impl PreState {
    /// The component of that name; `None` if the pre-state has none.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Captured> {
        self.components.iter().find(|c| c.name == name)
    }

    /// The `data` of the ControllerRevision: plain JSON, or `{version: 2, lz4: base64}` if that is large. Then large values
    /// after the change are stored as hashes: they are only compared, never written.
    #[must_use]
    pub fn stored(&self) -> Value {
        let plain = json!(self);
        if plain.to_string().len() <= COMPRESSED_FROM {
            return plain;
        }
        let mut digested = self.clone();
        for component in &mut digested.components {
            component.changes = component.changes.iter().map(FieldChange::with_digest).collect();
        }
        let compressed = lz4_flex::compress_prepend_size(json!(digested).to_string().as_bytes());
        json!({ "version": 2, "lz4": STANDARD.encode(compressed) })
    }

    /// What [`Self::stored`] has written, or v0.1.0.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(data: Value) -> Result<Self, Unreadable> {
        let Some(text) = data.get("lz4").and_then(Value::as_str) else {
            return Ok(serde_json::from_value(data)?);
        };
        let compressed = STANDARD.decode(text)?;
        let (size, block) = lz4_flex::block::uncompressed_size(&compressed)?;
        if size > MOST_EXPANDED {
            return Err(Unreadable::TooLarge(size));
        }
        let text = lz4_flex::decompress(block, size)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl Captured {
    /// Whether the release creates the target, because it did not exist.
    #[must_use]
    pub fn created(&self) -> bool {
        self.uid.is_none()
    }

    /// Same target, same values before. The resourceVersion and the health may have changed, and defaults in the result of a dry run may
    /// differ between runs.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        let Self {
            name,
            target,
            uid,
            resource_version: _,
            restarted_for,
            ours: _,
            was: _,
            changes,
        } = self;
        let before = |changes: &[FieldChange]| -> Vec<(String, Option<serde_json::Value>)> {
            changes
                .iter()
                .map(|c| (c.path.clone(), c.before.clone()))
                .collect()
        };
        (name, target, uid, restarted_for) == (&other.name, &other.target, &other.uid, &other.restarted_for)
            && before(changes) == before(&other.changes)
    }
}

/// Bytes that the pre-state of these changes takes, as it is stored.
#[must_use]
pub fn stored_bytes<'a>(changes: impl Iterator<Item = &'a [FieldChange]>) -> usize {
    let changes: Vec<&[FieldChange]> = changes.collect();
    let plain = json!(changes).to_string().len() + changes.len() * 256;
    if plain <= COMPRESSED_FROM {
        return plain;
    }
    let digested: Vec<Vec<FieldChange>> = changes
        .iter()
        .map(|changes| changes.iter().map(FieldChange::with_digest).collect())
        .collect();
    let compressed = lz4_flex::compress(json!(digested).to_string().as_bytes()).len();
    compressed.div_ceil(3) * 4 + changes.len() * 256
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::paths;

    fn kept(before: &Value, after: &Value) -> PreState {
        let target = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "big" });
        PreState {
            version: 1,
            release: "a/b".to_owned(),
            release_uid: "u".to_owned(),
            environment: "sit".to_owned(),
            attempt: 1,
            namespace: "a-sit".to_owned(),
            plan_hash: "h".to_owned(),
            components: vec![Captured {
                name: "big".to_owned(),
                target: serde_json::from_value(target).expect("a target"),
                uid: Some("t".to_owned()),
                resource_version: Some("1".to_owned()),
                restarted_for: None,
                ours: None,
                was: Was::default(),
                changes: paths::difference(before, after),
            }],
        }
    }

    #[test]
    fn what_is_small_is_stored_as_v0_1_0_stores_it_and_what_is_large_compressed() {
        let with = |text: &str| json!({ "metadata": {}, "data": { "blob": text } });
        let small = kept(&with("x"), &with("y"));
        assert_eq!(small.stored(), json!(small));
        assert_eq!(PreState::read(small.stored()).expect("readable"), small);

        let (before, after) = (with(&"x".repeat(100_000)), with(&"y".repeat(100_000)));
        let large = kept(&before, &after);
        let stored = large.stored();
        assert!(stored.to_string().len() < 10_000);
        let read = PreState::read(stored).expect("readable");
        let changes = &read.components[0].changes;
        assert_eq!(changes[0].before, large.components[0].changes[0].before);
        assert_eq!(paths::stands(changes, &after), Ok(()));
        assert!(paths::stands(changes, &before).is_err());
    }

    #[test]
    fn a_stored_one_that_is_damaged_is_no_pre_state() {
        for (data, why) in [
            (json!({ "version": 2, "lz4": "?" }), "Invalid symbol"),
            (
                json!({ "version": 2, "lz4": STANDARD.encode([255, 255, 255, 127, 0]) }),
                "it would take 2147483647 bytes",
            ),
            (
                json!({ "version": 2, "lz4": STANDARD.encode(lz4_flex::compress_prepend_size(b"{}")) }),
                "missing field",
            ),
            (json!({}), "missing field"),
        ] {
            let error = PreState::read(data).expect_err("damaged").to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
