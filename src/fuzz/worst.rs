//! What the largest possible Release costs in the largest Environments: the operator has one thread, and while it decides about that
//! Release, all others wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::release::State;
use crate::api::{Environment, Release};
use crate::decide::expressions::{environment_value, release_value};
use crate::decide::facts::Observed;
use crate::decide::{accepted, decide, fixtures, plan};
use crate::domain::cel::Unanswered;
use crate::domain::windows::calendar_of;

/// As many components and bytes as the API server accepts, in eight environments at the same time.
fn release() -> Release {
    let mut release = fixtures::release();
    let data: serde_json::Map<String, Value> = (0..100)
        .map(|n| (format!("key-{n}"), json!("x".repeat(100))))
        .collect();
    let component = release.spec.components[0].clone();
    release.spec.components = (0..64)
        .map(|n| {
            let mut component = component.clone();
            component.name = format!("component-{n}");
            component.target.name = format!("target-{n}");
            component.patch = Some(json!({ "data": data }));
            component
        })
        .collect();
    release.spec.environments = (0..8).map(|n| format!("worst-{n}")).collect();
    release
}

/// As many windows and gates as allowed. No window is ever long enough for a release.
fn environment(n: usize) -> Environment {
    let zones = [
        "Europe/London",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
    ];
    let windows: Vec<Value> = (0..64)
        .map(|w| {
            json!({ "name": format!("w{w}"), "kind": if w % 8 == 7 { "Deny" } else { "Allow" }, "schedule": "*/2 * * * 1-5",
                    "duration": "30s", "timeZone": zones[w % 4] })
        })
        .collect();
    let gates: Vec<Value> = (0..32)
        .map(|g| {
            let cost = "release == release && ".repeat(38);
            let text =
                format!("release.spec.components.all(a, release.spec.components.all(b, {cost}{g} == {g}))");
            json!({ "name": format!("g{g}"), "expression": { "passWhen": text } })
        })
        .collect();
    let spec = json!({ "stage": "SIT", "namespace": format!("{{namespace}}-{n}"), "windows": windows, "gates": gates });
    fixtures::environment(&format!("worst-{n}"), spec)
}

fn observed() -> Observed {
    let release = release();
    let mut o = fixtures::observed_of(release.clone());
    let settings = (0..8).map(|n| {
        let environment = environment(n);
        let calendar = calendar_of(&environment);
        (format!("worst-{n}"), fixtures::setting(environment, calendar))
    });
    o.environments = Arc::new(settings.collect());
    o.places = (0..8)
        .map(|n| {
            let mut place = fixtures::place(&release, &format!("worst-{n}"));
            for g in 0..32 {
                let failed = Err(Unanswered::TooCostly.into());
                place.expressions.insert(format!("g{g}"), failed);
            }
            (format!("worst-{n}"), place)
        })
        .collect();
    o.plan_hashes = Arc::new(
        release
            .spec
            .environments
            .iter()
            .zip(0..)
            .map(|(name, n)| {
                let namespace = Some(format!("payments-{n}"));
                let hash = plan::hash(&release, name, namespace.as_deref(), 1);
                ((name.clone(), namespace, 1), hash)
            })
            .collect(),
    );
    o
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    println!("{what}: {:?}", began.elapsed());
    result
}

/// `cargo test --release --lib -- --ignored --nocapture worst` prints the cost of each part of a reconcile.
#[test]
#[ignore = "a measurement"]
fn the_worst_there_is() {
    let release = release();
    println!("{} bytes", json!(release).to_string().len());
    let one = environment(0);
    let calendar = timed("the calendar of one environment", || calendar_of(&one));
    let now = fixtures::morning();
    timed("one question to it", || {
        drop(calendar.at(now, Duration::from_secs(2400).try_into().expect("a duration")))
    });
    timed("its summary", || drop(calendar.summary(now)));
    timed("what expressions see", || {
        drop((release_value(&release), environment_value(&one)))
    });
    timed("one plan hash", || drop(plan::hash(&release, "worst-0", None, 1)));
    let mut o = observed();
    timed("whether it is accepted", || accepted::judge(&o).holds());
    for _ in 0..3 {
        let step = timed("a decision", || decide(&o, now));
        let crate::decide::step::Step::Transition(transition) = step else {
            break;
        };
        let written = json!(transition.status);
        println!("  writes {} bytes", written.to_string().len());
        Arc::make_mut(&mut o.release).status = serde_json::from_value(written).ok();
    }
    assert_eq!(
        o.release.promotion("worst-0").map(|p| p.state),
        Some(State::Waiting)
    );
}
