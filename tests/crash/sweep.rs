//! For every write of a clean run, the operator is killed before it and, in another run, after it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::audit::written_as_itself;
use crate::kit::{Kill, Ledger, Side, Write};
use crate::play::{AT_ONCE, CLUSTER, Cast, Scenario, clean, killed_at, of, play};

#[tokio::test]
async fn a_promotion_ends_the_same_wherever_the_operator_is_killed() {
    let rows = [
        "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "J", "13", "14", "15",
    ];
    swept(Scenario::Promotion, Ledger::Promotion, false, |_| true, &rows).await;
}

#[tokio::test]
async fn a_promotion_ends_the_same_wherever_the_operator_is_killed_over_its_environment() {
    swept(
        Scenario::Backout,
        Ledger::Environment,
        false,
        |_| true,
        &["E1", "E2"],
    )
    .await;
}

/// The writes before this one belong to the promotion.
#[tokio::test]
async fn a_backout_ends_the_same_wherever_the_operator_is_killed() {
    let concerns = |before: &[Write]| before.iter().any(|write| write.what().contains("BackingOut"));
    let rows = ["B1", "B2", "B3", "B4", "B5", "B6"];
    swept(Scenario::Backout, Ledger::Promotion, false, concerns, &rows).await;
}

#[tokio::test]
async fn a_retry_ends_the_same_wherever_the_operator_is_killed() {
    let rows = [
        "4", "5", "6", "7", "8", "9", "10", "11", "12", "J", "13", "14", "15", "R1",
    ];
    swept(Scenario::Retry, Ledger::Promotion, false, |_| true, &rows).await;
}

#[tokio::test]
async fn a_release_that_is_deleted_leaves_nothing_wherever_the_operator_is_killed() {
    let rows = ["B1", "B2", "B3", "B4", "B5", "B6", "D1", "D2"];
    swept(Scenario::Deletion, Ledger::Promotion, false, |_| true, &rows).await;
}

#[tokio::test]
async fn a_promotion_ends_the_same_wherever_another_operator_takes_over() {
    let rows = [
        "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "J", "13", "14", "15",
    ];
    swept(Scenario::Promotion, Ledger::Promotion, true, |_| true, &rows).await;
}

/// Status writes that only report observations. Their number depends on the time of the observations: simultaneous ones are reported in
/// one write.
const TOLD: &str = "S";

/// The row of docs/state-machine.md for a write, if `nth` writes so far have the same description.
fn row(scenario: Scenario, what: &str, nth: usize) -> Option<&'static str> {
    let going = scenario == Scenario::Deletion;
    let put_back = scenario == Scenario::Backout || going;
    // The deletion is watched from the middle of Deploying on.
    let restored = if going { 1 } else { 2 };
    Some(match what {
        "PATCH releases" if going => "D2",
        "PATCH releases" => "1",
        "PUT releases/status → Waiting" if scenario == Scenario::Retry && nth == 1 => "R1",
        "PUT releases/status → Waiting" if nth == 1 => "2",
        "PUT releases/status → Waiting" => "3",
        "POST leases" => "4",
        "PATCH decisions" => "5",
        "POST controllerrevisions" => "6",
        // Until then the config is Ready. The ledger never becomes ready.
        "PUT releases/status → Deploying" if going => TOLD,
        "PUT releases/status → Deploying" if nth == 1 => "7",
        "PUT releases/status → Deploying" if nth == 2 => "9",
        "PUT releases/status → Deploying" => TOLD,
        "PATCH configmaps/ledger-config" | "PATCH deployments/ledger" if put_back && nth > restored => "B4",
        "PATCH configmaps/ledger-config" if going || nth == 2 => "B3",
        "PATCH configmaps/ledger-config" => "8",
        "PATCH deployments/ledger" if going || nth == 2 => "B2",
        "PATCH deployments/ledger" => "10",
        "PUT releases/status → Verifying" if nth == 1 => "11",
        "PUT releases/status → Verifying" => "J",
        "POST jobs" => "12",
        "PUT releases/status → Succeeded" => "13",
        "DELETE controllerrevisions" if going => "D1",
        "DELETE controllerrevisions" => "14",
        "DELETE leases" if put_back => "B6",
        "DELETE leases" => "15",
        "PUT releases/status → BackingOut" if nth == 1 => "B1",
        "PUT releases/status → BackingOut" => TOLD,
        "PUT releases/status → BackedOut" => "B5",
        "PATCH environments" => "E1",
        "PUT environments/status" => "E2",
        _ => return None,
    })
}

/// One write of the clean run, identified by its description and the number of earlier writes with the same description.
#[derive(Clone, Debug)]
struct Fatal {
    row: &'static str,
    what: String,
    nth: usize,
}

fn fatal(scenario: Scenario, writes: &[Write], concerns: fn(&[Write]) -> bool) -> Vec<Fatal> {
    let mut read: HashMap<String, usize> = HashMap::new();
    let mut all = vec![];
    for (index, write) in writes.iter().enumerate() {
        let what = write.what();
        let nth = read.entry(what.clone()).or_insert(0);
        *nth += 1;
        let row = row(scenario, &what, *nth);
        let row = row.unwrap_or_else(|| panic!("{what} is in no row of docs/state-machine.md"));
        if concerns(&writes[..=index]) {
            all.push(Fatal { row, what, nth: *nth });
        }
    }
    all
}

async fn swept(
    scenario: Scenario,
    ledger: Ledger,
    stands_by: bool,
    concerns: fn(&[Write]) -> bool,
    rows: &[&str],
) {
    let _side_by_side = CLUSTER.read().await;
    let clean = clean(scenario).await;
    let fatal = fatal(scenario, &of(ledger, &clean.writes), concerns);
    let began = Instant::now();
    let cells = fatal
        .iter()
        .flat_map(|fatal| [(fatal, Side::Before), (fatal, Side::After)]);
    let plays: FuturesUnordered<_> = cells
        .map(|(fatal, side)| async move {
            let _turn = AT_ONCE.acquire().await.unwrap();
            // Two simultaneous verdicts are one write. Then the run is repeated.
            for _ in 0..3 {
                let began = Instant::now();
                let cast = Cast {
                    stands_by,
                    ..killed_at(Kill::at(side, &fatal.what, fatal.nth))
                };
                let played = play(scenario, cast, Some(clean)).await;
                let (reached, took) = (played.killed, began.elapsed());
                let differ = played.judged(clean).await;
                if reached || !differ.is_empty() {
                    return (fatal, side, Some(differ), took);
                }
            }
            (fatal, side, None, Duration::ZERO)
        })
        .collect();
    let mut cells = BTreeMap::new();
    let mut wrong = vec![];
    let mut plays = plays;
    while let Some((fatal, side, differ, took)) = plays.next().await {
        let cell = match &differ {
            None => "did not come up".to_owned(),
            Some(differ) if differ.is_empty() => format!("same, {:.1} s", took.as_secs_f32()),
            Some(_) => "DIFFERS".to_owned(),
        };
        cells.insert((fatal.what.clone(), fatal.nth, side == Side::After), cell);
        if let Some(differ) = differ.filter(|differ| !differ.is_empty()) {
            wrong.push(format!(
                "killed {side:?} write {} of {}:\n  {}",
                fatal.nth,
                fatal.what,
                differ.join("\n  ")
            ));
        }
    }
    let who = if stands_by {
        "another one takes over"
    } else {
        "started again"
    };
    let mut table = format!(
        "\n{scenario:?}, {who}; {:?}; {:.0} s\n\n| # | write | killed before | killed after |\n| --- | --- | --- | --- |\n",
        clean.effects,
        began.elapsed().as_secs_f32()
    );
    let mut holes = vec![];
    for Fatal { row, what, nth } in &fatal {
        let cell = |after: bool| cells[&(what.clone(), *nth, after)].clone();
        table += &format!("| {row} | {what} | {} | {} |\n", cell(false), cell(true));
        if !["3", TOLD].contains(row) && (cell(false).starts_with("did") || cell(true).starts_with("did")) {
            holes.push(what.clone());
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        holes,
        Vec::<String>::new(),
        "writes at which the operator was not killed"
    );
    for row in rows {
        assert!(
            fatal.iter().any(|fatal| fatal.row == *row),
            "row {row} has not been written"
        );
    }
    assert_eq!(written_as_itself("crash-"), Vec::<String>::new());
}
