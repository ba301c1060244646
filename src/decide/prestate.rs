//! What stood on every target before the first change: the backout plan, armed.

use serde::{Deserialize, Serialize};

use super::paths::Change;
use crate::api::release::Target;

/// Bytes that the pre-state of one promotion may take.
pub const MOST_BYTES: usize = 512 * 1024;

/// The content of the ControllerRevision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreState {
    pub version: i64,
    /// `namespace/name` of the Release.
    pub release: String,
    pub release_uid: String,
    pub environment: String,
    pub attempt: i64,
    /// The target namespace.
    pub namespace: String,
    pub plan_hash: String,
    pub components: Vec<Captured>,
}

/// One target as it stood, and as it is to stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Captured {
    pub name: String,
    pub target: Target,
    /// Absent: the target did not exist. Restoring deletes what was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_for: Option<String>,
    /// For each path that changes: the value before (or absent), and the value that the dry run showed.
    pub changes: Vec<Change>,
}

impl PreState {
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Captured> {
        self.components.iter().find(|c| c.name == name)
    }
}

impl Captured {
    #[must_use]
    pub fn created(&self) -> bool {
        self.uid.is_none()
    }

    /// Same target, same values before. The resourceVersion may have moved on, and what a dry run fills in by itself may
    /// differ from one to the next.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        let Self {
            name,
            target,
            uid,
            resource_version: _,
            restarted_for,
            changes,
        } = self;
        let before = |changes: &[Change]| -> Vec<(String, Option<serde_json::Value>)> {
            changes
                .iter()
                .map(|c| (c.path.clone(), c.before.clone()))
                .collect()
        };
        (name, target, uid, restarted_for) == (&other.name, &other.target, &other.uid, &other.restarted_for)
            && before(changes) == before(&other.changes)
    }
}
