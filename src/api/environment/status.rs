//! What the operator says of an Environment: windows, occupants, inventory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::meta::{Condition, Time};
use crate::api::names::NOT_OBSERVED;

/// Derived whole from Releases and claims. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// Of which generation all of this is said; -1 where the operator has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowStatus>,
    /// At most 50; the total says how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub occupants: Vec<Occupant>,
    #[serde(default)]
    pub occupants_total: i64,
    /// At most 200; the total says how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "atomic"))]
    pub inventory: Vec<InventoryItem>,
    #[serde(default)]
    pub inventory_total: i64,
    /// How many components here are not as they were released: of what Succeeded, and of what is under way.
    #[serde(default, skip_serializing_if = "none")]
    pub drifted_total: i64,
    /// Other Environments that may lead to the same target namespaces, where they lead Releases of other namespaces there or ask for
    /// less. At most 20; the total says how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub shared_targets: Vec<SharedTargets>,
    #[serde(default, skip_serializing_if = "none")]
    pub shared_targets_total: i64,
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowStatus {
    pub open: bool,
    #[schemars(length(max = 63))]
    pub because: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_open: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_close: Option<Time>,
    /// The version of the time zone database that the operator brings, such as 2026f, where a window is read by it. A CronJob beside it is
    /// read by that of the controller manager, and may begin at another time where a zone has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub time_zone_database: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Occupant {
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 253))]
    pub release: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The promotion's state, or Unsettled.
    #[schemars(length(max = 63))]
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharedTargets {
    /// The other Environment.
    #[schemars(length(max = 253))]
    pub environment: String,
    /// Whom it leads there, and what it does not ask for.
    #[schemars(length(max = 1024))]
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InventoryItem {
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 63))]
    pub component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    #[schemars(length(max = 253))]
    pub release: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drifted: bool,
}

impl EnvironmentStatus {
    /// What the API server shows until the operator has written one.
    #[must_use]
    pub fn not_observed() -> Self {
        Self {
            observed_generation: Some(NOT_OBSERVED),
            ..Self::default()
        }
    }
}
