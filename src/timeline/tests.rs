//! What is said about steps, windows and backouts.

use serde_json::json;

use super::*;
use crate::decide::fixtures::at;

fn entry(time: &str, state: State, blocks: &[&str]) -> Entry {
    Entry {
        at: at(time),
        release: "payments/a".to_owned(),
        environment: "uat".to_owned(),
        attempt: 1,
        state,
        blocks: blocks.iter().map(|b| (*b).to_owned()).collect(),
        waits_for: None,
        message: None,
    }
}

#[test]
fn what_took_no_time_is_passed_over_and_one_reason_is_one_step() {
    let entries = [
        entry(
            "2026-11-23T09:00:00Z",
            State::Waiting,
            &["TargetsAllowed: not read yet"],
        ),
        entry("2026-11-23T09:00:00Z", State::Waiting, &["soak: until 10:00"]),
        entry(
            "2026-11-23T09:30:00Z",
            State::Waiting,
            &["soak: until 10:00, really"],
        ),
        entry(
            "2026-11-23T10:00:00Z",
            State::Deploying,
            &["config is not ready yet", "ledger is not ready yet"],
        ),
        entry(
            "2026-11-23T10:01:00Z",
            State::Deploying,
            &["ledger is not ready yet"],
        ),
        entry("2026-11-23T10:02:00Z", State::Succeeded, &[]),
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
    assert_eq!(
        said,
        [
            "/spec/template/spec/containers/ledger/env/LEVEL/value back to \"info\"",
            "/spec/template/spec/containers/ledger/image back to \"ledger:1\"",
            "/data/NEW taken away again",
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
