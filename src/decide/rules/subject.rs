//! What a control or gate is asked about, and what it says.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::Gate;
use crate::api::release::{Check, CheckState, JobRun, Promotion};
use crate::api::{Decision, Environment, reasons, time};
use crate::decide::facts::{Observed, Place, Setting};
use crate::decide::step::Action;
use crate::domain::text::{clause, cut};
use crate::domain::time::whole_second_after;

/// What a check is asked about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub observed: &'a Observed,
    pub setting: &'a Setting,
    /// As persisted; its attempt and planHash are current.
    pub promotion: &'a Promotion,
    pub place: &'a Place,
    pub now: Timestamp,
    /// The gate's own words, for gates.
    pub gate: Option<&'a Gate>,
    /// This check as persisted, where the plan is still the one it was given for.
    pub prior: Option<&'a Check>,
    /// Everything but probes holds.
    pub probing: bool,
}

/// What a check says.
#[derive(Debug)]
pub struct Verdict {
    pub state: CheckState,
    pub reason: &'static str,
    pub message: String,
    /// When time alone changes it.
    pub until: Option<Timestamp>,
    /// What it needs done to go on.
    pub action: Option<Action>,
    /// Decisions that make it say so: a Reject that counts, an Accept that lets in.
    pub obeys: Vec<Arc<Decision>>,
    /// Since when a soak that was interrupted counts anew.
    pub anew_since: Option<Timestamp>,
    /// What there is to be written down of its Job.
    pub run: Option<JobRun>,
}

/// A check as it is written down; `since` stays while state and reason do.
#[allow(clippy::too_many_arguments)]
pub(crate) fn persisted(
    name: &str,
    prior: Option<&Check>,
    advisory: bool,
    state: CheckState,
    reason: &str,
    message: String,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Check {
    let since = prior
        .filter(|p| p.state == state && p.reason == reason)
        .map_or_else(|| time(now), |p| p.since.clone());
    Check {
        name: name.to_owned(),
        state,
        reason: reason.to_owned(),
        message: cut(message),
        since,
        until: until.map(time),
        advisory,
        anew_since: None,
    }
}

impl Verdict {
    pub(crate) fn satisfied(message: impl Into<String>) -> Self {
        Self::new(CheckState::Satisfied, reasons::SATISFIED, message)
    }

    pub(crate) fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(CheckState::Failed, reason, message)
    }

    pub(crate) fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(CheckState::Waiting, reason, message)
    }

    pub(crate) fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(CheckState::Unknown, reason, message)
    }

    pub(crate) fn new(state: CheckState, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason,
            message: message.into(),
            until: None,
            action: None,
            anew_since: None,
            obeys: Vec::new(),
            run: None,
        }
    }

    pub(crate) fn until(mut self, until: Option<Timestamp>) -> Self {
        // Statuses keep whole seconds: an edge within a second counts as the next whole one.
        self.until = until.map(whole_second_after);
        self
    }

    pub(crate) fn anew_since(mut self, anew_since: Option<Timestamp>) -> Self {
        self.anew_since = anew_since;
        self
    }

    pub(crate) fn obeying(mut self, decisions: Vec<Arc<Decision>>) -> Self {
        self.obeys = decisions;
        self
    }

    pub(crate) fn doing(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    pub(crate) fn recording(mut self, run: Option<JobRun>) -> Self {
        self.run = run;
        self
    }

    /// With something said besides.
    pub(crate) fn besides(mut self, said: Option<String>) -> Self {
        if let Some(said) = said {
            self.message = format!("{}; {said}", clause(&self.message));
        }
        self
    }
}

impl Subject<'_> {
    pub(crate) fn environment_name(&self) -> &str {
        &self.promotion.name
    }

    /// Whom to ask, for messages.
    pub(crate) fn owner(&self) -> String {
        owner(&self.setting.environment)
    }

    /// Whom to ask about another Environment.
    pub(crate) fn owner_of(&self, environment: &str) -> String {
        match self.observed.environment(environment) {
            Some(other) if environment != self.environment_name() => owner(other),
            _ => self.owner(),
        }
    }

    pub(crate) fn target_namespace(&self) -> String {
        self.setting
            .environment
            .spec
            .target_namespace(self.observed.namespace())
    }
}

pub(crate) fn owner(environment: &Environment) -> String {
    let owner = environment.spec.owner.as_ref();
    match owner.map(|o| (o.team.as_deref(), o.contact.as_deref())) {
        Some((Some(team), Some(contact))) => format!("{team} ({contact})"),
        Some((Some(one), None) | (None, Some(one))) => one.to_owned(),
        _ => "the environment's owner".to_owned(),
    }
}
