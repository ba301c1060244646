//! Promotions that fail, and the Decisions about them.
//!
//! It is long because each Decision is tried in each state that it can meet.

use crate::api::Decision;
use crate::api::release::{BackoutState, ComponentState, Hold, State};
use crate::decide::decide;
use crate::decide::facts::JobState;
use crate::decide::fixtures::*;
use crate::decide::licence::{How, TargetChange};
use crate::decide::step::{Effect, Step};
use crate::decide::tests::walk::Walk;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) fn act(action: &str, environment: &str, attempt: i64, created: Timestamp) -> Decision {
    decision(
        action,
        "olga@example.com",
        environment,
        created,
        json!({ "attempt": attempt }),
    )
}

fn on_decision() -> Walk {
    let plan =
        json!({ "backoutPlan": { "summary": "s", "owner": "olga@example.com", "trigger": "OnDecision" } });
    Walk::of(release_of(&plan))
}

/// SIT failed and waits for a Decision.
pub(crate) fn awaiting() -> Walk {
    let mut walk = on_decision();
    walk.controller = stuck;
    walk.settle();
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
    walk.written();
    walk.later(seconds(60));
    walk
}

/// SIT failed, was abandoned, and its claim says Unsettled.
pub(crate) fn abandoned() -> Walk {
    let mut walk = awaiting();
    walk.decides(act("Abandon", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["status: sit Failed", "unsettled payments-sit"]);
    walk.later(seconds(60));
    walk
}

pub(crate) fn deploying() -> Walk {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "patch payments-sit/ledger") {
        walk.step();
    }
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .get_mut("ledger")
        .expect("ledger")["status"] = json!({});
    walk.written();
    walk
}

pub(crate) fn comes_to_rest(walk: &mut Walk) {
    walk.settle();
    walk.written();
    walk.settle();
    assert_eq!(walk.written(), Vec::<String>::new());
}

#[test]
fn a_failure_is_backed_out_in_reverse_order_and_compared() {
    let mut walk = Walk::of(release());
    walk.controller = |object| {
        let broken = object.pointer("/spec/template/spec/containers/0/image") == Some(&json!(image("2")));
        if broken { stuck(object) } else { rolled_out(object) }
    };
    walk.run();
    let written = walk.written();
    assert_eq!(
        written[4..],
        [
            "patch payments-sit/config",
            "status: -",
            "patch payments-sit/ledger",
            "status: sit BackingOut",
            "restore payments-sit/ledger",
            "restore payments-sit/config",
            "status: sit BackedOut",
            "release payments-sit",
        ]
    );
    assert!(written.len() - 1 <= 10 + 2 + 2);
    let p = walk.promotion("sit");
    assert_eq!(
        p.message.as_deref(),
        Some(
            "Backout complete: every changed field matches the captured pre-state. Cause: Failed: Deployment ledger: ProgressDeadlineExceeded: Progressing=False (ProgressDeadlineExceeded): timed out."
        )
    );
    assert_eq!(p.backout.as_ref().map(|b| b.state), Some(BackoutState::Verified));
    assert!(p.components.iter().all(|c| c.state == ComponentState::Restored));
    assert_eq!(
        walk.objects["payments-sit"]["config"]["data"],
        running()["config"]["data"]
    );
    assert_eq!(
        walk.objects["payments-sit"]["ledger"]["spec"],
        running()["ledger"]["spec"]
    );
    assert_eq!(walk.state("uat"), State::Pending);
    comes_to_rest(&mut walk);
}

#[test]
fn health_lost_for_longer_than_the_grace_backs_out() {
    let mut walk = Walk::of(release());
    walk.settle();
    walk.unhealthy_since = Some(walk.now);
    let ledger = |walk: &Walk| {
        let ledger = &walk.promotion("uat").components[1];
        (ledger.state, ledger.message.clone().unwrap_or_default())
    };
    // Too short to be worth a write.
    assert_eq!(walk.settle(), Some(walk.now + seconds(5)));
    walk.written();
    assert_eq!(ledger(&walk), (ComponentState::Ready, String::new()));
    walk.later(minutes(2)).settle();
    assert_eq!(walk.state("uat"), State::BackedOut);
}

/// What ran before was not ready either: that it is equal is all that going back can do.
#[test]
fn what_was_unready_before_counts_as_restored_when_it_is_equal() {
    for (was_unready, state) in [(true, State::BackedOut), (false, State::Failed)] {
        let mut walk = deploying();
        walk.settle();
        for (_, content) in walk.pre_states.values_mut() {
            content.components[1].was.unready = was_unready;
        }
        walk.controller = stuck;
        walk.later(minutes(10)).run();
        assert_eq!(walk.state("sit"), state, "unready before: {was_unready}");
    }
}

/// A StatefulSet that is restored and whose controller waits for a broken pod of the revision that was taken back.
fn stuck_backout(delete: bool) -> (Walk, crate::decide::facts::Observed) {
    let mut walk = deploying();
    walk.settle();
    walk.controller = stuck;
    walk.later(minutes(10));
    while walk.state("sit") != State::BackingOut
        || !walk.log.iter().any(|l| l == "restore payments-sit/ledger")
    {
        walk.step();
    }
    walk.look();
    let mut observed = walk.observed.clone();
    let release = std::sync::Arc::make_mut(&mut observed.release);
    let p = &mut release.status.as_mut().expect("a status").environments[0];
    p.entered.as_mut().expect("entered").delete_stuck_pods = delete;
    let component = &mut observed.places.get_mut("sit").expect("sit").components[1];
    let crate::decide::facts::Live::Present(object) = &mut component.object else {
        panic!("no object")
    };
    let object = std::sync::Arc::make_mut(object);
    object["kind"] = json!("StatefulSet");
    object["status"] = json!({ "observedGeneration": object["metadata"]["generation"], "replicas": 2,
                               "updateRevision": "r1", "currentRevision": "r2", "availableReplicas": 1 });
    component.pods = vec![std::sync::Arc::new(json!({
        "metadata": { "name": "ledger-1", "uid": "p1", "labels": { "controller-revision-hash": "r2" },
                      "ownerReferences": [{ "controller": true, "uid": object["metadata"]["uid"] }] },
        "status": { "containerStatuses": [{ "name": "app", "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] },
    }))];
    (walk, observed)
}

#[test]
fn a_pod_that_a_stateful_set_waits_for_is_named_at_once_and_once() {
    let (walk, mut observed) = stuck_backout(false);
    let Step::Transition(named) = decide(&observed, walk.now) else {
        panic!("not named")
    };
    let message = named.status.environments[0].message.clone().expect("a message");
    assert!(
        message.contains("waits for its pods ledger-1 (CrashLoopBackOff): delete them (kubectl -n payments-sit delete pod ledger-1). Cause: "),
        "{message}"
    );
    std::sync::Arc::make_mut(&mut observed.release).status = Some(named.status);
    assert!(
        matches!(decide(&observed, walk.now), Step::Wait(_)),
        "it is written once"
    );
}

#[test]
fn a_pod_that_a_stateful_set_waits_for_is_deleted_where_the_environment_allows_it() {
    let (walk, mut observed) = stuck_backout(true);
    let Step::Act(actions) = decide(&observed, walk.now) else {
        panic!("not deleted")
    };
    let deleted: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Effect::Change(TargetChange {
                namespace,
                change: How::Delete { kind, name, uid, .. },
                ..
            }) => Some((&**namespace, &**kind, &**name, &**uid)),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, [("payments-sit", "Pod", "ledger-1", "p1")]);
    // What was refused is tried again when it is time, and not before.
    let again = walk.now + minutes(1);
    let component = &mut observed.places.get_mut("sit").expect("sit").components[1];
    component.trouble = Some(crate::decide::facts::Trouble {
        reason: "NotPermitted",
        message: "the deployer may not delete Pod ledger-1".into(),
        again_at: again,
    });
    // It is on status first.
    let Step::Transition(said) = decide(&observed, walk.now) else {
        panic!("a refusal that is not recorded")
    };
    let message = said.status.environments[0].message.clone().unwrap_or_default();
    assert!(
        message.contains("the deployer may not delete Pod ledger-1. Cause: "),
        "{message}"
    );
    std::sync::Arc::make_mut(&mut observed.release).status = Some(said.status);
    assert!(matches!(decide(&observed, again - seconds(1)), Step::Wait(w) if w.until == Some(again)));
    assert!(matches!(decide(&observed, again), Step::Act(_)));
}

/// A backout in which the ledger was restored `count` times just now and is still as released.
fn reverted_backout(count: u32) -> (Walk, crate::decide::facts::Observed) {
    let mut walk = deploying();
    walk.settle();
    walk.controller = stuck;
    walk.later(minutes(10));
    while walk.state("sit") != State::BackingOut {
        walk.step();
    }
    walk.look();
    let mut observed = walk.observed.clone();
    let began = walk
        .promotion("sit")
        .backout
        .as_ref()
        .and_then(|b| b.started_at.clone());
    let component = &mut observed.places.get_mut("sit").expect("sit").components[1];
    component.restores = Some(crate::decide::facts::Restores {
        began: began.map(|t| t.0),
        count,
        last: walk.now,
    });
    component.managed_fields = Some(std::sync::Arc::new(json!([
        { "manager": "gitops", "time": "2026-11-01T00:00:00Z", "fieldsV1": { "f:spec": { "f:template": { "f:spec": {
            "f:containers": { "k:{\"name\":\"app\"}": { "f:image": {} } } } } } } },
    ])));
    (walk, observed)
}

#[test]
fn a_restore_that_does_not_last_waits_longer_each_time_and_after_five_people_decide() {
    for (count, pause) in [(1, 2), (4, 16)] {
        let (walk, mut observed) = reverted_backout(count);
        let Step::Transition(said) = decide(&observed, walk.now) else {
            panic!("nothing is said after {count}")
        };
        let message = said.status.environments[0].message.clone().unwrap_or_default();
        assert!(
            message
                .contains("/spec/template/spec/containers[name=app]/image does not keep its restored value")
                && message.contains("(last written by gitops)"),
            "{message}"
        );
        std::sync::Arc::make_mut(&mut observed.release).status = Some(said.status);
        let again = walk.now + seconds(pause);
        assert!(
            matches!(decide(&observed, walk.now), Step::Wait(w) if w.until.is_some_and(|until| until <= again)),
            "nothing is written before its time"
        );
        assert!(matches!(decide(&observed, again), Step::Act(_)), "after {count}");
    }
    let (walk, observed) = reverted_backout(5);
    let Step::Transition(asked) = decide(&observed, walk.now + seconds(1)) else {
        panic!("restored a sixth time")
    };
    let p = &asked.status.environments[0];
    assert_eq!(p.state, State::AwaitingDecision);
    let message = p.message.clone().unwrap_or_default();
    assert!(
        message.contains("It was restored 5 times and is now ")
            && message.contains(", not ")
            && message.contains("create a Decision (BackOut, Accept or Abandon)."),
        "{message}"
    );
    // Another BackOut starts the restores again.
    let (walk, mut observed) = reverted_backout(5);
    let component = &mut observed.places.get_mut("sit").expect("sit").components[1];
    component.restores.as_mut().expect("restores").began = None;
    assert!(matches!(decide(&observed, walk.now), Step::Act(_)));
}

#[test]
fn what_was_never_changed_is_not_overwritten_however_often_people_decide_on_a_backout() {
    let mut walk = Walk::of(release());
    while walk.state_if_any("sit") != Some(State::Deploying) {
        walk.step();
    }
    let image = |walk: &mut Walk| -> Value {
        let sit = walk.objects.get_mut("payments-sit").expect("sit");
        let ledger = sit.get_mut("ledger").expect("ledger");
        ledger["spec"]["template"]["spec"]["containers"][0]["image"].take()
    };
    let theirs = json!("foreign/image:1");
    let set = |walk: &mut Walk| {
        let sit = walk.objects.get_mut("payments-sit").expect("sit");
        let ledger = sit.get_mut("ledger").expect("ledger");
        ledger["spec"]["template"]["spec"]["containers"][0]["image"] = theirs.clone();
    };
    set(&mut walk);
    for _ in 0..2 {
        walk.later(seconds(60));
        walk.decides(act("BackOut", "sit", 1, walk.now));
        walk.settle();
        assert_eq!(walk.state("sit"), State::AwaitingDecision);
        let ledger = &walk.promotion("sit").components[1];
        assert_eq!(
            (ledger.name.as_str(), ledger.state),
            ("ledger", ComponentState::Pending)
        );
    }
    assert_eq!(image(&mut walk), theirs);
}

#[test]
fn a_target_that_is_ready_too_late_is_a_failure_at_its_very_deadline() {
    let mut walk = deploying();
    walk.settle();
    let deadline = morning() + minutes(10);
    walk.now = deadline - seconds(1);
    assert_eq!(walk.settle(), Some(deadline));
    assert_eq!(walk.state("sit"), State::Deploying);
    walk.now = deadline;
    walk.step();
    assert_eq!(walk.state("sit"), State::BackingOut);
}

#[test]
fn an_operator_that_was_away_gives_a_target_its_whole_time() {
    let mut walk = Walk::of(release());
    walk.controller = |mut object| {
        let late = morning() + minutes(9);
        object["metadata"]["managedFields"] =
            json!([{ "manager": "signalbox", "operation": "Update", "time": late.to_string() }]);
        if object["kind"] == "Deployment" {
            object["status"] =
                json!({ "observedGeneration": object["metadata"]["generation"], "replicas": 2 });
        }
        object
    };
    walk.settle();
    walk.now = morning() + minutes(19) - seconds(1);
    assert_eq!(walk.settle(), Some(morning() + minutes(19)));
    assert_eq!(walk.state("sit"), State::Deploying);
}

#[test]
fn a_plan_on_decision_asks_its_owner_and_restores_when_told() {
    let mut walk = awaiting();
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some(
            "Failed: Deployment ledger: ProgressDeadlineExceeded: Progressing=False (ProgressDeadlineExceeded): timed out. backoutPlan.trigger is OnDecision, so the backout does not start automatically. \
             A Decision is required (BackOut, Accept or Abandon). Contact: olga@example.com."
        )
    );
    walk.controller = rolled_out;
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: sit BackingOut",
            "restore payments-sit/ledger",
            "restore payments-sit/config",
            "status: sit BackedOut",
            "release payments-sit"
        ]
    );
    let backout = walk.promotion("sit").backout.clone().expect("a backout");
    assert_eq!(backout.by.as_deref(), Some("olga@example.com"));
    comes_to_rest(&mut walk);
}

#[test]
fn without_a_plan_or_with_irreversible_data_people_are_asked() {
    let no_plan = json!({ "backoutPlan": null });
    let irreversible = json!({ "backoutPlan": { "dataReversible": false, "owner": "olga" } });
    for (over, why) in [
        (
            no_plan,
            "spec.backoutPlan is not set, so there is no automatic backout. A Decision is required (BackOut, Accept or Abandon). Contact: the requester of the release.",
        ),
        (
            irreversible,
            "backoutPlan.dataReversible is false, so the backout does not start automatically. A Decision is required (BackOut, Accept or Abandon). Contact: olga.",
        ),
    ] {
        let mut walk = Walk::of(release_of(&over));
        walk.controller = stuck;
        walk.settle();
        assert_eq!(walk.state("sit"), State::AwaitingDecision);
        let message = walk.promotion("sit").message.clone().expect("a message");
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_backout_that_does_not_become_ready_fails_and_keeps_the_claim() {
    let mut walk = Walk::of(release());
    walk.controller = stuck;
    walk.settle();
    assert_eq!(walk.state("sit"), State::BackingOut);
    walk.written();
    walk.later(minutes(15)).settle();
    // The time has expired: what waited for its turn is restored all the same.
    assert_eq!(
        walk.written(),
        [
            "restore payments-sit/config",
            "status: sit Failed",
            "unsettled payments-sit"
        ]
    );
    let message = walk.promotion("sit").message.clone().expect("a message");
    assert!(
        message.contains("Not restored within 15m: Deployment ledger") && message.contains(". Cause: "),
        "{message}"
    );
    assert_eq!(
        walk.promotion("sit").backout.as_ref().map(|b| b.state),
        Some(BackoutState::Failed)
    );
    comes_to_rest(&mut walk);
}

#[test]
fn an_accepted_failure_has_succeeded_and_goes_on() {
    let mut walk = awaiting();
    walk.controller = rolled_out;
    walk.decides(act("Accept", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.written()[..2],
        ["status: sit Succeeded", "status: uat Waiting"]
    );
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some("Accepted by olga@example.com: no reason given.")
    );
    let review = walk
        .observed
        .release
        .status
        .as_ref()
        .and_then(|s| s.review.clone())
        .expect("a review");
    assert!(review.required_because.contains(&"Accepted".to_owned()));
}

#[test]
fn a_decision_older_than_the_state_or_for_another_attempt_does_not_count_and_is_named() {
    let mut walk = awaiting();
    walk.decides(act("Accept", "sit", 1, morning() - seconds(1)));
    walk.decides(act("Accept", "sit", 2, walk.now));
    walk.decides(act("Retry", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["status: -"]);
    assert_eq!(
        walk.promotion("sit").not_counted.as_deref().expect("named"),
        "Accept by olga@example.com does not count: it is older than the current state, AwaitingDecision. \
         Accept by olga@example.com does not count: it names attempt 2, but the current attempt is 1. \
         Retry by olga@example.com does not count: Retry is not valid in state AwaitingDecision."
    );
}

#[test]
fn at_one_instant_the_safest_decision_wins() {
    let mut walk = awaiting();
    for action in ["Accept", "Abandon", "BackOut"] {
        walk.decides(act(action, "sit", 1, walk.now));
    }
    walk.step();
    assert_eq!(walk.state("sit"), State::BackingOut);
}

#[test]
fn a_backout_that_was_acted_on_does_not_act_again_after_an_accept() {
    let mut walk = awaiting();
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .get_mut("ledger")
        .expect("ledger")["spec"]["template"]["spec"]["containers"] =
        json!([{ "name": "other", "image": "foreign/image:1" }]);
    walk.settle();
    assert_eq!(
        walk.state("sit"),
        State::AwaitingDecision,
        "a container that another writer has removed"
    );
    walk.later(seconds(60));
    walk.decides(act("Accept", "sit", 1, walk.now));
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.settle();
    assert_eq!(walk.state("sit"), State::Succeeded);
    comes_to_rest(&mut walk);
}

#[test]
fn decisions_of_the_same_second_are_each_obeyed_once() {
    let mut walk = awaiting();
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .get_mut("ledger")
        .expect("ledger")["spec"]["template"]["spec"]["containers"] =
        json!([{ "name": "other", "image": "foreign/image:1" }]);
    walk.decides(act("Abandon", "sit", 1, walk.now));
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.settle();
    let moves: Vec<String> = walk.written();
    let moves: Vec<&str> = moves
        .iter()
        .filter_map(|l| l.strip_prefix("status: sit "))
        .collect();
    assert_eq!(moves, ["BackingOut", "AwaitingDecision", "Failed"]);
    comes_to_rest(&mut walk);
}

#[test]
fn a_backout_from_before_the_entry_does_not_act_after_it() {
    let mut walk = Walk::of(release());
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.settle();
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.settle();
    walk.later(seconds(60));
    walk.edit(|r| r.spec.hold = None);
    walk.run();
    assert_eq!(walk.state("production"), State::Succeeded);
    assert_eq!(
        walk.promotion("sit").not_counted.as_deref(),
        Some(
            "BackOut by olga@example.com does not count: it was created before the current attempt entered."
        )
    );
}

#[test]
fn a_backout_in_mid_flight_starts_nothing_further_and_restores_what_was_begun() {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "patch payments-sit/config") {
        walk.step();
    }
    walk.written();
    walk.later(seconds(5));
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: sit BackingOut",
            "restore payments-sit/config",
            "status: sit BackedOut",
            "release payments-sit"
        ]
    );
}

#[test]
fn a_backout_after_success_claims_the_target_again() {
    let mut walk = Walk::of(release());
    walk.run();
    walk.later(minutes(5)).written();
    walk.decides(act("BackOut", "production", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "claim payments",
            "status: production BackingOut",
            "restore payments/ledger",
            "restore payments/config",
            "status: production BackedOut",
            "release payments"
        ]
    );
}

#[test]
fn a_backout_after_a_newer_one_succeeded_is_refused_by_name() {
    let mut walk = Walk::of(release());
    walk.run();
    walk.observed.siblings = vec![sibling("2026.11.2", "r2", &[("production", State::Succeeded)])];
    walk.later(minutes(5)).written();
    walk.decides(act("BackOut", "production", 1, walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["status: -"]);
    let message = walk.promotion("production").not_counted.clone().expect("named");
    assert!(
        message
            .ends_with("payments-2026.11.2 has Succeeded here since. Back out payments-2026.11.2 instead."),
        "{message}"
    );
}

#[test]
fn a_claim_lost_to_somebody_else_is_for_people_to_decide() {
    let mut walk = deploying();
    walk.claims
        .insert("payments-sit".into(), claim("payments-sit", "other", "sit", 1));
    walk.settle();
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some(
            "ClaimLost: The lock of namespace payments-sit is held by release payments/other, so nothing is changed. \
             A Decision is required (BackOut, Accept or Abandon)."
        )
    );
}

#[test]
fn a_target_that_was_deleted_is_for_people_to_decide() {
    let mut walk = deploying();
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .remove("ledger");
    walk.settle();
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some(
            "TargetGone: Deployment ledger was deleted. Correct it by hand, then create a Decision (Accept or Abandon)."
        )
    );
}

#[test]
fn a_backout_after_somebody_edited_what_was_applied_is_refused() {
    let mut walk = Walk::of(release());
    walk.run();
    walk.objects
        .get_mut("payments")
        .expect("production")
        .get_mut("config")
        .expect("config")["data"]["limit"] = json!("7");
    walk.later(minutes(5)).written();
    walk.decides(act("BackOut", "production", 1, walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["status: -"]);
    let message = walk.promotion("production").not_counted.clone().expect("named");
    assert!(
        message.ends_with("does not count: another writer has changed ConfigMap ledger /data/limit since."),
        "{message}"
    );
}

#[test]
fn a_read_from_before_our_own_patch_is_nobodys_revert() {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "patch payments-sit/config") {
        walk.step();
    }
    walk.step();
    assert_eq!(walk.promotion("sit").components[0].state, ComponentState::Ready);
    let mut observed = walk.observed.clone();
    let ledger = observed
        .places
        .get_mut("sit")
        .and_then(|p| p.components.get_mut(1))
        .expect("ledger");
    (ledger.patched, ledger.floor) = (true, Some(2));
    let Step::Wait(_) = decide(&observed, walk.now) else {
        panic!("{:?}", decide(&observed, walk.now))
    };
    let ledger = observed
        .places
        .get_mut("sit")
        .and_then(|p| p.components.get_mut(1))
        .expect("ledger");
    ledger.floor = Some(1);
    let Step::Transition(reverted) = decide(&observed, walk.now) else {
        panic!("a revert")
    };
    assert_eq!(reverted.status.environments[0].state, State::BackingOut);
}

#[test]
fn every_decision_that_acts_is_announced_with_who_what_and_why() {
    let told = |mut walk: Walk, action: &str| {
        walk.told.clear();
        let mut decision = act(action, "sit", 1, walk.now);
        decision.spec.reason = Some("the board said so".to_owned());
        walk.decides(decision);
        walk.settle();
        walk.told.remove(0)
    };
    for (walk, action, event) in [
        (
            awaiting(),
            "BackOut",
            "BackingOut sit: BackOut by olga@example.com: the board said so.",
        ),
        (
            awaiting(),
            "Accept",
            "Succeeded sit: Succeeded after 60 s. Accepted by olga@example.com: the board said so.",
        ),
        (
            awaiting(),
            "Abandon",
            "Failed sit: Abandoned by olga@example.com; the target namespace is Unsettled. Reason: the board said so.",
        ),
        (
            abandoned(),
            "Retry",
            "Retried sit: Attempt 2 begins. Retry by olga@example.com: the board said so.",
        ),
    ] {
        assert_eq!(told(walk, action), event);
    }
}

#[test]
fn each_person_who_rejects_is_announced_once() {
    let mut walk = Walk::of(release_of(&json!({ "environments": ["sit"] })));
    let gates = json!([{ "name": "board", "approval": { "role": "board", "minimum": 1 } }]);
    walk.observed = walk
        .observed
        .clone()
        .with_environment(with_gates(sit(), gates), &[]);
    walk.settle();
    assert_eq!(walk.told, Vec::<String>::new());
    let rejects = |walk: &mut Walk, by: &str| {
        let plan_hash = walk.promotion("sit").plan_hash.clone();
        let over =
            json!({ "subject": "board", "role": "board", "planHash": plan_hash, "reason": "too late." });
        let mut reject = decision("Reject", by, "sit", walk.now, over);
        reject.metadata.owner_references = None;
        walk.decides(reject);
        walk.later(seconds(1)).settle();
    };
    rejects(&mut walk, "carl");
    let carl = "Rejected sit: This plan cannot enter. Reject by carl: too late.";
    assert_eq!(walk.told, [carl]);
    for _ in 0..20 {
        rejects(&mut walk, "carl");
    }
    rejects(&mut walk, "dora");
    assert_eq!(
        walk.told,
        [
            carl,
            "Rejected sit: This plan cannot enter. Reject by dora: too late."
        ]
    );
    for person in 0..20 {
        rejects(&mut walk, &format!("person-{person}"));
    }
    assert_eq!(walk.told.len(), 8, "so many are told of, and status goes on");
    comes_to_rest(&mut walk);
}

#[test]
fn a_retry_after_a_failed_job_does_not_get_round_a_reject() {
    let gates = json!([
        { "name": "board", "approval": { "role": "board", "minimum": 1 } },
        { "name": "smoke", "job": { "template": "smoke", "timeout": "5m" } },
    ]);
    for (rejected, attempt) in [(false, 2), (true, 1)] {
        let mut walk = Walk::of(release_of(&json!({ "environments": ["sit"] })));
        walk.observed = walk
            .observed
            .clone()
            .with_environment(with_gates(sit(), gates.clone()), &[]);
        walk.settle();
        let answer = |walk: &mut Walk, action: &str, by: &str| {
            let over =
                json!({ "subject": "board", "role": "board", "planHash": walk.promotion("sit").plan_hash });
            let mut answer = decision(action, by, "sit", walk.now, over);
            answer.metadata.owner_references.take_if(|_| action == "Reject");
            walk.decides(answer);
            walk.later(seconds(1)).settle();
        };
        answer(&mut walk, "Approve", "anna");
        walk.jobs
            .insert("smoke".into(), JobState::Failed("BackoffLimitExceeded".into()));
        walk.settle();
        assert!(
            walk.promotion("sit")
                .checks
                .iter()
                .any(|c| c.reason == "JobFailed")
        );
        if rejected {
            answer(&mut walk, "Reject", "carl");
        }
        walk.decides(act("Retry", "sit", 1, walk.now));
        walk.settle();
        assert_eq!(walk.promotion("sit").attempt, attempt);
    }
}

/// Only another writer can leave a status like that.
#[test]
fn a_backout_without_a_place_fails_and_its_release_can_be_deleted() {
    let mut walk = awaiting();
    let status = walk.release().status.as_mut().expect("a status");
    let sit = status
        .environments
        .iter_mut()
        .find(|p| p.name == "sit")
        .expect("sit");
    (sit.state, sit.entered) = (State::BackingOut, None);
    walk.settle();
    assert_eq!(walk.state("sit"), State::Failed);
    let said = walk.promotion("sit").message.as_deref();
    assert!(
        said.is_some_and(|said| said.starts_with("Conflict: Backout failed. ")),
        "{said:?}"
    );
}
