//! How long a release may occupy an environment, and what happens after that.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{Hold, State};
use crate::api::{Release, time};
use crate::decide::fixtures::*;
use crate::decide::tests::walk::Walk;

fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

/// Two days of observation in UAT, of which its owner allows `rule`.
fn uat_with(rule: &Value) -> crate::api::Environment {
    let spec = json!({ "stage": "UAT", "namespace": "{namespace}-uat", "promotesFrom": { "environments": ["sit"] },
                       "observation": "48h", "maxOccupancy": rule });
    environment("uat", spec)
}

/// Observing in UAT since the morning.
fn observing(rule: &Value) -> (Walk, Option<Timestamp>) {
    observing_of(release(), rule)
}

fn observing_of(release: Release, rule: &Value) -> (Walk, Option<Timestamp>) {
    let mut walk = Walk::of(release);
    walk.observed = walk.observed.clone().with_environment(uat_with(rule), &[]);
    let next = walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.written();
    walk.told.clear();
    (walk, next)
}

/// The same once a Decision is required, an hour after the entry.
fn asked(then: Option<&str>) -> Walk {
    asked_of(release(), then)
}

fn asked_of(release: Release, then: Option<&str>) -> Walk {
    let (mut walk, next) = observing_of(release, &json!({ "after": "1h", "then": then }));
    assert_eq!(next, Some(morning() + hours(1)), "it wakes by itself");
    walk.later(hours(1));
    let due = walk.settle();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    assert_eq!(due, then.map(|_| morning() + hours(2)), "as long again");
    walk
}

fn message(walk: &Walk, environment: &str) -> String {
    walk.promotion(environment).message.clone().unwrap_or_default()
}

fn review_because(walk: &Walk) -> Vec<String> {
    let status = walk.observed.release.status.as_ref().expect("a status");
    status
        .review
        .as_ref()
        .map(|r| r.required_because.clone())
        .unwrap_or_default()
}

#[test]
fn who_occupies_too_long_is_asked_and_then_backed_out_as_the_owner_chose() {
    let mut walk = asked(Some("BackOut"));
    let sentence = "This release has occupied the environment since 2026-11-23T09:00:00Z, longer than the limit of 1h. \
                    A Decision is required (BackOut, Accept or Abandon). \
                    Without a Decision, BackOut follows at 2026-11-23T11:00:00Z.";
    assert_eq!(message(&walk, "uat"), format!("OccupiedTooLong: {sentence}"));
    assert_eq!(
        walk.told,
        [format!("OccupiedTooLong uat: {sentence}")],
        "told once"
    );
    assert_eq!(review_because(&walk), ["OccupiedTooLong"]);
    assert_eq!(walk.written().len(), 1, "and written once");

    walk.later(hours(1) - seconds(1));
    assert_eq!(walk.settle(), Some(morning() + hours(2)), "not a second before");
    assert_eq!(walk.written(), Vec::<String>::new());
    walk.later(seconds(1)).settle();
    assert_eq!(walk.state("uat"), State::BackedOut);
    let backout = walk.promotion("uat").backout.clone().expect("a backout");
    assert_eq!(
        (backout.trigger.as_deref(), backout.by.as_deref()),
        (Some("MaxOccupancy"), Some("maxOccupancy of Environment uat"))
    );
    assert_eq!(
        walk.told[1],
        "BackingOut uat: BackOut by maxOccupancy of Environment uat: This release has occupied the environment since \
         2026-11-23T09:00:00Z, longer than the limit of 1h. There was no Decision."
    );
    assert_eq!(review_because(&walk), ["OccupiedTooLong", "BackedOut"]);
}

#[test]
fn or_it_is_abandoned_and_the_target_stays_as_it_is() {
    let mut walk = asked(Some("Abandon"));
    let before = walk.objects.clone();
    walk.later(hours(1)).settle();
    assert_eq!(walk.state("uat"), State::Failed);
    assert_eq!(
        message(&walk, "uat"),
        "Abandoned by maxOccupancy of Environment uat; the target namespace is Unsettled. Reason: This release has occupied the environment \
         since 2026-11-23T09:00:00Z, longer than the limit of 1h. There was no Decision."
    );
    assert_eq!(walk.objects, before);
    assert!(walk.claims["payments-uat"].unsettled);
}

#[test]
fn without_a_choice_it_waits_for_people_as_long_as_it_takes() {
    let mut walk = asked(None);
    walk.later(hours(1000));
    assert_eq!(walk.settle(), None);
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
}

#[test]
fn what_people_decide_meanwhile_counts() {
    let mut walk = asked(Some("BackOut"));
    walk.later(hours(1));
    let accept = decision("Accept", "bob", "uat", walk.now, json!({ "attempt": 1 }));
    walk.decides(accept);
    walk.settle();
    assert_eq!(
        walk.state("uat"),
        State::Succeeded,
        "also at the very last moment"
    );
}

#[test]
fn an_operator_that_was_away_takes_no_time_from_people() {
    let (mut walk, _) = observing(&json!({ "after": "1h", "then": "Abandon" }));
    walk.later(hours(40));
    let due = walk.settle();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    assert_eq!(due, Some(walk.now + hours(1)));
}

/// A rollout that takes three days if it is let.
fn slow_in_sit(rule: &Value) -> (Walk, Option<Timestamp>) {
    fn starting(object: Value) -> Value {
        let mut object = rolled_out(object);
        if object["kind"] == "Deployment" {
            object["status"]["availableReplicas"] = json!(1);
        }
        object
    }
    let mut ledger = ledger();
    ledger["readyWithin"] = json!("72h");
    let plan = json!({ "trigger": "OnDecision", "owner": "olga" });
    let release = release_of(&json!({ "components": [config(), ledger], "backoutPlan": plan }));
    let mut walk = Walk::of(release);
    let mut spec = json!({ "stage": "SIT", "namespace": "{namespace}-sit" });
    if !rule.is_null() {
        spec["maxOccupancy"] = rule.clone();
    }
    walk.observed = walk
        .observed
        .clone()
        .with_environment(environment("sit", spec), &[]);
    walk.controller = starting;
    let next = walk.settle();
    assert_eq!(walk.state("sit"), State::Deploying);
    (walk, next)
}

#[test]
fn what_entered_without_a_rule_takes_as_long_as_it_may_and_is_never_ended_without_people() {
    // As everything that entered under v0.1.0 did.
    let (mut walk, _) = slow_in_sit(&Value::Null);
    let entered = walk.promotion("sit").entered.clone().expect("entered");
    assert_eq!(entered.max_occupancy, None);
    walk.later(hours(72) - seconds(1)).settle();
    assert_eq!(walk.state("sit"), State::Deploying);
    walk.later(seconds(1)).settle();
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
    assert!(
        message(&walk, "sit").contains("is not ready within 72h"),
        "{}",
        message(&walk, "sit")
    );
    walk.later(hours(1000));
    assert_eq!(walk.settle(), None);
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
}

#[test]
fn without_a_rule_it_is_a_day_and_what_everything_may_take() {
    let (mut walk, _) = slow_in_sit(&Value::Null);
    let long_ago = walk.now - (hours(24 + 72) + minutes(10));
    walk.edit(|r| {
        let promotions = &mut r.status.as_mut().expect("a status").environments;
        let sit = promotions.iter_mut().find(|p| p.name == "sit").expect("sit");
        sit.started_at = Some(time(long_ago));
    });
    walk.settle();
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
    assert!(
        message(&walk, "sit").starts_with("OccupiedTooLong: ") && message(&walk, "sit").contains("96h10m"),
        "{}",
        message(&walk, "sit")
    );
}

#[test]
fn where_data_stays_changed_the_owners_backout_is_an_end_without_one() {
    let plan = json!({ "dataReversible": false, "trigger": "OnDecision", "owner": "olga" });
    let mut walk = asked_of(release_of(&json!({ "backoutPlan": plan })), Some("BackOut"));
    assert!(
        message(&walk, "uat").contains("Abandon follows at"),
        "{}",
        message(&walk, "uat")
    );
    let before = walk.objects["payments-uat"].clone();
    walk.later(hours(1)).settle();
    assert_eq!(walk.state("uat"), State::Failed);
    assert_eq!(walk.objects["payments-uat"], before);
}

#[test]
fn what_somebody_put_right_by_hand_is_not_overwritten_by_a_backout_that_nobody_decided() {
    let mut walk = asked(Some("BackOut"));
    let uat = walk.objects.get_mut("payments-uat").expect("uat");
    let ledger = uat.get_mut("ledger").expect("a ledger");
    ledger["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry/ledger:hotfix");
    walk.later(hours(1)).settle();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    assert!(
        message(&walk, "uat").starts_with("FieldsChanged"),
        "{}",
        message(&walk, "uat")
    );
    let image = &walk.objects["payments-uat"]["ledger"]["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "registry/ledger:hotfix");
}

#[test]
fn the_rule_is_that_of_the_entry() {
    let (mut walk, _) = observing(&json!({ "after": "1h", "then": "Abandon" }));
    let other = uat_with(&json!({ "after": "90h", "then": "BackOut" }));
    walk.observed = walk.observed.clone().with_environment(other, &[]);
    walk.later(hours(1)).settle();
    walk.later(hours(1)).settle();
    assert_eq!(walk.state("uat"), State::Failed);
}

#[test]
fn where_people_are_asked_already_the_clock_goes_on() {
    let mut walk = Walk::of(release_of(
        &json!({ "backoutPlan": { "trigger": "OnDecision", "owner": "olga" } }),
    ));
    let spec = json!({ "stage": "SIT", "namespace": "{namespace}-sit", "maxOccupancy": { "after": "1h", "then": "BackOut" } });
    walk.observed = walk
        .observed
        .clone()
        .with_environment(environment("sit", spec), &[]);
    walk.controller = stuck;
    let due = walk.settle();
    assert_eq!(walk.state("sit"), State::AwaitingDecision);
    assert_eq!(due, Some(morning() + hours(2)), "from the entry, twice an hour");
    let said = message(&walk, "sit");
    walk.written();
    walk.later(hours(1));
    walk.settle();
    assert_eq!(walk.written(), Vec::<String>::new(), "nothing new to say");
    assert_eq!(message(&walk, "sit"), said);
    walk.controller = rolled_out;
    walk.later(hours(1)).settle();
    assert_eq!(walk.state("sit"), State::BackedOut);
}

#[test]
fn what_cannot_be_backed_out_is_abandoned_once_people_had_their_time_again() {
    let mut walk = asked(Some("BackOut"));
    let uat = walk.objects.get_mut("payments-uat").expect("uat");
    uat.remove("ledger");
    walk.later(hours(1));
    let due = walk.settle();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    assert!(
        message(&walk, "uat").starts_with("TargetGone"),
        "{}",
        message(&walk, "uat")
    );
    assert_eq!(due, Some(walk.now + hours(1)));
    walk.later(hours(1));
    assert_eq!(walk.settle(), None, "and that is all");
    assert_eq!(walk.state("uat"), State::Failed);
}

#[test]
fn a_backout_that_people_began_and_were_asked_about_is_not_tried_again_without_them() {
    let (mut walk, _) = observing(&json!({ "after": "1h", "then": "BackOut" }));
    let back_out = decision("BackOut", "bob", "uat", walk.now, json!({ "attempt": 1 }));
    walk.decides(back_out);
    while walk.state("uat") != State::BackingOut {
        walk.step();
    }
    let uat = walk.objects.get_mut("payments-uat").expect("uat");
    let ledger = uat.remove("ledger").expect("a ledger");
    walk.settle();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    // It could be restored by now, but there is no Decision.
    let uat = walk.objects.get_mut("payments-uat").expect("uat");
    uat.insert("ledger".to_owned(), ledger.clone());
    walk.later(hours(2)).settle();
    assert_eq!(walk.state("uat"), State::Failed);
    assert_eq!(walk.objects["payments-uat"]["ledger"], ledger);
}

#[test]
fn a_backout_is_not_cut_off_but_has_no_more_time_than_the_rule() {
    let (mut walk, _) = slow_in_sit(&json!({ "after": "10m", "then": "BackOut" }));
    let back_out = decision("BackOut", "bob", "sit", walk.now, json!({ "attempt": 1 }));
    walk.decides(back_out);
    assert_eq!(
        walk.settle().map(|_| walk.state("sit")),
        Some(State::BackingOut),
        "its pods do not become available"
    );
    walk.later(minutes(10) - seconds(1)).settle();
    assert_eq!(walk.state("sit"), State::BackingOut);
    walk.later(seconds(1)).settle();
    assert_eq!(walk.state("sit"), State::Failed);
    assert!(
        message(&walk, "sit").contains("Not restored within 10m"),
        "{}",
        message(&walk, "sit")
    );
}

#[test]
fn what_is_backed_out_long_after_its_success_is_counted_anew() {
    let (mut walk, _) = observing(&json!({ "after": "50h", "then": "Abandon" }));
    walk.later(hours(48)).settle();
    assert_eq!(walk.state("uat"), State::Succeeded);
    walk.later(hours(500));
    let back_out = decision("BackOut", "bob", "uat", walk.now, json!({ "attempt": 1 }));
    walk.decides(back_out);
    // Until the Decision, no other release changes it.
    while walk.state("uat") != State::BackingOut {
        walk.step();
    }
    let uat = walk.objects.get_mut("payments-uat").expect("uat");
    uat.remove("ledger");
    let due = walk.settle();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    assert_eq!(due, Some(walk.now + hours(100)));
    assert!(!review_because(&walk).contains(&"OccupiedTooLong".to_owned()));
}

#[test]
fn a_hold_of_one_environment_holds_no_other() {
    let mut walk = Walk::of(release());
    walk.edit(|r| {
        r.spec.hold = Some(Hold {
            reason: Some("an incident".into()),
            environments: vec!["uat".into()],
        });
    });
    walk.settle();
    assert_eq!(walk.state("sit"), State::Succeeded);
    assert_eq!(walk.state("uat"), State::Waiting);
    assert_eq!(
        message(&walk, "uat"),
        "Held by spec.hold. Remove it to continue. Reason: an incident."
    );
    let ready = &walk.observed.release.status.as_ref().expect("status").conditions[1];
    assert_eq!(ready.reason, "Held");
    walk.edit(|r| r.spec.hold = None);
    walk.run();
    assert_eq!(walk.state("production"), State::Succeeded);
}
