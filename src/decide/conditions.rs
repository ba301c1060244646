//! Accepted, Ready, Reconciling and Stalled, so that pipelines and GitOps tools that know kstatus do not see failure in
//! patience.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::accepted::Accepted;
use super::cut;
use super::facts::Observed;
use crate::api::release::{CheckState, Promotion, State};
use crate::api::{reasons, time};

/// Ready's reason is the worst environment's state, in this order.
const WORST_FIRST: [State; 12] = [
    State::Failed,
    State::AwaitingDecision,
    State::BackingOut,
    State::BackedOut,
    State::Deploying,
    State::Verifying,
    State::Observing,
    State::Queued,
    State::Waiting,
    State::Pending,
    State::Withdrawn,
    State::Superseded,
];

/// The four conditions; `lastTransitionTime` moves only when status does.
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
        "the manifest makes sense".to_owned()
    } else {
        accepted.message()
    };

    let worst = WORST_FIRST
        .iter()
        .find_map(|s| promotions.iter().find(|p| p.state == *s));
    let all_done = promotions.iter().all(|p| p.state == State::Succeeded) && !promotions.is_empty();
    let (ready_reason, ready_message) = match worst {
        _ if all_done => (reasons::SUCCEEDED, format!("succeeded in {}", names(promotions))),
        Some(p) if p.state == State::Waiting && o.release.spec.hold.is_some() => (reasons::HELD, said(p)),
        Some(p) => (p.state.as_str(), said(p)),
        None => (reasons::PENDING, String::new()),
    };
    let working = promotions
        .iter()
        .find(|p| p.state.under_way() && p.state != State::AwaitingDecision);
    let stuck = promotions.iter().find(|p| {
        matches!(
            p.state,
            State::Failed | State::BackedOut | State::AwaitingDecision
        )
    });
    let (stalled, stalled_reason, stalled_message) = match (accepted.holds(), stuck) {
        (false, _) => (true, accepted_reason, accepted.message()),
        (true, Some(p)) => (true, p.state.as_str(), said(p)),
        (true, None) => (
            false,
            reasons::ACCEPTED,
            "nothing stands in the way but time, people or work".to_owned(),
        ),
    };
    vec![
        write("Accepted", accepted.holds(), accepted_reason, accepted_message),
        write("Ready", all_done, ready_reason, ready_message),
        write(
            "Reconciling",
            working.is_some(),
            working.map_or("Idle", |p| p.state.as_str()),
            working.map_or_else(
                || "no target is being changed".to_owned(),
                |p| format!("{} is under way", p.name),
            ),
        ),
        write("Stalled", stalled, stalled_reason, stalled_message),
    ]
}

fn names(promotions: &[Promotion]) -> String {
    promotions
        .iter()
        .map(|p| p.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the promotion says, or what holds it.
fn said(p: &Promotion) -> String {
    if let Some(inconclusive) = &p.inconclusive {
        return format!("{}: {}", p.name, inconclusive.message);
    }
    if let Some(message) = &p.message {
        return format!("{}: {message}", p.name);
    }
    let blockers: Vec<String> = p
        .checks
        .iter()
        .filter(|c| p.state.before_entry() && !c.advisory && c.state != CheckState::Satisfied)
        .map(|c| format!("{}: {}", c.name, c.message))
        .collect();
    if blockers.is_empty() {
        format!("{}: {}", p.name, p.state.as_str())
    } else {
        format!("{}: {}", p.name, blockers.join("; "))
    }
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
