//! What is printed about steps, windows and backouts.

use jiff::Timestamp;
use serde_json::json;

use crate::api::release::{Check, CheckState, ComponentState, State};
use crate::api::{Environment, reasons, time};
use crate::decide::fixtures::{at, morning, production, release, sit, uat};
use crate::view::explain::Block;
use crate::view::timeline::log::{Entry, Log};
use crate::view::timeline::restores::fields;
use crate::view::timeline::ways::{lane, steps};
use crate::world::{Script, World};

fn entry(time: &str, state: State, blocks: Vec<Block>) -> Entry {
    Entry {
        at: at(time),
        release: "payments/a".to_owned(),
        environment: "uat".to_owned(),
        attempt: 1,
        state,
        blocks,
        waits_for: None,
        message: None,
    }
}

fn check(name: &str, message: &str) -> Block {
    let check = Check {
        name: name.to_owned(),
        state: CheckState::Waiting,
        reason: reasons::SOAKING.to_owned(),
        message: message.to_owned(),
        since: time(at("2026-11-23T09:00:00Z")),
        until: None,
        advisory: false,
        anew_since: None,
    };
    Block::Check((&check).into())
}

fn component(name: &str) -> Block {
    Block::Component {
        name: name.to_owned(),
        state: ComponentState::Progressing,
        message: None,
    }
}

#[test]
fn what_took_no_time_is_passed_over_and_one_reason_is_one_step() {
    let entries = [
        entry(
            "2026-11-23T09:00:00Z",
            State::Waiting,
            vec![check("TargetsAllowed", "not read yet")],
        ),
        entry(
            "2026-11-23T09:00:00Z",
            State::Waiting,
            vec![check("soak", "until 10:00: not before")],
        ),
        entry(
            "2026-11-23T09:30:00Z",
            State::Waiting,
            vec![check("soak", "until 10:00, really")],
        ),
        entry(
            "2026-11-23T10:00:00Z",
            State::Deploying,
            vec![component("config"), component("ledger")],
        ),
        entry(
            "2026-11-23T10:01:00Z",
            State::Deploying,
            vec![component("ledger")],
        ),
        entry("2026-11-23T10:02:00Z", State::Succeeded, vec![]),
    ];
    let entries: Vec<&Entry> = entries.iter().collect();
    let said: Vec<String> = steps(&entries)
        .iter()
        .map(|s| {
            let minutes = |t: Timestamp| t.duration_since(at("2026-11-23T09:00:00Z")).as_mins();
            let to = s.to.map_or("on".to_owned(), |to| minutes(to).to_string());
            format!("{} {}-{to}", s.state.as_str(), minutes(s.from))
        })
        .collect();
    assert_eq!(said, ["Waiting 0-60", "Deploying 60-62", "Succeeded 62-on"]);
}

#[test]
fn the_log_says_when_what_became_of_a_release_and_what_it_waited_for() {
    let mut world = World::new(morning(), Script::default()).expect("the chart's policies");
    for environment in [sit(), uat(), production()] {
        world.add_environment(environment).expect("an environment");
    }
    let mut release = release();
    release.metadata.finalizers = None;
    world.add_release(release).expect("a release");
    world.fill_in();
    let mut log = Log::default();
    for _ in 0..100 {
        world.advance();
        for (at, deed) in world.deeds() {
            log.note(at, &deed);
        }
    }
    assert_eq!(
        world.next_edge(),
        None,
        "it goes on for ever: {:#?}",
        log.entries()
    );
    let way: Vec<String> = log
        .entries()
        .iter()
        .filter(|e| e.environment == "uat")
        .map(|e| {
            let at = e.at.duration_since(morning()).as_secs();
            let waits = e.waits_for.map(|w| w.to_string()).unwrap_or_default();
            format!("{at:>3} {} {waits}", e.state.as_str())
        })
        .collect();
    assert_eq!(way.last().map(String::as_str), Some("610 Succeeded "), "{way:#?}");
    assert!(
        way.iter().any(|w| w.contains("Observing time, until")),
        "{way:#?}"
    );
}

#[test]
fn what_a_backout_puts_back_is_said_field_by_field() {
    let container = |image: &str, level: &str| {
        json!([
            { "name": "ledger", "image": image, "env": [{ "name": "LEVEL", "value": level }] },
            { "name": "proxy", "image": "proxy:1" },
        ])
    };
    let mut said = Vec::new();
    fields(
        "/spec/template/spec/containers",
        Some(&container("ledger:1", "info")),
        Some(&container("ledger:2", "warn")),
        &mut said,
    );
    fields("/data/NEW", None, Some(&json!("x")), &mut said);
    fields(
        "/data",
        Some(&json!({ "A": "b", "C": "d" })),
        Some(&json!({ "A": "e", "C": "d" })),
        &mut said,
    );
    fields("/spec/minReadySeconds", Some(&json!(5)), None, &mut said);
    fields(
        "/spec/template/metadata/annotations/signalbox.dev~1restarted-for",
        None,
        Some(&json!("0123456789abcdef")),
        &mut said,
    );
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "/spec/template/spec/containers/ledger/env/LEVEL/value back to \"info\"",
            "/spec/template/spec/containers/ledger/image back to \"ledger:1\"",
            "/data/NEW removed",
            "/data/A back to \"b\"",
            "/spec/minReadySeconds back to 5",
        ]
    );
}

#[test]
fn an_environment_is_closed_between_its_windows() {
    let environment: Environment = serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": { "name": "production" },
        "spec": {
            "stage": "Production", "namespace": "{namespace}-prod",
            "windows": [{ "name": "t", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "UTC" }],
        },
    }))
    .expect("an Environment");
    let lane = lane(
        &environment,
        at("2026-11-23T09:00:00Z"),
        at("2026-11-26T00:00:00Z"),
    );
    let spans: Vec<String> = lane
        .closed
        .iter()
        .map(|s| format!("{} {}", s.from, s.to))
        .collect();
    assert_eq!(
        spans,
        [
            "2026-11-23T09:00:00Z 2026-11-24T18:00:00Z",
            "2026-11-24T22:00:00Z 2026-11-26T00:00:00Z"
        ]
    );
}
