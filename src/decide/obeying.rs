//! What a Decision does with a promotion.

use jiff::Timestamp;

use crate::api::release::{BackoutState, Promotion, State, sentence};
use crate::api::{Action, Decision, reasons, time};
use crate::decide::decisions::{decided, said};
use crate::decide::facts::Observed;
use crate::decide::moves::{moved, succeed, to, to_backing_out};
use crate::decide::step::{Move, announce};
use crate::domain::text::cut;

/// The reason that a Decision gives, as a sentence.
fn reason(decision: &Decision) -> String {
    sentence(decision.spec.reason.as_deref().unwrap_or("no reason given"))
}

pub(crate) fn back_out(p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    let name = decision.metadata.name.clone().unwrap_or_default();
    to_backing_out(
        &p,
        &format!("Decision {name}"),
        Some(&decision.spec.by),
        &format!("BackOut by {}: {}", decision.spec.by, reason(decision)),
        now,
    )
}

/// The next attempt: checks, approvals and pre-state start again.
pub(crate) fn retry(p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut next = moved(p, State::Waiting, now);
    decided(&mut next, decision);
    next.attempt += 1;
    next.plan_hash = String::new();
    next.checks.clear();
    next.verification.clear();
    next.components.clear();
    (
        next.started_at,
        next.deployed_at,
        next.verified_at,
        next.finished_at,
    ) = (None, None, None, None);
    // After a failed attempt the pre-state is inherited. After a complete backout there is nothing to inherit.
    if next
        .backout
        .as_ref()
        .is_some_and(|b| b.state == BackoutState::Verified)
    {
        next.backout = None;
    }
    let says = format!("Attempt {} begins. {}", next.attempt, sentence(&said(decision)));
    to(next, announce(&p.name, reasons::RETRIED, &says))
}

pub(crate) fn accept(o: &Observed, p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    // A backout that is accepted while it is in progress did not restore.
    if let Some(backout) = p.backout.as_mut().filter(|b| b.state == BackoutState::InProgress) {
        backout.state = BackoutState::Failed;
        backout.finished_at = Some(time(now));
    }
    let how = format!("Accepted by {}: {}", decision.spec.by, reason(decision));
    succeed(o, &p, &how, now)
}

pub(crate) fn abandon(p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    abandoned(&p, &decision.spec.by, &reason(decision), now)
}

/// `p` Failed because `by` abandoned it: everything stays as it is. `why` is a complete sentence.
pub(crate) fn abandoned(p: &Promotion, by: &str, why: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Failed, now);
    let says = format!("Abandoned by {by}; the target namespace is Unsettled. Reason: {why}");
    let announcements = announce(&p.name, reasons::FAILED, &says);
    next.message = Some(cut(says));
    next.finished_at = Some(time(now));
    to(next, announcements)
}

pub(crate) fn obey(o: &Observed, p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    match decision.spec.action {
        Action::BackOut => back_out(p, decision, now),
        Action::Accept => accept(o, p, decision, now),
        Action::Abandon => abandon(p, decision, now),
        Action::Retry => retry(p, decision, now),
        Action::Approve | Action::Reject => Move::Rest(None),
    }
}
