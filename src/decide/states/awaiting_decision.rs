//! AwaitingDecision: nothing is changed until there is a Decision, or until the Environment's `maxOccupancy.then` applies.

use jiff::Timestamp;

use crate::api::Action;
use crate::api::release::Promotion;
use crate::decide::ask::Ask;
use crate::decide::decisions::{name_ignored, pending};
use crate::decide::facts::Observed;
use crate::decide::obeying::obey;
use crate::decide::step::Move;
use crate::decide::{holdings, occupancy};

/// Only whether it still has its claim, and which Jobs run; and, once `maxOccupancy.then` is due, whether there is a Decision.
pub(crate) fn asks(o: &Observed, p: &Promotion, now: Timestamp) -> Vec<Ask> {
    let due = occupancy::is_due(o, p, now).then_some(Ask::Decisions);
    due.into_iter().chain([Ask::RunningJobs]).collect()
}

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let (decision, ignored) = pending(o, p, &[Action::BackOut, Action::Accept, Action::Abandon]);
    if let Some(decision) = decision {
        return obey(o, p, &decision, now);
    }
    name_ignored(p, &ignored)
        .or_else(|| holdings::reclaim(o, p))
        .unwrap_or(Move::Rest(None))
}
