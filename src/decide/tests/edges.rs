//! Every edge of the state machine is taken, and no other: random histories of one environment, seeded, in which everything
//! happens that may happen to a promotion. That no other is taken is asserted by each step of each [`Walk`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::release::{Because, Hold, State};
use crate::api::{Environment, ON_DELETE, time};
use crate::decide::fixtures::*;
use crate::decide::holdings::inherits;
use crate::decide::tests::deciding::act;
use crate::decide::tests::histories::{Chance, breaks_the_new_one};
use crate::decide::tests::walk::Walk;

const THERE: &str = "payments-sit";

/// SIT with a verification and an observation, or without.
fn environment_of(chance: &mut Chance) -> Environment {
    let mut sit = sit();
    if chance.below(2) == 0 {
        let rule = json!([{ "name": "rule", "expression": { "passWhen": "x" } }]);
        sit.spec.verification = serde_json::from_value(rule).expect("a verification");
    }
    if chance.below(2) == 0 {
        sit.spec.observation = Some(serde_json::from_value(json!("10m")).expect("a duration"));
    }
    sit
}

fn begins(chance: &mut Chance) -> (Walk, Environment) {
    let trigger = chance.of(&["Automatic", "OnDecision"]);
    let over = json!({ "environments": ["sit"], "backoutPlan": { "trigger": trigger } });
    let environment = environment_of(chance);
    let mut walk = Walk::of(release_of(&over));
    walk.observed = walk.observed.with_environment(environment.clone(), &[]);
    (walk, environment)
}

fn somebody_decides(walk: &mut Walk, chance: &mut Chance) {
    let action = chance.of(&["BackOut", "Accept", "Abandon", "Retry"]);
    let attempt = walk.observed.release.promotion("sit").map_or(1, |p| p.attempt);
    walk.decides(act(action, "sit", attempt, walk.now));
}

/// Another release is in the target namespace, or is no longer; our own claim may be deleted.
fn claims_change(walk: &mut Walk, chance: &mut Chance) {
    if walk.claims.remove(THERE).is_some() && chance.below(2) == 0 {
        return;
    }
    let mut other = claim(THERE, "other", "any", 1);
    other.unsettled = chance.below(3) == 0;
    walk.claims.insert(THERE.to_owned(), other);
}

/// A Retry is Queued, because another release has taken its claim in the meantime.
fn is_retried_in_line(walk: &mut Walk) {
    walk.claims
        .insert(THERE.to_owned(), claim(THERE, "other", "any", 1));
    let attempt = walk.promotion("sit").attempt;
    walk.decides(act("Retry", "sit", attempt, walk.now));
}

/// After the capture and before the first change, which only an edit at that very moment is.
fn somebody_edits(walk: &mut Walk) {
    if walk
        .log
        .last()
        .is_some_and(|last| last == "status: sit Deploying")
    {
        let config = &mut walk
            .objects
            .get_mut(THERE)
            .expect("SIT")
            .get_mut("config")
            .expect("it")["data"];
        config["limit"] = json!("11");
    }
}

fn is_deleted(walk: &mut Walk, chance: &mut Chance) {
    let now = walk.now;
    let release = walk.release();
    if release.metadata.deletion_timestamp.is_none() {
        release.metadata.deletion_timestamp = Some(time(now));
        if chance.below(2) == 0 {
            release.metadata.annotations = Some([(ON_DELETE.to_owned(), "BackOut".to_owned())].into());
        }
    }
}

fn something_happens(walk: &mut Walk, chance: &mut Chance, environment: &Environment) {
    walk.later(seconds(chance.of(&[0, 1, 60, 700, 2000])));
    if walk.observed.release.promotion("sit").is_some_and(inherits) && chance.below(4) == 0 {
        return walk.edit(|r| r.spec.withdrawn = Some(Because::default()));
    }
    match chance.below(16) {
        0..=3 => somebody_decides(walk, chance),
        4 => walk.controller = chance.of(&[rolled_out as fn(Value) -> Value, stuck, breaks_the_new_one]),
        5 | 6 => claims_change(walk, chance),
        7 => somebody_edits(walk),
        8 => {
            let said = chance.of(&[Some(true), Some(false), None]);
            match said {
                Some(holds) => walk.expressions.insert("verification/rule".into(), Ok(holds)),
                None => walk.expressions.remove("verification/rule"),
            };
        }
        9 => {
            let since = walk.now;
            walk.unhealthy_since = match walk.unhealthy_since {
                Some(_) => None,
                None => Some(since),
            };
        }
        10 => walk.edit(|r| {
            r.spec.hold = match r.spec.hold {
                Some(_) => None,
                None => Some(Hold::default()),
            }
        }),
        11 => {
            let newer = sibling("2026.11.2", "r2", &[("sit", State::Succeeded)]);
            walk.observed.siblings = vec![newer];
        }
        12 => {
            let was_there = Arc::make_mut(&mut walk.observed.environments)
                .remove("sit")
                .is_some();
            if !was_there {
                walk.observed = walk.observed.clone().with_environment(environment.clone(), &[]);
            }
        }
        13 if chance.below(4) == 0 => {
            walk.edit(|r| r.spec.withdrawn = Some(Because::default()));
        }
        14 if chance.below(4) == 0 => is_deleted(walk, chance),
        15 if walk.state_if_any("sit") == Some(State::Failed) => is_retried_in_line(walk),
        _ => {}
    }
}

#[test]
fn every_edge_is_taken_and_no_other() {
    let all: BTreeSet<(State, State)> = State::edges().collect();
    let mut taken = BTreeSet::new();
    for seed in 1..=1000_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (mut walk, environment) = begins(&mut chance);
        for _ in 0..25 {
            for _ in 0..chance.below(6) {
                if walk.gone || walk.step().is_some() {
                    break;
                }
            }
            something_happens(&mut walk, &mut chance, &environment);
        }
        taken.extend(walk.edges);
        if taken == all {
            return;
        }
    }
    let never: Vec<_> = all.difference(&taken).collect();
    panic!("never taken: {never:?}");
}
