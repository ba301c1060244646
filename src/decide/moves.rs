//! From one state to another: what is recorded in status and announced as an Event.

use jiff::Timestamp;

use crate::api::release::{
    Backout, BackoutState, ComponentState, Inconclusive, Promotion, State, Strategy, Trigger, sentence,
};
use crate::api::{self, reasons, time};
use crate::decide::facts::Observed;
use crate::decide::step::{Announcement, Move, announce};
use crate::domain::text::{capitalized, cut};
use crate::domain::time::whole_second_after;

/// `p` in another state, from now on.
pub(crate) fn moved(p: &Promotion, state: State, now: Timestamp) -> Promotion {
    let mut next = p.clone();
    next.state = state;
    next.since = Some(time(now));
    next.message = None;
    next.not_counted = None;
    next.inconclusive = None;
    next.forecast = None;
    next
}

pub(crate) fn to(p: Promotion, announcements: Vec<Announcement>) -> Move {
    Move::To(Box::new(p), announcements)
}

/// Something failed definitely: back out if the plan says so, else a Decision is required. `why` is a complete sentence.
pub(crate) fn fail(o: &Observed, p: &Promotion, reason: &'static str, why: &str, now: Timestamp) -> Move {
    let plan = o.release.spec.backout_plan.as_ref();
    let automatic = plan.is_some_and(|b| {
        b.trigger == Trigger::Automatic && b.strategy == Strategy::Restore && b.data_reversible
    });
    if automatic {
        return to_backing_out(p, "Automatic", None, &format!("{reason}: {why}"), now);
    }
    let owner = plan
        .and_then(|b| b.owner.as_deref())
        .unwrap_or("the requester of the release");
    let not_automatic = match plan {
        None => "spec.backoutPlan is not set, so there is no automatic backout.",
        Some(b) if !b.data_reversible => {
            "backoutPlan.dataReversible is false, so the backout does not start automatically."
        }
        Some(_) => "backoutPlan.trigger is OnDecision, so the backout does not start automatically.",
    };
    await_decision(
        p,
        reason,
        &format!(
            "{why} {not_automatic} A Decision is required (BackOut, Accept or Abandon). Contact: {}",
            sentence(owner)
        ),
        now,
    )
}

/// Nothing is changed until there is a Decision. `why` is a complete sentence.
pub(crate) fn await_decision(p: &Promotion, reason: &str, why: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::AwaitingDecision, now);
    next.message = Some(cut(format!("{reason}: {why}")));
    to(next, announce(&p.name, reasons::AWAITING_DECISION, why))
}

/// The backout begins. `why` is a complete sentence.
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
    to(next, announce(&p.name, reasons::BACKING_OUT, why))
}

/// Persists that something could not be read or done, requires a Decision if that lasts, or clears it.
/// `None` if that is persisted already.
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
                let lasts = format!(
                    "{} This has lasted for {}. A Decision is required (BackOut, Accept or Abandon).",
                    sentence(&capitalized(message)),
                    api::GoDuration::from_secs(now.duration_since(since).as_secs())
                );
                return (Some(await_decision(p, reason, &lasts, now)), None);
            }
            // Rewritten only when the reason changes: a message that counts retries would cause a write per retry.
            if known.as_ref().is_some_and(|k| k.reason == reason) {
                return (None, Some(whole_second_after(over)));
            }
            let mut next = p.clone();
            next.inconclusive = Some(Box::new(Inconclusive {
                since: time(since),
                reason: reason.to_owned(),
                message: cut(sentence(&capitalized(message))),
            }));
            (Some(to(next, vec![])), None)
        }
    }
}

/// It has Succeeded. `how` is empty, or complete sentences.
pub(crate) fn succeed(_: &Observed, p: &Promotion, how: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Succeeded, now);
    next.finished_at = Some(time(now));
    next.message = (!how.is_empty()).then(|| cut(how.to_owned()));
    // Drift was either reverted or accepted.
    for component in &mut next.components {
        component.drift = None;
        if component.state == ComponentState::Ready {
            component.message = None;
        }
    }
    let took = p
        .started_at
        .as_ref()
        .map_or(0, |s| now.duration_since(s.0).as_secs());
    let says = format!(
        "Succeeded after {took} s.{}{how}",
        if how.is_empty() { "" } else { " " }
    );
    to(next, announce(&p.name, reasons::SUCCEEDED, &says))
}
