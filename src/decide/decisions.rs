//! What people decide: which Decision counts, and how those that do not are named. What one does is in `obeying`.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Resource as _;

use crate::api::decision::ENVIRONMENT_AVAILABLE;
use crate::api::release::{Decided, Promotion, State};
use crate::api::{Action as Act, Decision, Release, reasons};
use crate::decide::facts::{MOST_OF_ONE_AUTHOR, Observed};
use crate::decide::moves::to;
use crate::decide::plan;
use crate::decide::step::{Action, Announcement, Move, announce};
use crate::decide::trust::distrust;
use crate::domain::text::{clause, cut};

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
            // It is of the check, and says nothing about what another release has left behind.
            None if p.state.before_entry() && spec.subject.is_some() => {}
            None => counting.push(decision),
            // What lets a release in stands until the entry, whatever has become of the state since.
            Some(_) if p.state.before_entry() && lets_in(p, decision) && distrust(o, decision).is_none() => {}
            Some(why) => ignored.push(format!(
                "{} by {} does not count: {why}",
                spec.action.as_str(),
                spec.by
            )),
        }
    }
    let acts =
        |d: &Decision| d.spec.environment == p.name && !matches!(d.spec.action, Act::Approve | Act::Reject);
    ignored.extend(too_many(o, acts));
    counting.sort_by_key(|d| rank(d));
    (counting.first().map(|d| Arc::clone(d)), ignored)
}

/// Sentences that name whose Decisions of this sort are too many. How many more there are is not said: each would be a write.
pub(crate) fn too_many(o: &Observed, of: impl Fn(&Decision) -> bool) -> Vec<String> {
    let authors: BTreeSet<&str> = o.surplus.iter().filter(|d| of(d)).map(|d| &*d.spec.by).collect();
    let named = authors.into_iter().map(|by| {
        format!(
            "further Decisions by {by} do not count: of one author {MOST_OF_ONE_AUTHOR} count for a Release, the oldest"
        )
    });
    named.collect()
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
pub(crate) fn acted_on(p: &Promotion, decision: &Decision) -> bool {
    let used = p
        .decided
        .as_ref()
        .is_some_and(|d| Some(&d.uid) == decision.metadata.uid.as_ref());
    // An Accept from before the entry settled what a predecessor had left on the target, or let this one in.
    let created = decision.metadata.creation_timestamp.as_ref();
    // What lets a release in is obeyed again until it has entered.
    let uid = decision.metadata.uid.as_ref();
    let obeyed = !p.state.before_entry() && uid.is_some_and(|uid| p.obeyed.contains(uid));
    let used = used || obeyed;
    let settled = decision.spec.action == Act::Accept
        && matches!((created, &p.started_at), (Some(c), Some(s)) if c.0 <= s.0)
        // There an early one is named as such, unless it is known to have been obeyed.
        && p.state != State::AwaitingDecision;
    used || settled || decision.spec.attempt.is_some_and(|a| a < p.attempt)
}

/// Who has accepted, for this attempt, that targets which are not healthy are entered: the first of them.
#[must_use]
pub fn accepted_as_it_is<'a>(o: &'a Observed, p: &Promotion) -> Option<&'a Arc<Decision>> {
    let mut accepts = o.decisions.iter().filter(|d| lets_in(p, d));
    accepts.find(|d| distrust(o, d).is_none())
}

/// An Accept of this very attempt, given at whatever time before the entry.
fn lets_in(p: &Promotion, decision: &Decision) -> bool {
    let spec = &decision.spec;
    spec.action == Act::Accept
        && spec.environment == p.name
        && spec.attempt == Some(p.attempt)
        && spec.subject.as_deref().is_none_or(|s| s == ENVIRONMENT_AVAILABLE)
}

pub(crate) fn doubt(o: &Observed, p: &Promotion, decision: &Decision, lawful: &[Act]) -> Option<String> {
    if let Some(why) = distrust(o, decision) {
        return Some(why);
    }
    let spec = &decision.spec;
    if spec.attempt != Some(p.attempt) {
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
    let acts_on_attempt = spec.action == Act::BackOut && undecided && !p.state.needs_decision();
    if acts_on_attempt {
        let entered = p.started_at.as_ref()?.0;
        return (created < entered).then(|| "it is older than the entry that it would undo".to_owned());
    }
    let since = p.since.as_ref()?.0;
    (created < since).then(|| format!("it is older than the state that it acts on, {}", p.state.as_str()))
}

/// How many obeyed Decisions are remembered besides the last.
const MOST_OBEYED: usize = 16;

/// Writes down that a Decision was obeyed: it is never said not to count.
pub(crate) fn obeyed_too(p: &mut Promotion, uid: &str) {
    if uid.is_empty() || p.obeyed.iter().any(|known| known == uid) {
        return;
    }
    if p.obeyed.len() == MOST_OBEYED {
        p.obeyed.remove(0);
    }
    p.obeyed.push(uid.to_owned());
}

/// People whose Rejects of one promotion are announced.
const MOST_REJECTS_TOLD: usize = 8;

/// Writes down which Decisions are obeyed before the entry, and announces each once.
pub(crate) fn obeyed_before_entry(p: &mut Promotion, obeyed: &[Arc<Decision>]) -> Vec<Announcement> {
    let mut people: Vec<&str> = Vec::new();
    let rejects = obeyed.iter().filter(|d| {
        let first = d.spec.action == Act::Reject && !people.contains(&d.spec.by.as_str());
        people.extend(first.then_some(d.spec.by.as_str()));
        first
    });
    let others = obeyed.iter().filter(|d| d.spec.action != Act::Reject);
    let mut announcements = Vec::new();
    for decision in rejects.take(MOST_REJECTS_TOLD).chain(others) {
        let uid = decision.metadata.uid.as_deref().unwrap_or_default();
        if uid.is_empty() || p.obeyed.iter().any(|known| known == uid) {
            continue;
        }
        obeyed_too(p, uid);
        let (reason, what) = match decision.spec.action {
            Act::Reject => (reasons::REJECTED, "this plan does not go in"),
            _ => (reasons::ENTRY_ACCEPTED, "the targets are entered as they are"),
        };
        let says = format!("{}; {what}", said(decision));
        announcements.extend(announce(&p.name, reason, &says));
    }
    announcements
}

/// Who decided what, and why, a clause.
pub(crate) fn said(decision: &Decision) -> String {
    let spec = &decision.spec;
    let why = spec.reason.as_deref().map_or("no reason given", clause);
    format!("{} by {}: {why}", spec.action.as_str(), spec.by)
}

pub(crate) fn decided(p: &mut Promotion, decision: &Decision) {
    if let Some(before) = p.decided.take() {
        obeyed_too(p, &before.uid);
    }
    p.decided = Some(Box::new(Decided {
        name: decision.metadata.name.clone().unwrap_or_default(),
        uid: decision.metadata.uid.clone().unwrap_or_default(),
        action: decision.spec.action,
        by: decision.spec.by.clone(),
        reason: decision.spec.reason.clone(),
    }));
}

/// The Release becomes the owner of its Decisions, so that they go when it goes; but not of Rejects, which would else be undone
/// by whoever deletes the Release and creates it again.
pub(crate) fn adoptions(o: &Observed) -> Vec<Action> {
    let created = o.release.metadata.creation_timestamp.as_ref();
    let there = |d: &&Arc<Decision>| d.metadata.deletion_timestamp.is_none();
    let owned = |d: &Decision| {
        let mut owners = d.metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.kind == Release::kind(&()))
    };
    let adoption = |d: &Arc<Decision>| {
        let decision = d.metadata.name.clone().unwrap_or_default();
        let uid = d.metadata.uid.clone().unwrap_or_default();
        let outlives = d.spec.action == Act::Reject;
        match (outlives, owned(d)) {
            (true, true) => Some(Action::Disown { decision, uid }),
            (false, false) if d.metadata.creation_timestamp.as_ref() >= created => {
                Some(Action::Adopt { decision, uid })
            }
            _ => None,
        }
    };
    let all = o.decisions.iter().chain(&o.surplus);
    all.filter(there).filter_map(adoption).collect()
}

/// Names those that do not count; `None` where status already does.
pub(crate) fn name_ignored(p: &Promotion, ignored: &[String]) -> Option<Move> {
    let not_counted = named(ignored);
    if not_counted == p.not_counted {
        return None;
    }
    let mut next = p.clone();
    next.not_counted = not_counted;
    Some(to(next, vec![]))
}

/// The sentences about Decisions that do not count as they stand on status.
pub(crate) fn named(ignored: &[String]) -> Option<String> {
    (!ignored.is_empty()).then(|| cut(ignored.join("; ")))
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

/// The name of the pre-state that a Retry takes its values from.
#[must_use]
pub fn predecessor(o: &Observed, p: &Promotion) -> Option<String> {
    let own = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    p.backout
        .as_ref()
        .map(|b| b.pre_state.clone())
        .filter(|name| *name != own && p.attempt > 1)
}
