//! Components side by side: each is latched Ready when it is, and judged by its own deadline until then.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{ComponentState, Promotion, State};
use crate::api::time;
use crate::decide::decide;
use crate::decide::facts::{BecameReady, Live, LiveComponent};
use crate::decide::fixtures::*;
use crate::decide::step::Step;
use crate::decide::tests::walk::Walk;

/// A worker, which has a minute to become ready and is ready immediately, and a ledger, which is slow.
fn side_by_side() -> Walk {
    let workload = |name: &str, within: &str| {
        json!({ "name": name, "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
                "images": [{ "container": "app", "image": image("2") }], "readyWithin": within })
    };
    let spec = json!({ "environments": ["sit"],
                       "components": [workload("worker", "1m"), workload("ledger", "10m")] });
    let mut walk = Walk::of(release_of(&spec));
    let mut worker = running()["ledger"].clone();
    worker["metadata"]["name"] = json!("worker");
    worker["metadata"]["uid"] = json!("u-worker");
    let objects = walk.objects.get_mut("payments-sit").expect("sit");
    objects.insert("worker".to_owned(), worker);
    walk.controller = only_the_worker;
    while walk.log.iter().all(|l| l != "patch payments-sit/ledger") {
        walk.step();
    }
    walk.look();
    let at = walk.now;
    live(&mut walk, "worker").became_ready = Some(BecameReady { at, pods: Some(2) });
    walk
}

fn only_the_worker(object: Value) -> Value {
    let mut object = rolled_out(object);
    if object["metadata"]["name"] == "ledger" {
        object["status"]["availableReplicas"] = json!(1);
    }
    object
}

fn live<'a>(walk: &'a mut Walk, name: &str) -> &'a mut LiveComponent {
    let place = walk.observed.places.get_mut("sit").expect("sit");
    let mut components = place.components.iter_mut();
    components.find(|c| c.name == name).expect("a component")
}

/// What is shown of a target, changed.
fn shown(walk: &mut Walk, name: &str, change: impl FnOnce(&mut Value)) {
    let Live::Present(object) = &mut live(walk, name).object else {
        panic!("no object")
    };
    change(Arc::make_mut(object));
}

/// The promotion as it is written at `at`, and recorded in status from then on.
fn written(walk: &mut Walk, at: Timestamp) -> Promotion {
    let Step::Transition(next) = decide(&walk.observed, at) else {
        panic!("nothing is written at {at}")
    };
    walk.release().status = Some(next.status);
    walk.promotion("sit").clone()
}

fn ready(p: &Promotion, name: &str) -> (ComponentState, Option<Timestamp>, Option<i64>) {
    let component = p.components.iter().find(|c| c.name == name).expect("a component");
    let at = component.ready_at.as_ref().map(|at| at.0);
    (component.state, at, component.ready_pods)
}

#[test]
fn who_is_ready_while_others_are_under_way_is_latched_within_a_second() {
    let mut walk = side_by_side();
    let at = walk.now;
    let Step::Wait(wait) = decide(&walk.observed, at) else {
        panic!("who gets ready in the same second is in the same write")
    };
    assert_eq!(wait.until, Some(at + seconds(1)));
    let p = written(&mut walk, at + seconds(1));
    assert_eq!(p.state, State::Deploying);
    assert_eq!(ready(&p, "worker"), (ComponentState::Ready, Some(at), Some(2)));
    assert_eq!(ready(&p, "ledger"), (ComponentState::Pending, None, None));
    assert!(
        matches!(decide(&walk.observed, at + seconds(1)), Step::Wait(_)),
        "written once"
    );
}

#[test]
fn where_all_are_ready_the_write_that_moves_on_says_so_for_each() {
    let mut walk = side_by_side();
    let at = walk.now;
    shown(&mut walk, "ledger", |ledger| *ledger = rolled_out(ledger.clone()));
    let p = written(&mut walk, at + SignedDuration::from_millis(200));
    assert_eq!(p.state, State::Succeeded, "at once, in one write");
    assert_eq!(p.deployed_at, Some(time(at + SignedDuration::from_millis(200))));
    assert_eq!(ready(&p, "worker"), (ComponentState::Ready, Some(at), Some(2)));
    assert_eq!(ready(&p, "ledger").0, ComponentState::Ready);
}

/// It crashes, or its node is drained, and another process leads by then.
#[test]
fn who_was_latched_is_never_ready_too_late_whoever_leads_and_whoever_is_slow() {
    let mut walk = side_by_side();
    let at = walk.now;
    written(&mut walk, at + seconds(1));
    live(&mut walk, "worker").became_ready = None;
    shown(&mut walk, "worker", |worker| {
        worker["status"]["availableReplicas"] = json!(0)
    });
    let p = written(&mut walk, at + minutes(5));
    assert_eq!(p.state, State::Deploying, "the worker's minute is over");
    assert_eq!(ready(&p, "worker"), (ComponentState::Ready, Some(at), Some(2)));
    let p = written(&mut walk, at + minutes(10));
    assert_eq!(p.state, State::BackingOut);
    let reason = p.backout.clone().and_then(|b| b.reason).expect("a reason");
    assert!(
        reason.starts_with("ReadyTooLate: Deployment ledger is not ready within 10m"),
        "{reason}"
    );
}

#[test]
fn who_is_ready_is_latched_also_by_the_write_that_says_that_another_has_failed() {
    let mut walk = side_by_side();
    let at = walk.now;
    shown(&mut walk, "ledger", |ledger| *ledger = stuck(ledger.clone()));
    let p = written(&mut walk, at);
    assert_eq!(p.state, State::BackingOut);
    assert_eq!(ready(&p, "worker"), (ComponentState::Ready, Some(at), Some(2)));
    assert_eq!(ready(&p, "ledger").0, ComponentState::Failed);
}
