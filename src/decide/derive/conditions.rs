//! Accepted, Ready, Reconciling and Stalled. Pipelines and GitOps tools that use kstatus must not read waiting as failure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::environment::Require;
use crate::api::release::{Promotion, State};
use crate::api::{reasons, time};
use crate::decide::accepted::Accepted;
use crate::decide::facts::Observed;
use crate::decide::holdings::inherits;
use crate::decide::newer::newer_stands;
use crate::domain::text::cut;

/// Ready's reason is the state of the worst environment: the lower the severity, the worse. `None` for Succeeded.
fn severity(state: State) -> Option<u8> {
    match state {
        State::Failed => Some(0),
        State::AwaitingDecision => Some(1),
        State::BackingOut => Some(2),
        State::BackedOut => Some(3),
        State::Deploying => Some(4),
        State::Verifying => Some(5),
        State::Observing => Some(6),
        State::Queued => Some(7),
        State::Waiting => Some(8),
        State::Pending => Some(9),
        State::Withdrawn => Some(10),
        State::Superseded => Some(11),
        State::Succeeded => None,
    }
}

/// The four conditions. Ready is True once the Release is finished: it has succeeded, or other Releases have replaced it.
/// `lastTransitionTime` changes only when the condition's status does.
#[must_use]
pub fn derive(
    o: &Observed,
    promotions: &[Promotion],
    accepted: &Accepted,
    was: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let generation = o.release.metadata.generation;
    let write = |kind: &str, holds: bool, reason: &str, message: String| {
        condition(was, kind, holds, reason, message, generation, now)
    };
    let accepted_reason = accepted
        .problems
        .first()
        .map_or(reasons::ACCEPTED, |problem| problem.reason);
    let accepted_message = if accepted.holds() {
        "The Release spec is valid.".to_owned()
    } else {
        accepted.message()
    };

    let passed = passed_by(o, promotions);
    let is_passed = |p: &&Promotion| passed.contains(p.name.as_str());
    let finished = promotions
        .iter()
        .all(|p| p.state == State::Succeeded || is_passed(&p))
        && !promotions.is_empty();
    let (ready_reason, ready_message) = ready(o, promotions, &passed, finished);
    let working = promotions.iter().find(|p| p.state.acts());
    let stuck = promotions.iter().find(|p| !is_passed(p) && p.state.is_stuck());
    let (stalled, stalled_reason, stalled_message) = match (accepted.holds(), stuck) {
        (false, _) => (true, accepted_reason, accepted.message()),
        (true, Some(p)) => (true, p.state.as_str(), p.summary()),
        (true, None) => (
            false,
            reasons::ACCEPTED,
            "Not stalled: progress depends only on time, approvals or a rollout in progress.".to_owned(),
        ),
    };
    vec![
        write("Accepted", accepted.holds(), accepted_reason, accepted_message),
        write("Ready", finished, ready_reason, ready_message),
        write(
            "Reconciling",
            working.is_some(),
            working.map_or("Idle", |p| p.state.as_str()),
            working.map_or_else(
                || "No target is being changed.".to_owned(),
                |p| format!("{} is in progress.", p.name),
            ),
        ),
        write("Stalled", stalled, stalled_reason, stalled_message),
    ]
}

/// Reason and message of Ready, from the worst promotion.
fn ready<'a>(
    o: &Observed,
    promotions: &'a [Promotion],
    passed: &BTreeSet<&str>,
    finished: bool,
) -> (&'a str, String) {
    let is_passed = |p: &&Promotion| passed.contains(p.name.as_str());
    // A promotion that is passed is named only where nothing else is left, with the state in which it ended.
    let named = |p: &&Promotion| {
        if finished {
            p.state != State::Pending
        } else {
            !is_passed(p)
        }
    };
    let by_severity = promotions
        .iter()
        .filter(named)
        .filter_map(|p| Some((severity(p.state)?, p)));
    let worst = by_severity.min_by_key(|(severity, _)| *severity).map(|(_, p)| p);
    match worst {
        Some(p) if p.state == State::Waiting && o.release.held_from(&p.name).is_some() => {
            (reasons::HELD, p.summary())
        }
        Some(p) if p.state == State::BackedOut && is_passed(&p) => (
            p.state.as_str(),
            format!("A newer version has Succeeded there since. {}", p.summary()),
        ),
        Some(p) => (p.state.as_str(), p.summary()),
        None if finished => (reasons::SUCCEEDED, format!("Succeeded in {}.", names(promotions))),
        None => (reasons::PENDING, String::new()),
    }
}

/// The environments in which this Release is finished without success and no action is needed: it was overtaken or withdrawn there,
/// or it can no longer get there. In promotion order: each depends on those before it.
fn passed_by<'a>(o: &Observed, promotions: &'a [Promotion]) -> BTreeSet<&'a str> {
    let mut passed = BTreeSet::new();
    for p in promotions {
        let over = match p.state {
            State::BackedOut => newer_stands(o, &p.name).is_some(),
            State::Pending if !inherits(p) => {
                let from = o.environment(&p.name).and_then(|e| e.spec.promotes_from.as_ref());
                from.is_some_and(|from| {
                    let mut closed = from
                        .environments
                        .iter()
                        .map(|name| passed.contains(name.as_str()));
                    match from.require {
                        Require::All => closed.any(|closed| closed),
                        // Nor can it come through an environment that it does not list.
                        Require::Any => {
                            let named = |name: &&String| promotions.iter().any(|p| p.name == **name);
                            let mut ways = from.environments.iter().filter(named).peekable();
                            ways.peek().is_some() && ways.all(|name| passed.contains(name.as_str()))
                        }
                    }
                })
            }
            state => state.never_entered(),
        };
        if over {
            passed.insert(p.name.as_str());
        }
    }
    passed
}

fn names(promotions: &[Promotion]) -> String {
    promotions
        .iter()
        .map(|p| p.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// One condition, with the time of its last change of status.
#[must_use]
pub fn condition(
    was: &[Condition],
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let status = if holds { "True" } else { "False" };
    let last = was.iter().find(|c| c.type_ == kind && c.status == status);
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: cut(message),
        observed_generation: generation,
        last_transition_time: last.map_or_else(|| time(now), |c| c.last_transition_time.clone()),
    }
}
