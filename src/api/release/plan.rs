//! The plans that belong to a Release: how it is rolled out, how it is backed out, which review it owes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::go_duration::GoDuration;

/// How long a rollout takes where nothing is said.
pub(crate) fn ten_minutes() -> GoDuration {
    GoDuration::from_secs(600)
}

fn fifteen_minutes() -> GoDuration {
    GoDuration::from_secs(900)
}

fn five_days() -> GoDuration {
    GoDuration::from_secs(120 * 3600)
}

/// How it is rolled out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentPlan {
    /// The plan in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// The plan in full.
    #[serde(default, rename = "documentURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub document_url: Option<String>,
    /// Who answers for the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub owner: Option<String>,
    /// How long one environment takes.
    #[serde(default = "ten_minutes")]
    pub expected_duration: GoDuration,
}

/// How a backout is done. Others come with the acknowledgements that belong to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// The exact captured pre-state is put back.
    #[default]
    Restore,
}

/// Who starts a backout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Trigger {
    #[default]
    Automatic,
    OnDecision,
}

/// What is done when it goes wrong. Without one, a person decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackoutPlan {
    /// The plan in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// The plan in full.
    #[serde(default, rename = "documentURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub document_url: Option<String>,
    /// How it is done.
    #[serde(default)]
    pub strategy: Strategy,
    /// Who starts it.
    #[serde(default)]
    pub trigger: Trigger,
    /// Who answers for the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub owner: Option<String>,
    /// A backout that takes longer turns the release Red.
    #[serde(default = "fifteen_minutes")]
    pub max_duration: GoDuration,
    /// False: never runs automatically.
    #[serde(default = "yes")]
    pub data_reversible: bool,
}

fn yes() -> bool {
    true
}

/// When a review is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReviewRequired {
    Always,
    #[default]
    WhenNeeded,
}

/// The post-implementation review that this Release owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviewPlan {
    /// WhenNeeded: after a failure, a backout or another departure from the plan.
    #[serde(default)]
    pub required: ReviewRequired,
    /// Counted from the last environment's end.
    #[serde(default = "five_days")]
    pub due_within: GoDuration,
    /// Who is to write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub reviewer: Option<String>,
}

impl Default for ReviewPlan {
    fn default() -> Self {
        Self {
            required: ReviewRequired::default(),
            due_within: five_days(),
            reviewer: None,
        }
    }
}
