//! What goes out, where it is to go, and with which plans.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::go_duration::GoDuration;
use crate::api::meta::Time;
use crate::api::names::NOT_OBSERVED;
use crate::api::release::plan::{BackoutPlan, DeploymentPlan, ReviewPlan, ten_minutes};
use crate::api::release::status::{Promotion, ReleaseStatus};
use crate::api::rules;

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
    selectable = ".spec.product",
    selectable = ".spec.version",
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
    /// Present: nothing new starts, everywhere or in the environments that it names; what is running finishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
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
    /// Paths to take out: JSON pointers in which an element of a list is named by its key, as in
    /// /spec/template/spec/containers[name=web]/env[name=URL].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub remove: Vec<String>,
    /// Paths at which the map that patch states takes the place of the live one instead of being merged into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub replace: Vec<String>,
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

/// Why somebody held a Release, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// Why, for those who read it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// The environments that it is not to enter. Absent: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
}

impl Hold {
    /// Whether it holds the entry into `environment`.
    #[must_use]
    pub fn holds(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|e| e == environment)
    }
}

/// Why somebody withdrew a Release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Because {
    /// Why, for those who read it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

impl Release {
    /// Whether the operator has looked at it, and has said so.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|s| s.observed_generation != Some(NOT_OBSERVED))
    }

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

    /// Before when it is not to enter `environment`. A start before the Release's creation counts as the creation: nobody has
    /// waited before there was anything to wait.
    #[must_use]
    pub fn planned_start(&self, environment: &str) -> Option<Timestamp> {
        let start = self.planned(environment)?.start.as_ref()?.0;
        let created = self.metadata.creation_timestamp.as_ref().map(|t| t.0);
        Some(created.map_or(start, |created| start.max(created)))
    }

    /// Why it is held back from `environment`, where it is.
    #[must_use]
    pub fn held_from(&self, environment: &str) -> Option<&Hold> {
        self.spec.hold.as_ref().filter(|hold| hold.holds(environment))
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
