//! Rules that are broken between what is observed and `decide`: each of these decides as `decide` does, on something else than
//! what was observed.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::release::{Promotion, State};
use crate::api::{Action, DecisionSpec, GoDuration, Release};
use crate::decide::decide;
use crate::decide::facts::{JobState, Live, LiveComponent, Observed, Place};
use crate::decide::plan;
use crate::decide::prestate::{Captured, PreState};
use crate::decide::step::Step;
use crate::decide::trust::may_be_one_person;
use crate::domain::paths::{self, FieldChange};
use crate::domain::readiness::{self, Due};
use crate::domain::windows::calendar_of;
use crate::world::patching;

/// What the API server counts in a DaemonSet.
const TEMPLATE_GENERATION: &str = "/metadata/annotations/deprecated.daemonset.template.generation";

pub(crate) fn seeing(observed: &Observed, now: Timestamp, edit: impl FnOnce(&mut Observed)) -> Step {
    let mut seen = observed.clone();
    edit(&mut seen);
    decide(&seen, now)
}

fn decisions(o: &mut Observed, edit: impl Fn(&Release, &mut DecisionSpec)) {
    for decision in &mut o.decisions {
        edit(&o.release, &mut Arc::make_mut(decision).spec);
    }
}

/// The places of the promotions in these states.
fn places(o: &mut Observed, state: impl Fn(State) -> bool, edit: impl Fn(&mut Place)) {
    let promotions = o.release.status.iter().flat_map(|s| &s.environments);
    for p in promotions.filter(|p| state(p.state)) {
        if let Some(place) = o.places.get_mut(&p.name) {
            edit(place);
        }
    }
}

fn promotions(o: &mut Observed) -> impl Iterator<Item = &mut Promotion> {
    let status = &mut Arc::make_mut(&mut o.release).status;
    status.iter_mut().flat_map(|s| &mut s.environments)
}

fn kept(place: &mut Place, edit: impl FnOnce(&mut PreState)) {
    if let Some(kept) = &mut place.pre_state {
        edit(Arc::make_mut(&mut kept.content));
    }
}

// ---- What people decide -----------------------------------------------------------------------------------------

pub(crate) fn old_hash_counts(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        decisions(o, |release, decision| {
            let p = release.promotion(&decision.environment);
            if let (Some(hash), Some(p)) = (&mut decision.plan_hash, p) {
                hash.clone_from(&p.plan_hash);
            }
        });
    })
}

pub(crate) fn requester_approves(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        decisions(o, |release, decision| {
            if may_be_one_person(&decision.by, &release.spec.requested_by) {
                decision.by = "someone@example.com".to_owned();
            }
        });
    })
}

pub(crate) fn one_person_twice(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        let requester = o.release.spec.requested_by.clone();
        for decision in &mut o.decisions {
            let uid = decision.metadata.uid.clone().unwrap_or_default();
            let spec = &mut Arc::make_mut(decision).spec;
            if !may_be_one_person(&spec.by, &requester) {
                spec.by.push_str(&uid);
            }
        }
    })
}

pub(crate) fn reject_ignored(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        o.decisions.retain(|d| d.spec.action != Action::Reject);
    })
}

pub(crate) fn any_attempt(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        decisions(o, |release, decision| {
            let p = release.promotion(&decision.environment);
            // A Decision for a finished attempt has been carried out.
            if let (Some(named), Some(p)) = (&mut decision.attempt, p)
                && *named > p.attempt
            {
                *named = p.attempt;
            }
        });
    })
}

pub(crate) fn hold_ignored(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| Arc::make_mut(&mut o.release).spec.hold = None)
}

pub(crate) fn window_ignored(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        for setting in Arc::make_mut(&mut o.environments).values_mut() {
            Arc::make_mut(&mut setting.environment).spec.windows.clear();
            setting.calendar = Arc::new(calendar_of(&setting.environment));
        }
    })
}

/// Their time ends immediately. The copy in status from the entry stays as it is.
pub(crate) fn owner_does_not_wait(observed: &Observed, now: Timestamp) -> Step {
    let mut step = seeing(observed, now, |o| {
        for p in promotions(o).filter(|p| p.state == State::AwaitingDecision) {
            let rule = p.entered.as_mut().and_then(|e| e.max_occupancy.as_mut());
            if let Some(rule) = rule {
                rule.after = GoDuration::from_secs(0);
            }
        }
    });
    if let Step::Transition(transition) = &mut step {
        for p in &mut transition.status.environments {
            let was = observed.release.promotion(&p.name);
            if let (Some(entered), Some(was)) = (&mut p.entered, was.and_then(|w| w.entered.as_ref())) {
                entered.max_occupancy.clone_from(&was.max_occupancy);
            }
        }
    }
    step
}

// ---- What an entry requires -------------------------------------------------------------------------------------

pub(crate) fn unknown_is_go(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        places(o, State::before_entry, |place| {
            for job in place.jobs.values_mut() {
                if matches!(job, JobState::Trouble(_)) {
                    *job = JobState::Succeeded;
                }
            }
        });
    })
}

pub(crate) fn pre_state_overwritten(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        places(o, State::before_entry, |place| {
            if let Some(before) = &mut place.predecessor {
                Arc::make_mut(before).components.clear();
            }
        });
    })
}

/// What the API server counts by itself in a DaemonSet is taken as a change of the release.
pub(crate) fn dry_run_is_ours(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        for place in o.places.values_mut() {
            let inspection = place.inspection.as_mut().map(Arc::make_mut);
            for inspected in inspection.into_iter().flat_map(|i| &mut i.components) {
                let Some(result) = inspected.result.as_ref().filter(|r| r["kind"] == "DaemonSet") else {
                    continue;
                };
                let before = paths::get(result, TEMPLATE_GENERATION).cloned();
                let count = before
                    .as_ref()
                    .and_then(Value::as_str)
                    .and_then(|n| n.parse().ok());
                inspected.changes.push(FieldChange {
                    path: TEMPLATE_GENERATION.to_owned(),
                    before,
                    after: Some(json!((count.unwrap_or(1_i64) + 1).to_string())),
                    after_digest: None,
                });
            }
        }
    })
}

// ---- While it is deployed ---------------------------------------------------------------------------------------

pub(crate) fn after_ignored(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        keep_hashes(o);
        for component in &mut Arc::make_mut(&mut o.release).spec.components {
            component.after.clear();
        }
    })
}

/// The plans stay as people have read them.
fn keep_hashes(o: &mut Observed) {
    let mut hashes = (*o.plan_hashes).clone();
    for name in &o.release.spec.environments {
        let attempt = o.release.promotion(name).map_or(1, |p| p.attempt);
        let target = o
            .environment(name)
            .map(|e| e.spec.target_namespace(o.namespace()));
        for attempt in [attempt, attempt + 1] {
            for target in [None, target.clone()] {
                let hash = plan::hash(&o.release, name, target.as_deref(), attempt);
                hashes.insert((name.clone(), target, attempt), hash);
            }
        }
    }
    o.plan_hashes = Arc::new(hashes);
}

pub(crate) fn replicas_of_the_moment(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        places(
            o,
            |state| state == State::Deploying,
            |place| {
                kept(place, |pre_state| {
                    for captured in &mut pre_state.components {
                        captured.was.replicas = None;
                    }
                });
                for live in &mut place.components {
                    live.became_ready = None;
                }
            },
        );
    })
}

/// The grace ends immediately.
pub(crate) fn health_of_the_moment(observed: &Observed, now: Timestamp) -> Step {
    let grace = observed.settings.health_grace;
    let due = Due {
        ready: None,
        since: None,
        grace,
        now,
    };
    components(observed, now, |live| {
        let object = live.object.present();
        if object.is_some_and(|object| readiness::unhealthy(object, &live.pods, &due).is_some()) {
            live.unhealthy_since.get_or_insert(now - grace * 2);
        }
    })
}

pub(crate) fn health_by_available(observed: &Observed, now: Timestamp) -> Step {
    let down = |object: &Value| {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|c| c["type"] == "Available" && c["status"] == "False")
    };
    components(observed, now, |live| {
        if !live.object.present().is_some_and(down) {
            live.unhealthy_since = None;
        }
    })
}

pub(crate) fn restarts_excused(observed: &Observed, now: Timestamp) -> Step {
    components(observed, now, |live| {
        for pod in &mut live.pods {
            let statuses = Arc::make_mut(pod).pointer_mut("/status/containerStatuses");
            let statuses = statuses.and_then(Value::as_array_mut);
            for status in statuses.into_iter().flatten().filter_map(Value::as_object_mut) {
                if status["ready"] == json!(true) {
                    status.remove("lastState");
                }
            }
        }
    })
}

pub(crate) fn lingering_ignored(observed: &Observed, now: Timestamp) -> Step {
    components(observed, now, |live| {
        live.pods
            .retain(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
    })
}

/// The places of all promotions in progress.
fn components(observed: &Observed, now: Timestamp, edit: impl Fn(&mut LiveComponent)) -> Step {
    seeing(observed, now, |o| {
        places(o, State::under_way, |place| {
            place.components.iter_mut().for_each(&edit)
        });
    })
}

/// Everything is always observed as released.
pub(crate) fn succeeded_although_changed(observed: &Observed, now: Timestamp) -> Step {
    seeing(observed, now, |o| {
        places(
            o,
            |state| state == State::Observing,
            |place| {
                let Some(kept) = place.pre_state.clone() else {
                    return;
                };
                for live in &mut place.components {
                    if let (Some(captured), Live::Present(object)) =
                        (kept.content.component(&live.name), &live.object)
                    {
                        live.object = Live::Present(Arc::new(as_released(captured, object)));
                    }
                }
            },
        );
    })
}

fn as_released(captured: &Captured, object: &Value) -> Value {
    let turned = captured.changes.iter().map(|change| FieldChange {
        path: change.path.clone(),
        before: change.after.clone(),
        after: change.before.clone(),
        after_digest: None,
    });
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let operations = paths::restoration(&turned.collect::<Vec<_>>(), object, version);
    let mut released = object.clone();
    patching::operate(&mut released, &json!(operations)).expect("made for this object");
    released
}

// ---- While it is backed out -------------------------------------------------------------------------------------

/// The first component is reported as unchanged.
pub(crate) fn restore_skips_one(observed: &Observed, now: Timestamp) -> Step {
    going_back(observed, now, |place| {
        kept(place, |pre_state| pre_state.components[0].changes.clear());
    })
}

pub(crate) fn restores_without_end(observed: &Observed, now: Timestamp) -> Step {
    going_back(observed, now, |place| {
        for live in &mut place.components {
            live.restores = None;
        }
    })
}

pub(crate) fn jobs_run_on(observed: &Observed, now: Timestamp) -> Step {
    going_back(observed, now, |place| place.jobs_running.clear())
}

fn going_back(observed: &Observed, now: Timestamp, edit: impl Fn(&mut Place)) -> Step {
    seeing(observed, now, |o| {
        places(o, |state| state == State::BackingOut, edit)
    })
}
