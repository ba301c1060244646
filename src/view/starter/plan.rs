//! For whom the first manifests are, and what runs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::environment;
use crate::domain::text::printable;
use crate::domain::version::{NotAVersion, Version};

/// Environments that a Release lists at most.
const MOST_STAGES: usize = 8;

/// For whom the manifests are, and what runs.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The namespace of the Releases.
    pub home: String,
    /// The product.
    pub product: String,
    /// The version of the first Release.
    pub version: String,
    /// The user who requests it.
    pub requester: String,
    /// The users who approve and decide; there may be none yet.
    pub approvers: Vec<String>,
    /// Groups of such users.
    pub approver_groups: Vec<String>,
    /// The user who writes the reviews: neither the requester nor an approver.
    pub reviewer: Option<String>,
    /// The stages in order, from the first to the last.
    pub stages: Vec<Stage>,
}

/// One stage, and what runs there.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Name of the Environment.
    pub environment: String,
    /// Its target namespace.
    pub namespace: String,
    /// The live Deployments, StatefulSets, DaemonSets, CronJobs and ConfigMaps of the namespace.
    pub objects: Vec<Value>,
    /// Its live pods.
    pub pods: Vec<Value>,
}

/// Why no manifests can be written: a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Unstartable {
    #[error("Name between 1 and {MOST_STAGES} stages, each with its namespace.")]
    Stages,
    #[error(
        "{what} {value:?} must be a DNS label: at most 63 small letters, digits and dashes, with a letter or digit at both ends."
    )]
    NotALabel { what: &'static str, value: String },
    #[error("Environment {0:?} is named twice. Name each stage once.")]
    Twice(String),
    #[error(
        "Product {0:?} must have at most 63 letters, digits, dashes, dots and underscores, with a letter or digit at both ends."
    )]
    Product(String),
    #[error(
        "User name {0:?} must have between 1 and 253 characters, and none that moves a cursor or turns the text."
    )]
    User(String),
    #[error("The Release is not valid: {0}.")]
    Version(#[from] NotAVersion),
    #[error(
        "No Deployment, StatefulSet, DaemonSet, CronJob or ConfigMap can become a component of a Release ({}). Name namespaces in which the product runs.",
        if left_out.is_empty() { "the namespaces have none".to_owned() } else { left_out.join("; ") }
    )]
    Nothing { left_out: Vec<String> },
    #[error("The manifests cannot be written as YAML: {0}.")]
    Yaml(#[from] serde_yaml_ng::Error),
}

/// Whether every name is valid.
///
/// # Errors
/// The first that is not.
pub(crate) fn valid(plan: &Plan) -> Result<(), Unstartable> {
    if !(1..=MOST_STAGES).contains(&plan.stages.len()) {
        return Err(Unstartable::Stages);
    }
    label("Namespace", &plan.home)?;
    let mut names = BTreeSet::new();
    for stage in &plan.stages {
        label("Environment", &stage.environment)?;
        label("Namespace", &stage.namespace)?;
        if !names.insert(&stage.environment) {
            return Err(Unstartable::Twice(stage.environment.clone()));
        }
    }
    let sign = |c: char| matches!(c, '-' | '.' | '_');
    let ends = !plan.product.starts_with(sign) && !plan.product.ends_with(sign);
    let plain = plan.product.chars().all(|c| c.is_ascii_alphanumeric() || sign(c));
    if !(1..=63).contains(&plan.product.len()) || !ends || !plain {
        return Err(Unstartable::Product(plan.product.clone()));
    }
    let approvers = plan.approvers.iter().chain(&plan.approver_groups);
    for user in approvers.chain([&plan.requester]) {
        if !(1..=253).contains(&user.chars().count()) || printable(user) != *user {
            return Err(Unstartable::User(user.clone()));
        }
    }
    plan.version.parse::<Version>()?;
    Ok(())
}

fn label(what: &'static str, value: &str) -> Result<(), Unstartable> {
    if is_label(value) {
        Ok(())
    } else {
        Err(Unstartable::NotALabel {
            what,
            value: value.to_owned(),
        })
    }
}

impl Stage {
    /// The stage of delivery that its name suggests. `last`: it has no later stage.
    fn kind(&self, last: bool) -> environment::Stage {
        use environment::Stage as S;
        let known = [
            (S::PreProduction, ["preprod", "pre-prod", "staging"]),
            (S::Production, ["prod", "live", "prd"]),
            (S::Uat, ["uat", "accept", "qa"]),
            (S::Nft, ["nft", "perf", "load"]),
            (S::Sit, ["sit", "test", "integration"]),
            (S::Development, ["dev", "sandbox", "local"]),
        ];
        let named = known
            .iter()
            .find(|(_, words)| words.iter().any(|word| self.environment.contains(word)));
        named.map_or(if last { S::Production } else { S::Sit }, |(stage, _)| *stage)
    }
}

impl Plan {
    /// Each stage with its stage of delivery.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&Stage, environment::Stage)> {
        let last = self.stages.len().saturating_sub(1);
        let stages = self.stages.iter().enumerate();
        stages.map(move |(index, stage)| (stage, stage.kind(index == last)))
    }
}

fn is_label(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
