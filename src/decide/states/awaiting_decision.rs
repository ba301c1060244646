//! AwaitingDecision: nothing is changed until a person decides, or the Environment's owner by `maxOccupancy.then`.

use jiff::Timestamp;

use crate::api::Action as Act;
use crate::api::release::Promotion;
use crate::decide::ask::Ask;
use crate::decide::decisions::{name_ignored, pending};
use crate::decide::facts::Observed;
use crate::decide::obeying::obey;
use crate::decide::step::Move;
use crate::decide::{holdings, occupancy};

/// Only whether its claim still stands, and which Jobs run; and once the environment's owner is about to decide, whether a person has.
pub(crate) fn asks(o: &Observed, p: &Promotion, now: Timestamp) -> Vec<Ask> {
    let due = occupancy::is_due(o, p, now).then_some(Ask::Decisions);
    due.into_iter().chain([Ask::RunningJobs]).collect()
}

pub(crate) fn awaiting(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let (decision, ignored) = pending(o, p, &[Act::BackOut, Act::Accept, Act::Abandon]);
    if let Some(decision) = decision {
        return obey(o, p, &decision, now);
    }
    name_ignored(p, &ignored)
        .or_else(|| holdings::reclaim(o, p))
        .unwrap_or(Move::Rest(None))
}
