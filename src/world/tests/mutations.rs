//! Rules that are broken on purpose are noticed, each by the invariant that it breaks: by random histories, by a few that are
//! written for one rule because chance finds them too rarely, and, where only a process that has just begun to lead is wrong, by the
//! small world.
//!
//! A rule is broken from outside: before `decide` ([`observed`]), after it ([`steps`]), in the answers to the operator's requests
//! ([`Answers`]), or in the objects of the world.

mod observed;
mod steps;
mod written;

use std::sync::Arc;

use crate::decide::Decide;
use crate::world::World;
use crate::world::tests::exhaustive::explore;
use crate::world::tests::histories::search;
use crate::world::tests::history::play;
use crate::world::tests::invariants::Broken;
use crate::world::tests::mutations::written::Written;
use crate::world::tests::seam::{Answers, Seam};

/// Random histories within which a broken rule has to be noticed.
const MOST: u32 = 10_000;

/// A rule that is broken.
struct Mutation {
    /// How, a sentence.
    says: &'static str,
    seam: Seam,
    by: By,
    /// The invariant that it breaks.
    invariant: &'static str,
}

/// What notices it.
enum By {
    Chance,
    Written(fn() -> Written),
    SmallWorld,
}

const fn decided(decide: Decide) -> Seam {
    Seam { decide, ..Seam::NONE }
}

const fn answered(answers: Answers) -> Seam {
    Seam {
        answers,
        ..Seam::NONE
    }
}

const fn laid(lays: fn(&World)) -> Seam {
    Seam { lays, ..Seam::NONE }
}

const fn broken(says: &'static str, seam: Seam, by: By, invariant: &'static str) -> Mutation {
    Mutation {
        says,
        seam,
        by,
        invariant,
    }
}

/// The operator is shown Environments that promote from nowhere. Whether it reads one at all depends on that, too.
fn without_upstreams(world: &World) {
    let mut objects = world.objects();
    let environments: Vec<_> = objects.environments.values().cloned().collect();
    for environment in environments {
        let mut environment = Arc::unwrap_or_clone(environment);
        environment.spec.promotes_from = None;
        objects.edited(&mut environment.metadata);
        objects.keep_environment(environment);
    }
}

#[rustfmt::skip]
const RULES: [Mutation; 23] = [
    broken("an approval of another plan counts", decided(observed::old_hash_counts), By::Chance, "I6"),
    broken("the requester's approval counts", decided(observed::requester_approves), By::Chance, "I6"),
    broken("one person who approves twice counts as two", decided(observed::one_person_twice), By::Chance, "I6"),
    broken("a rejection does not count", decided(observed::reject_ignored), By::Chance, "I6"),
    broken("a rejection goes with its Release", decided(steps::reject_goes_with_release), By::Written(written::rejected_deleted_and_created_again), "I6"),
    broken("a Decision for another attempt is obeyed", decided(observed::any_attempt), By::Chance, "I6"),
    broken("a check that could not be evaluated lets the release enter", decided(observed::unknown_is_go), By::Chance, "I1"),
    broken("what it promotes from need not have succeeded", laid(without_upstreams), By::Chance, "I2"),
    broken("a hold holds nothing", decided(observed::hold_ignored), By::Chance, "I1"),
    broken("windows hold nothing", decided(observed::window_ignored), By::Chance, "I1"),
    broken("the claim is released before targets are restored", decided(steps::claim_released_before_restore), By::Chance, "I3"),
    broken("a target namespace is entered although another has the claim", decided(steps::claim_not_needed), By::Chance, "I3"),
    broken("the claim is not read live before the entry", answered(Answers::ClaimsAsShown), By::Written(written::robbed_before_the_entry), "I3"),
    broken("the Release is not read live before the entry", answered(Answers::ReleasesBeforeEntryAsShown), By::Written(written::overtaken_before_the_entry), "I4"),
    broken("a new leader acts on what its watch has shown of a Release", answered(Answers::ReleasesUnderWayAsShown), By::SmallWorld, "I1"),
    broken("a deleted Release releases the claim of what it abandoned", decided(steps::deleted_forgets_claim), By::Chance, "I3"),
    broken("a retry captures what the failed attempt left", decided(observed::pre_state_overwritten), By::Written(written::backed_out_after_a_retry), "I4"),
    broken("a patch does not carry the resourceVersion", decided(steps::patch_without_version), By::Chance, "I4"),
    broken("a status is written although another writer wrote since", answered(Answers::AnyVersion), By::Chance, "I1"),
    broken("one component is not restored", decided(observed::restore_skips_one), By::Chance, "I4"),
    broken("a component does not wait for those before it", decided(observed::after_ignored), By::Chance, "I1"),
    broken("a Job is started under two names", decided(steps::job_twice), By::Chance, "I8"),
    broken("a deleted claim wakes no Release", answered(Answers::DeletedInSilence), By::Chance, "I7"),
];

/// Those that neighbours reveal.
#[rustfmt::skip]
const RULES_ABOUT_NEIGHBOURS: [Mutation; 11] = [
    broken("everything that a dry run shows is ours", decided(observed::dry_run_is_ours), By::Written(written::a_daemon_set_crashes), "I10"),
    broken("lists are restored whole", decided(steps::lists_whole), By::Written(written::a_neighbour_in_the_same_list), "I10"),
    broken("a restore that does not last is repeated without end", decided(observed::restores_without_end), By::Written(written::an_owner_who_never_stops), "I11"),
    broken("the replicas of the moment are owed", decided(observed::replicas_of_the_moment), By::Written(written::scaled_without_room), "I13"),
    broken("health is lost by the replicas of the moment", decided(observed::health_of_the_moment), By::Written(written::scaled_without_room_while_observed), "I13"),
    broken("only a Deployment that is not Available is unhealthy", decided(observed::health_by_available), By::Written(written::a_stateful_set_loses_readiness), "I12"),
    broken("what was changed while it was observed Succeeded", decided(observed::succeeded_although_changed), By::Written(written::changed_while_observed), "I12"),
    broken("Jobs still run when targets are restored", decided(observed::jobs_run_on), By::Written(written::backed_out_while_verified), "I8"),
    broken("a container that crashes and is ready again counts as healthy", decided(observed::restarts_excused), By::Written(written::crashes_while_ready), "I14"),
    broken("pods of another version that are ending are not waited for", decided(observed::lingering_ignored), By::Written(written::pods_that_linger), "I15"),
    broken("people who are asked have no time to decide before the owner's choice", decided(observed::owner_does_not_wait), By::Written(written::nobody_answers), "I6"),
];

/// What noticed it, and how.
fn notice(mutation: &Mutation) -> Option<(String, Broken)> {
    match mutation.by {
        By::SmallWorld => {
            let broken = explore(mutation.seam).err()?;
            Some(("the small world".to_owned(), broken))
        }
        By::Written(written) => {
            let (pipeline, written) = written();
            for steps in &written {
                if let Err(broken) = play(pipeline, steps, Seam::NONE) {
                    println!("{broken:?} after {steps:#?}, which breaks no rule");
                    return None;
                }
            }
            let mut histories = written.iter();
            let broken = histories.find_map(|steps| play(pipeline, steps, mutation.seam).err());
            Some(("a history written for it".to_owned(), broken?))
        }
        By::Chance => {
            let found = search(mutation.seam, 1, MOST, 0)?;
            Some((format!("random history {}", found.after), found.broken))
        }
    }
}

/// Rules whose violation no test notices, or that are noticed for another reason only.
fn missed(mutations: &[Mutation]) -> Vec<String> {
    let missed = mutations.iter().filter_map(|mutation| {
        let Some((by, broken)) = notice(mutation) else {
            return Some(format!("{}: not noticed", mutation.says));
        };
        let noticed = format!(
            "| {} | {by} | {} | {}",
            mutation.says, broken.invariant, broken.what
        );
        println!("{noticed}");
        (broken.invariant != mutation.invariant).then(|| format!("{noticed}, and not {}", mutation.invariant))
    });
    missed.collect()
}

fn noticed(all: &[Mutation]) {
    let (one, other) = all.split_at(all.len() / 2);
    let missed: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| missed(other));
        let mut missed = missed(one);
        missed.extend(other.join().expect("no thread panics"));
        missed
    });
    assert_eq!(missed, Vec::<String>::new());
}

#[test]
fn every_broken_rule_is_noticed() {
    noticed(&RULES);
}

#[test]
fn every_rule_about_neighbours_that_is_broken_is_noticed() {
    noticed(&RULES_ABOUT_NEIGHBOURS);
}
