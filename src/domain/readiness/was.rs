//! How a target was doing before a release.

use serde::{Deserialize, Serialize};

/// How a target was doing when it was captured: what a release owes is no more than that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Was {
    /// How many pods the release asks for, by its own patch or as it found them. Absent: as many as are asked for at any
    /// time. What is raised later is owed by who raises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// How many nodes a DaemonSet went without, as far as it tolerates that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub away: i64,
    /// It was not ready, so that going back to it cannot make it so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unready: bool,
}

impl Was {
    /// It owed whatever is asked for, and was ready.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
