//! One promotion's way through its states: which module answers in which state, and what they share.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::accepted::Accepted;
use super::facts::{Claim, Observed, Place};
use super::prestate::PreState;
use super::version::Version;
use super::{
    Action, Announcement, Move, announce, backout, before_entry, cut, decisions, deploying, plan, verifying,
};
use crate::api::release::{Backout, BackoutState, Inconclusive, Promotion, State, Strategy, Trigger};
use crate::api::{Release, reasons, time};

/// Every promotion of this Release in promotion order, as persisted, with its current planHash.
#[must_use]
pub fn listed(o: &Observed) -> Vec<Promotion> {
    let status = o.release.status.as_ref();
    let gone = status
        .into_iter()
        .flat_map(|s| &s.environments)
        .filter(|p| p.entered.is_some() && !o.release.spec.environments.contains(&p.name));
    let mut names: Vec<String> = in_order(o);
    names.extend(gone.map(|p| p.name.clone()));
    names.into_iter().map(|name| current(o, name)).collect()
}

/// The listed environments, upstream before downstream, otherwise as listed.
fn in_order(o: &Observed) -> Vec<String> {
    let mut left: Vec<&String> = o.release.spec.environments.iter().collect();
    let mut ordered: Vec<String> = Vec::new();
    while !left.is_empty() {
        let free = left.iter().position(|name| {
            let upstream = o.environment(name).and_then(|e| e.spec.promotes_from.as_ref());
            !upstream.is_some_and(|f| f.environments.iter().any(|u| u != *name && left.contains(&u)))
        });
        // In a circle nobody is free; Accepted says so, and any order is as good as another.
        ordered.push(left.remove(free.unwrap_or(0)).clone());
    }
    ordered
}

fn current(o: &Observed, name: String) -> Promotion {
    let mut promotion = o.release.promotion(&name).cloned().unwrap_or_else(|| Promotion {
        name: name.clone(),
        attempt: 1,
        ..Promotion::default()
    });
    if promotion.state.before_entry() {
        let namespace = o
            .environment(&name)
            .map(|e| e.spec.target_namespace(o.namespace()));
        let hash = o.plan_hash(&name, namespace.as_deref(), promotion.attempt);
        if hash != promotion.plan_hash {
            // What a Job said was said of another plan.
            promotion.checks.retain(|c| !c.reason.starts_with("Job"));
            promotion.plan_hash = hash;
        }
    }
    promotion
}

/// What this promotion wants next.
pub(crate) fn step(o: &Observed, p: &Promotion, accepted: &Accepted, now: Timestamp) -> Move {
    match p.state {
        State::Pending | State::Waiting | State::Queued => before_entry::step(o, p, accepted, now),
        State::Deploying => deploying::deploying(o, p, now),
        State::Verifying => verifying::verifying(o, p, now),
        State::Observing => verifying::observing(o, p, now),
        State::AwaitingDecision => decisions::awaiting(o, p, now),
        State::BackingOut => backout::step(o, p, now),
        State::Succeeded => decisions::succeeded(o, p, now),
        State::BackedOut | State::Failed => decisions::ended(o, p, now),
        State::Superseded | State::Withdrawn => decisions::over(o, p).unwrap_or_else(|| give_back(o, p)),
    }
}

/// The last listed environment in order that Succeeded.
#[must_use]
pub fn furthest(_: &Observed, promotions: &[Promotion]) -> Option<String> {
    promotions
        .iter()
        .rev()
        .find(|p| p.state == State::Succeeded)
        .map(|p| p.name.clone())
}

/// A newer version of the same product and line that Succeeded in `environment`.
#[must_use]
pub fn newer_succeeded<'a>(o: &'a Observed, environment: &str) -> Option<&'a Arc<Release>> {
    let ours: Version = o.release.spec.version.parse().ok()?;
    o.siblings.iter().find(|other| {
        other
            .promotion(environment)
            .is_some_and(|p| p.state == State::Succeeded)
            && other.spec.version.parse::<Version>().is_ok_and(|v| v > ours)
    })
}

/// Pre-states that nobody can restore any more, because this Release Succeeded in their environment.
pub(crate) fn obsolete_pre_states(o: &Observed) -> Vec<Action> {
    let succeeded = |environment: &str| {
        o.release
            .promotion(environment)
            .filter(|p| p.state == State::Succeeded)
    };
    o.pre_states
        .iter()
        .filter(|stored| {
            succeeded(&stored.environment).is_some_and(|p| {
                if stored.release_uid == o.uid() {
                    return p.backout.as_ref().is_none_or(|b| b.pre_state != stored.name);
                }
                overtaken(o, p, &stored.release_uid)
            })
        })
        .map(|stored| Action::DeletePreState {
            name: stored.name.clone(),
            uid: stored.uid.clone(),
        })
        .collect()
}

/// Whether the older Release `uid` is through with the very targets on which `p` has succeeded since.
fn overtaken(o: &Observed, p: &Promotion, uid: &str) -> bool {
    let older = o.siblings.iter().find(|s| s.metadata.uid.as_deref() == Some(uid));
    let Some(theirs) = older.and_then(|s| s.promotion(&p.name)) else {
        return false;
    };
    let namespace = |p: &Promotion| p.entered.as_ref().map(|e| e.target_namespace.clone());
    let through = matches!(
        theirs.state,
        State::Succeeded | State::BackedOut | State::Superseded | State::Withdrawn
    );
    through && namespace(theirs) == namespace(p)
}

/// Claims and pre-states of environments that were taken off the list before they were entered.
pub(crate) fn strays(o: &Observed) -> Vec<Action> {
    let listed = |environment: &str| {
        o.release.promotion(environment).is_some()
            || o.release.spec.environments.iter().any(|e| e == environment)
    };
    let claims = o.own_claims.iter().filter_map(|claim| {
        let environment = &claim.holder.as_ref()?.environment;
        (!listed(environment)).then(|| Action::ReleaseClaim {
            environment: environment.clone(),
            claim: claim.clone(),
        })
    });
    let unused = o
        .pre_states
        .iter()
        .filter(|s| s.release_uid == o.uid() && !listed(&s.environment));
    let pre_states = unused.map(|s| Action::DeletePreState {
        name: s.name.clone(),
        uid: s.uid.clone(),
    });
    pre_states.chain(claims).collect()
}

pub(crate) fn place<'a>(o: &'a Observed, p: &Promotion) -> Option<&'a Place> {
    o.places.get(&p.name)
}

/// The claim, where this attempt of this promotion holds it.
pub(crate) fn own_claim<'a>(o: &Observed, p: &Promotion, place: &'a Place) -> Option<&'a Claim> {
    let mine = o.holder(&p.name, p.attempt);
    place.claim.as_ref().filter(|c| c.holder.as_ref() == Some(&mine))
}

/// What was kept for this promotion before it entered.
///
/// # Errors
/// A sentence that says what is missing, and what to do.
pub(crate) fn own_pre_state<'a>(
    o: &Observed,
    p: &Promotion,
    place: &'a Place,
) -> Result<&'a PreState, String> {
    let name = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    let kept = place.pre_state.as_ref().map(|kept| &*kept.content);
    let namespace = p.entered.as_ref().map(|e| e.target_namespace.as_str());
    // A Retry that never entered is backed out with what the attempt before it kept.
    let ours = kept.filter(|c| {
        c.release_uid == o.uid()
            && c.environment == p.name
            && c.attempt <= p.attempt
            && Some(c.namespace.as_str()) == namespace
    });
    ours.ok_or_else(|| {
        format!(
            "the pre-state {name} in {} is missing or not that of this attempt: without it nothing can be restored, \
             so that nothing is changed; put the targets right by hand, then decide Accept or Abandon",
            o.settings.operator_namespace
        )
    })
}

/// A pre-state that somebody has deleted is kept again as it was read.
pub(crate) fn keep_again(p: &Promotion, pre_state: &PreState) -> Move {
    Move::Do(vec![Action::Capture {
        environment: p.name.clone(),
        name: plan::pre_state_name(&pre_state.release_uid, &p.name, pre_state.attempt),
        pre_state: Box::new(pre_state.clone()),
    }])
}

/// Why nothing is done without the claim, and what to do.
pub(crate) fn claim_lost(o: &Observed, place: &Place, namespace: &str) -> String {
    match &place.claim {
        Some(other) => format!(
            "the claim of {namespace} is held by {}: nothing is changed meanwhile; decide BackOut, Accept or Abandon",
            other.release
        ),
        None => format!(
            "the claim {} of {namespace} in {} is gone: somebody deleted it, or wrote this status; nothing is changed \
             until somebody decides BackOut, Accept or Abandon",
            plan::claim_name(namespace),
            o.settings.operator_namespace
        ),
    }
}

/// A claim that was deleted by hand is put back while people decide, so that nobody enters meanwhile; only where what
/// was kept for this attempt proves that it has entered.
pub(crate) fn reclaim(o: &Observed, p: &Promotion) -> Option<Move> {
    let entered = p.entered.as_ref()?;
    place(o, p).filter(|place| place.claim.is_none())?;
    let name = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    let kept = |s: &super::facts::StoredPreState| s.name == name && s.release_uid == o.uid();
    o.pre_states.iter().any(kept).then(|| {
        Move::Do(vec![Action::Claim {
            environment: p.name.clone(),
            namespace: entered.target_namespace.clone(),
            holder: o.holder(&p.name, p.attempt),
        }])
    })
}

/// Why the success of `upstream` does not count, a sentence. Status alone proves nothing: of a promotion that has
/// entered a pre-state is kept, until a newer release succeeds there, and an Accept stays as a Decision.
#[must_use]
pub fn unproved(o: &Observed, upstream: &str) -> Option<String> {
    let p = o.release.promotion(upstream)?;
    let name = plan::pre_state_name(o.uid(), upstream, p.attempt);
    let kept = o
        .pre_states
        .iter()
        .any(|s| s.name == name && s.release_uid == o.uid());
    let accepted = p.decided.as_ref().is_some_and(|decided| {
        o.decisions.iter().any(|d| {
            d.metadata.uid.as_ref() == Some(&decided.uid)
                && d.spec.environment == upstream
                && d.spec.action == crate::api::Action::Accept
                && decisions::distrust(o, d).is_none()
        })
    });
    (!kept && !accepted && newer_succeeded(o, upstream).is_none()).then(|| {
        format!(
            "status says that {upstream} Succeeded, but its pre-state {name} in {} is gone and nothing else proves it: \
             somebody may have written this status; create a Release of a new version",
            o.settings.operator_namespace
        )
    })
}

/// Whether this is a Retry that has not entered: what the attempt before it has left still stands on targets.
pub(crate) fn inherits(p: &Promotion) -> bool {
    p.state.before_entry() && p.backout.is_some()
}

/// Whatever this promotion still holds is given back: nothing of it stands on a target.
pub(crate) fn give_back(o: &Observed, p: &Promotion) -> Move {
    let mut actions = Vec::new();
    if inherits(p) {
        // The claim stays, so that nothing is built on sand, and so does what the failed attempt had captured.
        return Move::Rest(None);
    }
    if p.state != State::Succeeded && p.state != State::BackedOut {
        let unused = o
            .pre_states
            .iter()
            .filter(|s| s.release_uid == o.uid() && s.environment == p.name);
        actions.extend(unused.map(|s| Action::DeletePreState {
            name: s.name.clone(),
            uid: s.uid.clone(),
        }));
    }
    actions.extend(release_claims(o, p));
    if actions.is_empty() {
        Move::Rest(None)
    } else {
        Move::Do(actions)
    }
}

pub(crate) fn release_claims(o: &Observed, p: &Promotion) -> Vec<Action> {
    o.own_claims
        .iter()
        .filter(|c| c.holder.as_ref().is_some_and(|h| h.environment == p.name))
        .map(|c| Action::ReleaseClaim {
            environment: p.name.clone(),
            claim: c.clone(),
        })
        .collect()
}

/// `p` in another state, from now on.
pub(crate) fn moved(p: &Promotion, state: State, now: Timestamp) -> Promotion {
    let mut next = p.clone();
    next.state = state;
    next.since = Some(time(now));
    next.message = None;
    next.inconclusive = None;
    next.forecast = None;
    next
}

pub(crate) fn to(p: Promotion, announcements: Vec<Announcement>) -> Move {
    Move::To(Box::new(p), announcements)
}

/// Something failed for certain: back out where the plan says so by itself, else ask people.
pub(crate) fn fail(
    o: &Observed,
    p: &Promotion,
    reason: &'static str,
    sentence: &str,
    now: Timestamp,
) -> Move {
    let plan = o.release.spec.backout_plan.as_ref();
    let automatic = plan.is_some_and(|b| {
        b.trigger == Trigger::Automatic && b.strategy == Strategy::Restore && b.data_reversible
    });
    if automatic {
        return to_backing_out(p, "Automatic", None, &format!("{reason}: {sentence}"), now);
    }
    let owner = plan
        .and_then(|b| b.owner.as_deref())
        .unwrap_or("the owner of the release");
    let why = match plan {
        None => "there is no backout plan".to_owned(),
        Some(b) if !b.data_reversible => "the backout plan says that data cannot be put back".to_owned(),
        Some(_) => "the backout plan waits for a decision".to_owned(),
    };
    await_decision(
        p,
        reason,
        &format!("{sentence}; {why}: {owner} has to decide (BackOut, Accept or Abandon)"),
        now,
    )
}

pub(crate) fn await_decision(p: &Promotion, reason: &str, sentence: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::AwaitingDecision, now);
    next.message = Some(cut(format!("{reason}: {sentence}")));
    let note = format!("{}: {sentence}", p.name);
    to(next, announce(reasons::AWAITING_DECISION, note))
}

pub(crate) fn to_backing_out(
    p: &Promotion,
    trigger: &str,
    by: Option<&str>,
    why: &str,
    now: Timestamp,
) -> Move {
    let mut next = moved(p, State::BackingOut, now);
    next.message = Some(cut(why.to_owned()));
    let pre_state = p
        .backout
        .as_ref()
        .map(|b| b.pre_state.clone())
        .unwrap_or_default();
    next.backout = Some(Box::new(Backout {
        state: BackoutState::InProgress,
        pre_state,
        trigger: Some(trigger.to_owned()),
        by: by.map(str::to_owned),
        reason: Some(cut(why.to_owned())),
        started_at: Some(time(now)),
        finished_at: None,
    }));
    to(next, announce(reasons::BACKING_OUT, format!("{}: {why}", p.name)))
}

/// Persists that something could not be read or done, hands over to people when that lasts, or clears it.
/// `None` where what is persisted already says so.
pub(crate) fn inconclusive(
    o: &Observed,
    p: &Promotion,
    trouble: Option<(&str, &str)>,
    now: Timestamp,
) -> (Option<Move>, Option<Timestamp>) {
    match (trouble, &p.inconclusive) {
        (None, None) => (None, None),
        (None, Some(_)) => {
            let mut next = p.clone();
            next.inconclusive = None;
            (Some(to(next, vec![])), None)
        }
        (Some((reason, message)), known) => {
            let since = known.as_ref().map_or(now, |k| k.since.0);
            let over = since + o.settings.inconclusive_after;
            if now >= over {
                let sentence = format!(
                    "{message} (for {})",
                    crate::api::GoDuration::from_secs(now.duration_since(since).as_secs())
                );
                return (Some(await_decision(p, reason, &sentence, now)), None);
            }
            // Rewritten only when the reason changes: a message that counts tries would be a write a try.
            if known.as_ref().is_some_and(|k| k.reason == reason) {
                return (None, Some(whole_second_after(over)));
            }
            let mut next = p.clone();
            next.inconclusive = Some(Box::new(Inconclusive {
                since: time(since),
                reason: reason.to_owned(),
                message: cut(message.to_owned()),
            }));
            (Some(to(next, vec![])), None)
        }
    }
}

/// The first whole second that is not before `t`.
#[must_use]
pub fn whole_second_after(t: Timestamp) -> Timestamp {
    let cut = Timestamp::from_second(t.as_second()).unwrap_or(t);
    if cut < t {
        cut + SignedDuration::from_secs(1)
    } else {
        cut
    }
}
