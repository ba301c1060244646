//! What a Decision does with a promotion.

use jiff::Timestamp;

use crate::api::release::{BackoutState, Promotion, State};
use crate::api::{Action as Act, Decision, reasons, time};
use crate::decide::decisions::{decided, said};
use crate::decide::facts::Observed;
use crate::decide::moves::{moved, succeed, to, to_backing_out};
use crate::decide::step::{Move, announce};
use crate::domain::text::{clause, cut};

pub(crate) fn back_out(p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    let name = decision.metadata.name.clone().unwrap_or_default();
    let why = decision
        .spec
        .reason
        .clone()
        .unwrap_or_else(|| "no reason given".to_owned());
    to_backing_out(
        &p,
        &format!("Decision {name}"),
        Some(&decision.spec.by),
        &format!("{}: {why}", decision.spec.by),
        now,
    )
}

/// The next attempt: checks, approvals and pre-state anew.
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
    // What failed is still restorable; what was put back has nothing left to inherit.
    if next
        .backout
        .as_ref()
        .is_some_and(|b| b.state == BackoutState::Verified)
    {
        next.backout = None;
    }
    let says = format!("{}; attempt {} begins", said(decision), next.attempt);
    to(next, announce(&p.name, reasons::RETRIED, &says))
}

pub(crate) fn accept(o: &Observed, p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    // A backout that somebody accepts in the middle did not restore.
    if let Some(backout) = p.backout.as_mut().filter(|b| b.state == BackoutState::InProgress) {
        backout.state = BackoutState::Failed;
        backout.finished_at = Some(time(now));
    }
    let why = decision.spec.reason.as_deref().map_or("no reason given", clause);
    succeed(o, &p, &format!("accepted by {}: {why}", decision.spec.by), now)
}

pub(crate) fn abandon(p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    let why = decision.spec.reason.as_deref().map_or("no reason given", clause);
    abandoned(&p, &decision.spec.by, why, now)
}

/// `p` Failed because `by` gave it up: everything stays as it is.
pub(crate) fn abandoned(p: &Promotion, by: &str, why: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Failed, now);
    next.message = Some(cut(format!("abandoned by {by}: {why}; the target is Unsettled")));
    next.finished_at = Some(time(now));
    let says = format!("Abandon by {by}: {why}; the target is Unsettled");
    to(next, announce(&p.name, reasons::FAILED, &says))
}

pub(crate) fn obey(o: &Observed, p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    match decision.spec.action {
        Act::BackOut => back_out(p, decision, now),
        Act::Accept => accept(o, p, decision, now),
        Act::Abandon => abandon(p, decision, now),
        Act::Retry => retry(p, decision, now),
        Act::Approve | Act::Reject => Move::Rest(None),
    }
}
