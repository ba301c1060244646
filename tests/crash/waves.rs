//! Memory does not grow with time: releases are created, finished and deleted in waves, and the operator needs no more memory at the
//! end than after the first wave.

use std::future::IntoFuture;

use futures::future::join_all;
use kube::Api;
use kube::api::DeleteParams;
use signalbox::api::Release;
use signalbox::api::release::State;

use crate::kit::{IMAGE, IMAGE_BEFORE, Process, Stage, gone};
use crate::play::{CLUSTER, LONG};

/// Parallel releases, each in its own namespace.
const WAVE: usize = 20;
/// How much more memory the last wave may need than the first one.
const TENTH: f64 = 1.1;

/// The number of waves: two thousand releases in the long form.
fn waves() -> usize {
    if std::env::var_os("SIGNALBOX_TEST_LONG").is_some() {
        100
    } else {
        8
    }
}

/// Every release of the wave succeeds and is deleted.
async fn wave(stages: &[Stage], number: usize) {
    // Alternating images, so that each wave has something to change.
    let image = [IMAGE, IMAGE_BEFORE][number % 2];
    join_all(stages.iter().map(|stage| async move {
        let version = format!("{}.0.0", number + 1);
        let release = stage.release(&version).into(&["sit"]).image("ledger", image);
        let name = stage.submit(release).await;
        stage.reaches(&name, "sit", State::Succeeded).await;
        let releases: Api<Release> = stage.api();
        releases.delete(&name, &DeleteParams::default()).await.unwrap();
        gone(&releases, &name, LONG).await;
    }))
    .await;
}

#[tokio::test]
async fn after_many_waves_of_releases_the_operator_is_as_large_as_after_the_first() {
    let _alone = CLUSTER.write().await;
    let folder = tempfile::tempdir().unwrap();
    let stages = join_all((0..WAVE).map(|_| Stage::new("waves").only(&["sit"]).into_future())).await;
    let process = Process::start("waves-0", folder.path()).await;
    println!("\n| waves of {WAVE} | resident |\n| --- | --- |");
    wave(&stages, 0).await;
    let first = process.resident().await;
    println!("| 1 | {first:.1} MiB |");
    for number in 1..waves() {
        wave(&stages, number).await;
    }
    let last = process.resident().await;
    println!("| {} | {last:.1} MiB |", waves());
    assert!(
        last <= first * TENTH,
        "{last:.1} MiB after {} waves, {first:.1} MiB after the first",
        waves()
    );
    join_all(stages.into_iter().map(Stage::finish)).await;
    assert!(process.terminated().await.success());
}
