//! What is explained, and in which words.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::release::{Promotion, ReleaseStatus, State};
use crate::api::{Release, reasons, time};
use crate::decide::fixtures::{at, minutes, morning, promotion, release};
use crate::view::explain::{Block, Held, WaitsFor, explain, in_environment};

const LATER: &str = "2026-11-23T10:00:00Z";

fn with_status(status: Value) -> Release {
    let status: ReleaseStatus = serde_json::from_value(status).expect("a status");
    Release {
        status: Some(status),
        ..release()
    }
}

fn check(name: &str, state: &str, reason: &str) -> Value {
    json!({ "name": name, "state": state, "reason": reason, "message": format!("{name}: as it is"), "since": "2026-11-23T09:00:00Z" })
}

#[test]
fn everything_that_is_read_about_a_release_is_data() {
    let mut release = with_status(json!({
        "furthest": "sit",
        "rag": { "colour": "Amber", "reasons": ["uat: board: as it is"] },
        "review": { "state": "NotRequired" },
        "conditions": [{
            "type": "Accepted", "status": "False", "reason": "Invalid", "message": "spec.version is wrong",
            "lastTransitionTime": "2026-11-23T09:00:00Z",
        }],
        "environments": [{
            "name": "uat", "state": "Waiting", "since": "2026-11-23T09:00:00Z", "attempt": 2,
            "message": "held", "notCounted": "d1: too late",
            "checks": [
                check("soak", "Satisfied", "Satisfied"),
                check("board", "Waiting", "ApprovalsMissing"),
            ],
            "inconclusive": { "since": "2026-11-23T09:00:00Z", "reason": "Unreadable", "message": "no answer" },
            "forecast": { "earliest": LATER, "because": "soak" },
            "components": [{ "name": "ledger", "state": "Pending" }],
            "backout": { "state": "Armed", "preState": "kept" },
        }],
    }));
    release.spec.hold = Some(serde_json::from_value(json!({ "reason": "audit" })).expect("a hold"));
    let explained = serde_json::to_value(explain(&release)).expect("JSON");
    assert_eq!(
        explained,
        json!({
            "namespace": "payments", "name": "payments-2026.11.1",
            "product": "payments", "version": "2026.11.1", "requestedBy": "rita@example.com",
            "hold": { "reason": "audit" },
            "refused": "spec.version is wrong",
            "rag": { "colour": "Amber", "reasons": ["uat: board: as it is"] },
            "furthest": "sit",
            "review": { "state": "NotRequired" },
            "environments": [{
                "environment": "uat", "state": "Waiting", "since": "2026-11-23T09:00:00Z", "attempt": 2,
                "summary": "uat: no answer.",
                "held": true,
                "blocks": [
                    {
                        "kind": "check", "name": "board", "state": "Waiting", "reason": "ApprovalsMissing",
                        "message": "board: as it is", "since": "2026-11-23T09:00:00Z", "clears": "People",
                    },
                    { "kind": "trouble", "reason": "Unreadable", "message": "no answer", "since": "2026-11-23T09:00:00Z" },
                ],
                "waitsFor": "an approval",
                "message": "held",
                "notCounted": "d1: too late",
                "earliest": LATER,
                "components": [{ "name": "ledger", "state": "Pending" }],
                "verification": [],
                "backout": { "state": "Armed", "preState": "kept" },
            }],
        })
    );
}

#[test]
fn a_subject_is_whole_and_a_sentence_is_made_last() {
    let release = with_status(json!({
        "environments": [{
            "name": "uat", "state": "Deploying",
            "checks": [check("board", "Waiting", "ApprovalsMissing")],
            "components": [
                { "name": "config", "state": "Ready" },
                { "name": "ledger", "state": "Progressing", "message": "0 of 2 pods" },
            ],
            "inconclusive": { "since": "2026-11-23T09:00:00Z", "reason": "Unreadable", "message": "a: b is not ready yet" },
        }],
    }));
    let blocks = explain(&release).environments.remove(0).blocks;
    let told: Vec<(&str, String)> = blocks.iter().map(|b| (b.subject(), b.to_string())).collect();
    // Checks do not matter after the entry.
    assert_eq!(
        told,
        [
            ("ledger", "ledger is not ready yet.".to_owned()),
            ("Unreadable", "Unreadable: a: b is not ready yet".to_owned()),
        ]
    );
}

#[test]
fn a_state_says_who_or_what_is_waited_for() {
    for (state, waits) in [
        (State::Pending, "an earlier environment"),
        (State::Waiting, ""),
        (State::Queued, "the release before it"),
        (State::Deploying, "workloads"),
        (State::Verifying, "a Job"),
        (State::Observing, "time"),
        (State::Succeeded, ""),
        (State::AwaitingDecision, "a Decision"),
        (State::BackingOut, "workloads"),
        (State::BackedOut, ""),
        (State::Failed, "a Decision"),
        (State::Superseded, ""),
        (State::Withdrawn, ""),
    ] {
        let told = in_environment(&release(), &promotion("uat", state)).waits_for;
        assert_eq!(
            told.map(|w| w.to_string()).unwrap_or_default(),
            waits,
            "{state:?}"
        );
    }
    let mut observing = promotion("uat", State::Observing);
    observing.deployed_at = Some(time(morning() - minutes(5)));
    observing.verified_at = Some(time(morning()));
    observing.entered = serde_json::from_value(json!({
        "generation": 1, "stage": "UAT", "targetNamespace": "payments-uat", "observation": "10m",
    }))
    .expect("what entry copied");
    let told = in_environment(&release(), &observing).waits_for;
    assert_eq!(told, Some(WaitsFor::Time(Some(morning() + minutes(10)))));
}

#[test]
fn a_check_says_who_or_what_clears_it() {
    let later = Some(at(LATER));
    for (state, reason, until, waits, for_good) in [
        (
            "Waiting",
            reasons::APPROVALS_MISSING,
            None,
            WaitsFor::Approval,
            true,
        ),
        (
            "Waiting",
            reasons::APPROVALS_MISSING,
            later,
            WaitsFor::Approval,
            true,
        ),
        ("Waiting", reasons::JOB_RUNNING, None, WaitsFor::Job, true),
        ("Waiting", reasons::SOAKING, later, WaitsFor::Time(later), false),
        ("Failed", reasons::SOAKING, later, WaitsFor::Fix, true),
        ("Waiting", reasons::WINDOW_TOO_SHORT, later, WaitsFor::Fix, true),
        (
            "Waiting",
            reasons::TARGET_UNHEALTHY,
            later,
            WaitsFor::Time(later),
            false,
        ),
        ("Failed", reasons::TARGET_UNHEALTHY, None, WaitsFor::Fix, true),
        ("Waiting", "AWordOfOthers", None, WaitsFor::Fix, true),
    ] {
        let held = held(state, reason, until);
        assert_eq!(held.for_good(), for_good, "{held:?}");
        let mut waiting = promotion("uat", State::Waiting);
        waiting.checks = vec![held.check];
        let told = in_environment(&release(), &waiting);
        assert_eq!(told.waits_for, Some(waits), "{told:?}");
    }
}

#[test]
fn the_first_check_that_holds_says_who_is_waited_for() {
    let mut waiting: Promotion = promotion("uat", State::Waiting);
    let mut advisory = held("Failed", reasons::REJECTED, None).check;
    advisory.advisory = true;
    let board = held("Waiting", reasons::APPROVALS_MISSING, None).check;
    waiting.checks = vec![advisory, board];
    let told = in_environment(&release(), &waiting);
    assert_eq!(told.waits_for, Some(WaitsFor::Approval));
    assert_eq!(told.blocks.iter().filter_map(Block::check).count(), 1);
}

fn held(state: &str, reason: &str, until: Option<Timestamp>) -> Held {
    let mut check = check("board", state, reason);
    if let Some(until) = until {
        check["until"] = json!(until.to_string());
    }
    let check = serde_json::from_value(check).expect("a check");
    Held::from(&check)
}
