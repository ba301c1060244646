//! What people decide: which Decision counts, and what it does in which state.

use std::sync::Arc;

use jiff::Timestamp;

use super::deploying::{Standing, standing};
use super::facts::{Observed, Trust};
use super::promotion::{
    self, give_back, moved, newer_succeeded, own_claim, release_claims, to, to_backing_out,
};
use super::verifying::succeed;
use super::{Action, Move, announce, cut, plan};
use crate::api::release::{BackoutState, Decided, Promotion, State};
use crate::api::{Action as Act, Decision, reasons, time};
use crate::mutation::{self, Mutation};

/// Why no Decision of this kind can be trusted, if so: the API server did not vouch for its author.
#[must_use]
pub fn distrust(o: &Observed, decision: &Decision) -> Option<String> {
    let Some(created) = decision.metadata.creation_timestamp.as_ref().map(|t| t.0) else {
        return Some("it has no creation time".to_owned());
    };
    match &o.trust {
        Trust::Broken(why) => Some(why.clone()),
        Trust::Vouched { decisions_since, .. } if created < settled(o, *decisions_since) => Some(format!(
            "it is not at least {} s younger than the admission policy that vouches for its author; create it again",
            o.settings.policy_settle.as_secs()
        )),
        Trust::Vouched { .. } => {
            let release = o.release.metadata.creation_timestamp.as_ref();
            if release.is_some_and(|release| created < release.0) {
                return Some("it is older than the Release".to_owned());
            }
            let counts_approvals = matches!(decision.spec.action, Act::Approve);
            counts_approvals.then(|| unvouched_requester(o)).flatten()
        }
    }
}

/// Why nobody knows who asked for the Release, if so: among those who approve there could be the one who did.
#[must_use]
pub fn unvouched_requester(o: &Observed) -> Option<String> {
    let Trust::Vouched { requests_since, .. } = &o.trust else {
        return None;
    };
    let release = o.release.metadata.creation_timestamp.as_ref();
    let release = release.map_or(Timestamp::MIN, |t| t.0);
    (release < settled(o, *requests_since)).then(|| {
        format!(
            "the Release is not at least {} s younger than the admission policy that vouches for its requester; create the Release again",
            o.settings.policy_settle.as_secs()
        )
    })
}

/// When a policy that was written at `since` surely takes effect.
fn settled(o: &Observed, since: Timestamp) -> Timestamp {
    since
        .checked_add(o.settings.policy_settle)
        .unwrap_or(Timestamp::MAX)
}

/// The Decision to act on, of the actions that are lawful here; and, as sentences, those that do not count.
///
/// Oldest first; at one instant BackOut, Abandon, Retry, Accept.
#[must_use]
pub fn pending(o: &Observed, p: &Promotion, lawful: &[Act]) -> (Option<Arc<Decision>>, Vec<String>) {
    let mut counting: Vec<&Arc<Decision>> = Vec::new();
    let mut ignored = Vec::new();
    for decision in &o.decisions {
        let spec = &decision.spec;
        let answers_a_gate = matches!(spec.action, Act::Approve | Act::Reject);
        if spec.environment != p.name || answers_a_gate || acted_on(p, decision) {
            continue;
        }
        match doubt(o, p, decision, lawful) {
            None => counting.push(decision),
            Some(why) => ignored.push(format!(
                "{} by {} does not count: {why}",
                spec.action.as_str(),
                spec.by
            )),
        }
    }
    counting.sort_by_key(|d| rank(d));
    (counting.first().map(|d| Arc::clone(d)), ignored)
}

/// In which order Decisions are obeyed.
fn rank(decision: &Decision) -> impl Ord + use<> {
    let order = [Act::BackOut, Act::Abandon, Act::Retry, Act::Accept];
    (
        decision.metadata.creation_timestamp.clone(),
        order.iter().position(|a| *a == decision.spec.action),
        decision.metadata.uid.clone(),
    )
}

/// The Decision that was obeyed last, unless it belongs to an attempt that is over.
fn obeyed<'a>(o: &'a Observed, p: &Promotion) -> Option<&'a Arc<Decision>> {
    let uid = &p.decided.as_ref()?.uid;
    let mut decisions = o.decisions.iter();
    decisions.find(|d| d.metadata.uid.as_ref() == Some(uid) && d.spec.attempt == Some(p.attempt))
}

/// It has been acted on, or belongs to an attempt or state that is over.
fn acted_on(p: &Promotion, decision: &Decision) -> bool {
    let used = p
        .decided
        .as_ref()
        .is_some_and(|d| Some(&d.uid) == decision.metadata.uid.as_ref());
    // An Accept from before the entry settled what a predecessor had left on the target.
    let settled = decision.spec.action == Act::Accept
        && matches!((&decision.metadata.creation_timestamp, &p.started_at), (Some(c), Some(s)) if c.0 <= s.0)
        && p.state != State::AwaitingDecision;
    used || settled || decision.spec.attempt.is_some_and(|a| a < p.attempt)
}

fn doubt(o: &Observed, p: &Promotion, decision: &Decision, lawful: &[Act]) -> Option<String> {
    if let Some(why) = distrust(o, decision) {
        return Some(why);
    }
    let spec = &decision.spec;
    if spec.attempt != Some(p.attempt) && !mutation::is(Mutation::AnyAttempt) {
        return Some(format!(
            "it names attempt {}, this is attempt {}",
            spec.attempt.unwrap_or(0),
            p.attempt
        ));
    }
    if !lawful.contains(&spec.action) {
        return Some(format!(
            "{} has no meaning while {}",
            spec.action.as_str(),
            p.state.as_str()
        ));
    }
    let created = decision.metadata.creation_timestamp.as_ref()?.0;
    // Times are whole seconds: within one, a BackOut and an Abandon would else be obeyed in turn, again and again.
    if let Some(last) = obeyed(o, p)
        && last.metadata.creation_timestamp == decision.metadata.creation_timestamp
        && rank(decision) <= rank(last)
    {
        let (action, by) = (last.spec.action.as_str(), &last.spec.by);
        return Some(format!(
            "{action} by {by}, of the same second, has been obeyed after it"
        ));
    }
    // A BackOut in mid-flight acts on what has entered, not on the state that it happens to be in; unless
    // somebody has decided on this attempt since, whose word it would otherwise undo again and again.
    let undecided = p.decided.as_ref().is_none_or(|d| d.action == Act::Retry);
    let acts_on_attempt = spec.action == Act::BackOut
        && undecided
        && !matches!(p.state, State::AwaitingDecision | State::Failed);
    if acts_on_attempt {
        let entered = p.started_at.as_ref()?.0;
        return (created < entered).then(|| "it is older than the entry that it would undo".to_owned());
    }
    let since = p.since.as_ref()?.0;
    (created < since).then(|| format!("it is older than the state that it acts on, {}", p.state.as_str()))
}

fn decided(p: &mut Promotion, decision: &Decision) {
    p.decided = Some(Box::new(Decided {
        name: decision.metadata.name.clone().unwrap_or_default(),
        uid: decision.metadata.uid.clone().unwrap_or_default(),
        action: decision.spec.action,
        by: decision.spec.by.clone(),
        reason: decision.spec.reason.clone(),
    }));
}

/// The Release becomes the owner of its Decisions, so that they go when it goes.
pub(crate) fn adoptions(o: &Observed) -> Vec<Action> {
    let created = o.release.metadata.creation_timestamp.as_ref();
    o.decisions
        .iter()
        .filter(|d| d.metadata.owner_references.as_ref().is_none_or(Vec::is_empty))
        .filter(|d| {
            d.metadata.deletion_timestamp.is_none() && d.metadata.creation_timestamp.as_ref() >= created
        })
        .map(|d| Action::Adopt {
            decision: d.metadata.name.clone().unwrap_or_default(),
            uid: d.metadata.uid.clone().unwrap_or_default(),
        })
        .collect()
}

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
    let note = format!("{}: attempt {} by {}", p.name, next.attempt, decision.spec.by);
    to(next, announce(reasons::RETRIED, note))
}

fn accept(o: &Observed, p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut p = p.clone();
    decided(&mut p, decision);
    // A backout that somebody accepts in the middle did not restore.
    if let Some(backout) = p.backout.as_mut().filter(|b| b.state == BackoutState::InProgress) {
        backout.state = BackoutState::Failed;
        backout.finished_at = Some(time(now));
    }
    let why = decision.spec.reason.as_deref().unwrap_or("no reason given");
    succeed(o, &p, &format!("accepted by {}: {why}", decision.spec.by), now)
}

fn abandon(p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    let mut next = moved(p, State::Failed, now);
    decided(&mut next, decision);
    let why = decision.spec.reason.as_deref().unwrap_or("no reason given");
    next.message = Some(cut(format!(
        "abandoned by {}: {why}; the target is Unsettled",
        decision.spec.by
    )));
    next.finished_at = Some(time(now));
    to(
        next,
        announce(
            reasons::FAILED,
            format!("{}: abandoned by {}", p.name, decision.spec.by),
        ),
    )
}

/// Words behind which the Decisions that do not count are named.
const NOT_COUNTED: &str = " — Not counted: ";

/// Names those that do not count behind what the message says; `None` where it already does.
fn name_ignored(p: &Promotion, ignored: &[String]) -> Option<Move> {
    let says = p.message.clone().unwrap_or_default();
    let base = says.split(NOT_COUNTED).next().unwrap_or_default().to_owned();
    let text = if ignored.is_empty() {
        base
    } else {
        cut(format!("{base}{NOT_COUNTED}{}", ignored.join("; ")))
    };
    if text == says {
        return None;
    }
    let mut next = p.clone();
    next.message = Some(text).filter(|t| !t.is_empty());
    Some(to(next, vec![]))
}

fn obey(o: &Observed, p: &Promotion, decision: &Decision, now: Timestamp) -> Move {
    match decision.spec.action {
        Act::BackOut => back_out(p, decision, now),
        Act::Accept => accept(o, p, decision, now),
        Act::Abandon => abandon(p, decision, now),
        Act::Retry => retry(p, decision, now),
        Act::Approve | Act::Reject => Move::Rest(None),
    }
}

pub(crate) fn awaiting(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let (decision, ignored) = pending(o, p, &[Act::BackOut, Act::Accept, Act::Abandon]);
    if let Some(decision) = decision {
        return obey(o, p, &decision, now);
    }
    name_ignored(p, &ignored)
        .or_else(|| promotion::reclaim(o, p))
        .unwrap_or(Move::Rest(None))
}

/// The backout under way was asked for by a Decision that still vouches for it.
pub(crate) fn backout_decided(o: &Observed, p: &Promotion) -> bool {
    let Some(decided) = &p.decided else { return false };
    o.decisions.iter().any(|d| {
        d.metadata.uid.as_ref() == Some(&decided.uid)
            && d.spec.environment == p.name
            && d.spec.action == Act::BackOut
            && d.spec.attempt == Some(p.attempt)
            && distrust(o, d).is_none()
    })
}

/// Superseded and Withdrawn: whatever is decided from now on is named, and does nothing.
pub(crate) fn over(o: &Observed, p: &Promotion) -> Option<Move> {
    let since = p.since.as_ref()?;
    let late = o
        .decisions
        .iter()
        .filter(|d| d.spec.environment == p.name && d.metadata.creation_timestamp.as_ref() >= Some(since));
    let ignored: Vec<String> = late
        .map(|d| {
            format!(
                "{} by {} does not count: it was given after the Release was {}",
                d.spec.action.as_str(),
                d.spec.by,
                p.state.as_str()
            )
        })
        .collect();
    name_ignored(p, &ignored)
}

/// BackedOut and Failed: over, until somebody retries; a failure may also be backed out or accepted.
pub(crate) fn ended(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let failed = p.state == State::Failed;
    let lawful: &[Act] = if failed {
        &[Act::BackOut, Act::Accept, Act::Abandon, Act::Retry]
    } else {
        &[Act::Retry]
    };
    let (decision, ignored) = pending(o, p, lawful);
    if let Some(decision) = decision {
        return obey(o, p, &decision, now);
    }
    if let Some(named) = name_ignored(p, &ignored) {
        return named;
    }
    if !failed {
        return give_back(o, p);
    }
    leave_unsettled(o, p)
}

/// The claim's Lease stays, to say that a decision is owed.
pub(crate) fn leave_unsettled(o: &Observed, p: &Promotion) -> Move {
    let own = o.own_claims.iter().find(|c| {
        c.holder
            .as_ref()
            .is_some_and(|h| h.environment == p.name && h.attempt == p.attempt)
            && !c.unsettled
    });
    match own {
        Some(claim) => Move::Do(vec![Action::MarkUnsettled {
            environment: p.name.clone(),
            claim: claim.clone(),
        }]),
        None => Move::Rest(None),
    }
}

/// Why what stands on the targets is no longer what this promotion applied, if so: a backout would undo others' work.
fn no_longer_ours(o: &Observed, p: &Promotion) -> Option<String> {
    if let Some(newer) = newer_succeeded(o, &p.name) {
        let name = newer.metadata.name.as_deref().unwrap_or_default();
        return Some(format!("{name} has Succeeded here since; back that one out"));
    }
    let place = promotion::place(o, p)?;
    let kept = place.pre_state.as_ref()?;
    place.components.iter().find_map(|live| {
        let captured = kept.content.component(&live.name)?;
        match standing(o, &p.name, captured, &live.object) {
            Standing::Unread | Standing::Applied => None,
            Standing::Gone(sentence) => Some(sentence),
            Standing::Changed(fields) => Some(format!("somebody changed {} since", fields.join(", "))),
            Standing::Untouched => Some(format!("somebody put {} back since", captured.target)),
        }
    })
}

/// Succeeded: the claim goes; a BackOut still may come, and then waits for the claim as Queued does.
pub(crate) fn succeeded(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let (decision, mut ignored) = pending(o, p, &[Act::BackOut]);
    let Some(decision) = decision else {
        if let Some(named) = name_ignored(p, &ignored) {
            return named;
        }
        let actions = release_claims(o, p);
        return if actions.is_empty() {
            Move::Rest(None)
        } else {
            Move::Do(actions)
        };
    };
    if let Some(why) = no_longer_ours(o, p) {
        ignored.push(format!("BackOut by {} does not count: {why}", decision.spec.by));
        return name_ignored(p, &ignored).unwrap_or_else(|| {
            let actions = release_claims(o, p);
            if actions.is_empty() {
                Move::Rest(None)
            } else {
                Move::Do(actions)
            }
        });
    }
    let Some(place) = promotion::place(o, p) else {
        return Move::Rest(None);
    };
    if own_claim(o, p, place).is_some() {
        return back_out(p, &decision, now);
    }
    match (&place.claim, &p.entered) {
        (None, Some(entered)) => Move::Do(vec![Action::Claim {
            environment: p.name.clone(),
            namespace: entered.target_namespace.clone(),
            holder: o.holder(&p.name, p.attempt),
        }]),
        _ => Move::Rest(None),
    }
}

/// The name of the pre-state that a Retry takes its values from.
#[must_use]
pub fn predecessor(o: &Observed, p: &Promotion) -> Option<String> {
    let own = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    p.backout
        .as_ref()
        .map(|b| b.pre_state.clone())
        .filter(|name| *name != own && p.attempt > 1)
}
