//! Twenty releases are promoted and backed out in parallel while the operator is killed at random times.

use std::time::{Duration, Instant};

use futures::future::join_all;
use signalbox::api::Release;

use crate::end::{self, Start};
use crate::history::History;
use crate::kit::{Kill, Operator, Scope, Side, Stage, state_of, wait_until};
use crate::play::{CLUSTER, LONG, SILENCE, Scenario, clean};

const RELEASES: usize = 20;
/// The maximum number of requests in one life, without watches and leadership. The whole work needs about a thousand.
const LONGEST_LIFE: u64 = 200;

/// The number of kills: a hundred in the long form.
fn instants() -> usize {
    if std::env::var_os("SIGNALBOX_TEST_LONG").is_some() {
        100
    } else {
        15
    }
}

fn seed() -> u64 {
    let said = std::env::var("SIGNALBOX_TEST_SEED").ok();
    said.map_or(20_261_123, |seed| {
        seed.parse().expect("SIGNALBOX_TEST_SEED is a number")
    })
}

/// Pseudo-random numbers, the same for the same seed (splitmix64).
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn kill(&mut self) -> Kill {
        let side = [Side::Before, Side::After][usize::from(self.below(2) == 1)];
        let nth = 1 + self.below(LONGEST_LIFE);
        Kill::at_request(side, usize::try_from(nth).expect("it is small"))
    }
}

struct Part {
    scenario: Scenario,
    stage: Stage,
    start: Start,
    history: History,
}

/// Stages in one home namespace. Every other one is backed out.
async fn parts() -> Vec<Part> {
    let scenario = |n: usize| [Scenario::Slow, Scenario::Backout][n % 2];
    let first = scenario(0).stage(None).await;
    let others = join_all((1..RELEASES).map(|n| scenario(n).stage(Some(&first)))).await;
    let parts = [first].into_iter().chain(others).enumerate();
    join_all(parts.map(|(n, stage)| async move {
        Part {
            scenario: scenario(n),
            start: end::start(&stage).await,
            history: History::begin(&stage).await,
            stage,
        }
    }))
    .await
}

/// Returns when all are finished.
async fn all_end(parts: &[Part], names: &[String]) {
    join_all(parts.iter().zip(names).map(|(part, name)| async move {
        let environment = part.stage.environment("sit");
        let (state, _) = part.scenario.ends_in().expect("it stays");
        let is_there = |release: &Release| state_of(release, &environment) == Some(state);
        wait_until(&part.stage.api::<Release>(), name, LONG * 3, is_there).await;
    }))
    .await;
}

/// One round: the number of kills, and the differences at the end.
async fn round(drawn: &mut Drawn, most: usize) -> (usize, Vec<String>) {
    let parts = parts().await;
    // Forty namespaces would be four hundred watches. It watches all namespaces, and no other operator runs.
    let scope = Scope {
        namespaces: vec![],
        ..Scope::of(parts.iter().map(|part| &part.stage))
    };
    let mut kills = 0;
    let next = |drawn: &mut Drawn, kills: usize| (kills < most).then(|| drawn.kill());
    let mut operator = Operator::start(&scope, next(drawn, kills)).await;
    let names = join_all(
        parts
            .iter()
            .map(|part| part.stage.submit(part.scenario.release(&part.stage))),
    )
    .await;
    let mut ended = Box::pin(all_end(&parts, &names));
    loop {
        let faults = operator.faults.clone();
        tokio::select! {
            biased;
            () = faults.killed() => {
                kills += 1;
                operator.killed().await;
                operator = Operator::start(&scope, next(drawn, kills)).await;
            }
            () = &mut ended => break,
        }
    }
    drop(ended);
    // Its script can have one more kill, which no longer counts.
    operator.killed().await;
    let operator = Operator::start(&scope, None).await;
    operator.faults.silent(SILENCE).await;
    let mut wrong = vec![];
    let mut stages = vec![];
    for (part, name) in parts.into_iter().zip(&names) {
        let clean = clean(part.scenario).await;
        let end = end::read(&part.stage, name, &part.start).await;
        let (unlawful, effects) = part.history.judged().await;
        let mut differ = end::differences(&clean.end, &end);
        differ.extend(unlawful);
        if effects != clean.effects {
            differ.push(format!("{effects:?} instead of {:?}", clean.effects));
        }
        if differ.is_empty() {
            stages.push(part.stage);
        } else {
            wrong.push(format!("{:?} {name}:\n  {}", part.scenario, differ.join("\n  ")));
            part.stage.left();
        }
    }
    join_all(stages.into_iter().map(Stage::finish)).await;
    operator.killed().await;
    (kills, wrong)
}

#[tokio::test]
async fn twenty_releases_end_the_same_wherever_the_operator_is_killed_at_random() {
    {
        let _side_by_side = CLUSTER.read().await;
        for scenario in [Scenario::Slow, Scenario::Backout] {
            clean(scenario).await;
        }
    }
    let _alone = CLUSTER.write().await;
    let (mut drawn, mut left) = (Drawn(seed()), instants());
    println!("\n| releases | killed | took | ends |\n| --- | --- | --- | --- |");
    while left > 0 {
        let began = Instant::now();
        let (kills, wrong) = round(&mut drawn, left).await;
        let took: Duration = began.elapsed();
        let verdict = if wrong.is_empty() {
            "no differences"
        } else {
            "DIFFER"
        };
        println!(
            "| {RELEASES} | {kills} times | {:.0} s | {verdict} |",
            took.as_secs_f32()
        );
        assert!(wrong.is_empty(), "seed {}:\n{}", seed(), wrong.join("\n"));
        assert!(kills > 0, "the operator was never killed");
        left -= kills;
    }
}
