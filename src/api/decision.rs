//! A Decision: one action of one user. It is immutable, and an admission policy has verified its author.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// The check that an Accept can name as its subject: the release then enters although its targets are not healthy.
pub const ENVIRONMENT_AVAILABLE: &str = "EnvironmentAvailable";

/// The action of a Decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// Counts towards the minimum of an approval gate.
    Approve,
    /// Blocks this plan. Only a new plan can enter.
    Reject,
    /// Restores the captured pre-state.
    BackOut,
    /// Marks the promotion as Succeeded although something failed. Before entry, accepts the target as it is: Unsettled, or not
    /// healthy.
    Accept,
    /// Ends the promotion as Failed and leaves the target Unsettled.
    Abandon,
    /// Starts the next attempt.
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

/// One action of one user on one environment of one Release. It is immutable, and `by` must be the authenticated user.
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
    doc = "One action of one authenticated user on a Release in one environment: approve, reject, back out, accept, abandon or retry. It is immutable.",
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
        .message("BackOut, Accept, Abandon and Retry need attempt (the number in the Release's status)"),
    validation = Rule::new("self.action in ['Approve', 'Reject'] || !(has(self.role) || has(self.planHash))")
        .message("role and planHash are valid only with Approve and Reject"),
    validation = Rule::new("self.action in ['Approve', 'Reject'] || !has(self.subject) || (self.action == 'Accept' && self.subject == 'EnvironmentAvailable')")
        .message("subject is valid only with Approve, Reject and an Accept of EnvironmentAvailable")
)]
pub struct DecisionSpec {
    /// Name of the Release, in the namespace of the Decision.
    #[schemars(length(min = 1, max = 253))]
    pub release: String,
    /// Name of an Environment that the Release lists.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// What to do: Approve or Reject at a gate; BackOut, Accept, Abandon or Retry a promotion.
    pub action: Action,
    /// Approve, Reject: name of the approval gate. Accept: `EnvironmentAvailable`, so that the release enters although its targets
    /// are not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub subject: Option<String>,
    /// Approve, Reject: the role of the gate in which the user approves or rejects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub role: Option<String>,
    /// The authenticated user who creates the Decision. The API server refuses any other name.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// Approve, Reject: hash of the plan, copied from `status.environments[].planHash` of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    #[x_kube(validation = Rule::new("self.matches('^v[0-9]{1,3}:sha256:[0-9a-f]{64}$')")
        .message("must be copied from the Release's status, like v1:sha256: and 64 hexadecimal digits"))]
    pub plan_hash: Option<String>,
    /// BackOut, Accept, Abandon, Retry: number of the attempt, copied from `status.environments[].attempt` of the Release. The
    /// Decision acts on it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub attempt: Option<i64>,
    /// Why the user decided this. Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}
