//! Stories with a known end: the world is what `signalbox simulate` shows people.

use jiff::SignedDuration;
use serde_json::json;

use crate::api::release::{Check, CheckState, Promotion, State};
use crate::api::time;
use crate::decide::consent::Accepts;
use crate::decide::facts::Settings;
use crate::decide::fixtures::{morning, production, release, release_of, seconds, sit, uat, with_gates};
use crate::stored::pre_states;
use crate::world::changes::Change;
use crate::world::{Behaviour, Script, Where, World, default_settings};

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
    panic!("it goes on for ever: {:#?}", world.releases());
}

#[test]
fn a_release_goes_through() {
    let mut world = world(Script::default());
    play(&mut world);
    assert_eq!(states(&world), [State::Succeeded; 3], "{:#?}", world.releases());
}

/// The check TargetsAllowed of sit at rest, if the target's controller writes before this number of dry runs.
fn allowed_where_the_controller_comes_between(times: u32) -> (State, Option<Check>) {
    let mut world = world(Script::default());
    let spot = (
        "payments-sit".to_owned(),
        "Deployment".to_owned(),
        "ledger".to_owned(),
    );
    world.objects().neighbours.comes_between.insert(spot, times);
    assert!(world.settle());
    let release = world.release(HOME, NAME).expect("a release");
    let sit = release.promotion("sit").expect("a promotion");
    let check = sit.checks.iter().find(|check| check.name == "TargetsAllowed");
    (sit.state, check.cloned())
}

#[test]
fn a_target_that_its_controller_writes_to_meanwhile_is_read_again_at_once() {
    let (state, check) = allowed_where_the_controller_comes_between(4);
    assert_eq!(state, State::Deploying, "{check:#?}");
    let (state, check) = allowed_where_the_controller_comes_between(1000);
    assert_eq!(state, State::Waiting);
    let check = check.expect("a check");
    assert_eq!(
        (check.state, &*check.reason),
        (CheckState::Unknown, "Conflict"),
        "{check:#?}"
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
        world.releases()
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
        assert!(world.advance().is_some(), "{:#?}", world.releases());
        woken += 1;
        assert!(
            woken < 15,
            "every five seconds would be a hundred times: {:#?}",
            world.releases()
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

fn uat_of(world: &World, name: &str) -> Promotion {
    let release = world.release(HOME, name).expect("a release");
    release.promotion("uat").expect("UAT").clone()
}

/// The message of the only gate of UAT.
fn board(world: &World, name: &str) -> Check {
    let uat = uat_of(world, name);
    let mut checks = uat.checks.into_iter();
    checks.find(|c| c.name == "board").expect("the board is asked")
}

#[test]
fn what_was_rejected_is_rejected_after_the_release_was_deleted_and_created_again() {
    let mut world = World::new(morning(), Script::default()).expect("the chart's policies");
    let gates = json!([{ "name": "board", "approval": { "role": "board", "minimum": 1 } }]);
    for environment in [sit(), with_gates(uat(), gates)] {
        world.add_environment(environment).expect("an environment");
    }
    let mut asked = release_of(&json!({ "environments": ["sit", "uat"] }));
    (asked.metadata.finalizers, asked.metadata.uid) = (None, None);
    asked.metadata.creation_timestamp = None;
    world.add_release(asked.clone()).expect("a release");
    world.fill_in();
    world.advance_until(morning() + seconds(60));
    let hash = uat_of(&world, NAME).plan_hash;
    let spec = json!({ "release": NAME, "environment": "uat", "action": "Reject", "by": "carl",
                       "subject": "board", "role": "board", "planHash": hash });
    let reject = serde_json::from_value(spec).expect("a spec");
    world.decide(HOME, reject).expect("lawful");
    world.advance_until(morning() + seconds(120));
    assert_eq!(
        board(&world, NAME).message,
        "carl rejected this plan. Change the plan: only a new plan can enter. Reason: none given."
    );
    world.delete_release(HOME, NAME).expect("there");
    world.advance_until(morning() + seconds(180));
    assert!(world.release(HOME, NAME).is_err(), "gone");
    // The same under another name: the plan is what was rejected.
    for (name, said) in [
        (NAME, "carl rejected this plan before this Release was created"),
        ("another", "carl rejected this plan in Release payments-2026.11.1"),
    ] {
        let mut again = asked.clone();
        again.metadata.name = Some(name.to_owned());
        world.add_release(again).expect("a release");
        world.advance_until(world.now() + seconds(60));
        assert_eq!(uat_of(&world, name).plan_hash, hash);
        let check = board(&world, name);
        assert_eq!(
            (check.state, check.reason.as_str()),
            (CheckState::Failed, "Rejected")
        );
        assert!(check.message.starts_with(said), "{}", check.message);
        world.delete_release(HOME, name).expect("there");
        world.advance_until(world.now() + seconds(60));
    }
}

/// A world with a low limit for pre-states, and a release that has Succeeded in SIT.
fn narrow(pre_state_limit: u64) -> World {
    let settings = Settings {
        pre_state_limit,
        ..default_settings()
    };
    let mut world = World::with(morning(), Script::default(), settings).expect("the chart's policies");
    world.add_environment(sit()).expect("an environment");
    let mut first = release_of(&json!({ "environments": ["sit"] }));
    first.metadata.finalizers = None;
    world.add_release(first).expect("a release");
    world.fill_in();
    play(&mut world);
    assert_eq!(states(&world), [State::Succeeded], "{:#?}", world.releases());
    world
}

#[test]
fn who_finds_no_room_for_what_stands_there_waits_until_another_release_is_deleted() {
    let kept: u64 = {
        let world = narrow(u64::MAX);
        let objects = world.objects();
        let kept = objects.revisions.values().map(|r| pre_states::read(&r.metadata));
        kept.map(|kept| kept.bytes).sum()
    };
    assert!(kept > 0);
    let mut world = narrow(kept + 300);
    let patch = json!({ "data": { "limit": "30" } });
    let target = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger" });
    let mut second = release_of(&json!({
        "product": "cards", "environments": ["sit"], "components": [{ "name": "config", "target": target, "patch": patch }],
    }));
    second.metadata.name = Some("cards".to_owned());
    (second.metadata.finalizers, second.metadata.uid) = (None, None);
    world.add_release(second).expect("a release");
    world.advance_until(world.now() + seconds(600));
    let sit = |world: &World| {
        let release = world.release(HOME, "cards").expect("a release");
        release.promotion("sit").expect("SIT").clone()
    };
    let waits = sit(&world);
    let check = waits.checks.iter().find(|c| c.name == "TargetsAllowed");
    let check = check.expect("it was judged");
    assert_eq!(
        (waits.state, check.reason.as_str()),
        (State::Waiting, "PreStateTooLarge")
    );
    assert!(check.message.contains(NAME), "{}", check.message);
    assert_eq!(world.objects().revisions.len(), 1, "nothing more is kept");

    world.delete_release(HOME, NAME).expect("there");
    play(&mut world);
    assert_eq!(sit(&world).state, State::Succeeded, "{:#?}", world.releases());
}

/// A world in which the Release has Succeeded everywhere and was then deleted by force.
fn forced() -> World {
    let mut world = world(Script::default());
    play(&mut world);
    assert_eq!(states(&world), [State::Succeeded; 3]);
    assert_eq!(world.objects().revisions.len(), 3, "what was kept for each");
    let mut release = (*world.release(HOME, NAME).expect("there")).clone();
    release.metadata.finalizers = None;
    release.metadata.deletion_timestamp = Some(time(world.now()));
    world.objects().keep_release(release);
    assert!(world.release(HOME, NAME).is_err(), "gone");
    world
}

#[test]
fn what_was_kept_for_a_release_that_was_deleted_by_force_is_kept_for_a_day_and_then_swept() {
    let mut world = forced();
    let gone = world.now();
    // What Environments say of it comes a little later; then nothing is reconciled before the day ends.
    world.advance_until(gone + seconds(60));
    let day = SignedDuration::from_hours(24);
    assert_eq!(world.next_edge(), Some(gone + day));
    world.advance_until(gone + day - seconds(1));
    assert_eq!(world.objects().revisions.len(), 3);
    world.advance_until(gone + day);
    assert_eq!(world.objects().revisions.len(), 0);
    assert_eq!(world.next_edge(), None);
}

#[test]
fn a_restart_keeps_what_was_kept_for_longer() {
    let mut world = forced();
    let (gone, hour) = (world.now(), SignedDuration::from_hours(1));
    world.advance_until(gone + hour * 20);
    world.operators.clear();
    world.advance_until(gone + hour * 43);
    assert_eq!(world.objects().revisions.len(), 3);
    world.advance_until(gone + hour * 44);
    assert_eq!(world.objects().revisions.len(), 0);
}

/// The owner of the namespace annotates it, or removes the annotation.
fn accepts(world: &World, namespace: &str, text: Option<&str>) {
    let annotations = text.map(|text| [(crate::api::ACCEPT.to_owned(), text.to_owned())].into());
    let mut objects = world.objects();
    let mut changed = objects.namespaces[namespace].clone();
    changed.accepts = Accepts::read(annotations.as_ref());
    objects.namespaces.insert(namespace.to_owned(), changed.clone());
    objects.changed(Change::Namespace(namespace.to_owned(), changed));
}

#[test]
fn a_namespace_lets_in_whom_it_accepts_and_what_is_in_goes_on_and_back_when_it_accepts_nobody_any_more() {
    let script = Script {
        rollouts: vec![(
            Where::at("sit", "ledger"),
            Behaviour::Crashes { after: seconds(60) },
        )],
        ..Script::default()
    };
    let settings = Settings {
        require_consent: true,
        ..default_settings()
    };
    let mut world = World::with(morning(), script, settings).expect("the chart's policies");
    world.add_environment(sit()).expect("an environment");
    let mut asked = release_of(&json!({ "environments": ["sit"] }));
    asked.metadata.finalizers = None;
    world.add_release(asked).expect("a release");
    world.fill_in();
    for (text, says) in [
        (
            None,
            "neither the Namespace nor its ServiceAccount signalbox-deployer lists payments/sit",
        ),
        (
            Some("payments/uat, ledgers"),
            "neither the Namespace nor its ServiceAccount signalbox-deployer lists payments/sit",
        ),
        (
            Some("payments//sit"),
            "the annotation signalbox.dev/accept of Namespace payments-sit cannot be read",
        ),
        (Some("*,"), "it has an empty entry"),
    ] {
        accepts(&world, "payments-sit", text);
        world.advance_until(world.now() + seconds(5));
        let release = world.release(HOME, NAME).expect("there");
        let sit = release.promotion("sit").expect("planned");
        assert_eq!(sit.state, State::Waiting, "{text:?}");
        let check = sit
            .checks
            .iter()
            .find(|c| c.name == "TargetsAllowed")
            .expect("checked");
        assert_eq!(
            (check.state, check.reason.as_str()),
            (CheckState::Failed, "NotAccepted")
        );
        assert!(check.message.contains(says), "{text:?}: {}", check.message);
    }
    let spec = |world: &World| {
        world
            .target("payments-sit", "Deployment", "ledger")
            .expect("there")["spec"]
            .clone()
    };
    let before = spec(&world);
    // Nothing but the annotation changes, and no time passes.
    accepts(&world, "payments-sit", Some("payments/sit"));
    assert!(world.settle());
    assert_eq!(states(&world), [State::Deploying], "{:#?}", world.releases());
    accepts(&world, "payments-sit", None);
    play(&mut world);
    assert_eq!(states(&world), [State::BackedOut], "{:#?}", world.releases());
    assert_eq!(spec(&world), before);
}

#[test]
fn a_namespace_that_is_assumed_has_its_own_name_and_not_the_one_that_is_asked_for() {
    for (asked_for, expected) in [("payments", State::Succeeded), ("ledgers", State::Waiting)] {
        let mut world = World::new(morning(), Script::default()).expect("the chart's policies");
        let mut sit = sit();
        let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": asked_for } });
        sit.spec.release_namespaces = serde_json::from_value(selector).expect("a selector");
        world.add_environment(sit).expect("an environment");
        let mut asked = release_of(&json!({ "environments": ["sit"] }));
        asked.metadata.finalizers = None;
        world.add_release(asked).expect("a release");
        world.fill_in();
        play(&mut world);
        assert_eq!(states(&world), [expected], "{asked_for}: {:#?}", world.releases());
    }
}
