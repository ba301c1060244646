//! Every control and gate: each state and reason, and the message for the person who reads it.
//!
//! It is long because it consists of tables: a row for each state and reason of eight controls and four gates.

use std::sync::Arc;

use CheckState::{Failed, Satisfied, Unknown, Waiting};
use serde_json::{Value, json};

use crate::api::release::State;
use crate::api::{self, Decision, Environment};
use crate::decide::facts::{
    self, Inspection, JobState, KeptInAll, NamespaceState, Refusal, StoredPreState, Trouble, Trust,
};
use crate::decide::fixtures::{self, *};
use crate::decide::order;
use crate::decide::plan;
use crate::decide::rules::*;
use crate::domain::calendar::{When, Window, WindowKind};

mod approval;
mod time;

/// All checks of `environment`, as it is.
fn all(o: &Observed, environment: &str, now: Timestamp) -> Verdicts {
    let listed = order::listed(o);
    let promotion = listed.iter().find(|p| p.name == environment).expect(environment);
    evaluate(&Subject {
        observed: o,
        setting: &o.environments[environment],
        promotion,
        place: &o.places[environment],
        now,
        gate: None,
        prior: None,
        probing: false,
    })
}

fn one(o: &Observed, environment: &str, check: &str) -> Check {
    one_at(o, environment, check, morning())
}

fn one_at(o: &Observed, environment: &str, check: &str, now: Timestamp) -> Check {
    let verdicts = all(o, environment, now);
    verdicts
        .checks
        .into_iter()
        .find(|c| c.name == check)
        .expect(check)
}

#[track_caller]
fn says(check: &Check, state: CheckState, reason: &str, message: &str) {
    assert_eq!(
        (check.state, check.reason.as_str(), check.message.as_str()),
        (state, reason, message)
    );
}

fn inspected(o: &mut Observed, environment: &str, change: impl FnOnce(&mut Inspection)) {
    let place = o.places.get_mut(environment).expect("a place");
    change(Arc::make_mut(place.inspection.as_mut().expect("an inspection")));
}

fn hash(o: &Observed, environment: &str) -> String {
    order::listed(o)
        .into_iter()
        .find(|p| p.name == environment)
        .expect("listed")
        .plan_hash
}

#[test]
fn a_clean_release_satisfies_every_control_in_the_order_in_which_they_are_shown() {
    let mut o = observed().with_promotions(vec![succeeded("sit", morning()), succeeded("uat", morning())]);
    o.pre_states = vec![StoredPreState {
        name: plan::pre_state_name(o.uid(), "uat", 1),
        uid: "kept".to_owned(),
        namespace: o.namespace().to_owned(),
        release: o.name().to_owned(),
        release_uid: o.uid().to_owned(),
        environment: "uat".to_owned(),
        bytes: 1,
    }];
    let shown: Vec<String> = all(&o, "production", morning())
        .checks
        .iter()
        .map(|c| format!("{} {:?}: {}", c.name, c.state, c.message))
        .collect();
    assert_eq!(
        shown,
        [
            "TargetsAllowed Satisfied: 2 targets can be changed.",
            "EnvironmentAvailable Satisfied: Namespace payments exists and its targets are healthy.",
            "DigestPinned Satisfied: Every image is pinned by digest.",
            "SameArtifact Satisfied: The same images Succeeded in uat.",
            "NoDowngrade Satisfied: No newer version has Succeeded here.",
            "DeploymentPlanDocumented Satisfied: The deployment plan has summary, owner and document.",
            "BackoutPlanDocumented Satisfied: The backout plan is complete: Restore, Automatic, within 15m.",
            "WindowOpen Satisfied: Open: defaultWindow.",
        ]
    );
}

#[test]
fn an_advisory_control_is_shown_and_never_holds_and_one_that_is_off_is_not_shown() {
    let mut o = observed();
    inspected(&mut o, "sit", |i| {
        i.components[1].images_after = vec![("app".into(), "ledger:2".into())]
    });
    let verdicts = all(&o, "sit", morning());
    let pinned = verdicts
        .checks
        .iter()
        .find(|c| c.name == "DigestPinned")
        .expect("shown");
    assert_eq!((pinned.state, pinned.advisory), (Failed, true));
    assert!(verdicts.hold());

    let off = json!({ "stage": "SIT", "namespace": "x",
                      "controls": [{ "name": "DigestPinned", "enforcement": "Off" }] });
    let o = o.with_environment(environment("sit", off), &[]);
    assert!(
        all(&o, "sit", morning())
            .checks
            .iter()
            .all(|c| c.name != "DigestPinned")
    );
}

#[test]
fn only_satisfied_is_go() {
    for state in [Waiting, Failed, Unknown] {
        let check = persisted("x", None, false, state, "R", "m".into(), None, morning());
        let verdicts = Verdicts {
            checks: vec![check],
            actions: vec![],
            obeyed: vec![],
            runs: vec![],
        };
        assert!(!verdicts.hold(), "{state:?}");
    }
}

#[test]
fn targets_allowed_names_the_kind_and_whom_to_ask() {
    let kinds = json!({ "stage": "UAT", "namespace": "x", "owner": { "team": "Testing", "contact": "uat@example.com" },
                        "allowedKinds": [{ "apiVersion": "v1", "kind": "ConfigMap" }] });
    let o = observed().with_environment(environment("uat", kinds), &[]);
    says(
        &one(&o, "uat", "TargetsAllowed"),
        Failed,
        "KindNotAllowed",
        "Component ledger targets apps/v1 Deployment, which Environment uat does not list in allowedKinds. Ask Testing (uat@example.com) to add it, or \
         remove the component.",
    );
}

fn with_verification(environment: Environment, verification: Value) -> Environment {
    let mut environment = environment;
    environment.spec.verification = serde_json::from_value(verification).expect("verification");
    environment
}

/// `uat`, for a release whose second component targets this kind of object.
fn targeting(kind: &str, name: &str) -> Observed {
    let api_version = if kind == "CronJob" { "batch/v1" } else { "v1" };
    let cron = json!({ "name": "cron", "target": { "apiVersion": api_version, "kind": kind, "name": name },
                       "patch": { "apiVersion": api_version, "kind": kind, "metadata": { "name": name },
                                  "spec": { "suspend": true } } });
    observed_of(release_of(&json!({ "components": [config(), cron] })))
}

#[test]
fn a_release_does_not_touch_the_template_of_a_job_that_judges() {
    let smoke = json!([{ "name": "smoke", "job": { "template": "smoke-tests" } }]);
    let says_so = |environment: &str, judge: &str, asked: &str| {
        format!(
            "Component cron targets CronJob smoke-tests, the template of the Job of {judge} in {environment}. A Release cannot \
             change what judges Releases in payments-uat. Remove the component, or ask {asked} for a template of another name."
        )
    };
    // Its own judge, whether or not that template exists already,
    let o = targeting("CronJob", "smoke-tests");
    let judged = o.clone().with_environment(with_gates(uat(), smoke.clone()), &[]);
    let own = says_so("uat", "gate smoke", "Testing (uat@example.com)");
    says(
        &one(&judged, "uat", "TargetsAllowed"),
        Failed,
        "TemplateTargeted",
        &own,
    );
    let judged = o
        .clone()
        .with_environment(with_verification(uat(), smoke.clone()), &[]);
    let own = says_so("uat", "verification smoke", "Testing (uat@example.com)");
    says(
        &one(&judged, "uat", "TargetsAllowed"),
        Failed,
        "TemplateTargeted",
        &own,
    );
    // that of Releases of any other namespace with this target namespace,
    let literal = environment(
        "blue",
        json!({ "stage": "UAT", "namespace": "payments-uat",
                                              "releaseNamespaces": { "matchLabels": { "team": "a" } } }),
    );
    let judged = o
        .clone()
        .with_environment(with_gates(literal, smoke.clone()), &[]);
    let other = says_so("blue", "gate smoke", "the environment's owner");
    says(
        &one(&judged, "uat", "TargetsAllowed"),
        Failed,
        "TemplateTargeted",
        &other,
    );
    // also by a placeholder that fits from elsewhere;
    let placeholder = environment(
        "green",
        json!({ "stage": "UAT", "namespace": "{namespace}-uat2" }),
    );
    let mut judged = o
        .clone()
        .with_environment(with_gates(placeholder, smoke.clone()), &[]);
    assert_eq!(
        one(&judged, "uat", "TargetsAllowed").state,
        Satisfied,
        "no other Release enters there through it"
    );
    judged.places.get_mut("uat").expect("uat").led_from_elsewhere = vec!["green".to_owned()];
    let elsewhere = says_so("green", "gate smoke", "the environment's owner");
    says(
        &one(&judged, "uat", "TargetsAllowed"),
        Failed,
        "TemplateTargeted",
        &elsewhere,
    );
    // and nothing else: another name, another kind, another namespace.
    for o in [
        targeting("CronJob", "report"),
        targeting("ConfigMap", "smoke-tests"),
    ] {
        let judged = o.with_environment(with_gates(uat(), smoke.clone()), &[]);
        assert_eq!(one(&judged, "uat", "TargetsAllowed").state, Satisfied);
    }
    let mut own = targeting("Job", "signalbox-0123456789abcdef");
    Arc::make_mut(&mut own.release).spec.components[1]
        .target
        .api_version = "batch/v1".into();
    let kinds =
        json!([{ "apiVersion": "batch/v1", "kind": "Job" }, { "apiVersion": "v1", "kind": "ConfigMap" }]);
    let mut jobs = uat();
    jobs.spec.allowed_kinds = serde_json::from_value(kinds).expect("kinds");
    says(
        &one(&own.with_environment(jobs, &[]), "uat", "TargetsAllowed"),
        Failed,
        "TemplateTargeted",
        "Component cron targets Job signalbox-0123456789abcdef, whose name is reserved for Jobs of gates and verifications. Choose a \
         name without the prefix signalbox-.",
    );
    let elsewhere = o.with_environment(with_gates(sit(), smoke), &[]);
    assert_eq!(one(&elsewhere, "uat", "TargetsAllowed").state, Satisfied);
}

#[test]
fn a_placeholder_says_whose_releases_are_led_to_a_namespace() {
    let of = |namespace: &str, target: &str| {
        let spec = environment("x", json!({ "stage": "UAT", "namespace": namespace })).spec;
        spec.release_namespace_of(target).map(str::to_owned)
    };
    assert_eq!(
        of("{namespace}-uat", "payments-b-uat").as_deref(),
        Some("payments-b")
    );
    assert_eq!(of("a-{namespace}", "a-x").as_deref(), Some("x"));
    assert_eq!(of("{namespace}", "x").as_deref(), Some("x"));
    for (namespace, target) in [
        ("{namespace}-uat", "-uat"),
        ("{namespace}-uat", "x-sit"),
        ("x", "x"),
        ("aa{namespace}aa", "aaa"),
    ] {
        assert_eq!(of(namespace, target), None, "{namespace} {target}");
    }
}

#[test]
fn targets_allowed_asks_whether_this_namespace_may_come_at_all() {
    let tenants =
        json!({ "stage": "SIT", "namespace": "x", "releaseNamespaces": { "matchLabels": { "team": "a" } } });
    let mut o = observed().with_environment(environment("sit", tenants), &[]);
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Failed,
        "ReleaseNamespaceNotAllowed",
        "releaseNamespaces of Environment sit does not select namespace payments. Add the labels that it selects to the namespace.",
    );
    o.namespace_labels = [("team".to_owned(), "a".to_owned())].into();
    assert_eq!(one(&o, "sit", "TargetsAllowed").state, Satisfied);
}

#[test]
fn targets_allowed_refuses_a_namespace_that_the_operator_does_not_see() {
    let mut o = observed();
    let watching = |namespaces: &[&str], o: &mut Observed| {
        let settings = std::sync::Arc::make_mut(&mut o.settings);
        settings.watch_namespaces = namespaces.iter().map(|&name| name.to_owned()).collect();
    };
    watching(&["payments", "payments-uat"], &mut o);
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Failed,
        "NamespaceNotWatched",
        "The operator does not watch namespace payments-sit, so it cannot see the workloads there. Add the namespace to the chart's value \
         watch.namespaces.",
    );
    watching(&["payments", "payments-sit"], &mut o);
    assert_eq!(one(&o, "sit", "TargetsAllowed").state, Satisfied);
}

#[test]
fn targets_allowed_tells_a_no_from_not_knowing() {
    let refusal = |reason, unknown| {
        Some(Refusal {
            reason,
            message: format!("says {reason}"),
            unknown,
        })
    };
    let mut o = observed();
    inspected(&mut o, "sit", |i| i.refusal = refusal("DeployerMissing", false));
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Failed,
        "DeployerMissing",
        "says DeployerMissing",
    );
    inspected(&mut o, "sit", |i| i.refusal = refusal("Unreadable", true));
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Unknown,
        "Unreadable",
        "says Unreadable",
    );
    inspected(&mut o, "sit", |i| {
        i.components[0].refusal = refusal("PatchRefused", false)
    });
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Failed,
        "Unreadable",
        "says Unreadable says PatchRefused",
    );
    o.places.get_mut("sit").expect("sit").inspection = None;
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Unknown,
        "NotReadYet",
        "The targets have not been read yet.",
    );
}

#[test]
fn targets_allowed_refuses_what_could_not_be_kept_for_a_backout() {
    let mut o = observed();
    inspected(&mut o, "sit", |i| i.size = 512 * 1024);
    assert_eq!(one(&o, "sit", "TargetsAllowed").state, Satisfied);
    inspected(&mut o, "sit", |i| i.size = 600 * 1024);
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Failed,
        "PreStateTooLarge",
        "The pre-state for a backout takes 600 KiB, but at most 512 KiB can be stored. Split the Release.",
    );
}

#[test]
fn targets_allowed_refuses_what_the_releases_of_a_namespace_cannot_keep_together() {
    let mut o = observed();
    let limit = o.settings.pre_state_limit;
    inspected(&mut o, "sit", |i| i.size = 300 * 1024);
    let mut kept = |bytes| {
        let by = (1..=7)
            .map(|n| (format!("payments-{n}"), (8 - n) << 20))
            .collect();
        o.places.get_mut("sit").expect("sit").kept_in_all = Some(KeptInAll { bytes, by });
        one(&o, "sit", "TargetsAllowed")
    };
    assert_eq!(kept(limit - 300 * 1024).state, Satisfied);
    says(
        &kept(limit - 300 * 1024 + 1),
        Failed,
        "PreStateTooLarge",
        "The pre-state for a backout needs 300 KiB. Of the 65536 KiB for all Releases of namespace payments, \
         65237 KiB are in use (payments-1 7168 KiB, payments-2 6144 KiB, payments-3 5120 KiB, payments-4 4096 KiB, \
         payments-5 3072 KiB, 2 others). Ask a user with the verb forget on releases to delete finished Releases that need no \
         backout, or ask the administrator of Signalbox for a higher preStateLimit in the chart's values.",
    );
}

#[test]
fn where_all_is_taken_a_newer_version_enters_if_its_success_frees_as_much() {
    let mut o = observed();
    let limit = o.settings.pre_state_limit;
    let size = 300 * 1024;
    inspected(&mut o, "sit", |i| i.size = size);
    let size = size as u64;
    let own = o.uid().to_owned();
    let stored = |release_uid: &str, environment: &str| StoredPreState {
        name: format!("of-{release_uid}"),
        uid: "1".to_owned(),
        namespace: "payments".to_owned(),
        release: "payments-1".to_owned(),
        release_uid: release_uid.to_owned(),
        environment: environment.to_owned(),
        bytes: size,
    };
    let older = |state, target: &str| {
        let mut older = (*sibling("2026.11.0", "r0", &[("sit", state)])).clone();
        let status = older.status.as_mut().expect("a status");
        status.environments[0].entered =
            serde_json::from_value(json!({ "generation": 1, "stage": "SIT", "targetNamespace": target }))
                .expect("entered");
        Arc::new(older)
    };
    let mut state = |kept, pre_states: Vec<StoredPreState>, sibling| {
        o.pre_states = pre_states;
        o.siblings = vec![sibling];
        o.places.get_mut("sit").expect("sit").kept_in_all = Some(KeptInAll {
            bytes: kept,
            by: vec![("payments-1".to_owned(), kept)],
        });
        one(&o, "sit", "TargetsAllowed").state
    };
    let through = || older(State::Succeeded, "payments-sit");
    assert_eq!(state(limit, vec![], through()), Failed);
    assert_eq!(state(limit, vec![stored("r0", "sit")], through()), Satisfied);
    // A Retry: the pre-state of the previous attempt.
    assert_eq!(state(limit, vec![stored(&own, "sit")], through()), Satisfied);
    assert_eq!(
        state(limit, vec![stored("r0", "uat")], through()),
        Failed,
        "elsewhere"
    );
    // Not freed: it may still be backed out, or runs on other targets.
    let fails = older(State::Failed, "payments-sit");
    assert_eq!(state(limit, vec![stored("r0", "sit")], fails), Failed);
    let moved = older(State::Succeeded, "payments-before");
    assert_eq!(state(limit, vec![stored("r0", "sit")], moved), Failed);
    // However much would be freed, no second one goes beyond the limit: versions that are all backed out would pile up.
    let both = vec![stored("r0", "sit"), stored(&own, "sit")];
    assert_eq!(state(limit + 1, both, through()), Failed);
}

#[test]
fn an_environment_is_available_when_its_namespace_is_there_and_its_targets_are_healthy() {
    let mut o = observed();
    let mut namespace = |state| {
        o.places.get_mut("sit").expect("sit").namespace = state;
        one(&o, "sit", "EnvironmentAvailable")
    };
    says(
        &namespace(NamespaceState::Missing),
        Failed,
        "NamespaceMissing",
        "The target namespace payments-sit does not exist. Ask the environment's owner to create it.",
    );
    says(
        &namespace(NamespaceState::Terminating),
        Failed,
        "NamespaceTerminating",
        "The target namespace payments-sit is being deleted. Wait until it is gone, then ask the environment's owner to create it again.",
    );
    namespace(NamespaceState::Present);
    o.places.get_mut("sit").expect("sit").unhealthy = vec!["Deployment ledger: no pods".into()];
    says(
        &one(&o, "sit", "EnvironmentAvailable"),
        Waiting,
        "TargetUnhealthy",
        "The targets are not healthy before the release: Deployment ledger: no pods. Fix them first. To enter with the targets as \
         they are, create a Decision with action Accept and subject EnvironmentAvailable for sit, attempt 1.",
    );
    for (over, accepted) in [
        (json!({ "attempt": 1 }), true),
        (json!({ "attempt": 1, "subject": "EnvironmentAvailable" }), true),
        (json!({ "attempt": 2 }), false),
    ] {
        let accept = decision("Accept", "olga", "sit", morning(), over);
        let accepts = o.clone().with_decisions(vec![accept]);
        let said = one(&accepts, "sit", "EnvironmentAvailable");
        assert_eq!(said.state == Satisfied, accepted, "{}", said.message);
        if accepted {
            assert_eq!(
                said.message,
                "olga accepted the targets as they are: Deployment ledger: no pods."
            );
        }
    }
    let claimed = |uid| Some(fixtures::claim("payments-sit", uid, "sit", 1));
    let mut at_work = o.clone();
    at_work.places.get_mut("sit").expect("sit").claim = claimed("another");
    assert_eq!(
        one(&at_work, "sit", "EnvironmentAvailable").state,
        Satisfied,
        "another release is changing it"
    );
    at_work.places.get_mut("sit").expect("sit").claim = claimed("r1");
    assert_eq!(
        one(&at_work, "sit", "EnvironmentAvailable").state,
        Waiting,
        "asked again once it is its turn"
    );
    let mut retry = promotion_of("sit");
    retry.attempt = 2;
    let o = o.with_promotions(vec![retry]);
    assert_eq!(
        one(&o, "sit", "EnvironmentAvailable").state,
        Satisfied,
        "a retry repairs what is broken"
    );
}

/// Between two crashes everything is well.
#[test]
fn what_was_not_healthy_has_to_stay_well_for_the_grace() {
    let mut o = observed();
    let place = o.places.get_mut("sit").expect("sit");
    place.recovered = vec![
        ("StatefulSet db".into(), morning() - minutes(9)),
        ("Deployment ledger".into(), morning() - seconds(30)),
    ];
    let check = |o: &Observed, now| one_at(o, "sit", "EnvironmentAvailable", now);
    let said = check(&o, morning());
    says(
        &said,
        Waiting,
        "TargetUnhealthy",
        "Deployment ledger recovered at 2026-11-23T08:59:30Z and must stay healthy for 2m first. To enter with the targets as they \
         are, create a Decision with action Accept and subject EnvironmentAvailable for sit, attempt 1.",
    );
    let over = morning() + seconds(90);
    assert_eq!(said.until, Some(api::time(over)), "it goes on by itself");
    assert_eq!(check(&o, over - seconds(1)).state, Waiting);
    assert_eq!(check(&o, over).state, Satisfied);

    let accept = decision("Accept", "olga", "sit", morning(), json!({ "attempt": 1 }));
    assert_eq!(
        check(&o.clone().with_decisions(vec![accept]), morning()).state,
        Satisfied
    );
    let place = o.places.get_mut("sit").expect("sit");
    place.unhealthy = vec!["Deployment ledger: no pods".into()];
    let said = check(&o, morning());
    assert!(
        said.message
            .contains("before the release: Deployment ledger: no pods."),
        "{}",
        said.message
    );
    assert_eq!(said.until, None);
}

fn promotion_of(name: &str) -> Promotion {
    fixtures::promotion(name, State::Waiting)
}

#[test]
fn an_environment_that_is_going_or_whose_namespace_is_too_long_is_not_available() {
    let mut going = sit();
    going.metadata.deletion_timestamp = Some(api::time(morning()));
    let o = observed().with_environment(going, &[]);
    says(
        &one(&o, "sit", "EnvironmentAvailable"),
        Failed,
        "EnvironmentDeleted",
        "Environment sit is being deleted, so no release can enter it. Ask the environment's owner.",
    );
    let long = json!({ "stage": "SIT", "namespace": format!("{{namespace}}-{}", "x".repeat(60)) });
    let o = observed().with_environment(environment("sit", long), &[]);
    assert_eq!(one(&o, "sit", "EnvironmentAvailable").reason, "NamespaceInvalid");
}

#[test]
fn digest_pinned_judges_every_container_of_the_result() {
    let mut o = observed();
    inspected(&mut o, "uat", |i| {
        i.components[1]
            .images_after
            .push(("sidecar".into(), "proxy:1".into()))
    });
    says(
        &one(&o, "uat", "DigestPinned"),
        Failed,
        "ImageNotPinned",
        "ledger/sidecar would run proxy:1. Pin each image by digest (name@sha256:…).",
    );
    o.places.get_mut("uat").expect("uat").inspection = None;
    assert_eq!(one(&o, "uat", "DigestPinned").state, Unknown);
}

fn fan_in(require: &str) -> Environment {
    environment(
        "production",
        json!({ "stage": "Production", "namespace": "x", "defaultWindow": "Open",
                "promotesFrom": { "environments": ["sit", "uat"], "require": require } }),
    )
}

#[test]
fn the_same_artifact_must_have_succeeded_in_each_upstream() {
    let mut other = succeeded("uat", morning());
    let another = format!("registry/ledger:3@sha256:{}", "3".repeat(64));
    other.components[1].to = Some(another.clone());
    let both = vec![succeeded("sit", morning()), other];
    let different = format!(
        "Component ledger would run {}, but uat Succeeded with {}. Release the same images in both.",
        image("2"),
        another
    );
    for require in ["All", "Any"] {
        let o = observed()
            .with_promotions(both.clone())
            .with_environment(fan_in(require), &[]);
        says(
            &one(&o, "production", "SameArtifact"),
            Failed,
            "DigestDiffers",
            &different,
        );
    }
    let only_sit = vec![succeeded("sit", morning())];
    let o = observed()
        .with_promotions(only_sit)
        .with_environment(fan_in("Any"), &[]);
    says(
        &one(&o, "production", "SameArtifact"),
        Satisfied,
        "Satisfied",
        "The same images Succeeded in sit.",
    );
    let o = o.with_environment(fan_in("All"), &[]);
    says(
        &one(&o, "production", "SameArtifact"),
        Unknown,
        "NotReadYet",
        "uat has not Succeeded, so there is nothing to compare with.",
    );
    let o = observed().with_environment(fan_in("Any"), &[]);
    says(
        &one(&o, "production", "SameArtifact"),
        Unknown,
        "NotReadYet",
        "None of sit, uat has Succeeded, so there is nothing to compare with.",
    );
}

#[test]
fn a_digest_is_the_same_artifact_from_whichever_registry() {
    let digest = |n: &str| format!("@sha256:{}", n.repeat(64));
    for (here, there, same) in [
        (
            format!("a/x:1{}", digest("1")),
            format!("b/y:2{}", digest("1")),
            true,
        ),
        (
            format!("a/x{}", digest("1")),
            format!("a/x{}", digest("2")),
            false,
        ),
        ("a/x:1".to_owned(), "b/x:1".to_owned(), false),
        (format!("a/x:1{}", digest("1")), "a/x:1".to_owned(), false),
        (
            format!("p=a/x{0},q=a/y{0}", digest("1")),
            format!("p=b/x{0},q=b/y{0}", digest("1")),
            true,
        ),
        (
            format!("p=a/x{0},q=a/y{0}", digest("1")),
            format!("p=a/x{0},r=a/y{0}", digest("1")),
            false,
        ),
        (
            format!("p=a/x{0},q=a/y{0}", digest("1")),
            format!("p=a/x{0}", digest("1")),
            false,
        ),
    ] {
        assert_eq!(same_images(Some(&here), Some(&there)), same, "{here} and {there}");
    }
    assert!(same_images(None, None) && !same_images(None, Some("a/x:1")));
}

#[test]
fn an_artifact_that_cannot_be_read_is_not_the_same() {
    let mut o = observed().with_promotions(vec![succeeded("sit", morning())]);
    inspected(&mut o, "uat", |i| {
        i.components.clear();
        i.refusal = Some(Refusal {
            reason: "Unreadable",
            message: "no answer".into(),
            unknown: true,
        });
    });
    assert_eq!(one(&o, "uat", "SameArtifact").state, Unknown);
}

#[test]
fn several_images_are_compared_by_container_and_too_many_by_their_hash() {
    let images: Vec<(String, String)> = ["a", "b"].map(|c| (c.to_owned(), image(c))).into();
    let stated = ["a".to_owned(), "b".to_owned()];
    assert_eq!(images_text(&images, &[]), None);
    assert_eq!(images_text(&images, &stated[..1]), Some(image("a")));
    assert_eq!(
        images_text(&images, &stated),
        Some(format!("a={},b={}", image("a"), image("b")))
    );
    let many: Vec<(String, String)> = (0..9).map(|n| (n.to_string(), image("x"))).collect();
    let stated: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let text = images_text(&many, &stated).expect("a text");
    assert!(text.starts_with("sha256:") && text.len() == 71, "{text}");
}

#[test]
fn no_downgrade_counts_numbers_as_numbers() {
    let ours = |version: &str| release_of(&json!({ "version": version }));
    for (version, there, state) in [
        ("2026.10", "2026.9", Satisfied),
        ("2026.9", "2026.10", Failed),
        ("2026.10", "2026.10.0", Satisfied),
        ("2026.10-rc.2", "2026.10", Failed),
        ("2026.10-rc.10", "2026.10-rc.9", Satisfied),
    ] {
        let mut o = observed_of(ours(version));
        o.siblings = vec![sibling(
            there,
            "r2",
            &[("sit", State::Succeeded), ("uat", State::BackedOut)],
        )];
        assert_eq!(
            one(&o, "sit", "NoDowngrade").state,
            state,
            "{version} after {there}"
        );
        assert_eq!(
            one(&o, "uat", "NoDowngrade").state,
            Satisfied,
            "only what Succeeded counts"
        );
    }
    let mut o = observed_of(ours("2026.9"));
    o.siblings = vec![sibling("2026.10", "r2", &[("sit", State::Succeeded)])];
    says(
        &one(&o, "sit", "NoDowngrade"),
        Failed,
        "NewerVersionSucceeded",
        "2026.10 (payments-2026.10) has already Succeeded here. To go back, back that release out.",
    );
    let mut o = observed_of(ours("2026.10-hotfix.1"));
    o.siblings = vec![sibling("2026.10", "r2", &[("sit", State::Succeeded)])];
    says(
        &one(&o, "sit", "NoDowngrade"),
        Failed,
        "NewerVersionSucceeded",
        "2026.10 (payments-2026.10) has already Succeeded here; 2026.10-hotfix.1 is a pre-release, so it is older than 2026.10: to \
         release it after 2026.10, use version 2026.10.1. To go back, back that release out.",
    );
}

#[test]
fn no_downgrade_asks_what_is_remembered_of_releases_that_are_gone() {
    for (ours, state) in [("2026.9", Failed), ("2026.10", Satisfied), ("2026.11", Satisfied)] {
        let mut o = observed_of(release_of(&json!({ "version": ours })));
        o.remembered = vec![facts::Remembered {
            name: "succeeded-1".into(),
            uid: "u".into(),
            namespace: "payments".into(),
            product: "payments".into(),
            line: "main".into(),
            environment: "sit".into(),
            version: "2026.10".into(),
            release: "payments-2026.10".into(),
        }];
        let said = one(&o, "sit", "NoDowngrade");
        assert_eq!(said.state, state, "{ours}");
        if state == Failed {
            assert_eq!(
                said.message,
                "2026.10 has already Succeeded here (recorded for the deleted Release payments-2026.10 in ControllerRevision succeeded-1 in \
                 namespace signalbox; delete that ControllerRevision if this no longer applies)."
            );
        }
        assert_eq!(one(&o, "uat", "NoDowngrade").state, Satisfied);
    }
}

#[test]
fn plans_are_documented_when_every_word_is_given() {
    let of = |over: Value| observed_of(release_of(&over));
    for (plan, missing) in [
        (Value::Null, "summary, owner, documentURL"),
        (json!({ "summary": "  ", "owner": "o" }), "summary, documentURL"),
    ] {
        let mut release = release();
        release.spec.deployment_plan = serde_json::from_value(plan).expect("a plan");
        says(
            &one(&observed_of(release), "production", "DeploymentPlanDocumented"),
            Failed,
            "PlanIncomplete",
            &format!("spec.deploymentPlan must set {missing}."),
        );
    }
    says(
        &one(
            &of(json!({ "backoutPlan": null })),
            "uat",
            "BackoutPlanDocumented",
        ),
        Failed,
        "PlanIncomplete",
        "spec.backoutPlan must set summary and owner.",
    );
    says(
        &one(
            &of(json!({ "backoutPlan": { "owner": " " } })),
            "uat",
            "BackoutPlanDocumented",
        ),
        Failed,
        "PlanIncomplete",
        "spec.backoutPlan must set owner.",
    );
}
