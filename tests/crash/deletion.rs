//! A Release is deleted while it is being deployed, and wants to be backed out then. Its finalizer keeps it until everything
//! is put back, whoever dies on the way.

use std::time::Instant;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use signalbox::api::Release;

use crate::end::{self, Start};
use crate::kit::{Kill, Ledger, Operator, Side, Stage, Write, gone, wait_until};
use crate::play::{LONG, SILENCE, Scenario, restarted};

/// A stage with a Release in the middle of Deploying, which an operator is there for.
async fn deploying() -> (Stage, String, Start) {
    let stage = Scenario::Backout.stage().await;
    let start = end::start(&stage).await;
    // Never ready, and given ten minutes to become it.
    let release = Scenario::Backout.release(&stage).ready_within("10m").with(
        "/metadata/annotations",
        json!({ "signalbox.dev/on-delete": "BackOut" }),
    );
    let release = stage.submit(release).await;
    let ledgers: Api<Deployment> = stage.in_target("sit");
    wait_until(&ledgers, "ledger", LONG, |ledger| {
        ledger.metadata.generation == Some(2)
    })
    .await;
    (stage, release, start)
}

/// Writes from the deletion on: the status, two targets, the status, the claim, the pre-state, the finalizer.
const WRITES: usize = 7;

/// What the first operator wrote, what is left, and the operator that is left.
async fn lets_go(
    stage: &Stage,
    release: &str,
    start: &Start,
    kill: Option<Kill>,
) -> (Vec<Write>, Value, Operator) {
    let releases = stage.api::<Release>();
    releases.delete(release, &DeleteParams::default()).await.unwrap();
    let mut operator = Operator::start(kill).await;
    let first = operator.killer.clone();
    let killed = tokio::select! {
        biased;
        () = first.killed() => true,
        () = gone(&releases, release, LONG) => false,
    };
    if killed {
        operator.killed().await;
        operator = Operator::start(None).await;
        gone(&releases, release, LONG).await;
    }
    let writes = first.writes();
    let writes = writes
        .into_iter()
        .filter(|w| w.ledger == Ledger::Promotion)
        .collect();
    (writes, end::left(stage, start).await, operator)
}

#[tokio::test]
async fn a_release_that_is_deleted_is_backed_out_and_leaves_nothing_wherever_the_operator_is_killed() {
    let operator = Operator::start(None).await;
    let mut stages = join_all((0..=2 * WRITES).map(|_| deploying())).await;
    operator.killer.silent(SILENCE).await;
    operator.killed().await;

    let (stage, release, start) = stages.pop().unwrap();
    let (writes, clean, operator) = lets_go(&stage, &release, &start, None).await;
    operator.killed().await;
    let put_back = json!({
        "config": start.config, "configChanges": 2,
        "ledger": start.ledger, "ledgerGeneration": 3,
        "claims": 0, "preStates": 0,
    });
    assert_eq!(clean, put_back);
    let writes: Vec<_> = writes.iter().map(Write::what).collect();
    assert_eq!(writes.len(), WRITES, "{writes:#?}");

    let mut empty = vec![stage];
    for (index, (stage, release, start)) in stages.into_iter().enumerate() {
        let (n, side) = (index / 2 + 1, [Side::Before, Side::After][index % 2]);
        let kill = Kill::at(side, Ledger::Promotion, n);
        let began = Instant::now();
        let (_, left, operator) = lets_go(&stage, &release, &start, Some(kill)).await;
        operator.killed().await;
        println!("| {n} | {} | {side:?} | {:.1?}", writes[n - 1], began.elapsed());
        assert_eq!(left, clean, "killed {side:?} write {n}, {}", writes[n - 1]);
        empty.push(stage);
    }
    let operator = Operator::start(None).await;
    operator.killer.silent(SILENCE).await;
    let operator = restarted(operator).await;
    join_all(empty.into_iter().map(Stage::finish)).await;
    operator.killed().await;
}
