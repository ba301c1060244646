//! How long one Release may occupy an environment: once that is over people are asked, and when nobody has decided for as long
//! again, what the Environment's owner has chosen is done. Every instant is derived from what stands on status, and each of the two
//! steps is counted from a state that was written: an operator that was away, or is new, takes no time from people.

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

/// How long where the Environment says nothing, besides what deploying, verification and observation may take.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// What began a backout that was nobody's Decision.
const TRIGGER: &str = "MaxOccupancy";

/// Whether it was the Environment's owner who chose this backout beforehand, and nobody who looks at it now.
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

/// Since when it occupies: since its entry, or since what had already ended began to be backed out.
fn since(p: &Promotion) -> Option<Timestamp> {
    let began = if p.finished_at.is_some() {
        p.backout.as_ref()?.started_at.as_ref()
    } else {
        p.started_at.as_ref()
    };
    began.map(|t| t.0)
}

/// `t` and as much later, in whole seconds as status has them.
fn after(t: Timestamp, by: SignedDuration) -> Timestamp {
    t.checked_add(by).map_or(Timestamp::MAX, whole_second_after)
}

/// When it has occupied the environment for as long as it may.
fn over(o: &Observed, p: &Promotion) -> Option<Timestamp> {
    Some(after(since(p)?, allowed(o, p.entered.as_ref()?)))
}

/// Whether people were asked only after that: a review is owed. So it is where the owner's choice was carried out, as it is for every
/// backout and failure.
pub(crate) fn was_too_long(o: &Observed, p: &Promotion) -> bool {
    let asked = p.since.as_ref().filter(|_| p.state == State::AwaitingDecision);
    let (asked, over) = (asked.map(|t| t.0), over(o, p));
    asked.zip(over).is_some_and(|(asked, over)| asked >= over)
}

/// `next` as it is bounded by the time that this promotion may take.
pub(crate) fn bounded(o: &Observed, p: &Promotion, next: Move, now: Timestamp) -> Move {
    match p.state.class() {
        Class::Deploying | Class::Deployed => people_are_asked(o, p, next, now),
        Class::AwaitingDecision => nobody_decided(o, p, next, now),
        // A backout is not cut off: half restored is the worst of all. It has a time of its own.
        Class::BackingOut => next,
        Class::BeforeEntry | Class::Succeeded | Class::BackedOut | Class::Failed | Class::NeverEntered => {
            next
        }
    }
}

fn people_are_asked(o: &Observed, p: &Promotion, next: Move, now: Timestamp) -> Move {
    let Some(over) = over(o, p) else { return next };
    match next {
        // Where it ends or fails in this very pass, there is nobody to ask.
        Move::To(next, told) if next.state != p.state => Move::To(next, told),
        Move::Rest(until) if now < over => Move::Rest(earliest(until, Some(over))),
        next if now < over => next,
        // What is seen in the same pass is written down with it.
        Move::To(next, told) => ask(o, &next, told, now),
        Move::Do(_) | Move::Rest(_) => ask(o, p, vec![], now),
    }
}

/// What people read of it: how long it may take, and since when it does.
fn sentence(o: &Observed, p: &Promotion) -> String {
    let may = p
        .entered
        .as_ref()
        .map(|entered| allowed(o, entered))
        .unwrap_or_default();
    let since = since(p).map_or_else(String::new, |since| format!(" since {since}"));
    let may = GoDuration::from_secs(may.as_secs());
    format!("it has occupied the environment{since}, and may for {may}")
}

fn ask(o: &Observed, p: &Promotion, mut told: Vec<Announcement>, now: Timestamp) -> Move {
    let mut next = moved(p, State::AwaitingDecision, now);
    let then = due(o, &next).map_or_else(String::new, |(due, then)| {
        format!("; without a Decision, {} follows at {due}", named(then))
    });
    let sentence = format!("{}: decide BackOut, Accept or Abandon{then}", sentence(o, p));
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

/// What is done where nobody decides: what the owner has chosen, but for a backout that nobody looks at and that could do harm.
fn choice(o: &Observed, p: &Promotion) -> Option<Then> {
    let chosen = p.entered.as_ref()?.max_occupancy.as_ref()?.then?;
    let plan = o.release.spec.backout_plan.as_ref();
    let data_stays = plan.is_some_and(|plan| !plan.data_reversible);
    // People had to be asked about it, whoever began it: it could write over what others have written since.
    let tried = p.backout.as_ref().is_some_and(|b| b.state != BackoutState::Armed);
    Some(if data_stays || tried {
        Then::Abandon
    } else {
        chosen
    })
}

/// When that is done, and what: as long again after the time was over, or after people were asked where that came later.
fn due(o: &Observed, p: &Promotion) -> Option<(Timestamp, Then)> {
    let then = choice(o, p)?;
    let (over, asked) = (over(o, p)?, p.since.as_ref()?.0);
    Some((after(over.max(asked), allowed(o, p.entered.as_ref()?)), then))
}

/// Whether nothing but a Decision that the watch has not shown yet keeps the owner's choice from being done.
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
    let why = format!("{}, and nobody has decided", sentence(o, p));
    match then {
        Then::BackOut => to_backing_out(p, TRIGGER, Some(&by), &format!("{by}: {why}"), now),
        Then::Abandon => obeying::abandoned(p, &by, &why, now),
    }
}
