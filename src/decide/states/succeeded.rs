//! Succeeded: the claim is released, and a BackOut is still possible.

use jiff::Timestamp;

use crate::api::Action;
use crate::api::release::{Promotion, sentence};
use crate::decide::decisions::{name_ignored, pending};
use crate::decide::drift;
use crate::decide::facts::Observed;
use crate::decide::holdings::release_claims;
use crate::decide::licence::{own_claim, place};
use crate::decide::newer::newer_succeeded;
use crate::decide::obeying::back_out;
use crate::decide::standing::{Standing, standing};
use crate::decide::step::{Effect, Move};

/// Why the targets no longer have what this promotion applied, if so: a backout would undo the changes of others.
pub(crate) fn no_longer_ours(o: &Observed, p: &Promotion) -> Option<String> {
    if let Some(newer) = newer_succeeded(o, &p.name) {
        let name = newer.metadata.name.as_deref().unwrap_or_default();
        return Some(format!(
            "{name} has Succeeded here since. Back out {name} instead."
        ));
    }
    let place = place(o, p)?;
    let kept = place.pre_state.as_ref()?;
    place.components.iter().find_map(|live| {
        let captured = kept.content.component(&live.name)?;
        match standing(o, &p.name, captured, live) {
            Standing::Unread | Standing::Applied => None,
            Standing::Gone(sentence) => Some(sentence),
            Standing::Changed(fields) => {
                Some(format!("another writer has changed {} since", fields.join(", ")))
            }
            Standing::Untouched => Some(format!("{} was reverted since", captured.target)),
        }
    })
}

/// A finished promotion reads its targets again only when a BackOut asks for it.
pub(crate) fn asks(o: &Observed, p: &Promotion) -> bool {
    pending(o, p, &[Action::BackOut]).0.is_some()
}

/// Succeeded: the claim is released. A BackOut is still possible, and waits for the claim as Queued does.
pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let (decision, mut ignored) = pending(o, p, &[Action::BackOut]);
    let Some(decision) = decision else {
        return stands(o, p, &ignored, now);
    };
    if let Some(why) = no_longer_ours(o, p) {
        let by = &decision.spec.by;
        ignored.push(format!("BackOut by {by} does not count: {}", sentence(&why)));
        return stands(o, p, &ignored, now);
    }
    let Some(place) = place(o, p) else {
        return Move::Rest(None);
    };
    if own_claim(o, p, place).is_some() {
        return back_out(p, &decision, now);
    }
    match (&place.claim, &p.entered) {
        (None, Some(entered)) => Move::Do(vec![Effect::Claim {
            environment: p.name.clone(),
            namespace: entered.target_namespace.clone(),
            holder: o.holder(&p.name, p.attempt),
        }]),
        _ => Move::Rest(None),
    }
}

/// Nothing is left to do but to report what has changed since.
pub(crate) fn stands(o: &Observed, p: &Promotion, ignored: &[String], now: Timestamp) -> Move {
    if let Some(named) = name_ignored(p, ignored) {
        return named;
    }
    let again = match drift::since_success(o, p, now) {
        Err(drifted) => return drifted,
        Ok(again) => again,
    };
    let actions = release_claims(o, p);
    if actions.is_empty() {
        Move::Rest(again)
    } else {
        Move::Do(actions)
    }
}
