//! Random histories of users, controllers and rivals, seeded: everything settles, a settled release writes nothing,
//! and a target that was not restored can still be restored.

use crate::api::release::{Because, Hold, State};
use crate::api::{ON_DELETE, time};
use crate::decide::fixtures::*;
use crate::decide::tests::deciding::act;
use crate::decide::tests::walk::Walk;
use serde_json::{Value, json};

/// A small generator (xorshift): the seed is the history.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let n = u64::try_from(choices.len()).expect("few");
        choices[usize::try_from(self.below(n)).expect("few")]
    }
}

pub(crate) fn breaks_the_new_one(object: Value) -> Value {
    let new = object.pointer("/spec/template/spec/containers/0/image") == Some(&json!(image("2")));
    if new { stuck(object) } else { rolled_out(object) }
}

fn something_happens(walk: &mut Walk, chance: &mut Chance) {
    walk.later(seconds(chance.of(&[0, 1, 60, 700, 2000])));
    let environment = chance.of(&["sit", "uat", "production"]);
    match chance.below(12) {
        0..=4 => {
            let action = chance.of(&["BackOut", "Accept", "Abandon", "Retry"]);
            let attempt = walk
                .observed
                .release
                .promotion(environment)
                .map_or(1, |p| p.attempt);
            walk.decides(act(action, environment, attempt, walk.now));
        }
        5 => walk.controller = chance.of(&[rolled_out as fn(Value) -> Value, stuck, breaks_the_new_one]),
        6 => walk.edit(|r| {
            r.spec.hold = if r.spec.hold.is_some() {
                None
            } else {
                Some(Hold::default())
            }
        }),
        7 if chance.below(4) == 0 => walk.edit(|r| r.spec.withdrawn = Some(Because::default())),
        8 if chance.below(4) == 0 && walk.observed.release.metadata.deletion_timestamp.is_none() => {
            let (now, back_out) = (walk.now, chance.below(2) == 0);
            let release = walk.release();
            release.metadata.deletion_timestamp = Some(time(now));
            if back_out {
                release.metadata.annotations = Some([(ON_DELETE.to_owned(), "BackOut".to_owned())].into());
            }
        }
        9 => {
            let namespace = chance.of(&["payments-sit", "payments-uat", "payments"]);
            let free = !walk.claims.contains_key(namespace);
            let theirs = walk
                .claims
                .get(namespace)
                .is_some_and(|c| c.release == "payments/other");
            if free {
                let mut other = claim(namespace, "other", "any", 1);
                other.unsettled = chance.below(2) == 0;
                walk.claims.insert(namespace.to_owned(), other);
            } else if theirs {
                walk.claims.remove(namespace);
            }
        }
        10 => {
            walk.unhealthy_since = if walk.unhealthy_since.is_some() {
                None
            } else {
                Some(walk.now)
            }
        }
        _ => {}
    }
}

fn what_is_not_restored_can_still_be(walk: &Walk) {
    let Some(status) = walk.observed.release.status.as_ref().filter(|_| !walk.gone) else {
        return;
    };
    for (p, namespace) in status
        .environments
        .iter()
        .zip(["payments-sit", "payments-uat", "payments"])
    {
        let objects = &walk.objects[namespace];
        let restored = ["config", "ledger"].iter().all(|c| {
            objects[*c].get("spec") == running()[*c].get("spec")
                && objects[*c].get("data") == running()[*c].get("data")
        });
        let kept = p
            .backout
            .as_ref()
            .is_some_and(|b| walk.pre_states.contains_key(&b.pre_state));
        assert!(
            restored || kept,
            "{} {:?}: changed, and nothing kept",
            p.name,
            p.state
        );
        let held = walk.claims.contains_key(namespace);
        assert!(
            restored || held || p.state == State::Succeeded,
            "{} {:?}: changed, and free",
            p.name,
            p.state
        );
        if p.state == State::BackedOut {
            assert!(restored, "{} says that it is backed out", p.name);
        }
        let ours = walk
            .claims
            .get(namespace)
            .is_some_and(|c| c.release == "payments/payments-2026.11.1");
        assert!(
            !(ours && p.state.is_over()),
            "{} {:?}: over, and still claimed",
            p.name,
            p.state
        );
    }
}

#[test]
fn every_history_settles_and_forgets_nothing() {
    for seed in 1..=50_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let plan = chance.of(&["Automatic", "OnDecision"]);
        let mut walk = Walk::of(release_of(&json!({ "backoutPlan": { "trigger": plan } })));
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..15 {
                for _ in 0..chance.below(8) {
                    if walk.gone || walk.step().is_some() {
                        break;
                    }
                }
                something_happens(&mut walk, &mut chance);
            }
            walk.settle();
            what_is_not_restored_can_still_be(&walk);
            let written = walk.log.len();
            walk.settle();
            assert_eq!(walk.log.len(), written, "a settled release writes nothing");
        }));
        assert!(told.is_ok(), "seed {seed}: {:#?}", walk.log);
    }
}
