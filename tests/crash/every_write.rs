//! For every write of a clean run: the operator dies before it, and again after it.

use std::fmt::Write as _;

use crate::end::differences;
use crate::kit::{Kill, Ledger, Side, Write};
use crate::play::{Scenario, play};

#[tokio::test]
async fn a_promotion_ends_the_same_wherever_the_operator_is_killed() {
    killed_everywhere(Scenario::Promotion).await;
}

#[tokio::test]
async fn a_backout_ends_the_same_wherever_the_operator_is_killed() {
    killed_everywhere(Scenario::Backout).await;
}

async fn killed_everywhere(scenario: Scenario) {
    let clean = play(scenario, None).await.restarted().await;
    let sequence: Vec<String> = clean.writes.iter().map(Write::what).collect();
    println!("{scenario:?}, nobody killed: {sequence:#?}");
    println!("{}", serde_json::to_string_pretty(&clean.end.release).unwrap());
    let end = clean.end.clone();
    clean.finish().await;

    let (mut table, mut wrong) = (String::new(), vec![]);
    for ledger in [Ledger::Promotion, Ledger::Environment] {
        for n in 1.. {
            let mut row = vec![];
            for side in [Side::Before, Side::After] {
                let began = std::time::Instant::now();
                let played = play(scenario, Some(Kill::at(side, ledger, n))).await;
                let fatal = played
                    .writes
                    .iter()
                    .filter(|w| w.ledger == ledger)
                    .nth(n - 1)
                    .map(Write::what);
                let differ = differences(&end, &played.end);
                if let (true, Some(what)) = (played.killed, fatal) {
                    println!("{n} {side:?} {what}: {differ:?} {:?}", began.elapsed());
                    row.push((what.clone(), differ.is_empty()));
                    if !differ.is_empty() {
                        wrong.push(format!(
                            "killed {side:?} write {n}, {what}: {}",
                            differ.join("\n  ")
                        ));
                    }
                }
                played.finish().await;
            }
            if row.is_empty() {
                break;
            }
            let what = &row[0].0;
            let verdict = |row: Option<&(String, bool)>| match row {
                Some((_, true)) => "same",
                Some((_, false)) => "DIFFERS",
                None => "not reached",
            };
            let _ = writeln!(
                table,
                "| {n} | {what} | {} | {} |",
                verdict(row.first()),
                verdict(row.get(1))
            );
        }
    }
    println!("{scenario:?}\n| # | write | killed just before | killed just after |\n{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
