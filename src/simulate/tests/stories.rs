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
fn what_the_definitions_forbid_is_refused() {
    let mut world = world(Script::default());
    play(&mut world);
    let refused = world.edit_release(HOME, NAME, |spec| spec.components.clear());
    assert!(refused.is_err(), "components are immutable once entered");
    let spec = json!({ "release": NAME, "environment": "sit", "action": "Approve", "by": "bob" });
    let refused = world.decide(HOME, serde_json::from_value(spec).expect("a spec"));
    assert!(refused.is_err(), "an Approve needs subject, role and planHash");
}
