//! An Environment's status, derived whole.

use std::sync::Arc;

use serde_json::json;

use crate::api::Release;
use crate::api::environment::EnvironmentStatus;
use crate::api::release::{ComponentState, ComponentStatus, Promotion, State};
use crate::decide::environment::{EnvironmentStep, Seen, decide};
use crate::decide::facts::{Claim, Setting};
use crate::decide::fixtures::*;

fn succeeded(name: &str, version: &str) -> Arc<Release> {
    let mut release = release_of(&json!({ "version": version }));
    release.metadata.name = Some(name.to_owned());
    release.metadata.uid = Some(name.to_owned());
    let component = ComponentStatus {
        name: "ledger".to_owned(),
        state: ComponentState::Ready,
        from: None,
        to: Some(version.to_owned()),
        ready_at: None,
        message: None,
    };
    release.status.get_or_insert_default().environments = vec![Promotion {
        name: "sit".to_owned(),
        state: State::Succeeded,
        finished_at: Some(crate::api::time(morning())),
        components: vec![component],
        ..Promotion::default()
    }];
    Arc::new(release)
}

fn derived(releases: &[Arc<Release>], claims: &[Claim]) -> EnvironmentStatus {
    let mut environment = sit();
    environment.metadata.finalizers = Some(vec![crate::api::OCCUPIED_FINALIZER.to_owned()]);
    let setting: Setting = setting(environment, open_at_all_times());
    let seen = Seen {
        setting: &setting,
        releases,
        claims,
        expression_problems: &[],
        drifted: &|_, _, _| false,
    };
    match decide(&seen, morning()) {
        EnvironmentStep::Write(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_versions_that_succeeded_in_the_same_second_the_newer_stands_in_whatever_order_they_are_seen() {
    let (older, newer) = (succeeded("b", "2026.9"), succeeded("a", "2026.10"));
    let stands = derived(&[Arc::clone(&older), Arc::clone(&newer)], &[]);
    assert_eq!(stands.inventory_total, 1);
    assert_eq!(stands.inventory[0].release, "a");
    assert_eq!(derived(&[newer, older], &[]), stands);
}

#[test]
fn a_claim_without_its_release_is_shown_as_unsettled() {
    let status = derived(&[], &[claim("payments-sit", "gone", "sit", 1)]);
    assert_eq!(status.occupants_total, 1);
    assert_eq!(
        (
            status.occupants[0].release.as_str(),
            status.occupants[0].state.as_str()
        ),
        ("gone", "Unsettled")
    );
}
