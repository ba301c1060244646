//! A Release is deleted while it is being deployed, and wants to be backed out then. Its finalizer keeps it until everything
//! is put back, whoever dies on the way.

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use signalbox::api::Release;

use crate::end::{self, Start};
use crate::kit::{Kill, Ledger, Operator, Side, Stage, Write, gone, wait_until};
use crate::play::{LONG, SILENCE, Scenario, restarted};

/// A Release in the middle of Deploying, marked for deletion, and no operator.
async fn deleted(stage: &Stage) -> (String, Start) {
    let start = end::start(stage).await;
    let operator = Operator::start(None).await;
    // Never ready, and given ten minutes to become it.
    let release = Scenario::Backout.release(stage).ready_within("10m").with(
        "/metadata/annotations",
        json!({ "signalbox.dev/on-delete": "BackOut" }),
    );
    let release = stage.submit(release).await;
    let ledgers: Api<Deployment> = stage.in_target("sit");
    wait_until(&ledgers, "ledger", LONG, |ledger| {
        ledger.metadata.generation == Some(2)
    })
    .await;
    operator.killer.silent(SILENCE).await;
    operator.killed().await;
    let releases = stage.api::<Release>();
    releases.delete(&release, &DeleteParams::default()).await.unwrap();
    (release, start)
}

/// What the first operator wrote, what is left, and the operator that is left.
async fn lets_go(
    stage: &Stage,
    release: &str,
    start: &Start,
    kill: Option<Kill>,
) -> (Vec<Write>, Value, Operator) {
    let mut operator = Operator::start(kill).await;
    let first = operator.killer.clone();
    let releases = stage.api::<Release>();
    let alive = async {
        gone(&releases, release, LONG).await;
        first.silent(SILENCE).await;
    };
    let killed = tokio::select! {
        biased;
        () = first.killed() => true,
        () = alive => false,
    };
    if killed {
        operator.killed().await;
        operator = Operator::start(None).await;
        gone(&releases, release, LONG).await;
        operator.killer.silent(SILENCE).await;
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
    let stage = Scenario::Backout.stage().await;
    let (release, start) = deleted(&stage).await;
    let (writes, clean, operator) = lets_go(&stage, &release, &start, None).await;
    let put_back = json!({
        "config": start.config, "configChanges": 2,
        "ledger": start.ledger, "ledgerGeneration": 3,
        "claims": 0, "preStates": 0,
    });
    assert_eq!(clean, put_back);
    operator.killed().await;

    let mut stages = vec![stage];
    for n in 1..=writes.len() {
        for side in [Side::Before, Side::After] {
            let stage = Scenario::Backout.stage().await;
            let (release, start) = deleted(&stage).await;
            let kill = Kill::at(side, Ledger::Promotion, n);
            let (fatal, left, operator) = lets_go(&stage, &release, &start, Some(kill)).await;
            let fatal = fatal.get(n - 1).map(Write::what);
            println!(
                "| {n} | {} | {side:?} | {} |",
                writes[n - 1].what(),
                left == clean
            );
            assert_eq!(left, clean, "killed {side:?} write {n}, {fatal:?}");
            operator.killed().await;
            stages.push(stage);
        }
    }
    let operator = restarted(Operator::start(None).await).await;
    join_all(stages.into_iter().map(Stage::finish)).await;
    operator.killed().await;
}
