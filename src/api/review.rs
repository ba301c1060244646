//! The post-implementation review: findings and actions, written by the reviewer.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::meta::Time;

/// How the release went, in the reviewer's judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    Successful,
    SuccessfulWithIssues,
    Unsuccessful,
}

/// One improvement that somebody owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviewAction {
    /// What is to be done.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// Who owes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// An action that is not done keeps the review open.
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
    validation = Rule::new("self.release == oldSelf.release").message("a review's release is immutable: write another ReleaseReview").field_path(".release"),
    validation = Rule::new("self.reviewer == oldSelf.reviewer").message("a review's reviewer is immutable: write another ReleaseReview").field_path(".reviewer"),
    validation = Rule::new("!has(oldSelf.outcome) || has(self.outcome)").message("an outcome can be changed, but not be taken back").field_path(".outcome")
)]
pub struct ReleaseReviewSpec {
    /// The Release in this namespace; one review each, the oldest counts.
    #[schemars(length(min = 1, max = 253))]
    pub release: String,
    /// The authenticated user who writes this.
    #[schemars(length(min = 1, max = 253))]
    pub reviewer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it went as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub root_cause: Option<String>,
    /// What others can learn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub lessons: Vec<String>,
    /// What is to be improved, and by whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub actions: Vec<ReviewAction>,
}
