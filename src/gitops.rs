//! What GitOps tools see: the whole object in every state, as `decide` derives it. It is stored in a file, so that the test
//! that runs kstatus and Argo CD's health check reads what the operator writes, and a change of it is visible.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::environment::EnvironmentStatus;
use crate::api::release::{Hold, Promotion, State};
use crate::api::{Environment, Release, ReleaseStatus};
use crate::decide::accepted;
use crate::decide::derive::environment::{EnvironmentStep, Seen};
use crate::decide::derive::{conditions, environment as environments};
use crate::decide::facts::Observed;
use crate::decide::fixtures::*;

/// One object in one state; its name says which.
fn release_in(state: &str, mut o: Observed, promotions: Vec<Promotion>) -> Value {
    let verdict = accepted::judge(&o);
    let release = Arc::make_mut(&mut o.release);
    release.status = Some(ReleaseStatus {
        observed_generation: release.metadata.generation,
        ..ReleaseStatus::default()
    });
    let conditions = conditions::derive(&o, &promotions, &verdict, &[], morning());
    let release = Arc::make_mut(&mut o.release);
    let status = release.status.get_or_insert_default();
    (status.environments, status.conditions) = (promotions, conditions);
    named(state, release)
}

fn named(state: &str, release: &Release) -> Value {
    let mut object = serde_json::to_value(release).expect("a Release");
    object["metadata"]["name"] = json!(state);
    // Not used for the verdict, and long.
    object["spec"] = json!({ "version": release.spec.version });
    object
}

/// A Release in `state` in uat, with production after it.
fn in_uat(state: State) -> Vec<Promotion> {
    let rest = if state == State::Withdrawn {
        state
    } else {
        State::Pending
    };
    vec![
        succeeded("sit", morning()),
        promotion("uat", state),
        promotion("production", rest),
    ]
}

fn overtaken(state: State) -> Value {
    let mut o = observed();
    o.siblings = vec![sibling("2026.11.2", "r2", &[("uat", State::Succeeded)])];
    release_in(&format!("overtaken-{}", word(state)), o, in_uat(state))
}

fn word(state: State) -> String {
    state.as_str().to_lowercase()
}

fn releases() -> Vec<Value> {
    let mut new = release();
    new.status = Some(ReleaseStatus::not_observed());
    let mut edited = release_in("edited", observed(), in_uat(State::Waiting));
    edited["metadata"]["generation"] = json!(2);
    let held = observed_of(release_of(&json!({ "hold": Hold::default() })));
    let refused = observed_of(release_of(&json!({ "environments": ["sit", "uta"] })));
    let everywhere = ["sit", "uat", "production"].map(|name| succeeded(name, morning()));
    // Superseded needs another Release: see below.
    let states = State::ALL.into_iter().filter(|state| *state != State::Superseded);
    let mut all = vec![
        named("new", &new),
        edited,
        release_in("held", held, in_uat(State::Waiting)),
        release_in(
            "refused",
            refused,
            vec![promotion("sit", State::Pending), promotion("uta", State::Pending)],
        ),
        release_in("everywhere", observed(), everywhere.to_vec()),
    ];
    all.extend(states.map(|state| release_in(&word(state), observed(), in_uat(state))));
    all.extend(
        [
            State::Superseded,
            State::BackedOut,
            State::Failed,
            State::AwaitingDecision,
        ]
        .map(overtaken),
    );
    all
}

fn environment_in(state: &str, problems: &[String]) -> Value {
    let mut environment = sit();
    environment.metadata.finalizers = Some(vec![crate::api::OCCUPIED_FINALIZER.to_owned()]);
    let setting = setting(environment.clone(), open_at_all_times());
    let seen = Seen {
        setting: &setting,
        environments: &BTreeMap::new(),
        releases: &[],
        claims: &[],
        expression_problems: problems,
        drifted: &|_, _, _| false,
    };
    let EnvironmentStep::Write(status) = environments::decide(&seen, morning()) else {
        panic!("nothing is said")
    };
    environment.status = Some(*status);
    called(state, environment)
}

fn called(state: &str, mut environment: Environment) -> Value {
    environment.metadata.name = Some(state.to_owned());
    serde_json::to_value(environment).expect("an Environment")
}

#[test]
fn what_gitops_tools_are_shown_is_what_the_operator_writes() {
    let mut new = sit();
    new.status = Some(EnvironmentStatus::not_observed());
    let mut all = releases();
    all.extend([
        called("new", new),
        environment_in("ready", &[]),
        environment_in("stalled", &["gate g: it cannot be evaluated".to_owned()]),
    ]);
    let written: String = all.iter().map(|object| format!("{object}\n")).collect();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitops.jsonl");
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &written).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == written,
        "{} does not match what the operator writes now. Run this test with GOLDEN=write and check the difference.",
        path.display()
    );
}
