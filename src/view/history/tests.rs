//! What a history tells of Releases that replace each other, fail and are backed out.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::api::release::{Backout, BackoutState, Decided, Promotion, State};
use crate::api::{Action, Decision, Release, time};
use crate::decide::fixtures::{at, decision, promotion, release, review, sibling};
use crate::view::golden::golden;
use crate::view::history::{Filter, History, history, text};

const HASH: &str = "v1:sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// Entered at this hour of the day, ready after five minutes, finished after ten.
fn ran(environment: &str, state: State, day: u8) -> Promotion {
    let hour = at(&format!("2026-11-{day:02}T10:00:00Z"));
    let after = |minutes: i64| Some(time(hour + jiff::SignedDuration::from_mins(minutes)));
    Promotion {
        started_at: after(0),
        deployed_at: after(5),
        finished_at: after(10),
        plan_hash: HASH.to_owned(),
        ..promotion(environment, state)
    }
}

fn of(version: &str, promotions: Vec<Promotion>) -> Release {
    let mut release = Arc::unwrap_or_clone(sibling(version, version, &[]));
    release.status.get_or_insert_default().environments = promotions;
    release
}

fn backed_out(environment: &str, day: u8) -> Promotion {
    Promotion {
        backout: Some(Box::new(Backout {
            state: BackoutState::Verified,
            pre_state: "pre".to_owned(),
            trigger: Some("Automatic".to_owned()),
            by: None,
            reason: None,
            started_at: None,
            finished_at: Some(time(at(&format!("2026-11-{day:02}T10:08:00Z")))),
        })),
        ..ran(environment, State::BackedOut, day)
    }
}

fn releases() -> Vec<Release> {
    let mut failed = ran("production", State::Failed, 12);
    failed.deployed_at = None;
    failed.attempt = 2;
    failed.decided = Some(Box::new(Decided {
        name: "abandon".to_owned(),
        uid: "u".to_owned(),
        action: Action::Abandon,
        by: "carol@example.com".to_owned(),
        reason: None,
    }));
    let mut current = release();
    current.spec.change.reference = Some("CHG-1\u{1b}[31m".to_owned());
    current.status.get_or_insert_default().environments = vec![
        ran("sit", State::Succeeded, 20),
        ran("production", State::Deploying, 22),
    ];
    if let Some(status) = &mut current.status {
        status.environments[1].deployed_at = None;
        status.environments[1].finished_at = None;
    }
    vec![
        of(
            "2026.10.1",
            vec![
                ran("sit", State::Succeeded, 1),
                ran("production", State::Succeeded, 2),
            ],
        ),
        of(
            "2026.10.2",
            vec![ran("sit", State::Succeeded, 9), backed_out("production", 10)],
        ),
        of("2026.10.3", vec![ran("sit", State::Succeeded, 11), failed]),
        current,
        of("2026.12.1", vec![promotion("sit", State::Waiting)]),
    ]
}

fn decisions() -> Vec<Decision> {
    let approval = |by: &str, hash: &str| {
        let over = json!({ "subject": "board", "role": "release-board", "planHash": hash });
        decision("Approve", by, "production", at("2026-11-21T09:00:00Z"), over)
    };
    let other = HASH.replace('1', "2");
    vec![
        approval("bob@example.com", HASH),
        approval("dan@example.com", &other),
    ]
}

fn told(filter: &Filter<'_>) -> History {
    let reviews = [review(
        "carol@example.com",
        json!({ "outcome": "SuccessfulWithIssues" }),
    )];
    history(&releases(), &decisions(), &reviews, filter)
}

fn row<'a>(history: &'a History, version: &str, environment: &str) -> &'a crate::view::history::Row {
    let mut rows = history.rows.iter();
    rows.find(|row| row.version == version && row.environment == environment)
        .expect("a row")
}

#[test]
fn what_ran_until_when() {
    let history = told(&Filter::default());
    golden("history/tests/all.txt", &text(&history));
    let runs = |version: &str| {
        let row = row(&history, version, "production");
        (row.running_from, row.until)
    };
    let instant = |text: &str| Some(at(text));
    assert_eq!(
        runs("2026.10.1"),
        (instant("2026-11-02T10:05:00Z"), None),
        "2026.10.2 was backed out"
    );
    assert_eq!(
        runs("2026.10.2"),
        (instant("2026-11-10T10:05:00Z"), instant("2026-11-10T10:08:00Z"))
    );
    assert_eq!(runs("2026.10.3"), (None, None), "it never was ready");
    let sit = row(&history, "2026.10.1", "sit");
    assert_eq!(
        sit.until,
        instant("2026-11-09T10:10:00Z"),
        "the next one, not the last one"
    );
    assert!(
        history.rows.iter().all(|row| row.version != "2026.12.1"),
        "it has not entered"
    );
}

#[test]
fn another_line_or_namespace_replaces_nothing() {
    for change in [
        (|release| release.spec.line = "1.x".to_owned()) as fn(&mut Release),
        |release| release.spec.product = "billing".to_owned(),
        |release| release.metadata.namespace = Some("elsewhere".to_owned()),
    ] {
        let mut other = of("2026.10.2", vec![ran("sit", State::Succeeded, 9)]);
        change(&mut other);
        let releases = [of("2026.10.1", vec![ran("sit", State::Succeeded, 1)]), other];
        let history = history(&releases, &[], &[], &Filter::default());
        assert_eq!(row(&history, "2026.10.1", "sit").until, None);
    }
}

#[test]
fn only_approvals_of_the_plan_count() {
    let history = told(&Filter::default());
    let by = |version: &str| -> Vec<String> {
        let row = row(&history, version, "production");
        row.decided_by.iter().map(ToString::to_string).collect()
    };
    assert_eq!(by("2026.11.1"), ["bob@example.com (Approve as release-board)"]);
    assert_eq!(by("2026.10.3"), ["carol@example.com (Abandon)"]);
    assert_eq!(by("2026.10.1"), Vec::<String>::new());
}

#[test]
fn filters_narrow() {
    let count = |product: Option<&str>, environment: Option<&str>, since: Option<Timestamp>| {
        told(&Filter {
            product,
            environment,
            since,
        })
        .rows
        .len()
    };
    assert_eq!(count(None, None, None), 8);
    assert_eq!(count(Some("payments"), None, None), 8);
    assert_eq!(count(Some("billing"), None, None), 0);
    assert_eq!(count(None, Some("production"), None), 4);
    // What still runs stays, however long ago it entered: 2026.10.1 in production and 2026.11.1 in both.
    assert_eq!(count(None, None, Some(at("2026-11-25T00:00:00Z"))), 3);
    let edge = at("2026-11-10T10:08:00Z");
    let production = |since: Timestamp| count(None, Some("production"), Some(since));
    assert_eq!(
        (
            production(edge),
            production(edge + jiff::SignedDuration::from_secs(1))
        ),
        (4, 3)
    );
    let none = text(&told(&Filter {
        product: Some("billing"),
        ..Filter::default()
    }));
    assert!(
        none.starts_with("No promotion that has entered is recorded.\n"),
        "{none}"
    );
}
