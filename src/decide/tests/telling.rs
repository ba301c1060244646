//! The messages of components while a promotion is in progress, and how rarely they are written.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::release::{CheckState, Colour, ComponentState, State};
use crate::api::{reasons, time};
use crate::decide::decide;
use crate::decide::facts::{Live, Observed};
use crate::decide::fixtures::*;
use crate::decide::step::Step;
use crate::decide::tests::walk::Walk;

/// The ledger while its controller works on it.
fn rolling(mut object: Value) -> Value {
    if object["kind"] == "Deployment" {
        object["status"] = json!({ "observedGeneration": object["metadata"]["generation"], "replicas": 2,
                                   "updatedReplicas": 2, "availableReplicas": 1 });
    }
    object
}

fn ledger(walk: &Walk, environment: &str) -> (ComponentState, String) {
    let ledger = &walk.promotion(environment).components[1];
    (ledger.state, ledger.message.clone().unwrap_or_default())
}

fn at_rest(observed: &Observed, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
    match decide(observed, at) {
        Step::Wait(wait) => wait.until,
        other => panic!("not at rest: {other:?}"),
    }
}

/// `observed` with a pod of the ledger in SIT that cannot pull its image.
fn cannot_pull(observed: &mut Observed) {
    let ledger = &mut observed.places.get_mut("sit").expect("sit").components[1];
    ledger.pods = vec![Arc::new(json!({
        "metadata": {
            "name": "ledger-5d8f-x1", "labels": { "pod-template-hash": "5d8f" },
            "ownerReferences": [{ "controller": true, "kind": "ReplicaSet", "name": "ledger-5d8f" }],
        },
        "spec": { "containers": [{ "name": "app", "image": image("2") }] },
        "status": { "containerStatuses": [{ "name": "app", "image": image("2"),
                                            "state": { "waiting": { "reason": "ImagePullBackOff" } } }] },
    }))];
}

#[test]
fn what_a_rollout_waits_for_is_said_after_five_seconds_and_no_more_often_than_every_five() {
    let mut walk = Walk::of(release());
    walk.controller = rolling;
    assert_eq!(walk.settle(), Some(morning() + seconds(5)), "it wakes by itself");
    assert_eq!(walk.state("sit"), State::Deploying);
    assert_eq!(ledger(&walk, "sit"), (ComponentState::Pending, String::new()));
    walk.written();

    walk.later(seconds(5)).settle();
    assert_eq!(walk.written(), ["status: -"]);
    assert_eq!(
        ledger(&walk, "sit"),
        (
            ComponentState::Progressing,
            "Not ready: availableReplicas is 1 of 2.".to_owned()
        )
    );

    // Further changes wait for the pause to end, and are then reported without an event.
    walk.later(seconds(2)).look();
    let mut observed = walk.observed.clone();
    cannot_pull(&mut observed);
    assert_eq!(at_rest(&observed, walk.now), Some(morning() + seconds(10)));
    let Step::Transition(said) = decide(&observed, morning() + seconds(10)) else {
        panic!("not said")
    };
    assert_eq!(
        said.status.environments[0].components[1].message.as_deref(),
        Some("Not ready: availableReplicas is 1 of 2: ledger-5d8f-x1 (ImagePullBackOff).")
    );

    // Ready is recorded with the next write.
    walk.objects
        .get_mut("payments-sit")
        .and_then(|objects| objects.get_mut("ledger"))
        .map(|object| *object = rolled_out(object.clone()))
        .expect("the ledger");
    walk.controller = rolled_out;
    walk.written();
    walk.settle();
    assert_eq!(walk.written()[0], "status: sit Succeeded");
    assert_eq!(ledger(&walk, "sit"), (ComponentState::Ready, String::new()));
}

#[test]
fn a_rollout_that_is_done_within_five_seconds_is_not_written_about() {
    let mut walk = Walk::of(release());
    walk.controller = rolling;
    walk.settle();
    walk.written();
    walk.later(seconds(4)).settle();
    let objects = walk.objects.get_mut("payments-sit").expect("sit");
    let done = rolled_out(objects["ledger"].clone());
    objects.insert("ledger".to_owned(), done);
    walk.controller = rolled_out;
    walk.settle();
    assert_eq!(walk.written()[0], "status: sit Succeeded");
}

#[test]
fn who_waits_for_another_component_says_for_which_and_the_failed_one_says_why() {
    let spec = json!({ "components": [
        { "name": "ledger", "target": ledger_target(), "images": [{ "container": "app", "image": image("2") }] },
        { "name": "config", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger" },
          "patch": { "data": { "limit": "20" } }, "after": ["ledger"] },
    ] });
    let mut walk = Walk::of(release_of(&spec));
    walk.controller = rolling;
    walk.settle();
    walk.later(seconds(5)).settle();
    let said = |walk: &Walk| {
        let components = &walk.promotion("sit").components;
        let said = components
            .iter()
            .map(|c| (c.state, c.message.clone().unwrap_or_default()));
        said.collect::<Vec<_>>()
    };
    let waits = (ComponentState::Pending, "Waits until ledger is Ready.".to_owned());
    let short = "Not ready: availableReplicas is 1 of 2.".to_owned();
    assert_eq!(
        said(&walk),
        [(ComponentState::Progressing, short.clone()), waits.clone()]
    );

    walk.later(minutes(10)).look();
    let Step::Transition(failed) = decide(&walk.observed, walk.now) else {
        panic!("not failed")
    };
    let p = &failed.status.environments[0];
    assert_eq!(p.state, State::BackingOut);
    assert_eq!(
        (p.components[0].state, p.components[0].message.as_deref()),
        (ComponentState::Failed, Some(&*short))
    );
}

fn ledger_target() -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" })
}

#[test]
fn who_loses_its_health_says_so_before_the_grace_is_over_and_takes_it_back() {
    let mut walk = Walk::of(release());
    walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.later(minutes(1)).look();
    let mut observed = walk.observed.clone();
    let since = walk.now;
    let place = observed.places.get_mut("uat").expect("uat");
    let component = &mut place.components[1];
    component.unhealthy_since = Some(since);
    let Live::Present(object) = &mut component.object else {
        panic!("no object")
    };
    Arc::make_mut(object)["status"]["readyReplicas"] = json!(0);
    Arc::make_mut(object)["status"]["availableReplicas"] = json!(0);
    assert_eq!(at_rest(&observed, since), Some(since + seconds(5)));
    let Step::Transition(said) = decide(&observed, since + seconds(5)) else {
        panic!("not said")
    };
    let ledger = &said.status.environments[1].components[1];
    assert_eq!(ledger.state, ComponentState::Ready, "the grace is not over");
    assert_eq!(
        ledger.message.as_deref(),
        Some("Unhealthy since 2026-11-23T09:01:00Z: 0 of 2 pods ready.")
    );
    Arc::make_mut(&mut walk.observed.release).status = Some(said.status);
    walk.later(seconds(20)).settle();
    assert_eq!(walk.promotion("uat").components[1].message, None);
}

/// The ledger's container, which ran from `began` to `ended`, minutes after it was Ready, and runs and is ready again.
fn restarts(observed: &mut Observed, restarts: i64, began: i64, ended: i64) {
    let at = |after: i64| crate::api::time(morning() + minutes(after));
    let ledger = &mut observed.places.get_mut("uat").expect("uat").components[1];
    ledger.pods = vec![Arc::new(json!({
        "metadata": {
            "name": "ledger-5d8f-x1", "labels": { "pod-template-hash": "5d8f" },
            "ownerReferences": [{ "controller": true, "kind": "ReplicaSet", "name": "ledger-5d8f" }],
        },
        "spec": { "containers": [{ "name": "app", "image": image("2") }] },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }], "containerStatuses": [{
            "name": "app", "ready": true, "restartCount": restarts, "state": { "running": { "startedAt": at(ended) } },
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled", "startedAt": at(began), "finishedAt": at(ended) } },
        }] },
    }))];
}

#[test]
fn one_restart_while_it_is_observed_is_told_and_no_failure() {
    let mut walk = Walk::of(release());
    walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.later(minutes(2)).look();
    let mut observed = walk.observed.clone();
    restarts(&mut observed, 1, -5, 1);
    let Step::Transition(said) = decide(&observed, walk.now) else {
        panic!("not said")
    };
    let p = &said.status.environments[1];
    assert_eq!(p.state, State::Observing);
    let told = "estarted since it was Ready: ledger-5d8f-x1 (container app: OOMKilled).";
    assert_eq!(p.components[1].message, Some(format!("R{told}")));
    assert_eq!(p.components[1].state, ComponentState::Ready);

    // The message stays until the end, and is part of the last one.
    Arc::make_mut(&mut observed.release).status = Some(said.status);
    assert!(matches!(decide(&observed, walk.now), Step::Wait(_)));
    let Step::Transition(done) = decide(&observed, walk.now + minutes(10)) else {
        panic!("not over")
    };
    let p = &done.status.environments[1];
    assert_eq!(p.state, State::Succeeded);
    assert_eq!(p.message, Some(format!("Deployment ledger: r{told}")));
}

#[test]
fn two_crashes_while_it_is_observed_are_health_loss_however_long_the_grace_and_whatever_is_ready() {
    let mut walk = Walk::of(release());
    walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.later(minutes(3)).look();
    let mut observed = walk.observed.clone();
    Arc::make_mut(&mut observed.settings).health_grace = minutes(60);
    restarts(&mut observed, 2, 1, 2);
    let Step::Transition(lost) = decide(&observed, walk.now) else {
        panic!("not lost")
    };
    let p = &lost.status.environments[1];
    assert_eq!(p.state, State::BackingOut);
    let said = "Deployment ledger is unhealthy: crash-looping since it was Ready: ledger-5d8f-x1 (container app: OOMKilled).";
    assert_eq!(p.message, Some(format!("HealthLost: {said}")));
    assert_eq!(p.components[1].state, ComponentState::Failed);
}

/// A pod of the version before, deleted at `since`, with half a minute to end.
fn lingers(observed: &mut Observed, environment: &str, hash: &str, since: jiff::Timestamp) {
    let pod = |hash: &str| {
        json!({
            "metadata": {
                "name": format!("ledger-{hash}-x1"), "labels": { "pod-template-hash": hash },
                "ownerReferences": [{ "controller": true, "kind": "ReplicaSet", "name": format!("ledger-{hash}") }],
            },
            "spec": { "containers": [{ "name": "app", "image": image("2") }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    };
    let mut old = pod(hash);
    old["metadata"]["deletionTimestamp"] = json!(crate::api::time(since + seconds(30)));
    old["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    let ledger = &mut observed
        .places
        .get_mut(environment)
        .expect("it is there")
        .components[1];
    ledger.pods = vec![Arc::new(pod("new")), Arc::new(old)];
}

const STILL_ENDING: &str =
    "1 pod of another version is still terminating, until 2026-11-23T09:00:30Z at the latest.";

#[test]
fn who_has_pods_of_another_version_beside_it_is_not_done_before_they_end_or_their_grace_is_over() {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "patch payments-sit/ledger") {
        walk.step();
    }
    walk.look();
    let alone = walk.observed.clone();
    let now = walk.now;
    lingers(&mut walk.observed, "sit", "old", now);
    let mut observed = walk.observed.clone();
    // Ready is recorded, and what is waited for once it takes longer.
    let Step::Transition(ready) = decide(&observed, now) else {
        panic!("not written")
    };
    let p = &ready.status.environments[0];
    assert_eq!((p.state, p.deployed_at.is_some()), (State::Deploying, false));
    assert!(
        p.components
            .iter()
            .all(|c| c.state == ComponentState::Ready && c.ready_at.is_some())
    );
    Arc::make_mut(&mut observed.release).status = Some(ready.status);
    assert_eq!(at_rest(&observed, now), Some(now + seconds(5)));
    let Step::Transition(said) = decide(&observed, now + seconds(5)) else {
        panic!("not said")
    };
    assert_eq!(
        said.status.environments[0].components[1].message.as_deref(),
        Some(STILL_ENDING)
    );
    Arc::make_mut(&mut observed.release).status = Some(said.status);
    assert_eq!(at_rest(&observed, now + seconds(29)), Some(now + seconds(30)));
    // Its grace period has ended, or it was deleted.
    let mut gone = observed.clone();
    gone.places = alone.places;
    for (observed, now) in [(&observed, now + seconds(30)), (&gone, now + seconds(6))] {
        let Step::Transition(done) = decide(observed, now) else {
            panic!("not done")
        };
        let p = &done.status.environments[0];
        assert_eq!(
            (p.state, p.components[1].message.as_deref()),
            (State::Succeeded, None)
        );
        assert_eq!(p.deployed_at, Some(crate::api::time(now)));
    }
}

#[test]
fn what_goes_back_is_not_backed_out_before_the_pods_of_what_is_taken_back_end() {
    let mut walk = Walk::of(release());
    walk.controller = stuck;
    while walk.state_if_any("sit") != Some(State::BackingOut) {
        walk.step();
    }
    walk.controller = rolled_out;
    loop {
        walk.look();
        match decide(&walk.observed, walk.now) {
            Step::Transition(next) if next.status.environments[0].state == State::BackedOut => break,
            _ => assert!(walk.step().is_none(), "it waits for something else"),
        }
    }
    let now = walk.now;
    let mut observed = walk.observed.clone();
    lingers(&mut observed, "sit", "old", now);
    assert_eq!(at_rest(&observed, now), Some(now + seconds(5)));
    let Step::Transition(said) = decide(&observed, now + seconds(5)) else {
        panic!("not said")
    };
    let p = &said.status.environments[0];
    assert_eq!(p.state, State::BackingOut);
    let ledger = &p.components[1];
    assert_eq!(
        (ledger.state, ledger.message.as_deref()),
        (ComponentState::Restored, Some(STILL_ENDING))
    );
    Arc::make_mut(&mut observed.release).status = Some(said.status);
    assert_eq!(at_rest(&observed, now + seconds(29)), Some(now + seconds(30)));
    let Step::Transition(done) = decide(&observed, now + seconds(30)) else {
        panic!("not done")
    };
    let p = &done.status.environments[0];
    assert_eq!(
        (p.state, p.components[1].message.as_deref()),
        (State::BackedOut, None)
    );
}

#[test]
fn what_goes_back_says_what_it_waits_for_and_what_is_back_is_restored() {
    let mut walk = Walk::of(release());
    walk.controller = stuck;
    while walk.state_if_any("sit") != Some(State::BackingOut) {
        walk.step();
    }
    walk.controller = rolling;
    walk.settle();
    walk.written();
    walk.later(seconds(5)).settle();
    let said: Vec<_> = walk.promotion("sit").components.iter().collect();
    assert_eq!(
        (said[1].state, said[1].message.as_deref()),
        (
            ComponentState::Progressing,
            Some("Deployment ledger: availableReplicas is 1 of 2.")
        )
    );
    assert_eq!(
        (said[0].state, said[0].message.as_deref()),
        (
            ComponentState::Progressing,
            Some("Waits until components that depend on it are restored.")
        )
    );
    assert_eq!(walk.written(), ["status: -"]);
}

#[test]
fn drift_after_success_is_amber_and_told_once_an_hour_and_writer_until_it_is_put_back() {
    let mut walk = Walk::of(release_of(&json!({ "environments": ["sit"] })));
    walk.run();
    assert_eq!(walk.state("sit"), State::Succeeded);
    let events = |walk: &mut Walk| {
        walk.look();
        let mut notes = Vec::new();
        while let Step::Transition(next) = decide(&walk.observed, walk.now) {
            notes.extend(next.announcements.iter().map(|a| a.note.clone()));
            Arc::make_mut(&mut walk.observed.release).status = Some(next.status);
        }
        notes
    };
    let altered = |by: &str, tag: &str| crate::decide::facts::Altered {
        component: "ledger".into(),
        says: format!("Deployment ledger in sit runs {tag} (last written by {by})"),
        by: Some(by.into()),
    };
    let colour = |walk: &Walk| {
        let status = walk.observed.release.status.as_ref().expect("a status");
        status.rag.clone().expect("a colour")
    };
    let none: [String; 0] = [];
    for (after, by, tag, told) in [
        (0, "fixer", "x", true),
        // What is recorded already is not written again.
        (10, "fixer", "x", false),
        (20, "fixer", "y", false),
        (30, "other", "z", true),
        (3599, "fixer", "x", false),
        (7300, "fixer", "y", true),
    ] {
        walk.now = morning() + minutes(60) + seconds(after);
        walk.observed.altered.insert("sit".into(), altered(by, tag));
        let says = altered(by, tag).says;
        let expected = if told {
            vec![format!("sit: Drift: {says}.")]
        } else {
            none.to_vec()
        };
        assert_eq!(events(&mut walk), expected, "{after} {by} {tag}");
        let rag = colour(&walk);
        assert_eq!(
            (rag.colour, rag.reasons),
            (Colour::Amber, vec![format!("sit: ledger has drifted: {says}.")])
        );
        let component = &walk.promotion("sit").components[1];
        assert_eq!(component.message, Some(format!("Drift: {says}.")));
    }
    walk.observed.altered.clear();
    walk.later(seconds(6));
    assert_eq!(events(&mut walk), none);
    assert_eq!(colour(&walk).colour, Colour::Green);
    assert_eq!(walk.promotion("sit").components[1].message, None);
    walk.written();
    walk.settle();
    assert_eq!(walk.written(), none, "and nothing more is written");
}

#[test]
fn what_a_job_said_outlives_the_time_in_which_the_release_does_not_stand_upstream() {
    let mut walk = Walk::of(release_of(&json!({ "environments": ["sit", "uat"] })));
    walk.run();
    assert_eq!(walk.state("uat"), State::Succeeded);
    let said = |reason: &str| crate::api::release::Check {
        name: format!("gate-{reason}"),
        state: CheckState::Failed,
        reason: reason.to_owned(),
        message: "as it was".into(),
        since: time(morning()),
        until: None,
        advisory: false,
        anew_since: None,
    };
    walk.edit(|release| {
        let status = release.status.as_mut().expect("a status");
        let uat = status.environments.iter_mut().find(|p| p.name == "uat");
        let reasons = [
            reasons::JOB_TIMED_OUT,
            reasons::JOB_RUNNING,
            reasons::JOB_PENDING,
            reasons::WINDOW_INVALID,
        ];
        // As it was before it entered.
        let uat = uat.expect("a promotion");
        *uat = crate::api::release::Promotion {
            name: "uat".into(),
            attempt: 1,
            state: State::Waiting,
            plan_hash: uat.plan_hash.clone(),
            checks: reasons.map(said).to_vec(),
            not_counted: Some("Retry by dora does not count: it is too early.".to_owned()),
            ..Default::default()
        };
    });
    let altered = crate::decide::facts::Altered {
        component: "ledger".into(),
        says: "Deployment ledger in sit runs x".into(),
        by: None,
    };
    walk.observed.altered.insert("sit".into(), altered);
    let Step::Transition(next) = decide(&walk.observed, walk.now) else {
        panic!("it goes back to Pending")
    };
    let uat = next.status.environments.iter().find(|p| p.name == "uat");
    let uat = uat.expect("a promotion");
    assert_eq!((uat.state, &uat.not_counted), (State::Pending, &None));
    let kept: Vec<&str> = uat.checks.iter().map(|c| c.reason.as_str()).collect();
    assert_eq!(kept, [reasons::JOB_TIMED_OUT, reasons::JOB_RUNNING]);
}

#[test]
fn a_decision_that_does_not_count_hides_neither_a_hold_nor_a_check() {
    let mut walk = Walk::of(release());
    walk.edit(|r| {
        r.spec.hold = Some(crate::api::release::Hold {
            reason: Some("audit".into()),
            ..Default::default()
        })
    });
    walk.settle();
    let mut retry = decision("Retry", "dora@example.com", "sit", walk.now, json!({}));
    retry.spec.attempt = Some(1);
    walk.decides(retry);
    walk.settle();
    let named = "Retry by dora@example.com does not count: ";
    let p = walk.promotion("sit");
    assert_eq!(
        p.message.as_deref(),
        Some("Held by spec.hold. Remove it to continue. Reason: audit.")
    );
    assert!(
        p.not_counted.as_ref().is_some_and(|says| says.starts_with(named)),
        "{p:?}"
    );
    let ready = ready_of(&walk);
    assert!(ready.contains("Reason: audit. Retry by dora"), "{ready}");

    // Without a hold what blocks is a check.
    walk.edit(|r| r.spec.hold = None);
    walk.observed = walk.observed.clone().with_environment(sit(), &[never()]);
    walk.settle();
    let p = walk.promotion("sit");
    assert_eq!(p.message, None);
    assert!(
        p.not_counted.as_ref().is_some_and(|says| says.starts_with(named)),
        "{p:?}"
    );
    let ready = ready_of(&walk);
    assert!(
        ready.contains("WindowOpen: ") && ready.contains(". Retry by dora"),
        "{ready}"
    );
}

/// What the Ready condition says.
fn ready_of(walk: &Walk) -> String {
    let status = walk.observed.release.status.as_ref().expect("a status");
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
    ready.expect("Ready").message.clone()
}

/// A window that denies everything for as long as the test lasts.
fn never() -> crate::domain::calendar::Window {
    crate::domain::calendar::Window {
        name: "freeze".into(),
        kind: crate::domain::calendar::WindowKind::Deny,
        when: crate::domain::calendar::When::Once {
            from: morning() - minutes(60),
            to: morning() + minutes(6000),
        },
    }
}

#[test]
fn a_decision_that_was_obeyed_is_never_listed_as_not_counting() {
    let mut walk = Walk::of(release_of(&json!({ "environments": ["sit"] })));
    walk.run();
    let told = |action: &str, at, walk: &mut Walk| {
        let mut decision = decision(action, "dora@example.com", "sit", at, json!({}));
        decision.spec.attempt = Some(walk.promotion("sit").attempt);
        walk.decides(decision);
    };
    // Backing out from Succeeded fails for want of what was kept, and is then accepted.
    walk.later(minutes(1));
    let at = walk.now;
    told("BackOut", at, &mut walk);
    walk.objects
        .get_mut("payments-sit")
        .and_then(|o| o.get_mut("ledger"))
        .map(|o| o["metadata"]["uid"] = json!("another"))
        .expect("the ledger");
    let place = |walk: &Walk| walk.state("sit");
    // It is not ours any more: named, and nothing is done.
    walk.settle();
    assert_eq!(place(&walk), State::Succeeded);
    let named = walk.promotion("sit").not_counted.clone().unwrap_or_default();
    assert!(named.contains("BackOut by dora"), "{named}");
    walk.objects
        .get_mut("payments-sit")
        .and_then(|o| o.get_mut("ledger"))
        .map(|o| o["metadata"]["uid"] = json!("u-ledger"))
        .expect("the ledger");
    while place(&walk) != State::BackingOut {
        walk.step();
    }
    // In the middle of it a target is replaced; a person accepts that.
    walk.objects
        .get_mut("payments-sit")
        .and_then(|o| o.get_mut("ledger"))
        .map(|o| o["metadata"]["uid"] = json!("another"))
        .expect("the ledger");
    walk.settle();
    assert_eq!(place(&walk), State::AwaitingDecision);
    walk.later(minutes(1));
    let at = walk.now;
    told("Accept", at, &mut walk);
    walk.settle();
    let p = walk.promotion("sit");
    assert_eq!(p.state, State::Succeeded);
    assert_eq!(p.obeyed.len(), 1, "the BackOut");
    assert_eq!(p.not_counted, None);
}
