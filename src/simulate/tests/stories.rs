//! Stories with a known end: the world is what `signalbox simulate` shows people.

use serde_json::json;

use crate::api::release::State;
use crate::decide::fixtures::{morning, production, release, seconds, sit, uat};
use crate::simulate::{Behaviour, Script, Where, World};

const HOME: &str = "payments";
const NAME: &str = "payments-2026.11.1";

fn world(script: Script) -> World {
    let mut world = World::new(morning(), script).expect("the chart's policies");
    for environment in [sit(), uat(), production()] {
        world.add_environment(environment).expect("an environment");
    }
    let mut release = release();
    release.metadata.finalizers = None;
    world.add_release(release).expect("a release");
    world.fill_in();
    world
}

fn states(world: &World) -> Vec<State> {
    let release = world.release(HOME, NAME).expect("a release");
    let status = release.status.as_ref().expect("a status");
    status.environments.iter().map(|p| p.state).collect()
}

fn play(world: &mut World) {
    for _ in 0..100 {
        if world.advance().is_none() {
            return;
        }
    }
    panic!("it goes on for ever: {:#?}", world.log());
}

#[test]
fn a_release_goes_through_and_the_log_says_when_and_what_it_waited_for() {
    let mut world = world(Script::default());
    play(&mut world);
    assert_eq!(states(&world), [State::Succeeded; 3], "{:#?}", world.log());
    let way: Vec<String> = world
        .log()
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
fn what_crashes_in_uat_is_backed_out_and_stands_as_before() {
    let script = Script {
        rollouts: vec![(
            Where::at("uat", "ledger"),
            Behaviour::Crashes { after: seconds(60) },
        )],
        ..Script::default()
    };
    let mut world = world(script);
    let spec = |world: &World| {
        world
            .target("payments-uat", "Deployment", "ledger")
            .expect("there")["spec"]
            .clone()
    };
    let before = spec(&world);
    play(&mut world);
    assert_eq!(
        states(&world),
        [State::Succeeded, State::BackedOut, State::Pending],
        "{:#?}",
        world.log()
    );
    assert_eq!(spec(&world), before);
}

#[test]
fn a_kind_that_is_not_watched_is_asked_ever_less_often_whether_it_is_ready() {
    let script = Script {
        rollouts: vec![(
            Where::at("sit", "ledger"),
            Behaviour::Ready { after: seconds(500) },
        )],
        ..Script::default()
    };
    let mut world = World::new(morning(), script).expect("the chart's policies");
    let mut sit = sit();
    let kind = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet" });
    sit.spec
        .allowed_kinds
        .push(serde_json::from_value(kind).expect("a kind"));
    world.add_environment(sit).expect("an environment");
    let mut release = release();
    release.metadata.finalizers = None;
    release.spec.environments = vec!["sit".to_owned()];
    for component in &mut release.spec.components {
        if component.name == "ledger" {
            component.target.kind = "ReplicaSet".to_owned();
        }
    }
    world.add_release(release).expect("a release");
    world.fill_in();
    assert!(world.settle());
    let mut woken = 0;
    while states(&world) != [State::Succeeded] {
        assert!(world.advance().is_some(), "{:#?}", world.log());
        woken += 1;
        assert!(
            woken < 15,
            "every five seconds would be a hundred times: {:#?}",
            world.log()
        );
    }
    let took = world.now().duration_since(morning()).as_secs();
    assert!((500..=505 + 300).contains(&took), "after {took} s");
}

#[test]
fn what_the_definitions_forbid_is_refused() {
    let mut world = world(Script::default());
    play(&mut world);
    let refused = world.edit_release(HOME, NAME, |spec| spec.components.clear());
    assert!(refused.is_err(), "components are immutable once entered");
    let spec = json!({ "release": NAME, "environment": "sit", "action": "Approve", "by": "bob" });
    let refused = world.decide(HOME, serde_json::from_value(spec).expect("a spec"));
    assert!(refused.is_err(), "an Approve needs subject, role and planHash");
}
