//! Every control and gate: each state and reason, and what the message tells the person who reads it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::api::release::State;
use crate::api::{Decision, Environment};
use crate::decide::calendar::{When, Window, WindowKind};
use crate::decide::facts::{Inspection, JobState, NamespaceState, Refusal, Trouble, Trust};
use crate::decide::fixtures::*;
use crate::decide::promotion;

mod approval;
mod time;

/// All checks of `environment`, as things stand.
fn all(o: &Observed, environment: &str, now: Timestamp) -> Verdicts {
    let listed = promotion::listed(o);
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

fn with_gates(environment: Environment, gates: Value) -> Environment {
    let mut environment = environment;
    environment.spec.gates = serde_json::from_value(gates).expect("gates");
    environment
}

fn inspected(o: &mut Observed, environment: &str, change: impl FnOnce(&mut Inspection)) {
    let place = o.places.get_mut(environment).expect("a place");
    change(Arc::make_mut(place.inspection.as_mut().expect("an inspection")));
}

fn hash(o: &Observed, environment: &str) -> String {
    promotion::listed(o)
        .into_iter()
        .find(|p| p.name == environment)
        .expect("listed")
        .plan_hash
}

use CheckState::{Failed, Satisfied, Unknown, Waiting};

#[test]
fn a_clean_release_satisfies_every_control_in_the_order_in_which_they_are_shown() {
    let o = observed().with_promotions(vec![succeeded("sit", morning()), succeeded("uat", morning())]);
    let shown: Vec<String> = all(&o, "production", morning())
        .checks
        .iter()
        .map(|c| format!("{} {:?}: {}", c.name, c.state, c.message))
        .collect();
    assert_eq!(
        shown,
        [
            "TargetsAllowed Satisfied: 2 targets may be changed",
            "EnvironmentAvailable Satisfied: namespace payments is there and its targets are healthy",
            "DigestPinned Satisfied: every image is pinned by digest",
            "SameArtifact Satisfied: the same images Succeeded in uat",
            "NoDowngrade Satisfied: no newer version has Succeeded here",
            "DeploymentPlanDocumented Satisfied: the deployment plan has summary, owner and document",
            "BackoutPlanDocumented Satisfied: Restore, Automatic, within 15m",
            "WindowOpen Satisfied: open: defaultWindow",
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
        };
        assert!(!verdicts.hold(), "{state:?}");
        assert_eq!(verdicts.blockers(), "x: m");
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
        "component ledger targets a apps/v1 Deployment, which uat does not list in allowedKinds; ask Testing (uat@example.com)",
    );
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
        "releaseNamespaces of Environment sit does not select namespace payments: its labels do not match",
    );
    o.namespace_labels = [("team".to_owned(), "a".to_owned())].into();
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
        "says Unreadable; says PatchRefused",
    );
    o.places.get_mut("sit").expect("sit").inspection = None;
    says(
        &one(&o, "sit", "TargetsAllowed"),
        Unknown,
        "NotReadYet",
        "the targets have not been read yet",
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
        "what would have to be kept for a backout takes 600 KiB, at most 512 KiB can be kept: split the Release",
    );
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
        "the target namespace payments-sit does not exist; ask the environment's owner to create it",
    );
    says(
        &namespace(NamespaceState::Terminating),
        Failed,
        "NamespaceTerminating",
        "the target namespace payments-sit is being deleted",
    );
    namespace(NamespaceState::Present);
    o.places.get_mut("sit").expect("sit").unhealthy = vec!["Deployment ledger: no pods".into()];
    says(
        &one(&o, "sit", "EnvironmentAvailable"),
        Waiting,
        "TargetUnhealthy",
        "not healthy before anything is changed: Deployment ledger: no pods; mend it first",
    );
    let claimed = |uid| Some(crate::decide::fixtures::claim("payments-sit", uid, "sit", 1));
    let mut at_work = o.clone();
    at_work.places.get_mut("sit").expect("sit").claim = claimed("another");
    assert_eq!(
        one(&at_work, "sit", "EnvironmentAvailable").state,
        Satisfied,
        "another one is changing it right now"
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
        "a retry mends what is broken"
    );
}

fn promotion_of(name: &str) -> Promotion {
    crate::decide::fixtures::promotion(name, State::Waiting)
}

#[test]
fn an_environment_that_is_going_or_whose_namespace_is_too_long_is_not_available() {
    let mut going = sit();
    going.metadata.deletion_timestamp = Some(crate::api::time(morning()));
    let o = observed().with_environment(going, &[]);
    says(
        &one(&o, "sit", "EnvironmentAvailable"),
        Failed,
        "EnvironmentDeleted",
        "Environment sit is being deleted: nothing enters any more",
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
        "ledger/sidecar would run proxy:1: pin each image by digest, as name@sha256:…",
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
    other.components[1].to = Some(image("3"));
    let both = vec![succeeded("sit", morning()), other];
    let different = format!(
        "component ledger would run {} but uat Succeeded with {}: the same artifact must go in",
        image("2"),
        image("3")
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
        "the same images Succeeded in sit",
    );
    let o = o.with_environment(fan_in("All"), &[]);
    says(
        &one(&o, "production", "SameArtifact"),
        Unknown,
        "NotReadYet",
        "uat has not Succeeded, so that there is nothing to compare with",
    );
    let o = observed().with_environment(fan_in("Any"), &[]);
    says(
        &one(&o, "production", "SameArtifact"),
        Unknown,
        "NotReadYet",
        "none of sit, uat has Succeeded, so that there is nothing to compare with",
    );
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
        "2026.10 (payments-2026.10) has already Succeeded here: to go back, back that release out",
    );
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
            &format!("spec.deploymentPlan must give {missing}"),
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
        "spec.backoutPlan must give summary, strategy, owner and maxDuration",
    );
    says(
        &one(
            &of(json!({ "backoutPlan": { "owner": " " } })),
            "uat",
            "BackoutPlanDocumented",
        ),
        Failed,
        "PlanIncomplete",
        "spec.backoutPlan must give owner",
    );
}
