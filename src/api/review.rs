//! The post-implementation review: findings and actions, written by the reviewer.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::meta::Time;

/// The reviewer's verdict on the release: Successful, SuccessfulWithIssues or Unsuccessful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    Successful,
    SuccessfulWithIssues,
    Unsuccessful,
}

/// One improvement to be made after the release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviewAction {
    /// What to do.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// The person or team that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub owner: Option<String>,
    /// When it must be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// Whether it is done. The review is Closed only when all of its actions are.
    #[serde(default)]
    pub done: bool,
}

/// The post-implementation review of one Release.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "signalbox.dev",
    version = "v1alpha1",
    kind = "ReleaseReview",
    namespaced,
    derive = "PartialEq",
    shortname = "pir",
    category = "signalbox",
    doc = "The post-implementation review of one Release: outcome, lessons and actions.",
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release"),
    printcolumn(name = "Reviewer", type_ = "string", json_path = ".spec.reviewer"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".spec.outcome"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.release == oldSelf.release").message("release is immutable: create another ReleaseReview").field_path(".release"),
    validation = Rule::new("self.reviewer == oldSelf.reviewer").message("reviewer is immutable: create another ReleaseReview").field_path(".reviewer"),
    validation = Rule::new("!has(oldSelf.outcome) || has(self.outcome)").message("an outcome can be changed but not removed").field_path(".outcome")
)]
pub struct ReleaseReviewSpec {
    /// Name of the Release, in the namespace of the review. If a Release has several reviews, the oldest counts.
    #[schemars(length(min = 1, max = 253))]
    pub release: String,
    /// The authenticated user who writes the review.
    #[schemars(length(min = 1, max = 253))]
    pub reviewer: String,
    /// The reviewer's verdict. It can be changed later, but not removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The cause of the outcome. Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub root_cause: Option<String>,
    /// Lessons for later releases, one sentence or paragraph each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub lessons: Vec<String>,
    /// Improvements to be made, each with its owner and date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub actions: Vec<ReviewAction>,
}
