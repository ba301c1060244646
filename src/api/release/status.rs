//! What has become of a Release.

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

/// The newest meaning of `status` that this operator writes; it only reports on a newer one.
pub const STATE_VERSION: i64 = 1;

/// What has become of the Release. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Of which generation all of this is said; -1 where the operator has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version: Option<i64>,
    /// The last environment in order that Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub furthest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rag: Option<Rag>,
    /// One promotion each, in promotion order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub environments: Vec<Promotion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout_plan: Option<Box<ArmedPlan>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Box<ReviewStatus>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Colour {
    Grey,
    Green,
    Amber,
    Red,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rag {
    pub colour: Colour,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub reasons: Vec<String>,
}

/// One Release into one Environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    #[schemars(length(max = 63))]
    pub name: String,
    pub state: State,
    /// Since when it has been in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    #[serde(default = "first")]
    pub attempt: i64,
    /// What a Decision binds to: version, change, components as they go into this environment, plans and attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 80))]
    pub plan_hash: String,
    /// Copied from the Environment at entry; the promotion uses only this. Stays for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<Entered>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub checks: Vec<Check>,
    /// What the environment's verification says, once it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub verification: Vec<Check>,
    /// Jobs of gates and of the verification: which the operator has made, and from what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub jobs: Vec<JobRun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub components: Vec<ComponentStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout: Option<Box<Backout>>,
    /// Something could not be evaluated or done; retried, and after a while a person has to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<Box<Inconclusive>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Box<Decided>>,
    /// uids of Decisions that were acted on before that one, the latest 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub obeyed: Vec<String>,
    /// Events that have told of drift, one a writer: at most one an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub drift_events: Vec<DriftEvent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
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

/// What entry copied of the Environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entered {
    /// The Environment's generation at entry.
    pub generation: i64,
    pub stage: Stage,
    #[schemars(length(max = 63))]
    pub target_namespace: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub verification: Vec<Verification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<GoDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<MaxOccupancy>,
    /// A backout deletes pods that a StatefulSet waits for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_stuck_pods: bool,
    /// Who planned it to end when, for RAG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_end: Option<Time>,
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckState {
    Satisfied,
    /// Time or people will clear it.
    Waiting,
    /// A definite no.
    Failed,
    /// Could not be evaluated; never go.
    Unknown,
}

/// One control or gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    #[schemars(length(max = 63))]
    pub name: String,
    pub state: CheckState,
    #[schemars(length(max = 63))]
    pub reason: String,
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when it has been in this state.
    pub since: Time,
    /// The instant at which time alone changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Shown, never holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
    /// Since when a soak that was interrupted counts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew_since: Option<Time>,
}

/// A Job of a gate or of the verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRun {
    /// The Job's name. It is written down before the Job is made, and holds something random: nobody can make a Job of this name
    /// before.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The gate, or `verification/` and the item.
    #[schemars(length(max = 80))]
    pub check: String,
    /// The CronJob that is its template.
    #[schemars(length(max = 63))]
    pub template: String,
    /// Hash of the plan that it is for.
    #[schemars(length(max = 16))]
    pub plan: String,
    /// The Job that the operator made; no other one counts. Absent until it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// Of the `spec.jobTemplate` that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub template_digest: Option<String>,
    /// Jobs that stood under a name of ours and do not count, and why: the latest four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    pub forged: Vec<String>,
}

/// The earliest entry that time-bound checks allow. A lower bound: people's answers are taken as given at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Time>,
    /// The check that binds.
    #[schemars(length(max = 1024))]
    pub because: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ComponentState {
    /// Not changed yet.
    Pending,
    /// Changed, or being restored, and not ready yet: the message says what it waits for.
    Progressing,
    Ready,
    /// The promotion or its backout ended because of it: the message says why.
    Failed,
    /// What ran before runs again.
    Restored,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    #[schemars(length(max = 63))]
    pub name: String,
    pub state: ComponentState,
    /// Images before; absent where the component sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Time>,
    /// How many of its pods were ready then: fewer than these, less what is scaled away, is health loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_pods: Option<i64>,
    /// When its state or message last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What other writers have changed of what this release applied, and who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub drift: Option<String>,
    /// What it waits for, or what is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

impl ComponentStatus {
    /// Whether other writers have changed what this release applied.
    #[must_use]
    pub fn drifted(&self) -> bool {
        self.drift.is_some()
    }
}

/// That an Event has told of drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftEvent {
    /// The writer; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub by: String,
    pub at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackoutState {
    Armed,
    InProgress,
    Verified,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backout {
    pub state: BackoutState,
    /// The ControllerRevision in the operator's namespace that holds the captured pre-state.
    #[schemars(length(max = 253))]
    pub pre_state: String,
    /// Automatic, or the Decision that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub trigger: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// Something that could not be evaluated or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inconclusive {
    pub since: Time,
    #[schemars(length(max = 63))]
    pub reason: String,
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The Decision that was last acted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    #[schemars(length(max = 253))]
    pub name: String,
    /// The Decision's uid: it acts once.
    #[schemars(length(max = 64))]
    pub uid: String,
    pub action: Action,
    #[schemars(length(max = 253))]
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlanState {
    Documented,
    Armed,
}

/// The backout plan as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmedPlan {
    pub state: PlanState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    pub strategy: Strategy,
    pub trigger: Trigger,
    #[serde(default, rename = "documentURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub document_url: Option<String>,
    pub max_duration: GoDuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReviewState {
    NotRequired,
    Pending,
    InProgress,
    Completed,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewStatus {
    pub state: ReviewState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub required_because: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_actions: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

impl ReleaseStatus {
    /// What the API server shows until the operator has written one.
    #[must_use]
    pub fn not_observed() -> Self {
        Self {
            observed_generation: Some(NOT_OBSERVED),
            ..Self::default()
        }
    }
}
