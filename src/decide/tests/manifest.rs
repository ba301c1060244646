//! Accepted: whether the Release spec is valid, and the messages if it is not.

use serde_json::{Value, json};

use crate::api::release::{Because, State};
use crate::api::time;
use crate::decide::accepted::judge;
use crate::decide::decide;
use crate::decide::facts::Observed;
use crate::decide::fixtures::*;
use crate::decide::step::Step;
use std::sync::Arc;

fn problems(o: &Observed) -> Vec<(&'static str, String)> {
    judge(o)
        .problems
        .into_iter()
        .map(|problem| (problem.reason, problem.sentence))
        .collect()
}

#[track_caller]
fn refused(o: &Observed, reason: &str, sentence: &str) {
    let found = problems(o);
    let found: Vec<(&str, &str)> = found.iter().map(|(r, s)| (*r, s.as_str())).collect();
    assert_eq!(found, [(reason, sentence)]);
}

fn of(over: Value) -> Observed {
    observed_of(release_of(&over))
}

fn with_ledger(over: &Value) -> Observed {
    let changed = crate::domain::patches::overlay(Some(&ledger()), Some(over)).expect("a component");
    of(json!({ "components": [config(), changed] }))
}

#[test]
fn a_manifest_that_makes_sense_is_accepted() {
    assert_eq!(problems(&observed()), []);
}

#[test]
fn an_unknown_environment_is_named() {
    refused(
        &of(json!({ "environments": ["sit", "uta"] })),
        "UnknownEnvironment",
        "spec.environments names \"uta\", but no Environment of that name exists. Create it or correct the name.",
    );
}

#[test]
fn an_environment_that_vanished_after_entry_does_not_stop_what_is_under_way() {
    let mut entered = promotion("sit", State::Deploying);
    entered.entered = Some(
        serde_json::from_value(json!({ "generation": 1, "stage": "SIT", "targetNamespace": "x" }))
            .expect("entered"),
    );
    let mut o = of(json!({ "environments": ["sit"] })).with_promotions(vec![entered]);
    Arc::make_mut(&mut o.environments).remove("sit");
    assert_eq!(problems(&o), []);
}

#[test]
fn every_upstream_of_all_and_one_of_any_must_be_listed() {
    refused(
        &of(json!({ "environments": ["sit", "production"] })),
        "UpstreamNotListed",
        "Environment production promotes from uat and requires all of them. Add uat to spec.environments.",
    );
    let fan_in = |require: &str| {
        environment(
            "production",
            json!({ "stage": "Production", "namespace": "x",
                    "promotesFrom": { "environments": ["sit", "uat"], "require": require } }),
        )
    };
    let o = of(json!({ "environments": ["sit", "production"] })).with_environment(fan_in("Any"), &[]);
    assert_eq!(problems(&o), []);
    let o = of(json!({ "environments": ["production"] })).with_environment(fan_in("Any"), &[]);
    refused(
        &o,
        "UpstreamNotListed",
        "Environment production promotes from sit, uat and requires at least one of them. Add sit, uat to spec.environments.",
    );
}

#[test]
fn a_circle_is_shown_and_nothing_loops() {
    let round = environment(
        "sit",
        json!({ "stage": "SIT", "namespace": "x", "promotesFrom": { "environments": ["production"] } }),
    );
    let o = observed().with_environment(round, &[]);
    refused(
        &o,
        "Cycle",
        "The Environments promote from each other in a circle (sit from production from uat from sit). An environment \
         owner must break it in promotesFrom.",
    );
    let Step::Transition(t) = decide(&o, morning()) else {
        panic!("says nothing")
    };
    assert_eq!(t.status.environments.len(), 3);
    let itself = environment(
        "sit",
        json!({ "stage": "SIT", "namespace": "x", "promotesFrom": { "environments": ["sit"] } }),
    );
    let o = of(json!({ "environments": ["sit"] })).with_environment(itself, &[]);
    assert_eq!(problems(&o)[0].0, "Cycle");
}

#[test]
fn the_younger_of_two_releases_of_one_version_is_refused() {
    let mut older = (*sibling("2026.11.1.0", "r0", &[])).clone();
    older.metadata.creation_timestamp = Some(time(at("2026-11-23T07:00:00Z")));
    let mut o = observed();
    o.siblings = vec![Arc::new(older.clone())];
    refused(
        &o,
        "DuplicateVersion",
        "Release payments-2026.11.1.0 already has version 2026.11.1.0 of payments on line main. A version is released \
         only once: raise spec.version.",
    );
    older.metadata.creation_timestamp = Some(time(at("2026-11-23T09:00:00Z")));
    o.siblings = vec![Arc::new(older.clone())];
    assert_eq!(problems(&o), [], "the older one goes on");
    older.metadata.creation_timestamp = o.release.metadata.creation_timestamp.clone();
    o.siblings = vec![Arc::new(older.clone())];
    assert_eq!(
        problems(&o)[0].0,
        "DuplicateVersion",
        "at one instant the uid decides"
    );
    let status = json!({ "environments": [{ "name": "sit", "state": "Succeeded", "attempt": 1,
        "entered": { "generation": 1, "stage": "SIT", "targetNamespace": "payments-sit" } }] });
    Arc::make_mut(&mut o.release).status = serde_json::from_value(status).expect("a status");
    assert_eq!(
        problems(&o),
        [],
        "but a release that has entered is not refused because of it"
    );
}

#[test]
fn kinds_that_cannot_be_judged_and_targets_named_twice_are_refused() {
    refused(
        &with_ledger(&json!({ "target": { "apiVersion": "x/v1", "kind": "Thing" } })),
        "KindUnsupported",
        "Component ledger targets x/v1 Thing: Signalbox has no readiness check for this kind. \
         Remove the component, or target a kind that the Environment allows.",
    );
    refused(
        &of(
            json!({ "components": [config(), { "name": "again", "target": config()["target"], "patch": {} }] }),
        ),
        "Invalid",
        "Component again targets ConfigMap ledger again. Put both changes into one component.",
    );
}

#[test]
fn only_earlier_components_may_be_waited_for() {
    refused(
        &of(json!({ "components": [ledger(), config()] })),
        "Invalid",
        "Component ledger names \"config\" in after or restartOn. Name only components that are listed before it.",
    );
}

#[test]
fn patches_that_are_not_allowed_are_refused_wherever_they_stand() {
    for over in [
        json!({ "patch": { "spec": { "paused": null } } }),
        json!({ "patch": { "spec": { "$patch": "replace" } } }),
        json!({ "patch": { "metadata": { "finalizers": [] } } }),
        json!({ "patch": { "spec": { "n": 9_007_199_254_740_993_i64 } } }),
        json!({ "overrides": [{ "environment": "uat", "patch": { "spec": { "paused": null } } }] }),
        json!({ "patch": { "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "x" }] } } } } }),
    ] {
        let found = problems(&with_ledger(&over));
        assert_eq!(
            found.iter().map(|(r, _)| *r).collect::<Vec<_>>(),
            ["PatchNotAllowed"],
            "{over} {found:?}"
        );
        assert!(found[0].1.starts_with("Component ledger: "), "{}", found[0].1);
    }
}

/// Whose patch and override have `patch` and `over` bytes.
fn of_size(patch: usize, over: usize) -> Observed {
    let text = |bytes: usize| json!({ "data": { "k": "x".repeat(bytes - r#"{"data":{"k":""}}"#.len()) } });
    with_ledger(
        &json!({ "patch": text(patch), "overrides": [{ "environment": "uat", "patch": text(over) }] }),
    )
}

#[test]
fn patches_that_are_too_large_in_all_are_refused_and_the_largest_named() {
    let most = crate::domain::patches::MOST_BYTES;
    let others = crate::decide::accepted::patch_bytes(&of_size(100, 100).release.spec.components[0]);
    assert_eq!(problems(&of_size(most - 1000 - others, 1000)), []);
    let large = of_size(most - 1000 - others + 1, 1000);
    refused(
        &large,
        "PatchesTooLarge",
        "The patches of this Release, overrides included, take 257 KiB as JSON, but at most 256 KiB are allowed in total (ledger \
         256 KiB, config 1 KiB). Split the Release, or move large data into an image.",
    );
    assert_eq!(judge(&large).problems[0].at, "/spec/components/1");
    let Step::Transition(t) = decide(&large, morning()) else {
        panic!("says nothing")
    };
    assert!(t.status.environments.iter().all(|p| p.state == State::Pending));
}

#[test]
fn patches_that_are_too_large_name_no_more_than_five_components() {
    let many = (0..64).map(|n| {
        json!({
            "name": format!("c{n}"), "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": format!("c{n}") },
            "patch": { "data": { "k": "x".repeat(5000 + n) } },
        })
    });
    let found = problems(&of(json!({ "components": many.collect::<Vec<_>>() })));
    assert_eq!(found.len(), 1);
    let named = "(c63 5 KiB, c62 5 KiB, c61 5 KiB, c60 5 KiB, c59 5 KiB and 59 smaller)";
    assert!(found[0].1.contains(named), "{}", found[0].1);
}

#[test]
fn what_had_entered_before_there_was_a_bound_goes_on() {
    let mut entered = promotion("sit", State::Deploying);
    entered.entered = Some(
        serde_json::from_value(json!({ "generation": 1, "stage": "SIT", "targetNamespace": "x" }))
            .expect("entered"),
    );
    let large = of_size(crate::domain::patches::MOST_BYTES, 1000);
    assert_eq!(problems(&large)[0].0, "PatchesTooLarge");
    assert_eq!(problems(&large.with_promotions(vec![entered])), []);
}

#[test]
fn what_never_enters_is_not_told_that_it_is_too_large() {
    let large = || of_size(crate::domain::patches::MOST_BYTES, 1000);
    let listed = ["sit", "uat", "production"];
    let over = [State::Superseded, State::Withdrawn, State::Superseded];
    let over = || std::iter::zip(listed, over).map(|(name, state)| promotion(name, state));
    assert_eq!(problems(&large().with_promotions(over().collect())), []);
    // Something is left of it.
    let mut left: Vec<_> = over().collect();
    left[2].state = State::Pending;
    let left = large().with_promotions(left);
    assert_eq!(problems(&left)[0].0, "PatchesTooLarge");
    let unknown = large().with_promotions(over().take(2).collect());
    assert_eq!(problems(&unknown)[0].0, "PatchesTooLarge");

    let mut withdrawn = large();
    Arc::make_mut(&mut withdrawn.release).spec.withdrawn = Some(Because::default());
    assert_eq!(problems(&withdrawn), []);
    let Step::Transition(t) = decide(&withdrawn, morning()) else {
        panic!("says nothing")
    };
    assert!(t.status.environments.iter().all(|p| p.state == State::Withdrawn));
}

#[test]
fn a_name_that_cannot_be_a_label_is_refused() {
    let mut release = release();
    release.metadata.name = Some("x".repeat(64));
    assert_eq!(problems(&observed_of(release))[0].0, "Invalid");
}

#[test]
fn what_is_not_accepted_stays_pending_and_says_why() {
    let o = of(json!({ "environments": ["sit", "uta"] }));
    let Step::Transition(t) = decide(&o, morning()) else {
        panic!("says nothing")
    };
    let why = "spec.environments names \"uta\", but no Environment of that name exists. Create it or correct the name.";
    for p in &t.status.environments {
        assert_eq!((p.state, p.message.as_deref()), (State::Pending, Some(why)));
        assert!(
            p.plan_hash.starts_with("v1:sha256:"),
            "the hash stands from the first write"
        );
    }
    let said: Vec<(&str, &str, &str)> = t
        .status
        .conditions
        .iter()
        .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("Accepted", "False", "UnknownEnvironment"),
            ("Ready", "False", "Pending"),
            ("Reconciling", "False", "Idle"),
            ("Stalled", "True", "UnknownEnvironment"),
        ]
    );
}
