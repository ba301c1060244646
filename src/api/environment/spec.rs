//! Where releases go, and what must be true before anything comes in.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::environment::status::EnvironmentStatus;
use crate::api::go_duration::GoDuration;
use crate::api::meta::{LabelSelector, Time};
use crate::api::rules;

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
    printcolumn(name = "Drifted", type_ = "integer", json_path = ".status.driftedTotal"),
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
    validation = Rule::new("!has(self.maxOccupancy) || !has(self.observation) || [self.observation, self.maxOccupancy.after].exists(d, !d.matches('^([0-9]{1,4}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?$') || size(d) == 0) || duration(self.observation) < duration(self.maxOccupancy.after)")
        .message("maxOccupancy.after must be longer than observation: no Release could succeed within it")
        .field_path(".maxOccupancy"),
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
    /// How long one Release may occupy a target namespace, from its entry to its end. Absent: 24h and what
    /// deploying, verification and observation may take, and then people decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<MaxOccupancy>,
    /// What a backout may do here besides putting back what was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout: Option<BackoutRules>,
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

/// How long one Release may occupy a target namespace, and what becomes of it when nobody decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MaxOccupancy {
    /// From the entry to the end; then it waits for a Decision. Longer than `observation`.
    #[serde(default = "a_day")]
    pub after: GoDuration,
    /// What is done when nobody has decided for as long again: BackOut or Abandon. Absent: it waits for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
}

fn a_day() -> GoDuration {
    GoDuration::from_secs(24 * 3600)
}

/// What an Environment's owner has decided beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Then {
    /// What ran before is restored.
    BackOut,
    /// It Failed: everything stays as it is, and the target is Unsettled.
    Abandon,
}

/// What a backout may do besides putting back what was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackoutRules {
    /// Whether pods are deleted, as the deployer, that a StatefulSet's controller waits for and never replaces: not
    /// ready, and of the revision that was taken back. The deployer needs the right to delete pods.
    #[serde(default)]
    pub delete_stuck_pods: Permission,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Permission {
    Allow,
    #[default]
    Deny,
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

/// How many of the Environments must have been passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Require {
    #[default]
    All,
    Any,
}

/// Where a Release must have Succeeded before.
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

/// The controls that are built in.
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
    /// Its name in manifests and on checks.
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

/// How strictly a control is enforced.
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

/// Whether a ServiceAccount counts as somebody who approves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceAccounts {
    Allow,
    #[default]
    Deny,
}

/// How many people approve, in which role, and for how long that counts.
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

/// A condition in CEL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// CEL over `release` and `environment`; must be a boolean. Means what Kubernetes makes of it, or is refused.
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

/// Whether a window lets Releases in or keeps them out.
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
    /// Five fields of cron (minute, hour, day of month, month, day of week), read as those of a CronJob, or `@daily` and the like. Days
    /// of week are 0 or SUN to 6 or SAT; where both fields for days are restricted, a day that matches either counts. Beyond CronJob
    /// there are `L` (the last day of a month), `TUE#1` (its first Tuesday) and `FRIL` (its last Friday).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^(@[^ ]+|@every .*|(CRON_)?TZ=.*|\\s*\\S+(\\s+\\S+){4}\\s*)$')")
            .message("must be five fields of cron: minute, hour, day of month, month and day of week, like 0 18 * * TUE, or one of @hourly, @daily, @weekly, @monthly and @yearly"),
        validation = Rule::new("!self.contains('TZ=')").message("must not name a time zone: the window's timeZone does"),
        validation = Rule::new("!self.startsWith('@every')")
            .message("must say when it begins by the clock, like 0 */2 * * * for every second hour: @every depends on when a process started")
    )]
    pub schedule: Option<String>,
    /// How long it stays open each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<GoDuration>,
    /// IANA name, such as Europe/London. `status.window.timeZoneDatabase` says by which database it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

/// What rules outside of every window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultWindow {
    Open,
    Closed,
}

impl EnvironmentSpec {
    /// The target namespace for Releases of `namespace`.
    #[must_use]
    pub fn target_namespace(&self, namespace: &str) -> String {
        self.namespace.replace("{namespace}", namespace)
    }

    /// The namespace whose Releases would be led to `target`, where `namespace` has a placeholder and it fits.
    #[must_use]
    pub fn release_namespace_of<'a>(&self, target: &'a str) -> Option<&'a str> {
        let (before, after) = self.namespace.split_once("{namespace}")?;
        let namespace = target.strip_prefix(before)?.strip_suffix(after)?;
        (!namespace.is_empty()).then_some(namespace)
    }

    /// The Jobs that judge here: what they are called in a message, and the CronJob that is their template.
    pub fn judges(&self) -> impl Iterator<Item = (String, &str)> {
        let gates = self.gates.iter().map(|g| ("gate", &g.name, &g.job));
        let verification = self
            .verification
            .iter()
            .map(|v| ("verification", &v.name, &v.job));
        gates
            .chain(verification)
            .filter_map(|(what, name, job)| Some((format!("{what} {name}"), job.as_ref()?.template.as_str())))
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
