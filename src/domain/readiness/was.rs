//! The health of a target before a release.

use serde::{Deserialize, Serialize};

/// The health of a target when it was captured: a release owes no more than that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Was {
    /// How many pods the release asks for, by its own patch or as it found them. Absent: as many as the spec asks for at
    /// any time. The release does not owe replicas that are raised later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// How many pods of a DaemonSet were missing, within its tolerance.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub away: i64,
    /// It was not ready, so a restoration cannot make it ready.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unready: bool,
}

impl Was {
    /// It owed all replicas of the spec, and was ready.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
