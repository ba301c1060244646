//! How long one Release may occupy an environment. When that time has expired, a Decision is required. If there is none for the same
//! time again, the Environment's `maxOccupancy.then` is carried out. Every instant is derived from status, and each of the two steps is
//! counted from a state that was written: downtime of the operator does not shorten the time for a Decision.

use jiff::{SignedDuration, Timestamp};

use crate::api::environment::Then;
use crate::api::release::{Backout, BackoutState, Class, Entered, Promotion, State};
use crate::api::{GoDuration, reasons};
use crate::decide::facts::Observed;
use crate::decide::moves::{moved, to, to_backing_out};
use crate::decide::obeying;
use crate::decide::step::{Announcement, Move, announce};
use crate::domain::text::cut;
use crate::domain::time::{earliest, whole_second_after};

/// The limit if the Environment has none, in addition to what deploying, verification and observation may take.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// What started a backout that no Decision asked for.
const TRIGGER: &str = "MaxOccupancy";

/// Whether the Environment's `maxOccupancy.then` started this backout, rather than a Decision.
pub(crate) fn began(backout: &Backout) -> bool {
    backout.trigger.as_deref() == Some(TRIGGER)
}

/// How long it may take from the entry to the end.
fn allowed(o: &Observed, entered: &Entered) -> SignedDuration {
    if let Some(said) = &entered.max_occupancy {
        return said.after.get();
    }
    let deploying = o.release.spec.components.iter().map(|c| &c.ready_within);
    let verification = entered.verification.iter().filter_map(|v| v.job.as_ref());
    let lawful = deploying
        .chain(verification.map(|job| &job.timeout))
        .chain(&entered.observation);
    lawful.fold(A_DAY, |sum, most| sum.saturating_add(most.get()))
}

/// Since when it occupies the environment: since its entry or, if it was finished before, since its backout began.
fn since(p: &Promotion) -> Option<Timestamp> {
    let began = if p.finished_at.is_some() {
        p.backout.as_ref()?.started_at.as_ref()
    } else {
        p.started_at.as_ref()
    };
    began.map(|t| t.0)
}

/// `t` plus `by`, in whole seconds as in status.
fn after(t: Timestamp, by: SignedDuration) -> Timestamp {
    t.checked_add(by).map_or(Timestamp::MAX, whole_second_after)
}

/// When it has occupied the environment for as long as it may.
fn over(o: &Observed, p: &Promotion) -> Option<Timestamp> {
    Some(after(since(p)?, allowed(o, p.entered.as_ref()?)))
}

/// Whether a Decision was required only after that: then a review is required. If `maxOccupancy.then` was carried out, a review is
/// required anyway, as after every backout and failure.
pub(crate) fn was_too_long(o: &Observed, p: &Promotion) -> bool {
    let asked = p.since.as_ref().filter(|_| p.state == State::AwaitingDecision);
    let (asked, over) = (asked.map(|t| t.0), over(o, p));
    asked.zip(over).is_some_and(|(asked, over)| asked >= over)
}

/// `next`, limited by the time that this promotion may take.
pub(crate) fn bounded(o: &Observed, p: &Promotion, next: Move, now: Timestamp) -> Move {
    match p.state.class() {
        Class::Deploying | Class::Deployed => people_are_asked(o, p, next, now),
        Class::AwaitingDecision => nobody_decided(o, p, next, now),
        // A backout is not interrupted: a half restored target is the worst state. It has its own time limit.
        Class::BackingOut => next,
        Class::BeforeEntry | Class::Succeeded | Class::BackedOut | Class::Failed | Class::NeverEntered => {
            next
        }
    }
}

fn people_are_asked(o: &Observed, p: &Promotion, next: Move, now: Timestamp) -> Move {
    let Some(over) = over(o, p) else { return next };
    match next {
        // If it finishes or fails in this reconcile, no Decision is required.
        Move::To(next, told) if next.state != p.state => Move::To(next, told),
        Move::Rest(until) if now < over => Move::Rest(earliest(until, Some(over))),
        next if now < over => next,
        // What is observed in the same reconcile is recorded with it.
        Move::To(next, told) => ask(o, &next, told, now),
        Move::Do(_) | Move::Rest(_) => ask(o, p, vec![], now),
    }
}

/// Since when it has occupied the environment, and how long it may, as a sentence.
fn sentence(o: &Observed, p: &Promotion) -> String {
    let may = p
        .entered
        .as_ref()
        .map(|entered| allowed(o, entered))
        .unwrap_or_default();
    let since = since(p).map_or_else(String::new, |since| format!(" since {since}"));
    let may = GoDuration::from_secs(may.as_secs());
    format!("This release has occupied the environment{since}, longer than the limit of {may}.")
}

fn ask(o: &Observed, p: &Promotion, mut told: Vec<Announcement>, now: Timestamp) -> Move {
    let mut next = moved(p, State::AwaitingDecision, now);
    let then = due(o, &next).map_or_else(String::new, |(due, then)| {
        format!(" Without a Decision, {} follows at {due}.", named(then))
    });
    let sentence = format!(
        "{} A Decision is required (BackOut, Accept or Abandon).{then}",
        sentence(o, p)
    );
    next.message = Some(cut(format!("{}: {sentence}", reasons::OCCUPIED_TOO_LONG)));
    told.extend(announce(&p.name, reasons::OCCUPIED_TOO_LONG, &sentence));
    to(next, told)
}

fn named(then: Then) -> &'static str {
    match then {
        Then::BackOut => "BackOut",
        Then::Abandon => "Abandon",
    }
}

/// What is done without a Decision: `maxOccupancy.then`, except for a backout that could do harm while no one watches it.
fn choice(o: &Observed, p: &Promotion) -> Option<Then> {
    let chosen = p.entered.as_ref()?.max_occupancy.as_ref()?.then?;
    let plan = o.release.spec.backout_plan.as_ref();
    let data_stays = plan.is_some_and(|plan| !plan.data_reversible);
    // The backout needed a Decision, whatever started it: it could overwrite what others have written since.
    let tried = p.backout.as_ref().is_some_and(|b| b.state != BackoutState::Armed);
    Some(if data_stays || tried {
        Then::Abandon
    } else {
        chosen
    })
}

/// When that is done, and what: the same time again after the limit, or after a Decision was required if that came later.
fn due(o: &Observed, p: &Promotion) -> Option<(Timestamp, Then)> {
    let then = choice(o, p)?;
    let (over, asked) = (over(o, p)?, p.since.as_ref()?.0);
    Some((after(over.max(asked), allowed(o, p.entered.as_ref()?)), then))
}

/// Whether `maxOccupancy.then` is carried out now, unless there is a Decision that the watch has not shown yet.
#[must_use]
pub fn is_due(o: &Observed, p: &Promotion, now: Timestamp) -> bool {
    p.state == State::AwaitingDecision && due(o, p).is_some_and(|(due, _)| now >= due)
}

fn nobody_decided(o: &Observed, p: &Promotion, next: Move, now: Timestamp) -> Move {
    let (Move::Rest(until), Some((due, then))) = (&next, due(o, p)) else {
        return next;
    };
    if now < due {
        return Move::Rest(earliest(*until, Some(due)));
    }
    let by = format!("maxOccupancy of Environment {}", p.name);
    let why = format!("{} There was no Decision.", sentence(o, p));
    match then {
        Then::BackOut => to_backing_out(p, TRIGGER, Some(&by), &format!("BackOut by {by}: {why}"), now),
        Then::Abandon => obeying::abandoned(p, &by, &why, now),
    }
}
