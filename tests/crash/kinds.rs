//! All faults of requests and watches, during a promotion and during a backout. The end must be that of the clean run.

use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use signalbox::api::Release;
use signalbox::api::release::State;

use crate::kit::{Counts, Fault, Kill, Meets, Operator, Scope, Script, Side, Watching, state_of, wait_until};
use crate::play::{AT_ONCE, CLUSTER, Cast, LONG, READY_LATE, Scenario, clean, ended, play};

const SECOND: Duration = Duration::from_secs(1);

/// The fault in words, and how a test recognizes that it happened.
struct Kind {
    name: &'static str,
    cast: Cast,
    met: fn(Counts) -> usize,
    is_storm: bool,
}

fn kind(name: &'static str, script: Script, met: fn(Counts) -> usize) -> Kind {
    let next = Script {
        kill: None,
        ..script.clone()
    };
    let cast = Cast {
        first: script,
        next,
        ..Cast::default()
    };
    Kind {
        name,
        cast,
        met,
        is_storm: false,
    }
}

/// Each kind alone, and all of them at random.
fn kinds() -> Vec<Kind> {
    let each = |fault| Script::fault(Meets::EachWriteOnce, fault);
    let watching = Script::watching;
    let first_target = |write: &crate::kit::Write| write.in_target();
    let stale = Script {
        kill: Some(Kill::at_first(Side::After, first_target)),
        ..watching(Watching {
            late: Some(2 * SECOND),
            older_lists: true,
            ..Watching::default()
        })
    };
    let mut all = vec![
        kind("connection breaks before each write", each(Fault::Dropped), |c| {
            c.broken
        }),
        kind("answer of each write is lost", each(Fault::AnswerLost), |c| {
            c.broken
        }),
        kind(
            "everything takes 300 ms longer",
            Script::fault(Meets::Everything, Fault::Late(3 * SECOND / 10)),
            |c| c.late,
        ),
        kind("409 to each write", each(Fault::Refused(409, None)), |c| {
            c.refused
        }),
        kind(
            "429 to each write, Retry-After 1 s",
            each(Fault::Refused(429, Some(1))),
            |c| c.refused,
        ),
        kind("500 to each write", each(Fault::Refused(500, None)), |c| {
            c.refused
        }),
        kind("503 to each write", each(Fault::Refused(503, None)), |c| {
            c.refused
        }),
        kind(
            "503 to everything for 5 s",
            Script::fault(Meets::AllFor(5 * SECOND), Fault::Refused(503, None)),
            |c| c.refused,
        ),
        kind(
            "the entry's answer never comes",
            Script::fault(Meets::Once("PUT releases/status → Deploying"), Fault::Unanswered),
            |c| c.unanswered,
        ),
        kind(
            "a target's answer never comes",
            Script::fault(Meets::Once("PATCH deployments/ledger"), Fault::Unanswered),
            |c| c.unanswered,
        ),
        kind(
            "the token has expired, 401 to everything for 3 s",
            Script::fault(Meets::AllFor(3 * SECOND), Fault::Refused(401, None)),
            |c| c.refused,
        ),
        kind(
            "watch events come 2 s late",
            watching(Watching {
                late: Some(2 * SECOND),
                ..Watching::default()
            }),
            |c| c.events_late,
        ),
        kind(
            "watch events come twice",
            watching(Watching {
                twice: true,
                ..Watching::default()
            }),
            |c| c.events_twice,
        ),
        kind(
            "watches expire, 410 after two events",
            watching(Watching {
                expire: Some((3, 2)),
                ..Watching::default()
            }),
            |c| c.expired,
        ),
        kind(
            "watches expire, and the list after that is the first one",
            watching(Watching {
                expire: Some((1, 2)),
                older_lists: true,
                ..Watching::default()
            }),
            |c| c.older_lists,
        ),
        kind("killed, then its first lists again and late events", stale, |c| {
            c.older_lists
        }),
    ];
    for seed in 1..=3 {
        let storm = Script {
            seed,
            ..watching(Watching {
                late: Some(SECOND / 2),
                twice: true,
                expire: Some((2, 5)),
                older_lists: true,
            })
        };
        let storm = storm
            .and(Meets::PerMille(20), Fault::Dropped)
            .and(Meets::PerMille(20), Fault::AnswerLost)
            .and(Meets::PerMille(20), Fault::Refused(409, None))
            .and(Meets::PerMille(20), Fault::Refused(429, Some(1)))
            .and(Meets::PerMille(20), Fault::Refused(500, None))
            .and(Meets::PerMille(20), Fault::Late(SECOND / 2));
        let name = [
            "all of it at random, seed 1",
            "all of it at random, seed 2",
            "all of it at random, seed 3",
        ][seed as usize - 1];
        all.push(Kind {
            is_storm: true,
            ..kind(name, storm, Counts::total)
        });
    }
    all
}

#[tokio::test]
async fn a_promotion_and_a_backout_end_the_same_whatever_goes_wrong() {
    let _side_by_side = CLUSTER.read().await;
    let scenarios = [Scenario::Promotion, Scenario::Backout];
    let mut plays: FuturesUnordered<_> = scenarios
        .into_iter()
        .flat_map(|scenario| kinds().into_iter().map(move |kind| (scenario, kind)))
        .map(|(scenario, kind)| async move {
            let clean = clean(scenario).await;
            let _turn = AT_ONCE.acquire().await.unwrap();
            let began = Instant::now();
            let played = play(scenario, kind.cast, Some(clean)).await;
            let (met, took) = ((kind.met)(played.counts), began.elapsed());
            // Before entry a claim can be released, and taken again when the failed request works.
            let mut played = played;
            if played.effects.claims > clean.effects.claims && kind.is_storm {
                played.effects.claims = clean.effects.claims;
            }
            let mut differ = played.judged(clean).await;
            if met == 0 {
                differ.push("nothing went wrong".to_owned());
            }
            (kind.name, scenario, met, took, differ)
        })
        .collect();
    let (mut cells, mut wrong) = (std::collections::BTreeMap::new(), vec![]);
    while let Some((name, scenario, met, took, differ)) = plays.next().await {
        let verdict = if differ.is_empty() { "same" } else { "DIFFERS" };
        let cell = format!("{verdict}, {met} times, {:.0} s", took.as_secs_f32());
        cells.insert((name, scenario), cell);
        if !differ.is_empty() {
            wrong.push(format!("{scenario:?}, {name}:\n  {}", differ.join("\n  ")));
        }
    }
    let mut table = "\n| what goes wrong | promotion | backout |\n| --- | --- | --- |\n".to_owned();
    for Kind { name, .. } in kinds() {
        let cell = |scenario| &cells[&(name, scenario)];
        table += &format!("| {name} | {} | {} |\n", cell(scenarios[0]), cell(scenarios[1]));
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_workload_that_is_ready_in_time_is_not_backed_out_because_the_watch_is_behind() {
    let _side_by_side = CLUSTER.read().await;
    let stage = Scenario::Slow.stage(None).await;
    let behind = Script::watching(Watching {
        late: Some(24 * SECOND),
        ..Watching::default()
    });
    let operator = Operator::start(&Scope::of([&stage]), behind).await;
    // Each pod takes five seconds, and the operator sees all of it after its twenty seconds.
    let release = stage.release("2").into(&["sit"]).image("ledger", READY_LATE);
    let release = stage.submit(release.ready_within("20s")).await;
    let environment = stage.environment("sit");
    let ended_in = wait_until(&stage.api::<Release>(), &release, LONG, |release| {
        matches!(
            state_of(release, &environment),
            Some(State::Succeeded | State::BackingOut | State::AwaitingDecision)
        )
    })
    .await;
    assert_eq!(state_of(&ended_in, &environment), Some(State::Succeeded));
    operator.killed().await;
    ended(vec![stage]).await;
}
