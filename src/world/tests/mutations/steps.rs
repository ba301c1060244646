//! Rules that are broken between `decide` and `apply`: each of these does something other than what was decided.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api;
use crate::api::release::State;
use crate::decide::decide;
use crate::decide::facts::Observed;
use crate::decide::licence::{How, TargetChange};
use crate::decide::step::{Effect, Step};
use crate::domain::paths;
use crate::world::tests::mutations::observed::seeing;

/// Changes what is done to targets.
fn changing(observed: &Observed, now: Timestamp, edit: impl Fn(&str, &str, &mut How)) -> Step {
    let mut step = decide(observed, now);
    if let Step::Act(actions) = &mut step {
        for action in actions {
            if let Effect::Change(TargetChange {
                environment,
                component,
                change,
                ..
            }) = action
            {
                edit(environment, component, change);
            }
        }
    }
    step
}

/// Does this instead, if it is something.
fn instead(step: Step, actions: Vec<Effect>) -> Step {
    if actions.is_empty() {
        step
    } else {
        Step::Act(actions)
    }
}

pub(crate) fn patch_without_version(observed: &Observed, now: Timestamp) -> Step {
    changing(observed, now, |_, _, change| {
        if let How::Patch { patch, .. } = change
            && let Some(metadata) = patch["metadata"].as_object_mut()
        {
            metadata.remove("resourceVersion");
        }
    })
}

/// As v0.1.0 restored a change.
pub(crate) fn lists_whole(observed: &Observed, now: Timestamp) -> Step {
    let whole = |change: &paths::FieldChange| match &change.before {
        Some(before) => json!({ "op": "add", "path": change.path, "value": before }),
        None => json!({ "op": "remove", "path": change.path }),
    };
    changing(observed, now, |environment, component, change| {
        let kept = observed
            .places
            .get(environment)
            .and_then(|p| p.pre_state.as_ref());
        let captured = kept.and_then(|kept| kept.content.component(component));
        if let (How::Restore { operations, .. }, Some(captured)) = (change, captured) {
            let precondition = operations[0].clone();
            let all = std::iter::once(precondition).chain(captured.changes.iter().map(whole));
            *operations = Value::Array(all.collect());
        }
    })
}

pub(crate) fn job_twice(observed: &Observed, now: Timestamp) -> Step {
    let mut step = decide(observed, now);
    if let Step::Act(actions) = &mut step {
        let again = actions.iter().filter_map(|action| match action {
            Effect::StartJob(start) => {
                let mut again = start.clone();
                again.name.push_str("-again");
                Some(Effect::StartJob(again))
            }
            _ => None,
        });
        let again: Vec<Effect> = again.collect();
        actions.extend(again);
    }
    step
}

pub(crate) fn claim_released_before_restore(observed: &Observed, now: Timestamp) -> Step {
    let step = decide(observed, now);
    let Step::Act(actions) = &step else { return step };
    let gives_back = actions.iter().find_map(|action| match action {
        Effect::Change(TargetChange {
            environment,
            change: How::Restore { .. } | How::Delete { .. },
            ..
        }) => Some(Effect::ReleaseClaim {
            environment: environment.clone(),
            claim: observed.places.get(environment)?.claim.clone()?,
        }),
        _ => None,
    });
    let gives_back = gives_back.into_iter().collect();
    instead(step, gives_back)
}

/// The next Release in the queue takes over the claim.
pub(crate) fn claim_not_needed(observed: &Observed, now: Timestamp) -> Step {
    let promotions = observed.release.status.iter().flat_map(|s| &s.environments);
    let queued = promotions.filter(|p| p.state == State::Queued);
    let takes_over = queued.filter_map(|p| {
        Some(Effect::TakeOver {
            environment: p.name.clone(),
            claim: observed.places.get(&p.name)?.claim.clone()?,
            holder: observed.holder(&p.name, p.attempt),
        })
    });
    match decide(observed, now) {
        wait @ Step::Wait(_) => instead(wait, takes_over.collect()),
        step => step,
    }
}

pub(crate) fn deleted_forgets_claim(observed: &Observed, now: Timestamp) -> Step {
    let step = decide(observed, now);
    let going = observed.release.metadata.deletion_timestamp.is_some();
    let failed = |environment: &str| {
        let p = observed.release.promotion(environment);
        going && p.is_some_and(|p| p.state == State::Failed)
    };
    let gives_back = observed.own_claims.iter().filter_map(|claim| {
        let environment = claim.holder.as_ref()?.environment.clone();
        failed(&environment).then(|| Effect::ReleaseClaim {
            environment,
            claim: claim.clone(),
        })
    });
    instead(step, gives_back.collect())
}

/// The Release becomes the owner of its Rejects, too.
pub(crate) fn reject_goes_with_release(observed: &Observed, now: Timestamp) -> Step {
    let rejects =
        |d: &api::Decision| d.spec.action == api::Action::Reject && d.spec.release == observed.name();
    let step = seeing(observed, now, |o| {
        // A Reject that it already owns would be released.
        for reject in o.decisions.iter_mut().filter(|d| rejects(d)) {
            Arc::make_mut(reject).metadata.owner_references = None;
        }
    });
    let rejects = observed.decisions.iter().filter(|d| rejects(d));
    let strays = rejects.filter(|d| d.metadata.owner_references.is_none());
    let adopts = strays.map(|d| Effect::Adopt {
        decision: d.metadata.name.clone().unwrap_or_default(),
        uid: d.metadata.uid.clone().unwrap_or_default(),
    });
    match step {
        wait @ Step::Wait(_) => instead(wait, adopts.collect()),
        step => step,
    }
}
