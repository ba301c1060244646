//! Promotions that succeed, and what keeps one waiting: the table in docs/state-machine.md, write by write.

use crate::api::release::{Because, ComponentState, Hold, State};
use crate::api::time;
use crate::decide::decide;
use crate::decide::expressions;
use crate::decide::facts::{JobState, Live, Rival};
use crate::decide::fixtures::*;
use crate::decide::step::Step;
use crate::decide::tests::walk::Walk;
use serde_json::json;

const ALL: [&str; 3] = ["sit", "uat", "production"];

#[test]
fn a_clean_promotion_writes_what_the_walk_says() {
    let mut walk = Walk::of(release());
    walk.release().metadata.finalizers = None;
    walk.run();

    let written = walk.written();
    assert_eq!(
        written,
        [
            "finalizer",
            "status: sit Waiting, uat Pending, production Pending",
            "claim payments-sit",
            "capture sit",
            "status: sit Deploying",
            "patch payments-sit/config",
            "status: -", // config Ready, because ledger waits for it
            "patch payments-sit/ledger",
            "status: sit Succeeded",
            "status: uat Waiting",
            "release payments-sit",
            "claim payments-uat",
            "capture uat",
            "status: uat Deploying",
            "patch payments-uat/config",
            "status: -",
            "patch payments-uat/ledger",
            "status: uat Observing",
            "status: uat Succeeded",
            "status: production Waiting",
            "release payments-uat",
            "claim payments",
            "capture production",
            "status: production Deploying",
            "patch payments/config",
            "status: -",
            "patch payments/ledger",
            "status: production Succeeded",
            "release payments",
        ]
    );
    // Finalizer and first status apart: 8 an environment, one a component, one for `after`.
    assert!(written.len() - 2 <= 3 * (8 + 2 + 1), "{} writes", written.len());
    for name in ALL {
        assert_eq!(walk.state(name), State::Succeeded);
    }
    for namespace in ["payments-sit", "payments-uat", "payments"] {
        let objects = &walk.objects[namespace];
        assert_eq!(objects["config"]["data"], json!({ "limit": "20", "other": "x" }));
        assert_eq!(
            objects["ledger"].pointer("/spec/template/spec/containers/0/image"),
            Some(&json!(image("2")))
        );
    }
    assert_eq!(
        walk.now,
        morning() + minutes(10),
        "only the observation took time"
    );
    walk.settle();
    assert_eq!(
        walk.written(),
        Vec::<String>::new(),
        "a settled release writes nothing"
    );
}

#[test]
fn the_pre_state_of_an_older_release_goes_once_this_one_succeeded() {
    let mut walk = Walk::of(release());
    walk.settle();
    let (name, (_, mut content)) = walk
        .pre_states
        .iter()
        .next()
        .map(|(n, c)| (n.clone(), c.clone()))
        .expect("one");
    content.release_uid = "r0".to_owned();
    walk.pre_states
        .insert("prestate-old".to_owned(), ("old".to_owned(), content));
    walk.written();
    let mut older = (*sibling("2026.8", "r0", &[("sit", State::Observing)])).clone();
    let place = walk.promotion("sit").entered.clone();
    let mut theirs = |state: State| {
        let status = older.status.as_mut().expect("a status");
        status.environments[0].state = state;
        status.environments[0].entered = place.clone();
        vec![std::sync::Arc::new(older.clone())]
    };
    walk.observed.siblings = theirs(State::Observing);
    walk.settle();
    assert_eq!(
        walk.written(),
        Vec::<String>::new(),
        "while it is in progress it is its own"
    );
    walk.observed.siblings = theirs(State::Succeeded);
    walk.settle();
    assert_eq!(walk.written(), ["forget sit 1"]);
    assert!(
        walk.pre_states.contains_key(&name),
        "its own stays: it can still be backed out"
    );
}

#[test]
fn hold_stops_new_entries_and_nothing_else() {
    let mut walk = Walk::of(release());
    walk.edit(|r| {
        r.spec.hold = Some(Hold {
            reason: Some("audit".into()),
            ..Hold::default()
        })
    });
    assert_eq!(walk.settle(), None);
    assert_eq!(
        walk.written(),
        ["status: sit Waiting, uat Pending, production Pending"]
    );
    let ready = &walk.observed.release.status.as_ref().expect("status").conditions[1];
    assert_eq!(
        (ready.reason.as_str(), ready.message.as_str()),
        (
            "Held",
            "sit: Held by spec.hold. Remove it to continue. Reason: audit."
        )
    );

    walk.edit(|r| r.spec.hold = None);
    walk.run();
    assert_eq!(walk.state("production"), State::Succeeded);
}

#[test]
fn a_hold_during_deploying_lets_it_finish() {
    let mut walk = Walk::of(release());
    while walk
        .observed
        .release
        .promotion("sit")
        .is_none_or(|p| p.state != State::Deploying)
    {
        walk.step();
    }
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.run();
    assert_eq!(
        ALL.map(|e| walk.state(e)),
        [State::Succeeded, State::Waiting, State::Pending]
    );
}

#[test]
fn withdrawing_ends_what_has_not_entered_and_what_was_promoted_stays() {
    let mut walk = Walk::of(release());
    walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.written();
    walk.edit(|r| {
        r.spec.withdrawn = Some(Because {
            reason: Some("not needed".into()),
        })
    });
    walk.run();
    assert_eq!(
        walk.written(),
        [
            "status: production Withdrawn",
            "status: uat Succeeded",
            "release payments-uat"
        ]
    );
    assert_eq!(
        walk.promotion("production").message.as_deref(),
        Some("Withdrawn before it entered. Reason: not needed.")
    );
}

#[test]
fn a_claim_that_is_held_when_it_is_withdrawn_is_given_back_with_its_pre_state() {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "capture sit") {
        walk.step();
    }
    walk.edit(|r| r.spec.withdrawn = Some(Because::default()));
    walk.written();
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: sit Withdrawn, uat Withdrawn, production Withdrawn",
            "forget sit 1",
            "release payments-sit"
        ]
    );
    assert!(walk.claims.is_empty() && walk.pre_states.is_empty());
}

#[test]
fn a_claim_whose_checks_fail_before_entry_is_given_back() {
    let mut walk = Walk::of(release());
    while !walk.log.iter().any(|l| l == "capture sit") {
        walk.step();
    }
    walk.written();
    walk.edit(|r| r.spec.hold = Some(Hold::default()));
    walk.settle();
    assert_eq!(
        walk.written(),
        ["status: -", "forget sit 1", "release payments-sit"]
    );
}

#[test]
fn an_environment_that_is_taken_off_the_list_leaves_no_claim_behind() {
    let mut walk = Walk::of(release_of(&json!({ "environments": ["sit"] })));
    while !walk.log.iter().any(|l| l == "capture sit") {
        walk.step();
    }
    walk.edit(|r| r.spec.environments = vec!["elsewhere".into()]);
    walk.written();
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: elsewhere Pending",
            "forget sit 1",
            "release payments-sit"
        ]
    );
}

#[test]
fn a_newer_version_that_succeeded_supersedes_what_has_not_entered() {
    let mut walk = Walk::of(release());
    walk.observed.siblings = vec![sibling("2026.11.2", "r2", &[("sit", State::Succeeded)])];
    walk.settle();
    assert_eq!(
        walk.written(),
        ["status: sit Superseded, uat Pending, production Pending"]
    );
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some("Version 2026.11.2 Succeeded here before this release entered.")
    );
}

#[test]
fn an_older_version_supersedes_nothing() {
    let mut walk = Walk::of(release_of(&json!({ "version": "2026.10" })));
    walk.observed.siblings = vec![sibling("2026.9", "r2", &[("sit", State::Succeeded)])];
    walk.settle();
    assert_eq!(walk.state("sit"), State::Succeeded);
}

#[test]
fn an_occupied_target_queues_and_is_entered_when_it_is_free() {
    let mut walk = Walk::of(release());
    walk.claims
        .insert("payments-sit".into(), claim("payments-sit", "other", "sit", 1));
    walk.settle();
    assert_eq!(
        walk.written(),
        ["status: sit Queued, uat Pending, production Pending"]
    );
    assert_eq!(
        walk.promotion("sit").message.as_deref(),
        Some("Release payments/other occupies namespace payments-sit.")
    );

    walk.claims.clear();
    walk.settle();
    assert_eq!(
        walk.written()[..3],
        ["claim payments-sit", "capture sit", "status: sit Deploying"]
    );
}

#[test]
fn the_queue_is_by_planned_start_or_creation_then_age_then_uid() {
    let planned = |start: Option<&str>| {
        let schedule = start.map(|s| json!([{ "environment": "sit", "start": s }]));
        Rival::of(
            &release_of(&json!({ "schedule": schedule.unwrap_or(json!([])) })),
            "sit",
        )
    };
    let aged = |created: &str, uid: &str| {
        let mut release = release();
        release.metadata.creation_timestamp = Some(time(at(created)));
        release.metadata.uid = Some(uid.into());
        Rival::of(&release, "sit")
    };
    let in_line = [
        aged("2026-11-23T07:00:00Z", "z"),
        aged("2026-11-23T08:00:00Z", "a"),
        aged("2026-11-23T08:00:00Z", "b"),
        planned(Some("2026-11-23T08:30:00Z")),
        aged("2026-11-23T08:40:00Z", "a"),
    ];
    assert!(in_line.is_sorted(), "{in_line:#?}");
    let created = planned(Some("2026-11-23T08:00:00Z"));
    assert_eq!(
        planned(None),
        created,
        "without a planned start it counts from its creation"
    );
    assert_eq!(
        planned(Some("1970-01-01T00:00:00Z")),
        created,
        "a start before the creation is the creation: a release that has waited is not passed"
    );

    let mut walk = Walk::of(release());
    walk.rivals = vec![in_line[0].clone()];
    walk.settle();
    assert_eq!(walk.state("sit"), State::Queued);
    walk.rivals = vec![aged("2026-11-23T08:30:00Z", "a")];
    walk.settle();
    assert_eq!(walk.state("sit"), State::Succeeded);
}

#[test]
fn an_unhealthy_target_that_recovers_within_the_grace_is_not_a_failure() {
    let mut walk = Walk::of(release());
    walk.settle();
    assert_eq!(walk.state("uat"), State::Observing);
    walk.later(minutes(9));
    walk.unhealthy_since = Some(walk.now);
    walk.settle();
    walk.later(minutes(2) - seconds(1));
    assert_eq!(
        walk.settle(),
        Some(walk.now + seconds(1)),
        "not over while it may be on its way down"
    );
    walk.unhealthy_since = None;
    walk.settle();
    assert_eq!(walk.state("uat"), State::Succeeded);
}

#[test]
fn drift_during_observation_is_reported_once_never_fought_over_and_never_a_success() {
    let mut walk = Walk::of(release());
    walk.settle();
    walk.objects
        .get_mut("payments-uat")
        .expect("uat")
        .get_mut("config")
        .expect("config")["data"]["limit"] = json!("30");
    walk.written();
    walk.run();
    assert_eq!(walk.written()[..2], ["status: -", "status: uat AwaitingDecision"]);
    let config = &walk.promotion("uat").components[0];
    assert_eq!(
        config.message.as_deref(),
        Some("Drift: ConfigMap ledger /data/limit.")
    );
    let review = walk
        .observed
        .release
        .status
        .as_ref()
        .and_then(|s| s.review.clone())
        .expect("a review");
    assert!(review.required_because.contains(&"Drift".to_owned()));
}

#[test]
fn something_that_cannot_be_read_holds_and_after_half_an_hour_people_decide() {
    let mut walk = Walk::of(release());
    while walk
        .observed
        .release
        .promotion("sit")
        .is_none_or(|p| p.state != State::Deploying)
    {
        walk.step();
    }
    let mut observed = walk.observed.clone();
    let place = observed.places.get_mut("sit").expect("sit");
    place.components.clear();
    for name in ["config", "ledger"] {
        place.components.push(crate::decide::facts::LiveComponent {
            trouble: Some(crate::decide::facts::Trouble {
                reason: "Unreadable",
                message: "no answer".into(),
                again_at: walk.now + minutes(1),
            }),
            ..crate::decide::facts::LiveComponent::seen(name, Live::Unread)
        });
    }
    place.pre_state = walk.observed.places["sit"].pre_state.clone();
    let Step::Transition(first) = decide(&observed, walk.now) else {
        panic!("not written down")
    };
    let said = first.status.environments[0]
        .inconclusive
        .clone()
        .expect("inconclusive");
    assert_eq!(
        (said.reason.as_str(), said.message.as_str()),
        ("Unreadable", "No answer.")
    );
    std::sync::Arc::make_mut(&mut observed.release).status = Some(first.status);
    assert!(matches!(decide(&observed, walk.now), Step::Wait(w) if w.until == Some(walk.now + minutes(1))));
    let Step::Transition(second) = decide(&observed, walk.now + minutes(30)) else {
        panic!("not handed over")
    };
    assert_eq!(second.status.environments[0].state, State::AwaitingDecision);
    assert_eq!(
        second.status.environments[0].message.as_deref(),
        Some(
            "Unreadable: No answer. This has lasted for 30m. A Decision is required (BackOut, Accept or Abandon)."
        )
    );
}

#[test]
fn who_cannot_see_one_target_keeps_what_stood_before_though_somebody_edits_another() {
    let mut walk = Walk::of(release());
    walk.step();
    while walk.state("sit") != State::Deploying {
        walk.step();
    }
    let mut ledger = walk.objects["payments-sit"]["ledger"].clone();
    ledger["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image("9"));
    let config = walk.objects["payments-sit"]["config"].clone();
    let state = |config: Live, unsure: bool| {
        let mut observed = walk.observed.clone();
        let place = observed.places.get_mut("sit").expect("sit");
        let component = |name: &str, object| crate::decide::facts::LiveComponent {
            unsure,
            ..crate::decide::facts::LiveComponent::seen(name, object)
        };
        let edited = Live::Present(std::sync::Arc::new(ledger.clone()));
        place.components = vec![component("config", config), component("ledger", edited)];
        match decide(&observed, walk.now) {
            Step::Transition(transition) => transition.status.environments[0].state,
            _ => State::Deploying,
        }
    };
    let config = Live::Present(std::sync::Arc::new(config));
    assert_eq!(state(config.clone(), false), State::Waiting, "nothing is touched");
    assert_eq!(state(config, true), State::Deploying, "it may have been changed");
    assert_eq!(
        state(Live::Unread, false),
        State::Deploying,
        "it may have been changed"
    );
}

/// A target that was reverted during the observation is not what was released, no matter which writer reverted it.
#[test]
fn what_was_put_back_while_it_was_observed_is_no_success() {
    let mut walk = Walk::of(release());
    walk.settle();
    let before = running()["ledger"]["spec"].clone();
    walk.objects
        .get_mut("payments-uat")
        .expect("uat")
        .get_mut("ledger")
        .expect("ledger")["spec"] = before;
    walk.run();
    assert_eq!(walk.state("uat"), State::AwaitingDecision);
    let message = walk.promotion("uat").message.clone().expect("a message");
    assert!(
        message.starts_with("FieldsChanged: Deployment ledger was reverted to its previous state. What runs is not what was released."),
        "{message}"
    );
}

#[test]
fn what_cannot_be_seen_at_the_end_of_its_observation_is_no_success_yet() {
    let mut walk = Walk::of(release());
    walk.settle();
    walk.later(minutes(10)).look();
    let mut observed = walk.observed.clone();
    let again = walk.now + minutes(1);
    let place = observed.places.get_mut("uat").expect("uat");
    place.components[0].object = Live::Unread;
    place.components[0].trouble = Some(crate::decide::facts::Trouble {
        reason: "Unreadable",
        message: "no answer".into(),
        again_at: again,
    });
    assert!(matches!(decide(&observed, walk.now), Step::Wait(w) if w.until == Some(again)));
}

#[test]
fn how_many_pods_were_ready_is_written_with_the_latch() {
    let mut walk = Walk::of(release());
    walk.run();
    let components = &walk.promotion("sit").components;
    let ready: Vec<_> = components.iter().map(|c| c.ready_pods).collect();
    assert_eq!(ready, [None, Some(2)]);
}

/// Two components side by side: the first was Ready and is not any more while the second is still rolling out.
#[test]
fn who_was_ready_once_is_not_judged_by_its_deadline_again() {
    let mut walk = Walk::of(release());
    walk.controller = stuck_at_first;
    while walk
        .observed
        .release
        .promotion("sit")
        .is_none_or(|p| p.state != State::Deploying)
        || walk.log.iter().all(|l| l != "patch payments-sit/ledger")
    {
        walk.step();
    }
    walk.look();
    let place = walk.observed.places.get_mut("sit").expect("sit");
    let at = walk.now;
    place.components[1].became_ready = Some(crate::decide::facts::BecameReady { at, pods: Some(2) });
    let Step::Transition(latched) = decide(&walk.observed, walk.now + minutes(60)) else {
        panic!("not latched at once")
    };
    let ledger = &latched.status.environments[0].components[1];
    assert_eq!(latched.status.environments[0].state, State::Deploying);
    assert_eq!(
        (ledger.state, ledger.ready_pods),
        (ComponentState::Ready, Some(2))
    );
    assert_eq!(
        ledger.ready_at,
        Some(time(at)),
        "when it was, not when it was written"
    );

    // What is unhealthy since does not succeed: first the grace, then health is lost.
    std::sync::Arc::make_mut(&mut walk.observed.release).status = Some(latched.status);
    let since = walk.now + minutes(60);
    let place = walk.observed.places.get_mut("sit").expect("sit");
    place.components[1].unhealthy_since = Some(since);
    let grace = walk.observed.settings.health_grace;
    let almost = since + grace - seconds(1);
    assert!(matches!(decide(&walk.observed, since), Step::Wait(w) if w.until == Some(since + seconds(5))));
    let Step::Transition(said) = decide(&walk.observed, almost) else {
        panic!("not said before the grace is over")
    };
    std::sync::Arc::make_mut(&mut walk.observed.release).status = Some(said.status);
    assert!(matches!(decide(&walk.observed, almost), Step::Wait(w) if w.until == Some(since + grace)));
    let Step::Transition(lost) = decide(&walk.observed, since + grace) else {
        panic!("not lost")
    };
    let message = lost.status.environments[0].message.clone().expect("a message");
    assert!(
        message.starts_with("HealthLost: Deployment ledger has been unhealthy since"),
        "{message}"
    );
    assert!(message.ends_with(": 0 of 2 pods ready."), "{message}");
}

/// The rollout begins and nothing is ready yet.
fn stuck_at_first(mut object: serde_json::Value) -> serde_json::Value {
    if object["kind"] == "Deployment" {
        object["status"] = json!({ "observedGeneration": object["metadata"]["generation"], "replicas": 2, "updatedReplicas": 1 });
    }
    object
}

/// Production asks a board, and SIT's verification runs a Job and asks an expression.
fn careful() -> Walk {
    let mut sit = sit();
    sit.spec.verification = serde_json::from_value(json!([
        { "name": "smoke", "job": { "template": "smoke-tests" } },
        { "name": "rule", "expression": { "passWhen": "x" } },
    ]))
    .expect("verification");
    sit.spec.gates = serde_json::from_value(json!([{ "name": "board", "approval": { "role": "manager" } }]))
        .expect("gates");
    let mut walk = Walk::of(release_of(&json!({ "environments": ["sit"] })));
    walk.observed = walk.observed.with_environment(sit, &[]);
    walk
}

fn is_approved(walk: &mut Walk) {
    let hash = walk.promotion("sit").plan_hash.clone();
    let over = json!({ "subject": "board", "role": "manager", "planHash": hash });
    walk.decides(decision("Approve", "anna@example.com", "sit", walk.now, over));
}

#[test]
fn a_gate_and_a_verification_cost_a_write_for_each_answer() {
    let mut walk = careful();
    assert_eq!(walk.settle(), None, "waiting for people costs nothing");
    assert_eq!(walk.written(), ["status: sit Waiting"]);
    walk.later(minutes(1));
    is_approved(&mut walk);
    walk.settle();
    assert_eq!(
        walk.written(),
        [
            "status: -", // the gate holds
            "claim payments-sit",
            "capture sit",
            "status: sit Deploying",
            "patch payments-sit/config",
            "status: -",
            "patch payments-sit/ledger",
            "status: sit Verifying",
            "status: -", // the expression has not been evaluated: inconclusive
            "job verification/smoke from smoke-tests",
            "status: -", // which Job it is
        ]
    );
    walk.jobs.insert("verification/smoke".into(), JobState::Succeeded);
    walk.expressions.insert("verification/rule".into(), Ok(true));
    walk.settle();
    assert_eq!(walk.written(), ["status: sit Succeeded", "release payments-sit"]);
    let said: Vec<&str> = walk
        .promotion("sit")
        .verification
        .iter()
        .map(|c| c.reason.as_str())
        .collect();
    assert_eq!(said, ["JobSucceeded", "Satisfied"]);
    assert_eq!(walk.promotion("sit").inconclusive, None);
}

#[test]
fn a_verification_that_is_refused_since_the_entry_asks_people() {
    let mut walk = careful();
    walk.settle();
    is_approved(&mut walk);
    walk.jobs.insert("verification/smoke".into(), JobState::Succeeded);
    // An older operator accepted it, and this one does not.
    let text = "release.spec.components.size() == 1.5";
    let refused = expressions::compile(text).expect_err("refused");
    let why = &refused.to_string();
    walk.expressions
        .insert("verification/rule".into(), Err(refused.into()));
    walk.settle();
    assert_eq!(
        walk.promotion("sit").state,
        State::Verifying,
        "it may still be fixed"
    );
    walk.later(minutes(31)).settle();
    let p = walk.promotion("sit").clone();
    assert_eq!(p.state, State::AwaitingDecision);
    let message = p.message.unwrap_or_default();
    assert!(
        message.contains("Verification rule") && message.contains(why.as_str()),
        "{message}"
    );
    walk.decides(decision(
        "Accept",
        "anna@example.com",
        "sit",
        walk.now,
        json!({ "attempt": 1 }),
    ));
    walk.settle();
    assert_eq!(walk.promotion("sit").state, State::Succeeded);
}

#[test]
fn a_failed_verification_backs_out_and_says_which() {
    let mut walk = careful();
    walk.settle();
    is_approved(&mut walk);
    walk.expressions.insert("verification/rule".into(), Ok(false));
    walk.settle();
    let p = walk.promotion("sit");
    assert_eq!(p.state, State::BackedOut);
    assert_eq!(
        p.backout.as_ref().and_then(|b| b.reason.as_deref()),
        Some("VerificationFailed: rule: The expression is false.")
    );
    assert_eq!(
        p.verification
            .iter()
            .map(|c| c.reason.as_str())
            .collect::<Vec<_>>(),
        ["ExpressionFalse"]
    );
}
