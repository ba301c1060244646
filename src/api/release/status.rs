//! Status of a Release.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::decision::Action;
use crate::api::environment::{MaxOccupancy, Stage, Verification};
use crate::api::go_duration::GoDuration;
use crate::api::meta::{Condition, Time};
use crate::api::names::NOT_OBSERVED;
use crate::api::release::plan::{Strategy, Trigger};
use crate::api::release::state::State;
use crate::api::review::Outcome;

/// The version of the meaning of `status` that this operator writes. It only reads a status of a newer version.
pub const STATE_VERSION: i64 = 1;

/// Observed state of the Release. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// The generation of the spec that this status describes; -1 until the operator has reconciled the Release for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Version of the meaning of this status. An operator does not act on a status of a newer version than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version: Option<i64>,
    /// Name of the last environment, in promotion order, in which the Release Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub furthest: Option<String>,
    /// Overall health of the Release: Grey, Green, Amber or Red, with reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rag: Option<Rag>,
    /// The promotions, one for each environment, in promotion order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub environments: Vec<Promotion>,
    /// The backout plan, and whether a pre-state has been captured for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout_plan: Option<Box<ArmedPlan>>,
    /// State of the post-implementation review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Box<ReviewStatus>>,
    /// Conditions of the Release: Accepted, Ready, Reconciling and Stalled. `kubectl wait` can use them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// Grey: not started. Green: progressing normally, or waiting as expected. Amber: needs attention soon. Red: needs action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Colour {
    Grey,
    Green,
    Amber,
    Red,
}

/// Overall health of a Release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rag {
    /// Grey: not started. Green: progressing normally, or waiting as expected. Amber: needs attention soon. Red: needs action.
    pub colour: Colour,
    /// Why it has this colour. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub reasons: Vec<String>,
}

/// The promotion of one Release into one Environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Name of the Environment.
    #[schemars(length(max = 63))]
    pub name: String,
    /// State of the promotion, from Pending to Succeeded, BackedOut, Failed, Superseded or Withdrawn. See docs/state-machine.md.
    pub state: State,
    /// Since when the promotion has been in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Number of the attempt, from 1. A Retry starts the next one.
    #[serde(default = "first")]
    pub attempt: i64,
    /// Hash of the plan: version, change, components as they are in this environment, plans and attempt. Approve and Reject name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 80))]
    pub plan_hash: String,
    /// Settings of the Environment, copied at entry. The promotion uses only this copy. It is never removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<Entered>,
    /// The controls and gates of the environment, and whether they are satisfied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub checks: Vec<Check>,
    /// Results of the environment's verification, once it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub verification: Vec<Check>,
    /// Jobs of gates and verifications that the operator has created, and their templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub jobs: Vec<JobRun>,
    /// The earliest possible entry. Absent if nothing that depends on time blocks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// State of each component in this environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub components: Vec<ComponentStatus>,
    /// The captured pre-state, and the backout if one has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout: Option<Box<Backout>>,
    /// Something that could not be evaluated or done. The operator retries it; if it lasts, a Decision is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<Box<Inconclusive>>,
    /// The latest Decision that the operator acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Box<Decided>>,
    /// uids of the Decisions that the operator acted on before that one. The latest 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub obeyed: Vec<String>,
    /// The latest Event about drift for each writer. There is at most one Event per writer and hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub drift_events: Vec<DriftEvent>,
    /// When the attempt entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When all components were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_at: Option<Time>,
    /// When the verification succeeded. Absent if the environment has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// When the promotion finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Why the promotion is in this state, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Decisions that do not count, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub not_counted: Option<String>,
}

fn first() -> i64 {
    1
}

/// Settings of the Environment, copied at entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entered {
    /// The Environment's generation at entry.
    pub generation: i64,
    /// Stage of the Environment.
    pub stage: Stage,
    /// The namespace whose objects the promotion changes.
    #[schemars(length(max = 63))]
    pub target_namespace: String,
    /// Verification of the Environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub verification: Vec<Verification>,
    /// How long all components must stay healthy before the promotion is Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<GoDuration>,
    /// How long the Release may occupy the target namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<MaxOccupancy>,
    /// Whether a backout may delete pods that a StatefulSet waits for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_stuck_pods: bool,
    /// Planned end of the promotion, from `spec.schedule` of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_end: Option<Time>,
}

/// Result of a check: Satisfied, Waiting, Failed or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckState {
    Satisfied,
    /// Not satisfied yet; it depends on time, approvals or a Job.
    Waiting,
    /// Not satisfied, and it needs action.
    Failed,
    /// It could not be evaluated. It blocks like Failed.
    Unknown,
}

/// Result of one control, gate or verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Name of the control, gate or verification.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Satisfied; Waiting: it depends on time, approvals or a Job; Failed: it needs action; Unknown: it could not be evaluated.
    pub state: CheckState,
    /// Reason for the state, one word. docs/reference.md lists all reasons.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// Why the check is in this state, and what to do.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when the check has been in this state.
    pub since: Time,
    /// The time at which the state changes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Whether the check is Advisory: reported, but never blocking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
    /// Since when a soak that was interrupted counts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew_since: Option<Time>,
}

/// A Job of a gate or verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRun {
    /// Name of the Job. It is stored here before the Job is created, and has a random part, so that no other user can create a Job
    /// of this name first.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Name of the gate, or `verification/` and the name of the verification.
    #[schemars(length(max = 80))]
    pub check: String,
    /// Name of the CronJob that is its template.
    #[schemars(length(max = 63))]
    pub template: String,
    /// Short hash of the plan for which it runs.
    #[schemars(length(max = 16))]
    pub plan: String,
    /// uid of the Job that the operator created. No other Job counts. Absent until it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// Digest of the `spec.jobTemplate` from which it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub template_digest: Option<String>,
    /// Jobs with a name that Signalbox uses that do not count, and why. The latest four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    pub forged: Vec<String>,
}

/// The earliest possible entry. It is a lower bound: it assumes that approvals are given immediately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The earliest time at which the Release can enter. Absent if no such time is in sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Time>,
    /// The check that is satisfied last.
    #[schemars(length(max = 1024))]
    pub because: String,
}

/// State of a component: Pending, Progressing, Ready, Failed or Restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ComponentState {
    /// Not changed yet.
    Pending,
    /// Changed, or being restored, and not ready yet. The message says what it waits for.
    Progressing,
    Ready,
    /// The promotion or its backout failed because of it. The message says why.
    Failed,
    /// The pre-state is restored.
    Restored,
}

/// State of one component in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Name of the component.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Pending: not changed yet. Progressing: changed or being restored, not ready yet. Ready. Failed: the promotion or its backout
    /// failed because of it. Restored: the pre-state is restored.
    pub state: ComponentState,
    /// Images before the promotion. Absent if the component sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub from: Option<String>,
    /// Images that the promotion sets. Absent if the component sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub to: Option<String>,
    /// When the component became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Time>,
    /// Number of its ready pods at that time. If fewer are ready later, and it was not scaled down, it is unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_pods: Option<i64>,
    /// When its state or message last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Fields of this release that other writers have changed, and the writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub drift: Option<String>,
    /// What it waits for, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

impl ComponentStatus {
    /// Whether other writers have changed fields that this release applied.
    #[must_use]
    pub fn drifted(&self) -> bool {
        self.drift.is_some()
    }
}

/// The latest Event about drift by one writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftEvent {
    /// The writer. Empty if it is unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub by: String,
    /// When the Event was sent.
    pub at: Time,
}

/// State of the backout: Armed, InProgress, Verified or Failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackoutState {
    Armed,
    InProgress,
    Verified,
    Failed,
}

/// The captured pre-state, and the backout if one has started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backout {
    /// Armed: the pre-state is captured. InProgress: it is being restored. Verified: every changed field matches the pre-state. Failed:
    /// it was not restored.
    pub state: BackoutState,
    /// Name of the ControllerRevision in the operator's namespace that stores the captured pre-state.
    #[schemars(length(max = 253))]
    pub pre_state: String,
    /// What started the backout: Automatic, or the Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub trigger: Option<String>,
    /// The user who decided it. Absent if it was automatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
    /// Why it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// Something that could not be evaluated or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inconclusive {
    /// Since when it has failed.
    pub since: Time,
    /// Reason, one word. docs/reference.md lists all reasons.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// What could not be evaluated or done, and why.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The latest Decision that the operator acted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// Name of the Decision.
    #[schemars(length(max = 253))]
    pub name: String,
    /// uid of the Decision. The operator acts on each Decision once.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Action of the Decision.
    pub action: Action,
    /// The user who created the Decision.
    #[schemars(length(max = 253))]
    pub by: String,
    /// The reason that the user gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// State of the backout plan: Documented, or Armed once a pre-state is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlanState {
    Documented,
    Armed,
}

/// The backout plan of the Release, and whether a pre-state has been captured for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmedPlan {
    /// Documented, or Armed once a pre-state is captured.
    pub state: PlanState,
    /// The plan in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// How the backout is done.
    pub strategy: Strategy,
    /// What starts the backout: a failure (Automatic) or a Decision (OnDecision).
    pub trigger: Trigger,
    /// Link to the full plan.
    #[serde(default, rename = "documentURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub document_url: Option<String>,
    /// How long a backout may take. If it takes longer, the release is Red.
    pub max_duration: GoDuration,
}

/// State of the review: NotRequired, Pending, InProgress, Completed or Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReviewState {
    NotRequired,
    Pending,
    InProgress,
    Completed,
    Closed,
}

impl ReviewState {
    /// Its name in status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRequired => "NotRequired",
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Closed => "Closed",
        }
    }
}

/// State of the post-implementation review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewStatus {
    /// NotRequired. Pending: no ReleaseReview yet. InProgress: it is not complete. Completed: it is complete. Closed: its actions are done,
    /// too.
    pub state: ReviewState,
    /// When the review must be complete. Absent until all promotions are finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// Whether that time has passed without a complete review.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// Why a review is required, one word each, such as BackedOut or Failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub required_because: Vec<String>,
    /// The reviewer's verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Number of actions of the review that are not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_actions: Option<i64>,
    /// ReleaseReviews that do not count, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

impl ReleaseStatus {
    /// The status that the API server shows until the operator has written one.
    #[must_use]
    pub fn not_observed() -> Self {
        Self {
            observed_generation: Some(NOT_OBSERVED),
            ..Self::default()
        }
    }
}
