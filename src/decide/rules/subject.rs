//! What a control or gate judges, and its verdict.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::Gate;
use crate::api::release::{Check, CheckState, JobRun, Promotion};
use crate::api::{Decision, Environment, reasons, time};
use crate::decide::facts::{Observed, Place, Setting};
use crate::decide::step::Effect;
use crate::domain::text::{clause, cut};
use crate::domain::time::whole_second_after;

/// What a check judges.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// All facts about the Release.
    pub observed: &'a Observed,
    /// The Environment that the promotion is for.
    pub setting: &'a Setting,
    /// As persisted; its attempt and planHash are current.
    pub promotion: &'a Promotion,
    /// The facts about the target namespace.
    pub place: &'a Place,
    /// The instant for which the check is evaluated.
    pub now: Timestamp,
    /// The gate's settings. Absent for controls.
    pub gate: Option<&'a Gate>,
    /// This check as persisted, if it was evaluated for the current plan.
    pub prior: Option<&'a Check>,
    /// All checks but probes are satisfied.
    pub probing: bool,
}

/// The verdict of a check.
#[derive(Debug)]
pub struct Verdict {
    /// Whether the check is satisfied.
    pub state: CheckState,
    /// A reason from [`reasons`].
    pub reason: &'static str,
    /// A complete message: a capital letter (or a name, or code) first, a full stop last.
    pub message: String,
    /// When time alone changes it. Absent if it does not.
    pub until: Option<Timestamp>,
    /// What must be done for the check to proceed. Absent if nothing.
    pub action: Option<Effect>,
    /// Decisions behind the verdict: a Reject that counts, an Accept that admits the release.
    pub obeys: Vec<Arc<Decision>>,
    /// Since when an interrupted soak counts again. Absent for other checks.
    pub anew_since: Option<Timestamp>,
    /// What must be recorded of its Job. Absent if nothing.
    pub run: Option<JobRun>,
}

/// A check as it is recorded; `since` stays while state and reason stay.
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
        // Statuses have whole seconds: an instant within a second counts as the next whole one.
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

    pub(crate) fn doing(mut self, action: Effect) -> Self {
        self.action = Some(action);
        self
    }

    pub(crate) fn recording(mut self, run: Option<JobRun>) -> Self {
        self.run = run;
        self
    }

    /// With another complete message after its own.
    pub(crate) fn besides(mut self, said: Option<String>) -> Self {
        if let Some(said) = said {
            self.message = format!("{}. {said}", clause(&self.message));
        }
        self
    }
}

impl Subject<'_> {
    pub(crate) fn environment_name(&self) -> &str {
        &self.promotion.name
    }

    /// The contact named in messages.
    pub(crate) fn owner(&self) -> String {
        owner(&self.setting.environment)
    }

    /// The contact for another Environment.
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
