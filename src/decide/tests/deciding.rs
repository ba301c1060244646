//! Promotions that fail, and what people may decide about them.

use super::walk::Walk;
use crate::api::Decision;
use crate::api::release::{BackoutState, Because, ComponentState, State};
use crate::decide::fixtures::*;
use crate::decide::{Step, decide};
use jiff::Timestamp;
use serde_json::json;

pub(super) fn act(action: &str, environment: &str, attempt: i64, created: Timestamp) -> Decision {
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

/// SIT failed and waits for people.
pub(super) fn awaiting() -> Walk {
    let mut walk = on_decision();
    walk.controller = stuck;
    walk.settle();
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
    walk.written();
    walk.later(seconds(60));
    walk
}

/// SIT failed, was abandoned, and its claim says Unsettled.
pub(super) fn abandoned() -> Walk {
    let mut walk = awaiting();
    walk.decides(act("Abandon", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["status: sit Failed", "unsettled payments-sit"]);
    walk.later(seconds(60));
    walk
}

pub(super) fn deploying() -> Walk {
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

pub(super) fn comes_to_rest(walk: &mut Walk) {
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
            "backed out and compared equal to what ran before; Failed: Deployment ledger: ProgressDeadlineExceeded: Progressing=False (ProgressDeadlineExceeded): timed out"
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
    assert_eq!(walk.settle(), Some(walk.now + minutes(2)));
    walk.later(minutes(2)).settle();
    assert_eq!(walk.state("uat"), State::BackedOut);
}

#[test]
fn a_target_that_is_ready_too_late_is_a_failure_at_its_very_deadline() {
    let mut walk = deploying();
    let deadline = walk.settle().expect("a deadline");
    assert_eq!(deadline, morning() + minutes(10));
    walk.now = deadline - seconds(1);
    walk.settle();
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
    assert_eq!(walk.settle(), Some(morning() + minutes(19)));
}

#[test]
fn a_plan_on_decision_asks_its_owner_and_restores_when_told() {
    let mut walk = awaiting();
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some(
            "Failed: Deployment ledger: ProgressDeadlineExceeded: Progressing=False (ProgressDeadlineExceeded): timed out; the backout plan waits for a decision: \
             olga@example.com has to decide (BackOut, Accept or Abandon)"
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
            "there is no backout plan: the owner of the release has to decide",
        ),
        (
            irreversible,
            "the backout plan says that data cannot be put back: olga has to decide",
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
    assert_eq!(walk.written(), ["status: sit Failed", "unsettled payments-sit"]);
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
        Some("accepted by olga@example.com: no reason given")
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
    let message = walk.promotion("sit").message.clone().expect("a message");
    let (_, named) = message.split_once(" — Not counted: ").expect("named");
    assert_eq!(
        named,
        "Accept by olga@example.com does not count: it is older than the state that it acts on, AwaitingDecision; \
         Accept by olga@example.com does not count: it names attempt 2, this is attempt 1; \
         Retry by olga@example.com does not count: Retry has no meaning while AwaitingDecision"
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
        json!([{ "name": "app", "image": "somebody/else:1" }]);
    walk.settle();
    assert_eq!(
        walk.state("sit"),
        State::AwaitingDecision,
        "a list that somebody else changed"
    );
    walk.later(seconds(60));
    walk.decides(act("Accept", "sit", 1, walk.now));
    walk.edit(|r| r.spec.hold = Some(Because::default()));
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
        json!([{ "name": "app", "image": "somebody/else:1" }]);
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
    walk.edit(|r| r.spec.hold = Some(Because::default()));
    walk.settle();
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.settle();
    walk.later(seconds(60));
    walk.edit(|r| r.spec.hold = None);
    walk.run();
    assert_eq!(walk.state("production"), State::Succeeded);
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some(
            " — Not counted: BackOut by olga@example.com does not count: it is older than the entry that it would undo"
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
    let message = walk.promotion("production").message.clone().expect("a message");
    assert!(
        message.ends_with("payments-2026.11.2 has Succeeded here since; back that one out"),
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
            "ClaimLost: the claim of payments-sit is held by payments/other: nothing is changed meanwhile; decide \
             BackOut, Accept or Abandon"
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
            "TargetGone: Deployment ledger has been deleted: put it back by hand, then decide Accept or Abandon"
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
    let message = walk.promotion("production").message.clone().expect("a message");
    assert!(
        message.ends_with("does not count: somebody changed ConfigMap ledger /data/limit since"),
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
