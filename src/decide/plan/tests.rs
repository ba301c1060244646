//! Golden vectors of v1, checked in with the canonical text: a change of one of them voids every approval in every
//! cluster. Which changes of a plan void its approvals, and which do not.

use serde::{Deserialize, Serialize};

use crate::decide::fixtures::*;
use crate::decide::plan::*;
use crate::domain::patches;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    what: String,
    /// Laid over the spec of the fixtures' release.
    over: Value,
    environment: String,
    namespace: Option<String>,
    attempt: i64,
    canonical: String,
    hash: String,
}

#[test]
fn the_golden_vectors_of_v1_stand() {
    let golden: Vec<Vector> = serde_json::from_str(include_str!("v1.json")).expect("vectors");
    assert!(golden.len() >= 4, "vectors are missing");
    for vector in golden {
        let release = release_of(&vector.over);
        let (environment, namespace) = (vector.environment.as_str(), vector.namespace.as_deref());
        let text = canonical(&projection(&release, environment, namespace, vector.attempt));
        assert_eq!(text, vector.canonical, "{}", vector.what);
        let hashed = hash(&release, environment, namespace, vector.attempt);
        assert_eq!(hashed, vector.hash, "{}", vector.what);
        assert_eq!(
            hashed,
            format!("v1:sha256:{}", hex(&vector.canonical, 64)),
            "{}",
            vector.what
        );
    }
}

/// The hash for UAT of the fixtures' release with `over` in its spec.
fn with(over: Value) -> String {
    hash(&release_of(&over), "uat", Some("payments-uat"), 1)
}

/// With `over` in the component `ledger`.
fn ledger_with(over: Value) -> String {
    let changed = patches::overlay(Some(&ledger()), Some(&over)).expect("a component");
    with(json!({ "components": [config(), changed] }))
}

#[test]
fn every_field_that_was_approved_voids_the_approval_when_it_changes() {
    let plain = with(json!({}));
    let release = release();
    let mut seen = vec![("as it was", plain.clone())];
    for (what, changed) in [
        ("product", with(json!({ "product": "ledger" }))),
        ("version", with(json!({ "version": "2026.11.2" }))),
        ("line", with(json!({ "line": "lts" }))),
        ("requester", with(json!({ "requestedBy": "another" }))),
        (
            "change reference",
            with(json!({ "change": { "reference": "CHG-1" } })),
        ),
        (
            "change reason",
            with(json!({ "change": { "reason": "because" } })),
        ),
        ("source", with(json!({ "source": { "revision": "abc" } }))),
        ("another source", with(json!({ "source": { "revision": "abd" } }))),
        (
            "when it was committed",
            with(json!({ "source": { "committedAt": "2026-11-20T09:00:00Z" } })),
        ),
        (
            "notes",
            with(json!({ "source": { "notesURL": "https://notes" } })),
        ),
        (
            "component order",
            with(json!({ "components": [ledger(), config()] })),
        ),
        ("a component less", with(json!({ "components": [ledger()] }))),
        ("component name", ledger_with(json!({ "name": "book" }))),
        ("target", ledger_with(json!({ "target": { "name": "book" } }))),
        (
            "patch",
            ledger_with(json!({ "patch": { "spec": { "minReadySeconds": 1 } } })),
        ),
        (
            "an empty list in a patch",
            ledger_with(json!({ "patch": { "args": [] } })),
        ),
        (
            "an empty map in a patch",
            ledger_with(json!({ "patch": { "args": {} } })),
        ),
        ("remove", ledger_with(json!({ "remove": ["/spec/paused"] }))),
        (
            "image",
            ledger_with(json!({ "images": [{ "container": "app", "image": image("3") }] })),
        ),
        (
            "container",
            ledger_with(json!({ "images": [{ "container": "init", "image": image("2") }] })),
        ),
        ("after", ledger_with(json!({ "after": [] }))),
        ("restartOn", ledger_with(json!({ "restartOn": ["config"] }))),
        ("readyWithin", ledger_with(json!({ "readyWithin": "9m" }))),
        (
            "its own override",
            ledger_with(json!({ "overrides": [{ "environment": "uat", "patch": { "a": 1 } }] })),
        ),
        (
            "deployment plan",
            with(json!({ "deploymentPlan": { "summary": "other" } })),
        ),
        (
            "deployment owner",
            with(json!({ "deploymentPlan": { "owner": "other" } })),
        ),
        (
            "deployment document",
            with(json!({ "deploymentPlan": { "documentURL": "other" } })),
        ),
        (
            "expected duration",
            with(json!({ "deploymentPlan": { "expectedDuration": "1h" } })),
        ),
        ("no deployment plan", with(json!({ "deploymentPlan": null }))),
        (
            "backout summary",
            with(json!({ "backoutPlan": { "summary": "other" } })),
        ),
        (
            "backout owner",
            with(json!({ "backoutPlan": { "owner": "other" } })),
        ),
        (
            "backout document",
            with(json!({ "backoutPlan": { "documentURL": "other" } })),
        ),
        (
            "trigger",
            with(json!({ "backoutPlan": { "trigger": "OnDecision" } })),
        ),
        (
            "maxDuration",
            with(json!({ "backoutPlan": { "maxDuration": "1h" } })),
        ),
        (
            "dataReversible",
            with(json!({ "backoutPlan": { "dataReversible": false } })),
        ),
        ("no backout plan", with(json!({ "backoutPlan": null }))),
        ("environment", hash(&release, "sit", Some("payments-uat"), 1)),
        ("namespace", hash(&release, "uat", Some("elsewhere"), 1)),
        ("namespace unknown", hash(&release, "uat", None, 1)),
        ("attempt", hash(&release, "uat", Some("payments-uat"), 2)),
    ] {
        if let Some((other, _)) = seen.iter().find(|(_, h)| *h == changed) {
            panic!("{what} has the hash of {other}");
        }
        seen.push((what, changed));
    }
}

#[test]
fn what_nobody_approves_voids_nothing() {
    let plain = with(json!({}));
    for (what, same) in [
        ("hold", with(json!({ "hold": { "reason": "x" } }))),
        ("withdrawn", with(json!({ "withdrawn": {} }))),
        (
            "schedule",
            with(json!({ "schedule": [{ "environment": "uat", "start": "2026-11-24T00:00:00Z" }] })),
        ),
        (
            "review",
            with(json!({ "review": { "required": "Always", "reviewer": "carol" } })),
        ),
        ("a source that says nothing", with(json!({ "source": {} }))),
        ("environments", with(json!({ "environments": ["uat"] }))),
        (
            "another environment's override",
            ledger_with(json!({ "overrides": [{ "environment": "production", "patch": { "a": 1 } }] })),
        ),
    ] {
        assert_eq!(same, plain, "{what}");
    }
}

#[test]
fn absent_means_default() {
    let plain = with(json!({}));
    for (what, same) in [
        ("model", with(json!({ "change": { "model": "Normal" } }))),
        ("line", with(json!({ "line": "main" }))),
        ("readyWithin", ledger_with(json!({ "readyWithin": "10m" }))),
        (
            "the same duration in other words",
            ledger_with(json!({ "readyWithin": "600s" })),
        ),
        (
            "lists",
            ledger_with(json!({ "remove": [], "restartOn": [], "overrides": [] })),
        ),
        (
            "expectedDuration",
            with(json!({ "deploymentPlan": { "expectedDuration": "10m" } })),
        ),
        (
            "backout",
            with(
                json!({ "backoutPlan": { "strategy": "Restore", "trigger": "Automatic", "maxDuration": "15m",
                                          "dataReversible": true } }),
            ),
        ),
    ] {
        assert_eq!(same, plain, "{what}");
    }
}

#[test]
fn an_override_and_a_patch_that_say_the_same_hash_the_same() {
    let patch = json!({ "patch": { "a": { "x": 1, "y": 2 } } });
    let parts = json!({ "patch": { "a": { "y": 2 } },
                        "overrides": [{ "environment": "uat", "patch": { "a": { "x": 1 } } }] });
    assert_eq!(ledger_with(patch), ledger_with(parts));
}

#[test]
fn canonical_text_sorts_keys_keeps_lists_and_is_exact_with_integers() {
    let value =
        json!({ "b": [3, 1, { "z": 1, "a": [] }], "a": 9_007_199_254_740_993_i64, "é": "\u{1f600}\n" });
    assert_eq!(
        canonical(&value),
        "{\"a\":9007199254740993,\"b\":[3,1,{\"a\":[],\"z\":1}],\"é\":\"\u{1f600}\\n\"}"
    );
}

#[test]
fn names_are_derived_from_what_they_are_for() {
    let base = job_name("s", "u", "uat", 1, "smoke", "h");
    assert_eq!(base.len(), "signalbox-".len() + 16);
    for other in [
        job_name("t", "u", "uat", 1, "smoke", "h"),
        job_name_before("u", "uat", 1, "smoke", "h"),
        job_name("s", "v", "uat", 1, "smoke", "h"),
        job_name("s", "u", "sit", 1, "smoke", "h"),
        job_name("s", "u", "uat", 2, "smoke", "h"),
        job_name("s", "u", "uat", 1, "load", "h"),
        job_name("s", "u", "uat", 1, "smoke", "i"),
    ] {
        assert_ne!(base, other);
    }
    assert_eq!(
        pre_state_name("u", "uat", 1),
        format!("prestate-{}", hex("u/uat/1", 16))
    );
    assert_eq!(claim_name("payments"), format!("claim-{}", hex("payments", 16)));
    // SHA-256 of nothing, as the standard gives it.
    assert_eq!(hex("", 16), "e3b0c44298fc1c14");
}

#[test]
fn a_configuration_stamp_looks_at_content_only() {
    let config = |version: &str, limit: &str| json!({ "metadata": { "resourceVersion": version }, "data": { "limit": limit }, "status": version });
    assert_eq!(
        crate::domain::digest::configuration_stamp(&config("1", "a")),
        crate::domain::digest::configuration_stamp(&config("2", "a"))
    );
    assert_ne!(
        crate::domain::digest::configuration_stamp(&config("1", "a")),
        crate::domain::digest::configuration_stamp(&config("1", "b"))
    );
}
