//! Controls and gates, one file each, all with one signature: from a [`Subject`] to a [`Verdict`].
//!
//! To add one, write its file and list it in [`CONTROLS`] or [`GATES`]. The order of the lists, and of the tiers of gates, is the order
//! in which they are judged and shown.

mod approval;
mod backout_plan_documented;
mod deployment_plan_documented;
mod digest_pinned;
mod environment_available;
mod expression;
mod job;
mod no_downgrade;
pub(crate) mod rule;
mod same_artifact;
mod soak;
pub mod subject;
pub mod targets_allowed;
#[cfg(test)]
mod tests;
mod window_open;

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::{ControlName, Enforcement, Gate};
use crate::api::release::{Check, CheckState, JobRun, Promotion};
use crate::api::{Decision, reasons, time};
use crate::decide::ask::Ask;
use crate::decide::facts::Observed;
use crate::decide::rules::rule::{Control, GateType, Judge, Tier};
use crate::decide::rules::subject::{Subject, Verdict, persisted};
use crate::decide::step::Effect;

pub(crate) use approval::doubt as approval_doubt;
pub(crate) use expression::ask as expression_ask;
pub(crate) use job::{ask as job_ask, verdict as job_verdict};
pub(crate) use same_artifact::{images_text, same as same_images};
pub(crate) use window_open::needed as window_needed;

/// Every control, in the order in which they are shown.
const CONTROLS: [Control; 8] = [
    // First, what is not possible at all,
    targets_allowed::RULE,
    environment_available::RULE,
    // then the artifacts,
    digest_pinned::RULE,
    same_artifact::RULE,
    no_downgrade::RULE,
    // then the documented plans,
    deployment_plan_documented::RULE,
    backout_plan_documented::RULE,
    // and last, time.
    window_open::RULE,
];

/// Every type of gate. The API server ensures that a gate has exactly one.
const GATES: [GateType; 4] = [soak::RULE, expression::RULE, approval::RULE, job::RULE];

/// The names of all controls.
pub fn controls() -> impl Iterator<Item = ControlName> {
    CONTROLS.iter().map(|control| control.name)
}

/// The type of a gate; `None` for a type that only a newer version of the CRDs has.
fn type_of(gate: &Gate) -> Option<&'static GateType> {
    const ALL: &[GateType] = &GATES;
    ALL.iter().find(|known| (known.is)(gate))
}

/// What a gate has to know.
#[must_use]
pub fn asks(gate: &Gate) -> Option<Ask> {
    (type_of(gate)?.asks)(gate)
}

/// Whether `other` blocks whatever `gate` blocks, as far as their settings show.
pub(crate) fn asks_as_much(other: &Gate, gate: &Gate) -> bool {
    GATES.iter().any(|known| (known.asks_as_much)(other, gate))
}

/// The earliest entry that each gate can foresee, with its name.
pub(crate) fn foreseen<'a>(s: &'a Subject<'a>) -> impl Iterator<Item = (Option<Timestamp>, &'a str)> {
    let gates = s.setting.environment.spec.gates.iter();
    gates.filter_map(|gate| {
        let known = type_of(gate).filter(|known| known.foreseen)?;
        // The verdict of the gate itself, so that both change at the same instant.
        let verdict = (known.judge)(&Subject {
            gate: Some(gate),
            prior: s.promotion.checks.iter().find(|c| c.name == gate.name),
            ..*s
        });
        Some((verdict.until, gate.name.as_str()))
    })
}

fn of_no_known_type(_: &Subject<'_>) -> Verdict {
    Verdict::unknown(
        reasons::NOT_READ_YET,
        "This version of Signalbox does not support this type of gate. Upgrade Signalbox.",
    )
}

/// All checks of one entry.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// The checks as they are recorded in status: controls first, then gates, those of probes last.
    pub checks: Vec<Check>,
    /// What must be done for checks to proceed, such as starting a Job.
    pub actions: Vec<Effect>,
    /// Decisions that take effect, the oldest of each check first.
    pub obeyed: Vec<Arc<Decision>>,
    /// What must be recorded of Jobs.
    pub runs: Vec<JobRun>,
}

impl Verdicts {
    /// Every Required check is Satisfied.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.checks
            .iter()
            .all(|c| c.advisory || c.state == CheckState::Satisfied)
    }

    /// The earliest instant at which time alone changes a verdict.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.checks
            .iter()
            .filter_map(|c| c.until.as_ref())
            .map(|t| t.0)
            .min()
    }

    fn add(&mut self, subject: &Subject<'_>, name: &str, gate: Option<&Gate>, advisory: bool, judge: Judge) {
        let prior = subject.promotion.checks.iter().find(|c| c.name == name);
        // Jobs do not wait for each other.
        let probes = |c: &Check| reasons::is_of_job(&c.reason);
        let probing = self
            .checks
            .iter()
            .all(|c| c.advisory || c.state == CheckState::Satisfied || probes(c));
        let verdict = judge(&Subject {
            gate,
            prior,
            probing,
            ..*subject
        });
        self.actions.extend(verdict.action);
        self.obeyed.extend(verdict.obeys);
        self.runs.extend(verdict.run);
        let (state, until) = (verdict.state, verdict.until);
        let (reason, message) = (verdict.reason, verdict.message);
        let check = persisted(name, prior, advisory, state, reason, message, until, subject.now);
        self.checks.push(Check {
            anew_since: verdict.anew_since.map(time),
            ..check
        });
    }
}

/// Evaluates every control and gate.
#[must_use]
pub fn evaluate(subject: &Subject<'_>) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let spec = &subject.setting.environment.spec;
    for Control { name, judge } in CONTROLS {
        let enforcement = spec.enforcement(name);
        if enforcement != Enforcement::Off {
            let advisory = enforcement == Enforcement::Advisory;
            verdicts.add(subject, name.as_str(), None, advisory, judge);
        }
    }
    let typed = spec.gates.iter().map(|gate| (gate, type_of(gate)));
    let mut gates: Vec<(&Gate, Option<&GateType>)> = typed.collect();
    gates.sort_by_key(|(_, known)| known.map_or(Tier::Probe, |known| known.tier));
    for (gate, known) in gates {
        let judge = known.map_or(of_no_known_type as Judge, |known| known.judge);
        verdicts.add(subject, &gate.name, Some(gate), false, judge);
    }
    verdicts
}

/// The checks of a promotion that a newer version overtook: as they were, with the verdict of NoDowngrade.
#[must_use]
pub(crate) fn superseded(o: &Observed, p: &Promotion, now: Timestamp) -> Vec<Check> {
    let name = ControlName::NoDowngrade.as_str();
    let Verdict {
        state,
        reason,
        message,
        ..
    } = no_downgrade::judge(o, &p.name);
    let prior = p.checks.iter().find(|c| c.name == name);
    let verdict = persisted(name, prior, false, state, reason, message, None, now);
    let mut checks: Vec<Check> = p.checks.iter().filter(|c| c.name != name).cloned().collect();
    checks.push(verdict);
    checks
}
