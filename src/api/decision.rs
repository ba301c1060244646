//! One person, one act: a Decision is immutable, and the API server has vouched for its author.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// The check that an Accept may name as its subject: the release then enters targets that are not healthy.
pub const ENVIRONMENT_AVAILABLE: &str = "EnvironmentAvailable";

/// What a Decision does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// Counts towards an approval gate's minimum.
    Approve,
    /// Blocks that plan until there is a new plan.
    Reject,
    /// Restores what ran before.
    BackOut,
    /// Takes the promotion as Succeeded although something failed; before the entry, takes the target as it is: left Unsettled, or
    /// not healthy.
    Accept,
    /// Ends the promotion as Failed and leaves the target Unsettled.
    Abandon,
    /// Begins the next attempt.
    Retry,
}

impl Action {
    /// Its name in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "Approve",
            Self::Reject => "Reject",
            Self::BackOut => "BackOut",
            Self::Accept => "Accept",
            Self::Abandon => "Abandon",
            Self::Retry => "Retry",
        }
    }
}

/// One act of one person on one environment of one Release. Immutable; `by` must be the authenticated user.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "signalbox.dev",
    version = "v1alpha1",
    kind = "Decision",
    namespaced,
    derive = "PartialEq",
    shortname = "dec",
    category = "signalbox",
    selectable = ".spec.release",
    selectable = ".spec.planHash",
    doc = "One act of one authenticated person: approve, reject, back out, accept, abandon or retry. Immutable.",
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("a Decision is immutable: create another one instead")
        .field_path(".spec"),
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!(self.action in ['Approve', 'Reject']) || (has(self.subject) && has(self.role) && has(self.planHash))")
        .message("Approve and Reject need subject (the gate), role and planHash (from the Release's status)"),
    validation = Rule::new("self.action in ['Approve', 'Reject'] || has(self.attempt)")
        .message("BackOut, Accept, Abandon and Retry need attempt: the number that stands on the Release's status"),
    validation = Rule::new("self.action in ['Approve', 'Reject'] || !(has(self.role) || has(self.planHash))")
        .message("role and planHash belong to Approve and Reject only"),
    validation = Rule::new("self.action in ['Approve', 'Reject'] || !has(self.subject) || (self.action == 'Accept' && self.subject == 'EnvironmentAvailable')")
        .message("subject belongs to Approve and Reject, and to an Accept of EnvironmentAvailable")
)]
pub struct DecisionSpec {
    /// The Release in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub release: String,
    /// One that the Release lists.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    pub action: Action,
    /// The approval gate that is answered (Approve, Reject); `EnvironmentAvailable` to let a release into targets that are not
    /// healthy (Accept).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub subject: Option<String>,
    /// In which capacity (Approve, Reject).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub role: Option<String>,
    /// The authenticated user; the API server refuses anybody else's name.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// What was approved or rejected: `status.environments[].planHash` of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    #[x_kube(validation = Rule::new("self.matches('^v[0-9]{1,3}:sha256:[0-9a-f]{64}$')")
        .message("must be copied from the Release's status, like v1:sha256: and 64 hexadecimal digits"))]
    pub plan_hash: Option<String>,
    /// The attempt that is acted on, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub attempt: Option<i64>,
    /// Why, for those who read it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}
