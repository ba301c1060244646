//! A Release: what goes out, where it is to go, and with which plans; and what has become of it.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::environment::{Stage, Verification};
use super::{Condition, GoDuration, Time, rules};

/// The newest meaning of `status` that this operator writes; it only reports on a newer one.
pub const STATE_VERSION: i64 = 1;

/// What goes out.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "signalbox.dev",
    version = "v1alpha1",
    kind = "Release",
    namespaced,
    status = "ReleaseStatus",
    derive = "PartialEq",
    shortname = "rel",
    category = "signalbox",
    doc = "What goes out, where it is to go, and with which plans. Status says what has become of it.",
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments) && oldSelf.status.environments.exists(e, has(e.entered))) || (self.spec.components == oldSelf.spec.components && self.spec.components.map(c, c.name) == oldSelf.spec.components.map(c, c.name))")
        .message("components are immutable once an environment has been entered: create a Release of a new version")
        .field_path(".spec.components"),
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments)) || oldSelf.status.environments.all(e, !has(e.entered) || e.name in self.spec.environments)")
        .message("an environment that has been entered cannot be taken off the list")
        .field_path(".spec.environments"),
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments) && oldSelf.status.environments.exists(e, has(e.entered))) || (has(self.spec.deploymentPlan) == has(oldSelf.spec.deploymentPlan) && (!has(self.spec.deploymentPlan) || self.spec.deploymentPlan == oldSelf.spec.deploymentPlan))")
        .message("the deployment plan is immutable once an environment has been entered")
        .field_path(".spec.deploymentPlan"),
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments) && oldSelf.status.environments.exists(e, has(e.entered))) || (has(self.spec.backoutPlan) == has(oldSelf.spec.backoutPlan) && (!has(self.spec.backoutPlan) || self.spec.backoutPlan == oldSelf.spec.backoutPlan))")
        .message("the backout plan is immutable once an environment has been entered")
        .field_path(".spec.backoutPlan"),
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments) && oldSelf.status.environments.exists(e, has(e.entered))) || (has(self.spec.source) == has(oldSelf.spec.source) && (!has(self.spec.source) || self.spec.source == oldSelf.spec.source))")
        .message("the source is immutable once an environment has been entered")
        .field_path(".spec.source"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".status.furthest"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "RAG", type_ = "string", json_path = ".status.rag.colour"),
    printcolumn(name = "Review", type_ = "string", json_path = ".status.review.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Change", type_ = "string", json_path = ".spec.change.reference", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1)
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.product == oldSelf.product").message("product is immutable: create another Release").field_path(".product"),
    validation = Rule::new("self.version == oldSelf.version").message("version is immutable: create another Release").field_path(".version"),
    validation = Rule::new("self.line == oldSelf.line").message("line is immutable: create another Release").field_path(".line"),
    validation = Rule::new("self.requestedBy == oldSelf.requestedBy").message("requestedBy is immutable: create another Release").field_path(".requestedBy"),
    validation = Rule::new("self.change == oldSelf.change").message("change is immutable: create another Release").field_path(".change"),
    validation = Rule::new("!has(oldSelf.withdrawn) || has(self.withdrawn)").message("withdrawn cannot be taken back: create another Release").field_path(".withdrawn")
)]
pub struct ReleaseSpec {
    /// Versions of one product, in one namespace, supersede each other.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::label_value())]
    pub product: String,
    /// Dotted numbers with an optional pre-release, compared numerically.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\d{1,9}(\\.\\d{1,9}){0,5}(-[0-9A-Za-z.-]{1,64})?$')")
        .message("must be dotted numbers with an optional pre-release, like 2026.11.1 or 1.4.0-rc.1"))]
    pub version: String,
    /// Only versions of one line supersede each other.
    #[serde(default = "main_line")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::label_value())]
    pub line: String,
    /// The person who asks; the creating user, unless that user holds the verb `request-for`.
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
    pub change: Change,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Where it is to go; order and fan-in come from `Environment.spec.promotesFrom`.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// What it is made of, in order. Immutable once an environment has been entered.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    // The list of one list is a variable: the names are gathered once, not once for each component. Names that stand twice
    // are the API server's to refuse, and must not be reported a second time as a wrong order.
    #[x_kube(
        validation = Rule::new("[self.map(c, c.name)].all(names, self.all(c, !has(c.after) || c.after.all(a, names.indexOf(a) >= 0 && names.indexOf(a) < names.lastIndexOf(c.name))))")
            .message("after may only name components that stand earlier in the list"),
        validation = Rule::new("[self.map(c, c.name)].all(names, self.all(c, !has(c.restartOn) || c.restartOn.all(a, names.indexOf(a) >= 0 && names.indexOf(a) < names.lastIndexOf(c.name))))")
            .message("restartOn may only name components that stand earlier in the list")
    )]
    pub components: Vec<Component>,
    /// When which environment is planned to be entered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["environment"])
    )]
    pub schedule: Vec<Planned>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_plan: Option<Box<DeploymentPlan>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout_plan: Option<Box<BackoutPlan>>,
    #[serde(default)]
    pub review: ReviewPlan,
    /// Present: nothing new starts; what is running finishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Because>,
    /// Present: never starts again; what was promoted stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Because>,
}

fn main_line() -> String {
    "main".to_owned()
}

/// How much ceremony the change needs. Others come with the controls that belong to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChangeModel {
    #[default]
    Normal,
}

/// The change record that this Release belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    #[serde(default)]
    pub model: ChangeModel,
    /// The ticket elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub reference: Option<String>,
    /// Why the change is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// Where the artifacts come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The commit that is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub revision: Option<String>,
    /// The oldest commit not yet released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Time>,
    /// Linked from the release notes.
    #[serde(default, rename = "notesURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub notes_url: Option<String>,
}

/// One object that the Release changes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.patch) || has(self.images) || has(self.remove) || has(self.overrides) || has(self.restartOn)")
        .message("a component must say what changes: patch, images, remove, overrides or restartOn")
)]
pub struct Component {
    /// Its name within this Release.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    pub target: Target,
    /// Partial object: exactly these fields are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "partial_object")]
    pub patch: Option<Value>,
    /// JSON pointers to take out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub remove: Vec<String>,
    /// Images to set, one a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["container"])
    )]
    pub images: Vec<Image>,
    /// Environment-specific patches, laid over `patch`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["environment"])
    )]
    pub overrides: Vec<Override>,
    /// Earlier components that must be ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub after: Vec<String>,
    /// Earlier components whose change restarts this one's pods, forward and back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub restart_on: Vec<String>,
    /// How long it may take until the target is ready.
    #[serde(default = "ten_minutes")]
    pub ready_within: GoDuration,
}

fn ten_minutes() -> GoDuration {
    GoDuration::from_secs(600)
}

fn fifteen_minutes() -> GoDuration {
    GoDuration::from_secs(900)
}

fn five_days() -> GoDuration {
    GoDuration::from_secs(120 * 3600)
}

fn partial_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Partial object: exactly these fields are set, and nothing else changes. No images, no nulls.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// The object that a component changes, in the environment's target namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// For instance apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// One of the kinds that the environment allows.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// A container that the target has.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,
    /// Full image reference, pinned by digest where the environment asks for it.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// An Environment that this Release lists.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    #[schemars(schema_with = "partial_object")]
    pub patch: Value,
}

/// When an environment is planned to be entered.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.start) || !has(self.end) || self.start < self.end").message("schedule: start must be before end"))]
pub struct Planned {
    /// An Environment that this Release lists.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// Not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// Holds nothing back; past it the release turns Red.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
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

/// Why somebody held or withdrew a Release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Because {
    /// Why, for those who read it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

// ---------------------------------------------------------------------------------------------------------------

/// What has become of the Release. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
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

/// State of one promotion: one Release into one Environment. See semantics in the documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// What the environment promotes from has not Succeeded yet.
    #[default]
    Pending,
    /// Checks do not all hold.
    Waiting,
    /// Everything holds, another release occupies the target.
    Queued,
    /// Components are being patched and become ready.
    Deploying,
    /// The environment's verification runs.
    Verifying,
    /// Everything must stay healthy for a while.
    Observing,
    Succeeded,
    /// Something failed and a person has to decide.
    AwaitingDecision,
    /// What ran before is being restored.
    BackingOut,
    /// What ran before runs again, compared equal.
    BackedOut,
    Failed,
    /// A newer version succeeded here before this one entered.
    Superseded,
    /// Taken back before it entered.
    Withdrawn,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Waiting => "Waiting",
            Self::Queued => "Queued",
            Self::Deploying => "Deploying",
            Self::Verifying => "Verifying",
            Self::Observing => "Observing",
            Self::Succeeded => "Succeeded",
            Self::AwaitingDecision => "AwaitingDecision",
            Self::BackingOut => "BackingOut",
            Self::BackedOut => "BackedOut",
            Self::Failed => "Failed",
            Self::Superseded => "Superseded",
            Self::Withdrawn => "Withdrawn",
        }
    }

    /// Targets are, or may be, in the middle of a change.
    #[must_use]
    pub fn under_way(self) -> bool {
        matches!(
            self,
            Self::Deploying | Self::Verifying | Self::Observing | Self::AwaitingDecision | Self::BackingOut
        )
    }

    /// Nothing has been touched yet.
    #[must_use]
    pub fn before_entry(self) -> bool {
        matches!(self, Self::Pending | Self::Waiting | Self::Queued)
    }
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
    Pending,
    Progressing,
    Ready,
    Failed,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
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
    pub action: super::Action,
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
    pub outcome: Option<super::review::Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_actions: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

impl Release {
    /// Its promotion into `environment`, once it stands on status.
    #[must_use]
    pub fn promotion(&self, environment: &str) -> Option<&Promotion> {
        self.status
            .as_ref()?
            .environments
            .iter()
            .find(|p| p.name == environment)
    }

    /// When `environment` is planned to be entered.
    #[must_use]
    pub fn planned(&self, environment: &str) -> Option<&Planned> {
        self.spec.schedule.iter().find(|p| p.environment == environment)
    }
}

impl Component {
    /// The stated patch for `environment`: its override laid over the common one.
    #[must_use]
    pub fn override_for(&self, environment: &str) -> Option<&Value> {
        self.overrides
            .iter()
            .find(|o| o.environment == environment)
            .map(|o| &o.patch)
    }

    /// `(container, image)` pairs.
    #[must_use]
    pub fn image_pairs(&self) -> Vec<(String, String)> {
        self.images
            .iter()
            .map(|i| (i.container.clone(), i.image.clone()))
            .collect()
    }
}

/// Labels as maps are used everywhere.
pub type Labels = BTreeMap<String, String>;
