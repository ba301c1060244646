//! A Release that is being deleted: nothing new starts, what is in progress is abandoned or backed out first, then its finalizer
//! is removed. What was promoted stays.

use jiff::Timestamp;

use crate::api::release::{BackoutState, Class, Promotion, State};
use crate::api::{ON_DELETE, reasons, time};
use crate::decide::facts::{Observed, Remembered};
use crate::decide::holdings::give_back;
use crate::decide::moves::{moved, to, to_backing_out};
use crate::decide::newer::newer_stands;
use crate::decide::plan;
use crate::decide::states::{backout, ended};
use crate::decide::step::{Effect, Move, announce};
use crate::domain::version::Version;

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    match p.state.class() {
        Class::Deploying | Class::Deployed | Class::AwaitingDecision => {
            if backs_out(o) && p.backout.as_ref().is_some_and(|b| b.state == BackoutState::Armed) {
                let why =
                    "The Release is being deleted, and its annotation signalbox.dev/on-delete is BackOut.";
                return to_backing_out(p, "Deletion", None, why, now);
            }
            let mut next = moved(p, State::Failed, now);
            next.message = Some(
                "Abandoned because the Release was deleted; the target namespace is Unsettled.".to_owned(),
            );
            next.finished_at = Some(time(now));
            to(
                next,
                announce(
                    &p.name,
                    reasons::FAILED,
                    "Abandoned because the Release was deleted; the target namespace is Unsettled.",
                ),
            )
        }
        // A half restored target is the worst state: the backout continues to its end, which maxDuration limits.
        Class::BackingOut => backout::step(o, p, now),
        Class::Failed => ended::leave_unsettled(o, p),
        Class::BeforeEntry | Class::Succeeded | Class::BackedOut | Class::NeverEntered => give_back(o, p),
    }
}

fn backs_out(o: &Observed) -> bool {
    let annotations = o.release.metadata.annotations.as_ref();
    annotations
        .and_then(|a| a.get(ON_DELETE))
        .is_some_and(|v| v == "BackOut")
}

/// Nothing is in progress any more: delete the pre-states, then remove the finalizer.
pub(crate) fn let_go(o: &Observed) -> Vec<Effect> {
    let promotions = o.release.status.iter().flat_map(|s| &s.environments);
    if promotions.into_iter().any(|p| p.state.under_way()) {
        return vec![];
    }
    let mut actions = remember(o);
    let own = o.pre_states.iter().filter(|s| s.release_uid == o.uid());
    actions.extend(own.map(|s| Effect::DeletePreState {
        name: s.name.clone(),
        uid: s.uid.clone(),
    }));
    actions.push(Effect::RemoveFinalizer);
    actions
}

/// The newest version that Succeeded is recorded beyond its Release: a Release that is created again, from a backup or from Git, does
/// not know the others. While a newer Release still exists, its own status records it.
fn remember(o: &Observed) -> Vec<Effect> {
    let spec = &o.release.spec;
    let Ok(ours) = spec.version.parse::<Version>() else {
        return vec![];
    };
    let promotions = o.release.status.iter().flat_map(|s| &s.environments);
    let newest = promotions.filter(|p| p.state == State::Succeeded && newer_stands(o, &p.name).is_none());
    let mut actions = Vec::new();
    for p in newest {
        let known = o.remembered.iter().find(|r| r.environment == p.name);
        if known.is_some_and(|r| r.version.parse::<Version>().is_ok_and(|v| v >= ours)) {
            continue;
        }
        actions.extend(known.map(|older| Effect::DeletePreState {
            name: older.name.clone(),
            uid: older.uid.clone(),
        }));
        actions.push(Effect::Remember(Box::new(Remembered {
            name: plan::remembered_name(o.namespace(), &spec.product, &spec.line, &p.name),
            uid: String::new(),
            namespace: o.namespace().to_owned(),
            product: spec.product.clone(),
            line: spec.line.clone(),
            environment: p.name.clone(),
            version: spec.version.clone(),
            release: o.name().to_owned(),
        })));
    }
    actions
}
