//! BackedOut, Failed, Superseded and Withdrawn.

use jiff::Timestamp;

use crate::api::Action;
use crate::api::release::{Promotion, State};
use crate::decide::decisions::{acted_on, name_ignored, pending};
use crate::decide::facts::Observed;
use crate::decide::holdings::give_back;
use crate::decide::obeying::obey;
use crate::decide::step::{Effect, Move};

/// Superseded and Withdrawn: later Decisions are named in status, and have no effect.
pub(crate) fn over(o: &Observed, p: &Promotion) -> Option<Move> {
    let since = p.since.as_ref()?;
    let late = o
        .decisions
        .iter()
        .filter(|d| d.spec.environment == p.name && d.metadata.creation_timestamp.as_ref() >= Some(since))
        .filter(|d| !acted_on(p, d));
    let ignored: Vec<String> = late
        .map(|d| {
            format!(
                "{} by {} does not count: it was given after the Release was {}.",
                d.spec.action.as_str(),
                d.spec.by,
                p.state.as_str()
            )
        })
        .collect();
    name_ignored(p, &ignored)
}

/// BackedOut and Failed: finished, until a Retry. A failure may also be backed out or accepted.
pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let failed = p.state == State::Failed;
    let lawful: &[Action] = if failed {
        &[Action::BackOut, Action::Accept, Action::Abandon, Action::Retry]
    } else {
        &[Action::Retry]
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

/// The Lease stays, marked as Unsettled: a Decision is required.
pub(crate) fn leave_unsettled(o: &Observed, p: &Promotion) -> Move {
    let own = o.own_claims.iter().find(|c| {
        c.holder
            .as_ref()
            .is_some_and(|h| h.environment == p.name && h.attempt == p.attempt)
            && !c.unsettled
    });
    match own {
        Some(claim) => Move::Do(vec![Effect::MarkUnsettled {
            environment: p.name.clone(),
            claim: claim.clone(),
        }]),
        None => Move::Rest(None),
    }
}
