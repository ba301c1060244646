//! The states of a promotion: a file for each group of states that share a step (`before_entry` has three, `verifying` two, `ended`
//! four), what all states after entry need (`after_entry`), and a Release that is being deleted (`deletion`).

mod after_entry;
pub mod awaiting_decision;
pub mod backout;
pub mod before_entry;
pub mod deletion;
pub mod deploying;
pub mod ended;
pub mod succeeded;
pub mod verifying;

use jiff::Timestamp;

use crate::api::release::{Class, Promotion};
use crate::decide::accepted::Accepted;
use crate::decide::ask::{Ask, Moment};
use crate::decide::facts::{Observed, Place};
use crate::decide::holdings::give_back;
use crate::decide::occupancy;
use crate::decide::step::Move;

/// The target namespace that is read for a promotion, if its state asks anything about it.
#[must_use]
pub fn looks_at(o: &Observed, p: &Promotion, accepted: bool) -> Option<String> {
    let asks = match p.state.class() {
        Class::BeforeEntry => return before_entry::looks_at(o, p, accepted),
        Class::Deploying | Class::Deployed | Class::AwaitingDecision | Class::BackingOut => true,
        Class::Succeeded => succeeded::asks(o, p),
        Class::BackedOut | Class::Failed | Class::NeverEntered => false,
    };
    let entered = p.entered.as_ref().filter(|_| asks)?;
    Some(entered.target_namespace.clone())
}

/// What has to be read for a promotion besides its status and what the watches show of `place`, in the order of the questions.
/// The beginning of the list does not depend on the answers; what follows an [`Ask::Environment`] depends on that answer.
#[must_use]
pub fn asks(o: &Observed, p: &Promotion, place: &Place, moment: Moment, now: Timestamp) -> Vec<Ask> {
    match p.state.class() {
        Class::BeforeEntry => before_entry::asks(o, p, place, moment),
        Class::AwaitingDecision => awaiting_decision::asks(o, p, now),
        Class::Deployed => verifying::asks(p),
        Class::Deploying | Class::BackingOut | Class::Succeeded => after_entry::asks(p),
        // `looks_at` names no place for them.
        Class::BackedOut | Class::Failed | Class::NeverEntered => vec![],
    }
}

/// What this promotion wants next.
pub(crate) fn step(o: &Observed, p: &Promotion, accepted: &Accepted, now: Timestamp) -> Move {
    occupancy::bounded(o, p, in_its_state(o, p, accepted, now), now)
}

pub(crate) fn in_its_state(o: &Observed, p: &Promotion, accepted: &Accepted, now: Timestamp) -> Move {
    match p.state.class() {
        Class::BeforeEntry => before_entry::step(o, p, accepted, now),
        Class::Deploying => deploying::step(o, p, now),
        Class::Deployed => verifying::step(o, p, now),
        Class::AwaitingDecision => awaiting_decision::step(o, p, now),
        Class::BackingOut => backout::step(o, p, now),
        Class::Succeeded => succeeded::step(o, p, now),
        Class::BackedOut | Class::Failed => ended::step(o, p, now),
        Class::NeverEntered => ended::over(o, p).unwrap_or_else(|| give_back(o, p)),
    }
}
