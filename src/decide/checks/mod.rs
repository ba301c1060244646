//! Controls and gates, one file each, all of one signature: a [`Subject`] goes in, a [`Verdict`] comes out.
//!
//! To add one: write its file, list it in [`CONTROLS`] or [`gate`]. Time and policy are evaluated before people are
//! asked, and probes run only once those hold; the order of the lists is the order in which they are shown.

mod approval;
mod backout_plan_documented;
mod deployment_plan_documented;
mod digest_pinned;
mod environment_available;
mod expression;
mod job;
mod no_downgrade;
mod same_artifact;
mod soak;
mod targets_allowed;
#[cfg(test)]
mod tests;
mod window_open;

pub(crate) use approval::doubt as approval_doubt;
pub(crate) use job::verdict as job_verdict;
pub(crate) use same_artifact::images_text;
pub(crate) use window_open::needed as window_needed;

use jiff::Timestamp;

use super::facts::{Observed, Place, Setting};
use super::{Action, cut};
use crate::api::environment::{ControlName, Enforcement, Gate};
use crate::api::release::{Check, CheckState, Promotion};
use crate::api::{reasons, time};
use crate::mutation::{self, Mutation};

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
}

/// The one signature.
pub type CheckFn = fn(&Subject<'_>) -> Verdict;

/// Every control, in the order in which they are shown.
const CONTROLS: [(ControlName, CheckFn); 8] = [
    // What cannot be done at all comes first,
    (ControlName::TargetsAllowed, targets_allowed::check),
    (ControlName::EnvironmentAvailable, environment_available::check),
    // then what goes out,
    (ControlName::DigestPinned, digest_pinned::check),
    (ControlName::SameArtifact, same_artifact::check),
    (ControlName::NoDowngrade, no_downgrade::check),
    // then what people have written down,
    (
        ControlName::DeploymentPlanDocumented,
        deployment_plan_documented::check,
    ),
    (ControlName::BackoutPlanDocumented, backout_plan_documented::check),
    // and last the clock.
    (ControlName::WindowOpen, window_open::check),
];

/// The check of a gate's type. The API server has seen to it that there is exactly one.
fn gate(gate: &Gate) -> CheckFn {
    if gate.soak.is_some() {
        soak::check
    } else if gate.expression.is_some() {
        expression::check
    } else if gate.approval.is_some() {
        approval::check
    } else {
        job::check
    }
}

/// Time and policy, then people, then probes.
fn tier(gate: &Gate) -> u8 {
    if gate.approval.is_some() {
        1
    } else if gate.job.is_some() {
        2
    } else {
        0
    }
}

/// All checks of one entry.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub checks: Vec<Check>,
    pub actions: Vec<Action>,
}

impl Verdicts {
    /// Every Required check is Satisfied.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.checks
            .iter()
            .all(|c| c.advisory || c.state == CheckState::Satisfied || unknown_is_go(c))
    }

    /// The earliest instant at which time alone changes one.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.checks
            .iter()
            .filter_map(|c| c.until.as_ref())
            .map(|t| t.0)
            .min()
    }

    /// What holds the release, in words.
    #[must_use]
    pub fn blockers(&self) -> String {
        let blockers: Vec<String> = self
            .checks
            .iter()
            .filter(|c| !c.advisory && c.state != CheckState::Satisfied)
            .map(|c| format!("{}: {}", c.name, c.message))
            .collect();
        cut(blockers.join("; "))
    }
}

fn unknown_is_go(check: &Check) -> bool {
    check.state == CheckState::Unknown && mutation::is(Mutation::UnknownIsGo)
}

/// Evaluates every control and gate.
#[must_use]
pub fn evaluate(subject: &Subject<'_>) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let spec = &subject.setting.environment.spec;
    for (name, check) in CONTROLS {
        let enforcement = spec.enforcement(name);
        if enforcement != Enforcement::Off {
            let advisory = enforcement == Enforcement::Advisory;
            verdicts.add(subject, name.as_str(), None, advisory, check);
        }
    }
    let mut gates: Vec<&Gate> = spec.gates.iter().collect();
    gates.sort_by_key(|g| tier(g));
    for listed in gates {
        verdicts.add(subject, &listed.name, Some(listed), false, gate(listed));
    }
    verdicts
}

impl Verdicts {
    fn add(
        &mut self,
        subject: &Subject<'_>,
        name: &str,
        gate: Option<&Gate>,
        advisory: bool,
        check: CheckFn,
    ) {
        let prior = subject.promotion.checks.iter().find(|c| c.name == name);
        // Jobs do not wait for each other.
        let probes = |c: &Check| c.reason.starts_with("Job");
        let probing = self
            .checks
            .iter()
            .all(|c| c.advisory || c.state == CheckState::Satisfied || probes(c));
        let verdict = check(&Subject {
            gate,
            prior,
            probing,
            ..*subject
        });
        self.actions.extend(verdict.action);
        self.checks.push(persisted(
            name,
            prior,
            advisory,
            verdict.state,
            verdict.reason,
            verdict.message,
            verdict.until,
            subject.now,
        ));
    }
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
        }
    }

    pub(crate) fn until(mut self, until: Option<Timestamp>) -> Self {
        // Statuses keep whole seconds: an edge within a second counts as the next whole one.
        self.until = until.map(super::promotion::whole_second_after);
        self
    }

    pub(crate) fn doing(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }
}

impl Subject<'_> {
    pub(crate) fn environment_name(&self) -> &str {
        &self.promotion.name
    }

    /// Whom to ask, for messages.
    pub(crate) fn owner(&self) -> String {
        let owner = self.setting.environment.spec.owner.as_ref();
        match owner.map(|o| (o.team.as_deref(), o.contact.as_deref())) {
            Some((Some(team), Some(contact))) => format!("{team} ({contact})"),
            Some((Some(one), None) | (None, Some(one))) => one.to_owned(),
            _ => "the environment's owner".to_owned(),
        }
    }

    pub(crate) fn target_namespace(&self) -> String {
        self.setting
            .environment
            .spec
            .target_namespace(self.observed.namespace())
    }
}
