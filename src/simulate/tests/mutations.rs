//! Rules that are broken on purpose are noticed: by random histories, by a few that are written down because chance comes
//! upon them too rarely, and, what only a process that has just begun to lead gets wrong, by the small world.

use super::exhaustive::explore;
use super::histories::search;
use super::history::{Fate, Step, play};
use super::invariants::Broken;
use super::town::Pipeline;
use crate::mutation::{self, Mutation};

/// Random histories within which a broken rule has to be noticed.
const MOST: u32 = 10_000;

/// SIT fails and is abandoned, is tried again and fails again, and is then backed out: what stood before the first attempt
/// has to be there.
fn backed_out_after_a_retry() -> Vec<Step> {
    let decides = |action| Step::Decides {
        action,
        release: 1,
        environment: 0,
        wrong_attempt: false,
    };
    let crashes = Step::Rollouts {
        environment: 0,
        fate: Fate::Crashes,
    };
    let mut steps = vec![crashes];
    for action in [ABANDON, RETRY, BACK_OUT] {
        steps.extend([Step::NextEdge; 6]);
        steps.push(decides(action));
    }
    steps
}

const BACK_OUT: usize = 0;
const ABANDON: usize = 2;
const RETRY: usize = 3;

/// Operator 1 brings UAT to the brink of its entry and is left behind; operator 0 enters, and operator 1 goes on with what
/// it knows. How far each of them comes is what differs.
fn overtaken_before_the_entry() -> Vec<Vec<Step>> {
    let works = |operator, passes| Step::Works { operator, passes };
    let minute = Step::Away { minutes: 1 };
    let mut all = Vec::new();
    for captures in 1..=8 {
        for enters in 1..=5 {
            all.push(vec![
                works(1, 40),
                minute,
                works(1, 40),
                minute,
                works(1, captures),
                works(0, enters),
                Step::WorksBlind {
                    operator: 1,
                    passes: 3,
                },
                Step::Decides {
                    action: BACK_OUT,
                    release: 1,
                    environment: 1,
                    wrong_attempt: false,
                },
            ]);
        }
    }
    all
}

/// Histories that are written down for one rule.
fn written_for(mutation: Mutation) -> (Pipeline, Vec<Vec<Step>>) {
    let two = Pipeline {
        environments: 2,
        automatic: false,
        ..Pipeline::PLAIN
    };
    match mutation {
        Mutation::PreStateOverwritten => (two, vec![backed_out_after_a_retry()]),
        Mutation::EntryOfOldRelease => (Pipeline { job: true, ..two }, overtaken_before_the_entry()),
        _ => (two, vec![]),
    }
}

/// Who noticed, and what.
fn notice(mutation: Mutation) -> Option<(String, Broken)> {
    if mutation == Mutation::WatchBelieved {
        let broken = mutation::with(mutation, explore).err()?;
        return Some(("the small world".to_owned(), broken));
    }
    let (pipeline, written) = written_for(mutation);
    for steps in &written {
        let sound = play(pipeline, steps);
        assert!(sound.is_ok(), "{sound:?} after {steps:#?}, which breaks no rule");
    }
    if !written.is_empty() {
        let broken = mutation::with(mutation, || {
            written.iter().find_map(|steps| play(pipeline, steps).err())
        });
        return Some(("a history written for it".to_owned(), broken?));
    }
    let found = mutation::with(mutation, || search(1, MOST, 0))?;
    Some((format!("random history {}", found.after), found.broken))
}

fn missed(mutations: &[Mutation]) -> Vec<Mutation> {
    let mut missed = Vec::new();
    for mutation in mutations {
        match notice(*mutation) {
            Some((by, broken)) => println!(
                "| {} | {by} | {} | {}",
                mutation.says(),
                broken.invariant,
                broken.what
            ),
            None => missed.push(*mutation),
        }
    }
    missed
}

#[test]
fn every_broken_rule_is_noticed() {
    let all = Mutation::ALL;
    let (one, other) = all.split_at(all.len() / 2);
    let missed: Vec<Mutation> = std::thread::scope(|scope| {
        let other = scope.spawn(|| missed(other));
        let mut missed = missed(one);
        missed.extend(other.join().expect("nobody panics"));
        missed
    });
    assert_eq!(missed, Vec::<Mutation>::new(), "nobody noticed");
}
