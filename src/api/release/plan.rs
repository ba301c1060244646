//! The plans of a Release: rollout, backout and review.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::go_duration::GoDuration;
use crate::api::rules;

/// The default for the duration of a rollout.
pub(crate) fn ten_minutes() -> GoDuration {
    GoDuration::from_secs(600)
}

fn fifteen_minutes() -> GoDuration {
    GoDuration::from_secs(900)
}

fn five_days() -> GoDuration {
    GoDuration::from_secs(120 * 3600)
}

/// How a Release is rolled out.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentPlan {
    /// The plan in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// Link to the full plan.
    #[serde(default, rename = "documentURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = rules::web_address())]
    pub document_url: Option<String>,
    /// The person or team responsible for the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub owner: Option<String>,
    /// How long a rollout is expected to take in one environment. A window must stay open for this time and the backout's
    /// `maxDuration`.
    #[serde(default = "ten_minutes")]
    pub expected_duration: GoDuration,
}

/// How a backout is done. The only strategy is Restore: the captured pre-state is restored exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// The captured pre-state is restored exactly.
    #[default]
    Restore,
}

/// What starts a backout: a failure (Automatic) or a Decision (OnDecision).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Trigger {
    #[default]
    Automatic,
    OnDecision,
}

/// How a Release is backed out if it fails.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackoutPlan {
    /// The plan in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// Link to the full plan.
    #[serde(default, rename = "documentURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = rules::web_address())]
    pub document_url: Option<String>,
    /// How the backout is done. Restore restores the captured pre-state exactly.
    #[serde(default)]
    pub strategy: Strategy,
    /// What starts the backout. Automatic: any failure after entry. OnDecision: a Decision with action BackOut.
    #[serde(default)]
    pub trigger: Trigger,
    /// The person or team responsible for the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub owner: Option<String>,
    /// How long a backout may take. If it takes longer, the release is Red.
    #[serde(default = "fifteen_minutes")]
    pub max_duration: GoDuration,
    /// Whether a backout can also reverse the data. If false, the backout never starts automatically.
    #[serde(default = "yes")]
    pub data_reversible: bool,
}

fn yes() -> bool {
    true
}

/// When a post-implementation review is required: Always or WhenNeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReviewRequired {
    Always,
    #[default]
    WhenNeeded,
}

/// The post-implementation review that a Release needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviewPlan {
    /// When a review is required. WhenNeeded: after a failure, a backout or another deviation from the plan.
    #[serde(default)]
    pub required: ReviewRequired,
    /// How long the review may take, from the end of the last promotion.
    #[serde(default = "five_days")]
    pub due_within: GoDuration,
    /// The user who is expected to write the review.
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
