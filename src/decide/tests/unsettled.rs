//! What an attempt leaves behind: retries, Unsettled targets, what was created, and Releases that are deleted.

use crate::api::release::{Because, Hold, State};
use crate::api::{ON_DELETE, time};
use crate::decide::fixtures::*;
use crate::decide::tests::deciding::{abandoned, act, awaiting, comes_to_rest, deploying};
use crate::decide::tests::walk::Walk;
use serde_json::json;

#[test]
fn a_retry_takes_over_the_claim_and_keeps_what_stood_before_the_first_attempt() {
    let mut walk = abandoned();
    walk.controller = rolled_out;
    let fixed = walk.objects["payments-sit"]["ledger"].clone();
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .insert("ledger".into(), rolled_out(fixed));
    let hash = walk.promotion("sit").plan_hash.clone();
    walk.decides(act("Retry", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.written()[..6],
        [
            "status: sit Waiting",
            "status: -",
            "take over payments-sit",
            "capture sit",
            "status: sit Deploying",
            "status: sit Succeeded", // everything is applied already: nothing is patched twice
        ]
    );
    assert_eq!(walk.state("sit"), State::Succeeded);
    assert_eq!(walk.promotion("sit").attempt, 2);
    assert_ne!(
        walk.promotion("sit").plan_hash,
        hash,
        "the attempt is hashed: approvals are required again"
    );

    walk.later(seconds(60));
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.written();
    walk.decides(act("BackOut", "sit", 2, walk.now));
    walk.settle();
    assert_eq!(
        walk.objects["payments-sit"]["config"]["data"],
        running()["config"]["data"]
    );
    assert_eq!(
        walk.objects["payments-sit"]["ledger"]["spec"],
        running()["ledger"]["spec"]
    );
    assert_eq!(walk.state("sit"), State::BackedOut);
}

#[test]
fn a_retry_that_cannot_enter_forgets_neither_the_claim_nor_the_pre_state() {
    let mut walk = abandoned();
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.decides(act("Retry", "sit", 1, walk.now));
    walk.settle();
    walk.edit(|r| r.spec.hold = None);
    while !walk.log.iter().any(|l| l.starts_with("take over")) {
        walk.step();
    }
    walk.written();
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.settle();
    assert_eq!(walk.written(), ["status: -"]);
    assert_eq!(walk.pre_states.len(), 1, "the state before the first attempt");
    assert_eq!(walk.claims.len(), 1, "no other release builds on this state");
}

#[test]
fn a_retry_that_is_withdrawn_leaves_the_target_unsettled() {
    let mut walk = abandoned();
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.decides(act("Retry", "sit", 1, walk.now));
    walk.settle();
    walk.edit(|r| {
        r.spec.withdrawn = Some(Because {
            reason: Some("enough".into()),
        })
    });
    walk.settle();
    assert_eq!(walk.state("sit"), State::Failed);
    assert!(walk.claims["payments-sit"].unsettled);
    assert_eq!(walk.pre_states.len(), 1);
    comes_to_rest(&mut walk);

    walk.later(seconds(60)).controller = rolled_out;
    walk.decides(act("BackOut", "sit", 2, walk.now));
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: sit BackingOut",
            "take over payments-sit",
            "restore payments-sit/ledger",
            "restore payments-sit/config",
            "status: sit BackedOut",
            "release payments-sit"
        ]
    );
}

#[test]
fn a_retry_after_a_backout_captures_anew() {
    let mut walk = awaiting();
    walk.controller = rolled_out;
    walk.decides(act("BackOut", "sit", 1, walk.now));
    walk.settle();
    walk.later(seconds(60));
    walk.decides(act("Retry", "sit", 1, walk.now));
    walk.run();
    assert_eq!(walk.state("production"), State::Succeeded);
    assert_eq!(walk.promotion("sit").attempt, 2);
}

#[test]
fn an_unsettled_target_admits_the_next_release_once_somebody_accepts_it() {
    let mut walk = Walk::of(release());
    let mut left = claim("payments-sit", "other", "sit", 1);
    left.unsettled = true;
    walk.claims.insert("payments-sit".into(), left);
    walk.settle();
    assert_eq!(walk.state("sit"), State::Waiting);
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some(
            "Namespace payments-sit is unsettled: release payments/other failed there and was not backed out. Retry or back out \
             payments/other, or create a Decision (action Accept, environment sit, attempt 1) for this release. That Decision also \
             admits it to targets that are not healthy."
        )
    );
    walk.later(seconds(60)).written();
    walk.told.clear();
    walk.decides(act("Accept", "sit", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.told[..2],
        [
            "EntryAccepted sit: The release enters with the targets as they are. Accept by olga@example.com: no reason given.",
            "Entered sit: Entered namespace payments-sit, attempt 1. Backout is armed."
        ]
    );
    assert_eq!(
        walk.written()[..4],
        [
            "status: -",
            "take over payments-sit",
            "capture sit",
            "status: sit Deploying"
        ]
    );
    assert_eq!(walk.state("sit"), State::Succeeded);
    assert_eq!(walk.promotion("sit").message, None, "the Accept did count");
}

#[test]
fn a_holder_that_is_gone_counts_as_abandoned() {
    let mut walk = Walk::of(release());
    let mut left = claim("payments-sit", "other", "sit", 1);
    left.holder_absent = true;
    walk.claims.insert("payments-sit".into(), left);
    walk.settle();
    assert_eq!(walk.state("sit"), State::Waiting);
    assert!(
        walk.promotion("sit")
            .message
            .as_deref()
            .is_some_and(|m| m.contains("is unsettled"))
    );
}

#[test]
fn deleting_lets_go_of_what_has_not_entered() {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "capture sit") {
        walk.step();
    }
    walk.written();
    walk.release().metadata.deletion_timestamp = Some(time(walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["forget sit 1", "release payments-sit", "let go"]);
    assert!(walk.gone && walk.claims.is_empty());
}

#[test]
fn deleting_abandons_what_is_under_way_and_the_claim_says_so() {
    let mut walk = deploying();
    walk.release().metadata.deletion_timestamp = Some(time(walk.now));
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: sit Failed",
            "unsettled payments-sit",
            "forget sit 1",
            "let go"
        ]
    );
    assert!(walk.claims["payments-sit"].unsettled);
}

#[test]
fn deleting_with_on_delete_back_out_restores_first() {
    let mut walk = deploying();
    walk.release().metadata.deletion_timestamp = Some(time(walk.now));
    walk.release().metadata.annotations = Some([(ON_DELETE.to_owned(), "BackOut".to_owned())].into());
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: sit BackingOut",
            "restore payments-sit/ledger",
            "restore payments-sit/config",
            "status: sit BackedOut",
            "release payments-sit",
            "forget sit 1",
            "let go"
        ]
    );
    assert_eq!(
        walk.objects["payments-sit"]["ledger"]["spec"],
        running()["ledger"]["spec"]
    );
}

#[test]
fn a_deletion_leaves_what_a_failed_backout_left_to_the_next_release() {
    let mut walk = abandoned();
    walk.release().metadata.deletion_timestamp = Some(time(walk.now));
    walk.settle();
    assert_eq!(walk.written(), ["forget sit 1", "let go"]);
    assert!(walk.claims["payments-sit"].unsettled);
}

#[test]
fn a_retry_whose_target_somebody_edits_meanwhile_does_not_forget_what_stood_before() {
    let mut walk = abandoned();
    walk.decides(act("Retry", "sit", 1, walk.now));
    while walk.promotion("sit").state != State::Deploying {
        walk.step();
    }
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .get_mut("config")
        .expect("config")["data"]["limit"] = json!("7");
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .get_mut("ledger")
        .expect("ledger")["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image("9"));
    walk.settle();
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
    let message = walk.promotion("sit").message.clone().expect("a message");
    assert!(
        message.starts_with("FieldsChanged: Another writer changed ConfigMap ledger /data/limit"),
        "{message}"
    );
}

#[test]
fn what_somebody_changes_before_the_first_patch_is_captured_again() {
    let mut walk = Walk::of(release());
    while walk
        .observed
        .release
        .promotion("sit")
        .is_none_or(|p| p.state != State::Deploying)
    {
        walk.step();
    }
    walk.objects
        .get_mut("payments-sit")
        .expect("sit")
        .get_mut("config")
        .expect("config")["data"]["limit"] = json!("7");
    walk.written();
    walk.settle();
    assert_eq!(
        walk.written()[..6],
        [
            "status: sit Waiting",
            "status: -",
            "forget sit 1",
            "capture sit",
            "status: sit Deploying",
            "patch payments-sit/config"
        ]
    );
    assert_eq!(walk.state("sit"), State::Succeeded);
}

/// The ConfigMap does not exist yet, and the patch names it in full.
fn creating() -> Walk {
    let patch = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ledger" }, "data": { "a": "1" } });
    let mut created = config();
    created["patch"] = patch;
    let mut walk = Walk::of(release_of(
        &json!({ "components": [created, ledger()], "environments": ["sit", "uat"] }),
    ));
    for namespace in ["payments-sit", "payments-uat"] {
        walk.objects
            .get_mut(namespace)
            .expect("a namespace")
            .remove("config");
    }
    walk
}

#[test]
fn what_did_not_exist_is_created_and_a_backout_deletes_it() {
    let mut walk = creating();
    walk.run();
    assert_eq!(walk.state("uat"), State::Succeeded);
    assert!(walk.written().contains(&"create payments-sit/config".to_owned()));
    walk.later(minutes(1));
    walk.decides(act("BackOut", "uat", 1, walk.now));
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "claim payments-uat",
            "status: uat BackingOut",
            "restore payments-uat/ledger",
            "delete payments-uat/config",
            "status: uat BackedOut",
            "release payments-uat"
        ]
    );
    assert!(!walk.objects["payments-uat"].contains_key("config"));
}

#[test]
fn what_was_created_and_is_deleted_during_observation_is_for_people_to_decide() {
    let mut walk = creating();
    walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.objects
        .get_mut("payments-uat")
        .expect("uat")
        .remove("config");
    walk.settle();
    assert_eq!(
        walk.promotion("uat").message.as_deref(),
        Some(
            "TargetGone: ConfigMap ledger, which this release created, was deleted. A Decision is required (BackOut, Accept or Abandon)."
        )
    );
}
