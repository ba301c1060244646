//! Random histories, seeded and shrunk.
//!
//! `SIGNALBOX_HISTORIES` says how many, `SIGNALBOX_SEED` which: CONTRIBUTING.md.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::api::environment::Then;
use crate::world::tests::history::play;
use crate::world::tests::invariants::Broken;
use crate::world::tests::seam::Seam;
use crate::world::tests::step::{Fate, Field, Hash, Step};
use crate::world::tests::town::{Pipeline, WORKLOADS};
use crate::world::{Admission, Reloader};

/// The default number of histories.
const HISTORIES: u32 = 10_000;
/// The threads that run them.
const PLAYERS: u32 = 2;

fn pipelines() -> impl Strategy<Value = Pipeline> {
    let flags = proptest::array::uniform9(any::<bool>());
    let admission = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Admission::StampsObjects)),
        1 => Just(Some(Admission::StampsTemplates)),
        1 => Just(Some(Admission::RewritesImages))
    ];
    let reloader = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Reloader::Annotation)),
        1 => Just(Some(Reloader::Env))
    ];
    let then = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Then::BackOut)),
        1 => Just(Some(Then::Abandon))
    ];
    let neighbours = (prop::sample::select(&WORKLOADS[..]), admission, reloader, then);
    (2..=3_usize, 0..=2_i64, flags, neighbours).prop_map(|(environments, approvals, flags, neighbours)| {
        let (workload, admission, reloader, max_occupancy) = neighbours;
        let [
            job,
            soak,
            verification,
            observation,
            closed,
            shared,
            automatic,
            compared,
            deletes_pods,
        ] = flags;
        Pipeline {
            environments,
            approvals,
            job,
            soak,
            verification,
            observation,
            closed: closed && !job,
            shared: shared && environments == 3,
            automatic,
            same_artifact: compared,
            workload,
            admission,
            reloader,
            deletes_pods,
            max_occupancy,
        }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let operator = || prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)];
    let release = || 1..=2_usize;
    let environment = || 0..3_usize;
    let fate = || {
        prop_oneof![
            Just(Fate::Ready),
            Just(Fate::Slow),
            Just(Fate::Never),
            Just(Fate::Crashes),
            Just(Fate::LosesHealth),
            Just(Fate::LosesReadiness),
            Just(Fate::CrashesWhileReady)
        ]
    };
    let field = prop_oneof![
        Just(Field::Image),
        Just(Field::OurEnv),
        Just(Field::OtherEnv),
        Just(Field::OtherKey)
    ];
    let hash = prop_oneof![4 => Just(Hash::Current), 1 => Just(Hash::Old)];
    prop_oneof![
        12 => (operator(), 1..12_usize).prop_map(|(operator, passes)| Step::Works { operator, passes }),
        4 => (operator(), 1..4_usize).prop_map(|(operator, passes)| Step::WorksBlind { operator, passes }),
        3 => (operator(), 1..12_usize).prop_map(|(operator, requests)| Step::GoesPartOfTheWay { operator, requests }),
        3 => (operator(), 0..10_usize, 1..4_usize).prop_map(|(operator, stream, changes)| Step::Sees { operator, stream, changes }),
        2 => operator().prop_map(|operator| Step::Dies { operator }),
        14 => Just(Step::NextEdge),
        2 => (1..40_i64).prop_map(|minutes| Step::Away { minutes }),
        2 => release().prop_map(|release| Step::Creates { release }),
        6 => (0..4_usize, release(), hash).prop_map(|(person, release, hash)| Step::Approves { person, release, environment: 2, hash }),
        1 => (0..4_usize, release()).prop_map(|(person, release)| Step::Rejects { person, release, environment: 2 }),
        6 => (0..4_usize, release(), environment(), prop::bool::weighted(0.15))
            .prop_map(|(action, release, environment, wrong_attempt)| Step::Decides { action, release, environment, wrong_attempt }),
        1 => (release(), 1..4_u8).prop_map(|(release, value)| Step::EditsPlan { release, value }),
        1 => release().prop_map(|release| Step::Holds { release }),
        1 => release().prop_map(|release| Step::Withdraws { release }),
        1 => (release(), any::<bool>()).prop_map(|(release, back_out)| Step::Deletes { release, back_out }),
        2 => (environment(), field).prop_map(|(environment, field)| Step::WritesTarget { environment, field }),
        2 => (environment(), any::<bool>(), any::<bool>())
            .prop_map(|(environment, up, room)| Step::Scales { environment, up, room }),
        1 => (environment(), any::<bool>()).prop_map(|(environment, always)| Step::Reverts { environment, always }),
        1 => environment().prop_map(|environment| Step::LosesNode { environment }),
        1 => environment().prop_map(|environment| Step::PodsLinger { environment }),
        1 => environment().prop_map(|environment| Step::DeletesPod { environment }),
        1 => environment().prop_map(|environment| Step::DeletesClaim { environment }),
        1 => environment().prop_map(|environment| Step::SpoilsTemplate { environment }),
        1 => environment().prop_map(|environment| Step::TakesRights { environment }),
        1 => environment().prop_map(|environment| Step::GivesRights { environment }),
        3 => (environment(), fate()).prop_map(|(environment, fate)| Step::Rollouts { environment, fate }),
        1 => (environment(), fate()).prop_map(|(environment, fate)| Step::Backouts { environment, fate }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(fails, hangs)| Step::Jobs { fails, hangs }),
    ]
}

/// A broken invariant, and the shortest history that was found for it.
pub(crate) struct Found {
    pub broken: Broken,
    pub after: u32,
    pub history: String,
}

/// Runs histories until one breaks an invariant.
pub(crate) fn search(seam: Seam, seed: u64, histories: u32, shrink: u32) -> Option<Found> {
    let config = Config {
        cases: histories,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: shrink,
        // In milliseconds: a history that never ends takes long.
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let (played, first) = (Cell::new(0), Cell::new(0));
    let last = std::cell::RefCell::new(None);
    let result = TestRunner::new(config).run(&(pipelines(), vec(steps(), 10..40)), |(pipeline, steps)| {
        played.set(played.get() + 1);
        play(pipeline, &steps, seam).map_err(|broken| {
            if first.get() == 0 {
                first.set(played.get());
            }
            let reason = format!("{}: {}", broken.invariant, broken.what);
            *last.borrow_mut() = Some(broken);
            TestCaseError::fail(reason)
        })
    });
    let Err(TestError::Fail(_, (pipeline, steps))) = result else {
        return None;
    };
    let broken = play(pipeline, &steps, seam).err().or_else(|| last.into_inner())?;
    Some(Found {
        broken,
        after: first.get(),
        history: format!("{pipeline:?}\n{steps:#?}"),
    })
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_every_invariant_holds_and_everything_comes_to_rest() {
    let histories =
        setting("SIGNALBOX_HISTORIES").map_or(HISTORIES, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let seed = setting("SIGNALBOX_SEED").unwrap_or(20_261_123);
    let began = std::time::Instant::now();
    let players: Vec<_> = (0..PLAYERS)
        .map(|n| {
            let seed = seed + u64::from(n);
            (
                seed,
                std::thread::spawn(move || search(Seam::NONE, seed, histories / PLAYERS, 1_000)),
            )
        })
        .collect();
    for (seed, player) in players {
        let found = player.join().expect("no thread panics");
        if let Some(found) = found {
            panic!(
                "{}: {}\nSIGNALBOX_SEED={seed}, history {}, shortened to\n{}",
                found.broken.invariant, found.broken.what, found.after, found.history
            );
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "{histories} histories in {took:.1} s, {:.0} a second",
        f64::from(histories) / took
    );
}
