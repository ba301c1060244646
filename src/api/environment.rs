//! An Environment: where releases go, and what must be true before anything comes in.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Condition, GoDuration, LabelSelector, Time, rules};

/// Where it goes, and what must hold before it may. Cluster-scoped: its policy belongs to its owner, not to those
/// who want to get in.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "signalbox.dev",
    version = "v1alpha1",
    kind = "Environment",
    status = "EnvironmentStatus",
    derive = "PartialEq",
    shortname = "env",
    category = "signalbox",
    doc = "Where releases go, and what must be true before anything comes in.",
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Open", type_ = "boolean", json_path = ".status.window.open"),
    printcolumn(name = "Next Open", type_ = "string", json_path = ".status.window.nextOpen"),
    printcolumn(name = "Occupants", type_ = "integer", json_path = ".status.occupantsTotal"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.__namespace__.contains('{namespace}') || has(self.releaseNamespaces)")
        .message("releaseNamespaces is required where namespace is a literal: say whose Releases may ask ({} is everybody)"),
    validation = Rule::new("self.__namespace__.matches('^[a-z0-9-]*([{]namespace[}])?[a-z0-9-]*$') && !self.__namespace__.startsWith('-') && !self.__namespace__.endsWith('-')")
        .message("namespace must be a DNS label, or one {namespace} with letters, digits and dashes around it")
        .field_path(".namespace")
)]
pub struct EnvironmentSpec {
    /// How far from customers it is; controls take their defaults from it.
    pub stage: Stage,
    /// Whom messages name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The target namespace: a literal, or with `{namespace}` of the Release.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// What may be changed here.
    #[serde(default = "default_kinds")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_kinds: Vec<AllowedKind>,
    /// Which namespaces' Releases may ask; `{}` is everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub release_namespaces: Option<LabelSelector>,
    /// Absent: an entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotes_from: Option<PromotesFrom>,
    /// How strictly each built-in control is enforced; those not listed follow the stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub controls: Vec<Control>,
    /// What else must hold before a Release may enter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub gates: Vec<Gate>,
    /// Runs after workloads are ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub verification: Vec<Verification>,
    /// Everything stays healthy this long before it counts as Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<GoDuration>,
    /// When Releases may enter, and when they may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub windows: Vec<Window>,
    /// What rules when no Allow window is listed: Production is Closed, others are Open unless this says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_window: Option<DefaultWindow>,
}

/// The library's schema sets no bounds; these are far above what anybody needs.
fn label_selector(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = LabelSelector::json_schema(generator);
    schema.insert(
        "description".into(),
        "Which namespaces' Releases may ask, by the namespaces' labels; {} is everybody.".into(),
    );
    for (pointer, keyword, value) in [
        ("/properties/matchLabels", "maxProperties", json!(16)),
        (
            "/properties/matchLabels/additionalProperties",
            "maxLength",
            json!(63),
        ),
        ("/properties/matchExpressions", "maxItems", json!(16)),
        (
            "/properties/matchExpressions",
            "x-kubernetes-list-type",
            json!("atomic"),
        ),
        (
            "/properties/matchExpressions/items/properties/key",
            "maxLength",
            json!(317),
        ),
        (
            "/properties/matchExpressions/items/properties/operator",
            "maxLength",
            json!(12),
        ),
        (
            "/properties/matchExpressions/items/properties/values",
            "maxItems",
            json!(32),
        ),
        (
            "/properties/matchExpressions/items/properties/values",
            "x-kubernetes-list-type",
            json!("atomic"),
        ),
        (
            "/properties/matchExpressions/items/properties/values/items",
            "maxLength",
            json!(63),
        ),
    ] {
        if let Some(part) = schema.pointer_mut(pointer).and_then(|v| v.as_object_mut()) {
            part.insert(keyword.into(), value);
        }
    }
    schema
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    Development,
    #[serde(rename = "SIT")]
    Sit,
    #[serde(rename = "NFT")]
    Nft,
    #[serde(rename = "UAT")]
    Uat,
    PreProduction,
    Production,
}

/// Whom messages name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub team: Option<String>,
    /// For instance a channel or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub contact: Option<String>,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!(self.kind in ['Secret', 'ServiceAccount', 'Namespace', 'CustomResourceDefinition', 'APIService', 'Node']) && !self.apiVersion.startsWith('rbac.authorization.k8s.io/') && !self.apiVersion.startsWith('admissionregistration.k8s.io/') && !self.apiVersion.startsWith('signalbox.dev/')")
    .message("Secrets, RBAC, ServiceAccounts, Namespaces, admission, definitions and signalbox.dev are never targets"))]
pub struct AllowedKind {
    /// For instance apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// For instance Deployment.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
}

fn default_kinds() -> Vec<AllowedKind> {
    [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "CronJob"),
        ("v1", "ConfigMap"),
    ]
    .into_iter()
    .map(|(api_version, kind)| AllowedKind {
        api_version: api_version.into(),
        kind: kind.into(),
    })
    .collect()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Require {
    #[default]
    All,
    Any,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotesFrom {
    /// Environments in which this very Release must have Succeeded first.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// All of them, or Any one.
    #[serde(default)]
    pub require: Require,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ControlName {
    TargetsAllowed,
    EnvironmentAvailable,
    DigestPinned,
    SameArtifact,
    NoDowngrade,
    DeploymentPlanDocumented,
    BackoutPlanDocumented,
    WindowOpen,
}

impl ControlName {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TargetsAllowed => "TargetsAllowed",
            Self::EnvironmentAvailable => "EnvironmentAvailable",
            Self::DigestPinned => "DigestPinned",
            Self::SameArtifact => "SameArtifact",
            Self::NoDowngrade => "NoDowngrade",
            Self::DeploymentPlanDocumented => "DeploymentPlanDocumented",
            Self::BackoutPlanDocumented => "BackoutPlanDocumented",
            Self::WindowOpen => "WindowOpen",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforcement {
    /// Holds the release.
    Required,
    /// Shown, never holds.
    Advisory,
    Off,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.name != 'TargetsAllowed' || self.enforcement == 'Required'")
    .message("TargetsAllowed is always Required"))]
pub struct Control {
    /// The built-in control.
    pub name: ControlName,
    /// Required holds the Release, Advisory is only shown, "Off" is not evaluated (in quotes: YAML reads Off as false).
    pub enforcement: Enforcement,
}

/// What the environment's owner asks for. Exactly one type.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("[has(self.approval), has(self.soak), has(self.expression), has(self.job)].filter(x, x).size() == 1")
        .message("a gate has exactly one of approval, soak, expression and job"),
    validation = Rule::new("!(self.name in ['TargetsAllowed', 'EnvironmentAvailable', 'DigestPinned', 'SameArtifact', 'NoDowngrade', 'DeploymentPlanDocumented', 'BackoutPlanDocumented', 'WindowOpen'])")
        .message("a gate cannot have the name of a control").field_path(".name")
)]
pub struct Gate {
    /// What messages and Decisions call it.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// People approve, by Decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
    /// A condition on the Release and the Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobTemplate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceAccounts {
    Allow,
    #[default]
    Deny,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The RBAC subresource of this Environment on which approvers hold `approve`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub role: String,
    /// Distinct people.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub minimum: i64,
    /// Counted from the Decision's creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<GoDuration>,
    /// Whether a ServiceAccount's approval counts.
    #[serde(default)]
    pub service_accounts: ServiceAccounts,
}

fn one() -> i64 {
    1
}

/// The Release has stood in another environment this long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Soak {
    /// Where it has to stand.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// How long it has to stand there after it Succeeded.
    pub duration: GoDuration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// CEL over `release` and `environment`; must be a boolean. Comprehensions nest at most two deep.
    #[schemars(length(min = 1, max = 1024))]
    pub pass_when: String,
}

/// A suspended CronJob in the target namespace is the template.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobTemplate {
    /// Name of the CronJob.
    #[schemars(length(min = 1, max = 52))]
    #[x_kube(validation = rules::object_name())]
    pub template: String,
    /// How long the Job may take.
    #[serde(default = "quarter_of_an_hour")]
    pub timeout: GoDuration,
}

fn quarter_of_an_hour() -> GoDuration {
    GoDuration::from_secs(900)
}

/// What runs after workloads are ready. Exactly one type.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.job) != has(self.expression)").message("a verification has exactly one of job and expression"))]
pub struct Verification {
    /// What messages call it.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobTemplate>,
    /// A condition on the Release and the Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    Allow,
    Deny,
}

/// When releases may, or may not, enter: recurring, or once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("(has(self.schedule) && has(self.duration) && has(self.timeZone) && !has(self.from) && !has(self.to)) || (!has(self.schedule) && !has(self.duration) && !has(self.timeZone) && has(self.from) && has(self.to))")
        .message("a window has either schedule, duration and timeZone, or from and to"),
    validation = Rule::new("!has(self.from) || !has(self.to) || self.from < self.to").message("a window's from must be before its to")
)]
pub struct Window {
    /// What messages call it.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// Allow: may enter within. Deny: may not, whatever else allows it.
    pub kind: WindowKind,
    /// Five-field cron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^ ]+( +[^ ]+){4}$')")
        .message("must be five fields of cron: minute, hour, day of month, month and day of week, like 0 18 * * TUE"))]
    pub schedule: Option<String>,
    /// How long it stays open each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<GoDuration>,
    /// IANA name, such as Europe/London.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultWindow {
    Open,
    Closed,
}

// ---------------------------------------------------------------------------------------------------------------

/// Derived whole from Releases and claims. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowStatus>,
    /// At most 50; the total says how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub occupants: Vec<Occupant>,
    #[serde(default)]
    pub occupants_total: i64,
    /// At most 200; the total says how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "atomic"))]
    pub inventory: Vec<InventoryItem>,
    #[serde(default)]
    pub inventory_total: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowStatus {
    pub open: bool,
    #[schemars(length(max = 63))]
    pub because: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_open: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_close: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Occupant {
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 253))]
    pub release: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The promotion's state, or Unsettled.
    #[schemars(length(max = 63))]
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InventoryItem {
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 63))]
    pub component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    #[schemars(length(max = 253))]
    pub release: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drifted: bool,
}

impl EnvironmentSpec {
    /// The target namespace for Releases of `namespace`.
    #[must_use]
    pub fn target_namespace(&self, namespace: &str) -> String {
        self.namespace.replace("{namespace}", namespace)
    }

    /// What rules when no Allow window is listed.
    #[must_use]
    pub fn default_window(&self) -> DefaultWindow {
        self.default_window.unwrap_or(if self.stage == Stage::Production {
            DefaultWindow::Closed
        } else {
            DefaultWindow::Open
        })
    }

    /// How strictly `control` is enforced here: as listed, else as the stage defaults.
    #[must_use]
    pub fn enforcement(&self, control: ControlName) -> Enforcement {
        use ControlName as C;
        if let Some(listed) = self.controls.iter().find(|c| c.name == control) {
            return listed.enforcement;
        }
        let required_from = match control {
            C::TargetsAllowed
            | C::EnvironmentAvailable
            | C::SameArtifact
            | C::NoDowngrade
            | C::WindowOpen => Stage::Development,
            C::DigestPinned | C::BackoutPlanDocumented => Stage::Uat,
            C::DeploymentPlanDocumented => Stage::Production,
        };
        if self.stage >= required_from {
            Enforcement::Required
        } else {
            Enforcement::Advisory
        }
    }
}
