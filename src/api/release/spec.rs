//! Spec of a Release: a version of a product, the environments it is promoted to, and its plans.

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

/// A version of a product, the environments it is promoted to, and its plans.
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
    doc = "A version of a product: the components that it changes, the environments to which it is promoted, and its plans. Status reports the progress of each promotion.",
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments) && oldSelf.status.environments.exists(e, has(e.entered))) || (self.spec.components == oldSelf.spec.components && self.spec.components.map(c, c.name) == oldSelf.spec.components.map(c, c.name))")
        .message("components are immutable once an environment has been entered: create a Release of a new version")
        .field_path(".spec.components"),
    validation = Rule::new("!(has(oldSelf.status) && has(oldSelf.status.environments)) || oldSelf.status.environments.all(e, !has(e.entered) || e.name in self.spec.environments)")
        .message("an environment that has been entered cannot be removed from the list")
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
    validation = Rule::new("!has(oldSelf.withdrawn) || has(self.withdrawn)").message("withdrawn cannot be removed: create another Release").field_path(".withdrawn")
)]
pub struct ReleaseSpec {
    /// Name of the product. Within a namespace, a newer version of a product supersedes an older one.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::label_value())]
    pub product: String,
    /// Version of the product: dotted numbers with an optional pre-release, compared numerically. Immutable.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\d{1,9}(\\.\\d{1,9}){0,5}(-[0-9A-Za-z.-]{1,64})?$')")
        .message("must be dotted numbers with an optional pre-release, like 2026.11.1 or 1.4.0-rc.1"))]
    pub version: String,
    /// Release line of the product, such as main or 1.x. Only versions of the same line supersede each other. Immutable.
    #[serde(default = "main_line")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::label_value())]
    pub line: String,
    /// The user who requests the Release. It must be the user who creates it, unless that user holds the verb `request-for`. Immutable.
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
    /// The change record to which this Release belongs. Immutable.
    pub change: Change,
    /// The commit from which the artifacts are built. Immutable once an environment has been entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Names of the Environments to which it is promoted. Their order follows from `spec.promotesFrom` of each Environment.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// The objects that it changes, in order. Immutable once an environment has been entered.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    // The list with one list in it is a variable: the names are collected once, not once for each component. The API server refuses
    // duplicate names itself, so they must not be reported again as a wrong order.
    #[x_kube(
        validation = Rule::new("[self.map(c, c.name)].all(names, self.all(c, !has(c.after) || c.after.all(a, names.indexOf(a) >= 0 && names.indexOf(a) < names.lastIndexOf(c.name))))")
            .message("after can name only components that are earlier in the list"),
        validation = Rule::new("[self.map(c, c.name)].all(names, self.all(c, !has(c.restartOn) || c.restartOn.all(a, names.indexOf(a) >= 0 && names.indexOf(a) < names.lastIndexOf(c.name))))")
            .message("restartOn can name only components that are earlier in the list")
    )]
    pub components: Vec<Component>,
    /// Planned start and end for each environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["environment"])
    )]
    pub schedule: Vec<Planned>,
    /// How it is rolled out. Immutable once an environment has been entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_plan: Option<Box<DeploymentPlan>>,
    /// How it is backed out if it fails. Absent: a Decision is required then. Immutable once an environment has been entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout_plan: Option<Box<BackoutPlan>>,
    /// The post-implementation review that this Release needs.
    #[serde(default)]
    pub review: ReviewPlan,
    /// If present, even if empty, the Release does not enter any environment, or not the environments that it names. A promotion in
    /// progress continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// If present, even if empty, the Release never enters an environment again. What was promoted stays. It cannot be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Because>,
}

fn main_line() -> String {
    "main".to_owned()
}

/// The change model. The only one is Normal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChangeModel {
    #[default]
    Normal,
}

/// The change record to which a Release belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// The change model. The only one is Normal.
    #[serde(default)]
    pub model: ChangeModel,
    /// Reference of the ticket in another system, such as CHG-1234.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub reference: Option<String>,
    /// The reason for the change. Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// The commit from which the artifacts of a Release are built.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The commit that is released, such as a Git SHA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub revision: Option<String>,
    /// Time of the oldest commit in this Release that was not released before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Time>,
    /// Link to the release notes.
    #[serde(default, rename = "notesURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = rules::web_address())]
    pub notes_url: Option<String>,
}

/// One object that the Release changes in each environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.patch) || has(self.images) || has(self.remove) || has(self.overrides) || has(self.restartOn)")
        .message("a component must say what changes: patch, images, remove, overrides or restartOn")
)]
pub struct Component {
    /// Name of the component within this Release.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The object to change, in the target namespace of the environment.
    pub target: Target,
    /// Partial object: exactly these fields are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "partial_object")]
    pub patch: Option<Value>,
    /// Paths to remove: JSON pointers in which an element of a list is named by its key, as in
    /// /spec/template/spec/containers[name=web]/env[name=URL].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub remove: Vec<String>,
    /// Paths of maps in `patch` that replace the live map instead of being merged into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub replace: Vec<String>,
    /// Images to set, one for each container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["container"])
    )]
    pub images: Vec<Image>,
    /// Patches for single environments, merged over `patch`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["environment"])
    )]
    pub overrides: Vec<Override>,
    /// Names of earlier components that must be ready before this one is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub after: Vec<String>,
    /// Names of earlier components. If one of them changes, in a rollout or a backout, the pods of this component are restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub restart_on: Vec<String>,
    /// How long the target may take to become ready.
    #[serde(default = "ten_minutes")]
    pub ready_within: GoDuration,
}

fn partial_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Partial object: exactly these fields are set, and nothing else changes. It must not contain images or nulls.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// The object that a component changes, in the environment's target namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// API group and version, for instance apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// The kind. The environment must list it in `allowedKinds`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// An image to set on one container of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Name of a container of the target.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,
    /// Full image reference. It must have a digest where the environment requires DigestPinned.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
}

/// A patch for one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// Name of an Environment that this Release lists.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// Partial object, merged over the component's `patch` in this environment.
    #[schemars(schema_with = "partial_object")]
    pub patch: Value,
}

/// Planned start and end for one environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.start) || !has(self.end) || self.start < self.end").message("schedule: start must be before end"))]
pub struct Planned {
    /// Name of an Environment that this Release lists.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// The Release does not enter before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// Blocks nothing. After this time the release is Red until the promotion is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
}

/// Why a Release is held, and in which environments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// Why it is held. Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Names of the environments that it must not enter. Absent: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
}

impl Hold {
    /// Whether it blocks the entry into `environment`.
    #[must_use]
    pub fn holds(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|e| e == environment)
    }
}

/// Why a Release is withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Because {
    /// Why it is withdrawn. Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

impl Release {
    /// Whether the operator has reconciled it and written a status.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|s| s.observed_generation != Some(NOT_OBSERVED))
    }

    /// Its promotion into `environment`, if status has one.
    #[must_use]
    pub fn promotion(&self, environment: &str) -> Option<&Promotion> {
        self.status
            .as_ref()?
            .environments
            .iter()
            .find(|p| p.name == environment)
    }

    /// Planned start and end for `environment`.
    #[must_use]
    pub fn planned(&self, environment: &str) -> Option<&Planned> {
        self.spec.schedule.iter().find(|p| p.environment == environment)
    }

    /// The time before which it must not enter `environment`. A planned start before the creation of the Release counts as the time
    /// of its creation, because it cannot have waited before.
    #[must_use]
    pub fn planned_start(&self, environment: &str) -> Option<Timestamp> {
        let start = self.planned(environment)?.start.as_ref()?.0;
        let created = self.metadata.creation_timestamp.as_ref().map(|t| t.0);
        Some(created.map_or(start, |created| start.max(created)))
    }

    /// The hold that blocks its entry into `environment`, if there is one.
    #[must_use]
    pub fn held_from(&self, environment: &str) -> Option<&Hold> {
        self.spec.hold.as_ref().filter(|hold| hold.holds(environment))
    }
}

impl Component {
    /// The patch that only applies in `environment`.
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
