//! A Release that is being deleted: nothing new starts, what is under way is abandoned or backed out first, then it
//! lets go. What was promoted stays.

use jiff::Timestamp;

use super::facts::Observed;
use super::promotion::{give_back, moved, to, to_backing_out};
use super::{Action, Move, announce, backout, decisions};
use crate::api::release::{BackoutState, Promotion, State};
use crate::api::{ON_DELETE, reasons, time};
use crate::mutation::{self, Mutation};

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    match p.state {
        State::Deploying | State::Verifying | State::Observing | State::AwaitingDecision => {
            if backs_out(o) && p.backout.as_ref().is_some_and(|b| b.state == BackoutState::Armed) {
                return to_backing_out(p, "Deletion", None, "the Release is being deleted", now);
            }
            let mut next = moved(p, State::Failed, now);
            next.message =
                Some("abandoned because the Release was deleted; the target is Unsettled".to_owned());
            next.finished_at = Some(time(now));
            to(
                next,
                announce(
                    reasons::FAILED,
                    format!("{}: abandoned because the Release was deleted", p.name),
                ),
            )
        }
        // Half restored is the worst of all: it goes on to its end, which maxDuration bounds.
        State::BackingOut => backout::step(o, p, now),
        State::Failed if mutation::is(Mutation::DeletedForgetsClaim) => give_back(o, p),
        State::Failed => decisions::leave_unsettled(o, p),
        _ => give_back(o, p),
    }
}

fn backs_out(o: &Observed) -> bool {
    let annotations = o.release.metadata.annotations.as_ref();
    annotations
        .and_then(|a| a.get(ON_DELETE))
        .is_some_and(|v| v == "BackOut")
}

/// Nothing is under way any more: pre-states go, then the Release.
pub(crate) fn let_go(o: &Observed) -> Vec<Action> {
    let promotions = o.release.status.iter().flat_map(|s| &s.environments);
    if promotions.into_iter().any(|p| p.state.under_way()) {
        return vec![];
    }
    let own = o.pre_states.iter().filter(|s| s.release_uid == o.uid());
    let mut actions: Vec<Action> = own
        .map(|s| Action::DeletePreState {
            name: s.name.clone(),
            uid: s.uid.clone(),
        })
        .collect();
    actions.push(Action::RemoveFinalizer);
    actions
}
