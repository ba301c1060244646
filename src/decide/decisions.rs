//! Decisions: which one counts, and how those that do not count are reported. What a Decision does is in `obeying`.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Resource as _;

use crate::api::decision::ENVIRONMENT_AVAILABLE;
use crate::api::release::{Decided, Promotion, State};
use crate::api::{Action, Decision, Release, reasons};
use crate::decide::facts::{MOST_OF_ONE_AUTHOR, Observed};
use crate::decide::moves::to;
use crate::decide::plan;
use crate::decide::step::{Announcement, Effect, Move, announce};
use crate::decide::trust::distrust;
use crate::domain::text::{clause, cut};

/// The Decision to act on, of the actions that are valid here; and a complete message for each one that does not count.
///
/// Oldest first; at one instant BackOut, Abandon, Retry, Accept.
#[must_use]
pub fn pending(o: &Observed, p: &Promotion, lawful: &[Action]) -> (Option<Arc<Decision>>, Vec<String>) {
    let mut counting: Vec<&Arc<Decision>> = Vec::new();
    let mut ignored = Vec::new();
    for decision in &o.decisions {
        let spec = &decision.spec;
        let answers_a_gate = matches!(spec.action, Action::Approve | Action::Reject);
        if spec.environment != p.name || answers_a_gate || acted_on(p, decision) {
            continue;
        }
        match why_ignored(o, p, decision, lawful) {
            // It concerns the check, not what another release has left on the target.
            None if p.state.before_entry() && spec.subject.is_some() => {}
            None => counting.push(decision),
            // A Decision that admits a release is valid until the entry, whatever the state is by then.
            Some(_) if p.state.before_entry() && lets_in(p, decision) && distrust(o, decision).is_none() => {}
            Some(why) => ignored.push(format!(
                "{} by {} does not count: {why}.",
                spec.action.as_str(),
                spec.by
            )),
        }
    }
    let acts = |d: &Decision| {
        d.spec.environment == p.name && !matches!(d.spec.action, Action::Approve | Action::Reject)
    };
    ignored.extend(too_many(o, acts));
    counting.sort_by_key(|d| precedence(d));
    (counting.first().map(|d| Arc::clone(d)), ignored)
}

/// Complete messages that name the authors of too many Decisions of this sort. The number is not reported: each change would be a write.
pub(crate) fn too_many(o: &Observed, of: impl Fn(&Decision) -> bool) -> Vec<String> {
    let authors: BTreeSet<&str> = o.surplus.iter().filter(|d| of(d)).map(|d| &*d.spec.by).collect();
    let named = authors.into_iter().map(|by| {
        format!(
            "Further Decisions by {by} do not count: only the oldest {MOST_OF_ONE_AUTHOR} of one author count for a Release."
        )
    });
    named.collect()
}

/// In which order Decisions are obeyed.
fn precedence(decision: &Decision) -> impl Ord + use<> {
    let order = [Action::BackOut, Action::Abandon, Action::Retry, Action::Accept];
    (
        decision.metadata.creation_timestamp.clone(),
        order.iter().position(|a| *a == decision.spec.action),
        decision.metadata.uid.clone(),
    )
}

/// The Decision that was obeyed last, unless it belongs to a finished attempt.
fn obeyed<'a>(o: &'a Observed, p: &Promotion) -> Option<&'a Arc<Decision>> {
    let uid = &p.decided.as_ref()?.uid;
    let mut decisions = o.decisions.iter();
    decisions.find(|d| d.metadata.uid.as_ref() == Some(uid) && d.spec.attempt == Some(p.attempt))
}

/// It has been obeyed, or belongs to a finished attempt or state.
pub(crate) fn acted_on(p: &Promotion, decision: &Decision) -> bool {
    let used = p
        .decided
        .as_ref()
        .is_some_and(|d| Some(&d.uid) == decision.metadata.uid.as_ref());
    // An Accept from before the entry settled what a predecessor had left on the target, or admitted this release.
    let created = decision.metadata.creation_timestamp.as_ref();
    // A Decision that admits a release is obeyed again until the release has entered.
    let uid = decision.metadata.uid.as_ref();
    let obeyed = !p.state.before_entry() && uid.is_some_and(|uid| p.obeyed.contains(uid));
    let used = used || obeyed;
    let settled = decision.spec.action == Action::Accept
        && matches!((created, &p.started_at), (Some(c), Some(s)) if c.0 <= s.0)
        // In that state an early Accept is reported as such, unless it was obeyed.
        && p.state != State::AwaitingDecision;
    used || settled || decision.spec.attempt.is_some_and(|a| a < p.attempt)
}

/// The first Accept, for this attempt, of targets that are not healthy.
#[must_use]
pub fn accepted_as_it_is<'a>(o: &'a Observed, p: &Promotion) -> Option<&'a Arc<Decision>> {
    let mut accepts = o.decisions.iter().filter(|d| lets_in(p, d));
    accepts.find(|d| distrust(o, d).is_none())
}

/// An Accept of exactly this attempt, created at any time before the entry.
fn lets_in(p: &Promotion, decision: &Decision) -> bool {
    let spec = &decision.spec;
    spec.action == Action::Accept
        && spec.environment == p.name
        && spec.attempt == Some(p.attempt)
        && spec.subject.as_deref().is_none_or(|s| s == ENVIRONMENT_AVAILABLE)
}

/// Why a Decision does not count, if so. A clause without a full stop.
pub(crate) fn why_ignored(
    o: &Observed,
    p: &Promotion,
    decision: &Decision,
    lawful: &[Action],
) -> Option<String> {
    if let Some(why) = distrust(o, decision) {
        return Some(why);
    }
    let spec = &decision.spec;
    if spec.attempt != Some(p.attempt) {
        return Some(format!(
            "it names attempt {}, but the current attempt is {}",
            spec.attempt.unwrap_or(0),
            p.attempt
        ));
    }
    if !lawful.contains(&spec.action) {
        return Some(format!(
            "{} is not valid in state {}",
            spec.action.as_str(),
            p.state.as_str()
        ));
    }
    let created = decision.metadata.creation_timestamp.as_ref()?.0;
    // Times are whole seconds: otherwise a BackOut and an Abandon of the same second would be obeyed in turn, again and again.
    if let Some(last) = obeyed(o, p)
        && last.metadata.creation_timestamp == decision.metadata.creation_timestamp
        && precedence(decision) <= precedence(last)
    {
        let (action, by) = (last.spec.action.as_str(), &last.spec.by);
        return Some(format!(
            "{action} by {by} was created in the same second and has already taken effect"
        ));
    }
    // A BackOut during a rollout acts on what has entered, not on the current state; unless this attempt has been decided since,
    // because it would otherwise undo that Decision again and again.
    let undecided = p.decided.as_ref().is_none_or(|d| d.action == Action::Retry);
    let acts_on_attempt = spec.action == Action::BackOut && undecided && !p.state.needs_decision();
    if acts_on_attempt {
        let entered = p.started_at.as_ref()?.0;
        return (created < entered).then(|| "it was created before the current attempt entered".to_owned());
    }
    let since = p.since.as_ref()?.0;
    (created < since).then(|| format!("it is older than the current state, {}", p.state.as_str()))
}

/// How many obeyed Decisions are recorded besides the last.
const MOST_OBEYED: usize = 16;

/// Records that a Decision was obeyed: it is never reported as not counted.
pub(crate) fn obeyed_too(p: &mut Promotion, uid: &str) {
    if uid.is_empty() || p.obeyed.iter().any(|known| known == uid) {
        return;
    }
    if p.obeyed.len() == MOST_OBEYED {
        p.obeyed.remove(0);
    }
    p.obeyed.push(uid.to_owned());
}

/// How many people are announced whose Rejects of one promotion count.
const MOST_REJECTS_TOLD: usize = 8;

/// Records which Decisions are obeyed before the entry, and announces each once.
pub(crate) fn obeyed_before_entry(p: &mut Promotion, obeyed: &[Arc<Decision>]) -> Vec<Announcement> {
    let mut people: Vec<&str> = Vec::new();
    let rejects = obeyed.iter().filter(|d| {
        let first = d.spec.action == Action::Reject && !people.contains(&d.spec.by.as_str());
        people.extend(first.then_some(d.spec.by.as_str()));
        first
    });
    let others = obeyed.iter().filter(|d| d.spec.action != Action::Reject);
    let mut announcements = Vec::new();
    for decision in rejects.take(MOST_REJECTS_TOLD).chain(others) {
        let uid = decision.metadata.uid.as_deref().unwrap_or_default();
        if uid.is_empty() || p.obeyed.iter().any(|known| known == uid) {
            continue;
        }
        obeyed_too(p, uid);
        let (reason, what) = match decision.spec.action {
            Action::Reject => (reasons::REJECTED, "This plan cannot enter."),
            _ => (
                reasons::ENTRY_ACCEPTED,
                "The release enters with the targets as they are.",
            ),
        };
        let says = format!("{what} {}.", said(decision));
        announcements.extend(announce(&p.name, reason, &says));
    }
    announcements
}

/// The action of a Decision, its author and its reason: a clause without a full stop.
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

/// The Release becomes the owner of its Decisions, so that they are deleted with it; but not of Rejects. Otherwise a user could undo a
/// Reject by deleting the Release and creating it again.
pub(crate) fn adoptions(o: &Observed) -> Vec<Effect> {
    let created = o.release.metadata.creation_timestamp.as_ref();
    let there = |d: &&Arc<Decision>| d.metadata.deletion_timestamp.is_none();
    let owned = |d: &Decision| {
        let mut owners = d.metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.kind == Release::kind(&()))
    };
    let adoption = |d: &Arc<Decision>| {
        let decision = d.metadata.name.clone().unwrap_or_default();
        let uid = d.metadata.uid.clone().unwrap_or_default();
        let outlives = d.spec.action == Action::Reject;
        match (outlives, owned(d)) {
            (true, true) => Some(Effect::Disown { decision, uid }),
            (false, false) if d.metadata.creation_timestamp.as_ref() >= created => {
                Some(Effect::Adopt { decision, uid })
            }
            _ => None,
        }
    };
    let all = o.decisions.iter().chain(&o.surplus);
    all.filter(there).filter_map(adoption).collect()
}

/// Reports those that do not count; `None` if status already does.
pub(crate) fn name_ignored(p: &Promotion, ignored: &[String]) -> Option<Move> {
    let not_counted = named(ignored);
    if not_counted == p.not_counted {
        return None;
    }
    let mut next = p.clone();
    next.not_counted = not_counted;
    Some(to(next, vec![]))
}

/// The messages about Decisions that do not count, as recorded in status.
pub(crate) fn named(ignored: &[String]) -> Option<String> {
    let sentences: Vec<String> = ignored.iter().map(|said| format!("{}.", clause(said))).collect();
    (!sentences.is_empty()).then(|| cut(sentences.join(" ")))
}

/// The backout in progress was requested by a Decision that still counts.
pub(crate) fn backout_decided(o: &Observed, p: &Promotion) -> bool {
    let Some(decided) = &p.decided else { return false };
    o.decisions.iter().any(|d| {
        d.metadata.uid.as_ref() == Some(&decided.uid)
            && d.spec.environment == p.name
            && d.spec.action == Action::BackOut
            && d.spec.attempt == Some(p.attempt)
            && distrust(o, d).is_none()
    })
}

/// The name of the pre-state from which a Retry takes its values.
#[must_use]
pub fn predecessor(o: &Observed, p: &Promotion) -> Option<String> {
    let own = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    p.backout
        .as_ref()
        .map(|b| b.pre_state.clone())
        .filter(|name| *name != own && p.attempt > 1)
}
