//! Status of an Environment: windows, occupants, inventory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::meta::{Condition, Time};
use crate::api::names::NOT_OBSERVED;

/// Observed state of the Environment, derived from Releases and their locks. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// The generation of the spec that this status describes; -1 until the operator has reconciled the Environment for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether Releases may enter now, by windows alone, and when that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowStatus>,
    /// Releases that occupy a target namespace: in progress there, or left it Unsettled. At most 50; `occupantsTotal` counts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub occupants: Vec<Occupant>,
    /// Number of all occupants.
    #[serde(default)]
    pub occupants_total: i64,
    /// Components of the newest Release of each product and line that Succeeded here. At most 200; `inventoryTotal` counts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "atomic"))]
    pub inventory: Vec<InventoryItem>,
    /// Number of all components in the inventory.
    #[serde(default)]
    pub inventory_total: i64,
    /// Number of components that other writers have changed since they were released, in promotions that Succeeded or are in progress.
    #[serde(default, skip_serializing_if = "none")]
    pub drifted_total: i64,
    /// Other Environments with the same target namespaces that admit Releases of other namespaces, or have weaker conditions.
    /// At most 20; `sharedTargetsTotal` counts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub shared_targets: Vec<SharedTargets>,
    /// Number of all such Environments.
    #[serde(default, skip_serializing_if = "none")]
    pub shared_targets_total: i64,
    /// Ready, Stalled and Available; SharedTargets if other Environments have the same target namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn none(number: &i64) -> bool {
    *number == 0
}

/// Whether the windows of an Environment are open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowStatus {
    /// Whether Releases may enter now, by windows alone.
    pub open: bool,
    /// Name of the window that decides this, or the default.
    #[schemars(length(max = 63))]
    pub because: String,
    /// When Releases may enter next; while the windows are open, after `nextClose`. Absent if no opening is in sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_open: Option<Time>,
    /// When the windows close next; while they are closed, after `nextOpen`. Absent if no closing is in sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_close: Option<Time>,
    /// Version of the time zone database built into the operator, such as 2026f, if a window uses it. CronJobs use the database of the
    /// controller manager, and can start at another time if a time zone has changed between the two versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub time_zone_database: Option<String>,
}

/// A Release that occupies a target namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Occupant {
    /// Namespace of the Release.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the Release.
    #[schemars(length(max = 253))]
    pub release: String,
    /// When the current attempt of its promotion entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// State of its promotion, or Unsettled.
    #[schemars(length(max = 63))]
    pub state: String,
}

/// Another Environment with the same target namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharedTargets {
    /// The other Environment.
    #[schemars(length(max = 253))]
    pub environment: String,
    /// Which Releases it admits there, and which conditions it does not have.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A component of the newest Release of its product and line that Succeeded here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InventoryItem {
    /// Namespace of the Release.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the component in its Release.
    #[schemars(length(max = 63))]
    pub component: String,
    /// The images that the Release set. Absent if it set none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Name of the Release.
    #[schemars(length(max = 253))]
    pub release: String,
    /// When its promotion Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whether another writer has changed it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drifted: bool,
}

impl EnvironmentStatus {
    /// The status that the API server shows until the operator has written one.
    #[must_use]
    pub fn not_observed() -> Self {
        Self {
            observed_generation: Some(NOT_OBSERVED),
            ..Self::default()
        }
    }
}
