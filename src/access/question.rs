//! The question, and the Environments that it is about.

use std::collections::BTreeMap;

use crate::access::facts::Facts;
use crate::api::environment::ServiceAccounts;
use crate::api::{Environment, EnvironmentSpec};
use crate::domain::selector;

/// The question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Only what concerns this Environment.
    pub environment: Option<String>,
    /// Only Releases of this namespace; otherwise of every one in which a right to do with Releases is bound.
    pub namespace: Option<String>,
    /// Where the operator stores claims and pre-states.
    pub operator_namespace: String,
    /// The ServiceAccount as which it writes in target namespaces.
    pub deployer: String,
}

/// An Environment that is asked about.
pub(crate) struct Goal<'a> {
    pub(crate) name: String,
    /// Absent where Environments may not be read.
    pub(crate) spec: Option<&'a EnvironmentSpec>,
    /// The roles that its gates require, and for each whether approvals of ServiceAccounts count.
    pub(crate) roles: BTreeMap<&'a str, bool>,
}

impl<'a> Goal<'a> {
    fn of(environment: &'a Environment) -> Self {
        let spec = &environment.spec;
        let mut roles = BTreeMap::new();
        for approval in spec.gates.iter().filter_map(|gate| gate.approval.as_ref()) {
            *roles.entry(approval.role.as_str()).or_default() |=
                approval.service_accounts == ServiceAccounts::Allow;
        }
        Self {
            name: environment.metadata.name.clone().unwrap_or_default(),
            spec: Some(spec),
            roles,
        }
    }

    /// Whether Releases of this namespace may request it, as far as its labels are known.
    pub(crate) fn takes(&self, namespace: &str, facts: &Facts) -> bool {
        let selector = self.spec.and_then(|spec| spec.release_namespaces.as_ref());
        match (selector, facts.namespaces.get(namespace)) {
            (Some(selector), Some(labels)) => selector::selects(selector, labels),
            _ => true,
        }
    }
}

/// The Environments that `question` is about, in the order of their stages.
pub(crate) fn goals<'a>(facts: &'a Facts, question: &Question) -> Vec<Goal<'a>> {
    let wanted = |goal: &Goal<'_>| {
        question
            .environment
            .as_ref()
            .is_none_or(|name| *name == goal.name)
    };
    let mut goals: Vec<Goal<'_>> = facts.environments.iter().map(Goal::of).filter(wanted).collect();
    goals.sort_by_key(|goal| (goal.spec.map(|spec| spec.stage), goal.name.clone()));
    if let (true, Some(name)) = (goals.is_empty(), &question.environment) {
        // Rights that are bound by its name can be reported even so.
        goals.push(Goal {
            name: name.clone(),
            spec: None,
            roles: BTreeMap::new(),
        });
    }
    goals
}
