//! Spec of an Environment: its target namespaces, and the conditions for entering it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::environment::status::EnvironmentStatus;
use crate::api::go_duration::GoDuration;
use crate::api::meta::{LabelSelector, Time};
use crate::api::rules;

/// A target of releases, and the conditions for entering it. Cluster-scoped: its policy belongs to its owner, not to the teams
/// that release.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "signalbox.dev",
    version = "v1alpha1",
    kind = "Environment",
    status = "EnvironmentStatus",
    derive = "PartialEq",
    shortname = "env",
    category = "signalbox",
    doc = "A stage to which Releases are promoted: its target namespaces, and the conditions that a Release must meet before it enters.",
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
        .message("releaseNamespaces is required if namespace is a literal: select the namespaces whose Releases may enter ({} selects all)"),
    validation = Rule::new("!has(self.maxOccupancy) || !has(self.observation) || [self.observation, self.maxOccupancy.after].exists(d, !d.matches('^([0-9]{1,4}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?$') || size(d) == 0) || duration(self.observation) < duration(self.maxOccupancy.after)")
        .message("maxOccupancy.after must be longer than observation: otherwise no Release could succeed in time")
        .field_path(".maxOccupancy"),
    validation = Rule::new("self.__namespace__.matches('^[a-z0-9-]*([{]namespace[}])?[a-z0-9-]*$') && !self.__namespace__.startsWith('-') && !self.__namespace__.endsWith('-')")
        .message("namespace must be a DNS label, or one {namespace} with letters, digits and dashes around it")
        .field_path(".namespace")
)]
pub struct EnvironmentSpec {
    /// The stage of delivery: Development, SIT, NFT, UAT, PreProduction or Production. It sets the default enforcement of the
    /// controls, and the default of `defaultWindow`.
    pub stage: Stage,
    /// The owner. Messages name it as the contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The target namespace: a name, or a name in which `{namespace}` stands for the Release's namespace, such as `{namespace}-sit`.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The kinds that a Release can change here. Default: Deployments, StatefulSets, DaemonSets, CronJobs and ConfigMaps.
    #[serde(default = "default_kinds")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_kinds: Vec<AllowedKind>,
    /// Selects the namespaces whose Releases may enter, by their labels; `{}` selects all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub release_namespaces: Option<LabelSelector>,
    /// The Environments in which a Release must have Succeeded first. Absent: a Release can start here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotes_from: Option<PromotesFrom>,
    /// How strictly each built-in control is enforced. A control that is not listed has the default of the stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub controls: Vec<Control>,
    /// Further conditions that a Release must meet before it enters: approvals, soaks, expressions and Jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub gates: Vec<Gate>,
    /// Jobs and expressions that must succeed after the workloads are ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub verification: Vec<Verification>,
    /// How long all components must stay healthy before the promotion is Succeeded. Absent: no observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<GoDuration>,
    /// How long one Release may occupy a target namespace, from its entry to its end. Absent: 24h plus the time allowed for
    /// deploying, verification and observation; then a Decision is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<MaxOccupancy>,
    /// What a backout may do here in addition to restoring the changed fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backout: Option<BackoutRules>,
    /// When Releases may enter, and when they may not. Windows that are open at the same time: Deny takes precedence over Allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub windows: Vec<Window>,
    /// Whether Releases may enter if no Allow window is listed. Default: Closed for stage Production, Open for other stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_window: Option<DefaultWindow>,
}

/// How long one Release may occupy a target namespace, and what happens if there is no Decision after that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MaxOccupancy {
    /// The time from entry to the end. After it, the promotion waits for a Decision. It must be longer than `observation`.
    #[serde(default = "a_day")]
    pub after: GoDuration,
    /// The action if there is no Decision within the same time again: BackOut or Abandon. Absent: it keeps waiting for a Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
}

fn a_day() -> GoDuration {
    GoDuration::from_secs(24 * 3600)
}

/// The action if there is no Decision in time: BackOut restores the pre-state; Abandon leaves everything as it is, Failed and
/// Unsettled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Then {
    /// The pre-state is restored.
    BackOut,
    /// The promotion is Failed. Everything stays as it is, and the target namespace is Unsettled.
    Abandon,
}

/// What a backout may do in addition to restoring the changed fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackoutRules {
    /// Whether a backout may delete pods that a StatefulSet's controller waits for and never replaces: pods that are not ready,
    /// of the revision that is backed out. The deployer needs the right to delete pods.
    #[serde(default)]
    pub delete_stuck_pods: Permission,
}

/// Allow or Deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Permission {
    Allow,
    #[default]
    Deny,
}

/// The schema of the library sets no limits. These are far above any practical use.
fn label_selector(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = LabelSelector::json_schema(generator);
    schema.insert(
        "description".into(),
        "Selects the namespaces whose Releases may enter, by the labels of the namespaces; {} selects all namespaces.".into(),
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

/// The stage of delivery, from Development to Production.
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

/// The owner of an Environment. Messages name it as the contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub team: Option<String>,
    /// How to reach the team, for instance a chat channel or an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub contact: Option<String>,
}

/// A kind that a Release can change in an environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!(self.kind in ['Secret', 'ServiceAccount', 'Namespace', 'CustomResourceDefinition', 'APIService', 'Node']) && !self.apiVersion.startsWith('rbac.authorization.k8s.io/') && !self.apiVersion.startsWith('admissionregistration.k8s.io/') && !self.apiVersion.startsWith('signalbox.dev/')")
    .message("Secrets, ServiceAccounts, Namespaces, Nodes, CRDs, APIServices, RBAC, admission configuration and signalbox.dev kinds are never targets"))]
pub struct AllowedKind {
    /// API group and version, for instance apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// The kind, for instance Deployment.
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

/// How many of the Environments are required: All or Any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Require {
    #[default]
    All,
    Any,
}

/// The Environments in which a Release must have Succeeded first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotesFrom {
    /// Names of Environments in which the same Release must have Succeeded first.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// Whether the Release must have Succeeded in All of them or in Any one.
    #[serde(default)]
    pub require: Require,
}

/// The name of a built-in control.
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

/// How strictly a control is enforced: Required, Advisory or Off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforcement {
    /// Blocks the release until it is satisfied.
    Required,
    /// Reported in status, but never blocks.
    Advisory,
    Off,
}

/// How strictly one built-in control is enforced in an environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.name != 'TargetsAllowed' || self.enforcement == 'Required'")
    .message("TargetsAllowed is always Required"))]
pub struct Control {
    /// Name of the built-in control.
    pub name: ControlName,
    /// Required blocks the Release until the control is satisfied. Advisory only reports. "Off" does not evaluate it (write it in
    /// quotes: YAML reads Off as false).
    pub enforcement: Enforcement,
}

/// A condition of the environment's owner for entry. It has exactly one of approval, soak, expression and job.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("[has(self.approval), has(self.soak), has(self.expression), has(self.job)].filter(x, x).size() == 1")
        .message("a gate has exactly one of approval, soak, expression and job"),
    validation = Rule::new("!(self.name in ['TargetsAllowed', 'EnvironmentAvailable', 'DigestPinned', 'SameArtifact', 'NoDowngrade', 'DeploymentPlanDocumented', 'BackoutPlanDocumented', 'WindowOpen'])")
        .message("a gate cannot have the name of a control").field_path(".name")
)]
pub struct Gate {
    /// Name of the gate in messages and Decisions.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// Users approve, each by a Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The Release has run in another environment for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
    /// A condition in CEL on the Release and the Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
    /// A Job in the target namespace succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobTemplate>,
}

/// Whether approvals by ServiceAccounts count: Allow or Deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceAccounts {
    Allow,
    #[default]
    Deny,
}

/// How many users must approve, in which role, and for how long an approval counts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The role of the approvers: they need the verb `approve` on `environments/ROLE` of this Environment in RBAC.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub role: String,
    /// How many different users must approve.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub minimum: i64,
    /// How long an approval counts, from the creation of its Decision. Absent: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<GoDuration>,
    /// Whether a ServiceAccount's approval counts.
    #[serde(default)]
    pub service_accounts: ServiceAccounts,
}

fn one() -> i64 {
    1
}

/// The Release has run in another environment for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Soak {
    /// Name of the other Environment.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// How long the Release must have run there, from the time it Succeeded.
    pub duration: GoDuration,
}

/// A condition in CEL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// CEL over the variables `release` and `environment`. The result must be a boolean. It is evaluated as in Kubernetes; an
    /// expression that Signalbox would evaluate differently is refused.
    #[schemars(length(min = 1, max = 1024))]
    pub pass_when: String,
}

/// A Job, created from a suspended CronJob in the target namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobTemplate {
    /// Name of the CronJob that is the template.
    #[schemars(length(min = 1, max = 52))]
    #[x_kube(validation = rules::object_name())]
    pub template: String,
    /// How long the Job may take until it succeeds.
    #[serde(default = "quarter_of_an_hour")]
    pub timeout: GoDuration,
}

fn quarter_of_an_hour() -> GoDuration {
    GoDuration::from_secs(900)
}

/// A check that runs after the workloads are ready. It has exactly one of job and expression.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.job) != has(self.expression)").message("a verification has exactly one of job and expression"))]
pub struct Verification {
    /// Name of the verification in messages.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// A Job in the target namespace succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobTemplate>,
    /// A condition in CEL on the Release and the Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
}

/// Whether Releases may (Allow) or may not (Deny) enter within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    Allow,
    Deny,
}

/// When Releases may, or may not, enter: recurring (schedule, duration, timeZone) or once (from, to).
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("(has(self.schedule) && has(self.duration) && has(self.timeZone) && !has(self.from) && !has(self.to)) || (!has(self.schedule) && !has(self.duration) && !has(self.timeZone) && has(self.from) && has(self.to))")
        .message("a window has either schedule, duration and timeZone, or from and to"),
    validation = Rule::new("!has(self.from) || !has(self.to) || self.from < self.to").message("a window's from must be before its to")
)]
pub struct Window {
    /// Name of the window in messages.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// Allow: Releases may enter within the window. Deny: they may not, whatever other windows allow.
    pub kind: WindowKind,
    /// When the window opens: five cron fields (minute, hour, day of month, month, day of week) with the meaning they have in a CronJob,
    /// or a macro such as `@daily`. Days of week are 0 or SUN to 6 or SAT. If both fields for days are restricted, a day that matches
    /// either of them counts. In addition to CronJob: `L` (the last day of a month), `TUE#1` (its first Tuesday) and `FRIL` (its last
    /// Friday).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^(@[^ ]+|@every .*|(CRON_)?TZ=.*|\\s*\\S+(\\s+\\S+){4}\\s*)$')")
            .message("must be five fields of cron: minute, hour, day of month, month and day of week, like 0 18 * * TUE, or one of @hourly, @daily, @weekly, @monthly and @yearly"),
        validation = Rule::new("!self.contains('TZ=')").message("must not contain a time zone: use the window's timeZone"),
        validation = Rule::new("!self.startsWith('@every')")
            .message("must be a clock time, like 0 */2 * * * for every second hour: @every depends on when a process started")
    )]
    pub schedule: Option<String>,
    /// How long the window stays open each time. Needs `schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<GoDuration>,
    /// Time zone of `schedule`: an IANA name, such as Europe/London. `status.window.timeZoneDatabase` is the version of the time zone
    /// database in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// When a window that does not recur opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// When a window that does not recur closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

/// Whether Releases may enter if no Allow window is listed: Open or Closed.
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

    /// The namespace whose Releases would enter `target`, if `namespace` has a placeholder and matches.
    #[must_use]
    pub fn release_namespace_of<'a>(&self, target: &'a str) -> Option<&'a str> {
        let (before, after) = self.namespace.split_once("{namespace}")?;
        let namespace = target.strip_prefix(before)?.strip_suffix(after)?;
        (!namespace.is_empty()).then_some(namespace)
    }

    /// The Jobs of gates and verifications: their name in messages, and the CronJob that is their template.
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

    /// Whether Releases may enter if no Allow window is listed.
    #[must_use]
    pub fn default_window(&self) -> DefaultWindow {
        self.default_window.unwrap_or(if self.stage == Stage::Production {
            DefaultWindow::Closed
        } else {
            DefaultWindow::Open
        })
    }

    /// How strictly `control` is enforced here: as listed, otherwise the default of the stage.
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
