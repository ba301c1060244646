//! What every state after entry checks first.

use jiff::Timestamp;

use crate::api::release::{Promotion, State};
use crate::api::{Action, reasons};
use crate::decide::ask::Ask;
use crate::decide::facts::{NamespaceState, Observed};
use crate::decide::licence::{self, Licence, Unlicensed};
use crate::decide::moves::await_decision;
use crate::decide::step::Move;
use crate::decide::{decisions, holdings, obeying, plan};

/// Its claim, its pre-state, each of its targets, and which of its Jobs run.
pub(crate) fn asks(p: &Promotion) -> Vec<Ask> {
    let name = p.backout.as_ref().map(|b| b.pre_state.clone());
    let name = name.unwrap_or_default();
    vec![
        Ask::OwnClaim,
        Ask::PreState { name },
        Ask::Targets,
        Ask::RunningJobs,
    ]
}

/// What every state after entry needs; else the move that reports what is missing.
pub(crate) fn after_entry<'a>(
    o: &'a Observed,
    p: &'a Promotion,
    now: Timestamp,
) -> Result<Licence<'a>, Move> {
    let licence = match Licence::of(o, p) {
        Ok(licence) => licence,
        Err(Unlicensed::NotRead) => return Err(Move::Rest(None)),
        Err(Unlicensed::NotEntered) => {
            let sentence = "Status says that the release has entered, but not which namespace: another writer has changed status. Create a Decision (Accept or Abandon).";
            return Err(await_decision(p, reasons::CONFLICT, sentence, now));
        }
        Err(Unlicensed::NoPreState(none)) => {
            let sentence = none.to_string();
            return Err(await_decision(p, reasons::PRE_STATE_MISSING, &sentence, now));
        }
        Err(Unlicensed::NoClaim(entered, place)) => {
            let sentence = licence::claim_lost(o, place, &entered.target_namespace);
            return Err(await_decision(p, reasons::CLAIM_LOST, &sentence, now));
        }
    };
    let Licence {
        entered,
        place,
        pre_state,
        ..
    } = licence;
    let namespace = &entered.target_namespace;
    if place.namespace != NamespaceState::Present {
        let is = match place.namespace {
            NamespaceState::Terminating => "is being deleted",
            _ => "no longer exists",
        };
        let sentence = format!(
            "Target namespace {namespace} {is}, with everything that was released into it. Create the namespace and its targets again by hand, then create a Decision (Accept or Abandon)."
        );
        return Err(await_decision(p, reasons::TARGET_GONE, &sentence, now));
    }
    if place.pre_state_gone {
        return Err(holdings::keep_again(p, pre_state));
    }
    let planned = |hash: &str| {
        let (environment, namespace) = (p.name.as_str(), Some(namespace.as_str()));
        o.plan_hash(environment, namespace, p.attempt) == hash
            || plan::hash_without_source(&o.release, environment, namespace, p.attempt) == hash
    };
    if p.state == State::Deploying && !planned(&pre_state.plan_hash) {
        let sentence = "The plan has changed since the pre-state was captured, so nothing further is changed. A Decision is required (BackOut, Accept or Abandon).";
        return Err(await_decision(p, reasons::CONFLICT, sentence, now));
    }
    Ok(licence)
}

/// A BackOut by an entitled user, from any state that can be backed out.
pub(crate) fn backout_asked(o: &Observed, p: &Promotion, now: Timestamp) -> Option<Move> {
    let (decision, _) = decisions::pending(o, p, &[Action::BackOut]);
    decision.map(|decision| obeying::back_out(p, &decision, now))
}
