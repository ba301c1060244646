//! Order, time and identity: an older version never replaces a newer one, a soak checks what runs, and Jobs end together with their
//! reason.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use signalbox::api::release::State;
use signalbox::api::{Action, Release};

use crate::acting::{LONG, UNREADY, check, promotion, verification};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, gone, soak_gate, wait_until};

async fn delete(stage: &Stage, release: &str) {
    let releases = stage.api::<Release>();
    releases
        .delete(release, &DeleteParams::background())
        .await
        .unwrap();
    gone(&releases, release, LONG).await;
}

#[tokio::test]
async fn releases_that_are_created_again_put_nothing_older_over_what_runs() {
    let stage = Stage::new("again").only(&["sit"]).await;
    let of = |version: &str, image: &str| stage.release(version).into(&["sit"]).image("ledger", image);
    let older = stage.submit(of("1.0", IMAGE_BEFORE)).await;
    stage.reaches(&older, "sit", State::Succeeded).await;
    let newer = stage.submit(of("1.1", IMAGE)).await;
    stage.reaches(&newer, "sit", State::Succeeded).await;
    delete(&stage, &older).await;
    delete(&stage, &newer).await;

    let older = stage.submit(of("1.0", IMAGE_BEFORE)).await;
    let release = stage.reaches(&older, "sit", State::Superseded).await;
    let said = promotion(&stage, &release, "sit");
    let message = said.message.clone().unwrap_or_default();
    assert!(
        message.starts_with("Version 1.1 Succeeded here before this release entered")
            && message.contains("(recorded for the deleted Release "),
        "{message}"
    );
    assert_eq!(
        check(said, "NoDowngrade").map(|c| c.reason.as_str()),
        Some("NewerVersionSucceeded")
    );
    assert_eq!(stage.image("sit").await, IMAGE);
    // The same version can enter again.
    let newer = stage.submit(of("1.1", IMAGE)).await;
    stage.reaches(&newer, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_hotfix_that_reads_as_a_pre_release_is_told_which_version_to_use() {
    let stage = Stage::new("hotfix").only(&["sit"]).await;
    let of = |version: &str| stage.release(version).into(&["sit"]).image("ledger", IMAGE);
    let first = stage.submit(of("2026.11.1")).await;
    stage.reaches(&first, "sit", State::Succeeded).await;
    let hotfix = stage.submit(of("2026.11.1-hotfix.1")).await;
    let release = stage.reaches(&hotfix, "sit", State::Superseded).await;
    let message = promotion(&stage, &release, "sit")
        .message
        .clone()
        .unwrap_or_default();
    assert!(
        message.contains("is a pre-release") && message.contains("2026.11.1.1"),
        "{message}"
    );
    stage.finish().await;
}

#[tokio::test]
async fn soak_ends_where_a_newer_release_has_gone_in() {
    let stage = Stage::new("soak-left");
    let bake = soak_gate("bake", &format!("{}-sit", stage.name()), "10m");
    let stage = stage
        .only(&["sit", "uat"])
        .with("uat", |uat| uat.gates = vec![bake])
        .await;
    let of = |version: &str| {
        let release = stage.release(version).into(&["sit", "uat"]);
        release.config("config", "ledger-config", json!({ "FEATURE_X": version }))
    };
    let older = stage.submit(of("1.0")).await;
    stage.reaches(&older, "sit", State::Succeeded).await;
    stage.until_check(&older, "uat", "bake", "Soaking").await;
    let newer = stage.submit(of("1.1")).await;
    stage.reaches(&newer, "sit", State::Succeeded).await;
    let bake = stage.until_check(&older, "uat", "bake", "SoakInterrupted").await;
    assert!(
        bake.message.contains("1.1 has entered there since"),
        "{}",
        bake.message
    );
    stage.finish().await;
}

#[tokio::test]
async fn who_holds_accept_lets_a_release_into_a_target_that_is_broken() {
    let stage = Stage::new("broken").only(&["sit"]).await;
    let broken = json!({ "spec": { "progressDeadlineSeconds": 2, "template": { "spec": { "containers": [
        { "name": "ledger", "image": UNREADY },
    ] } } } });
    stage
        .meddle::<Deployment>("sit", "ledger", "midnight-fixer", broken)
        .await;
    wait_until(&stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
        let conditions = d.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions.is_some_and(|all| {
            all.iter()
                .any(|c| c.reason.as_deref() == Some("ProgressDeadlineExceeded"))
        })
    })
    .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let held = stage
        .until_check(&name, "sit", "EnvironmentAvailable", "TargetUnhealthy")
        .await;
    assert!(
        held.message
            .contains("action Accept and subject EnvironmentAvailable"),
        "{}",
        held.message
    );
    stage.decide("bob", Action::Accept, &name, "sit").await;
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    let said = check(promotion(&stage, &release, "sit"), "EnvironmentAvailable").unwrap();
    assert!(
        said.message.contains("accepted the targets as they are"),
        "{}",
        said.message
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_job_does_not_run_on_beside_what_is_restored() {
    let stage = Stage::new("job-stopped")
        .only(&["sit"])
        .with("sit", |sit| {
            let smoke = json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "5m" } });
            sit.verification = vec![verification(smoke)];
        })
        .await;
    stage
        .template("sit", "smoke", "registry.example.com/smoke:hang")
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Verifying).await;
    let jobs = stage.in_target::<Job>("sit");
    let started = async {
        loop {
            let all = jobs.list(&ListParams::default()).await.unwrap().items;
            if let Some(job) = all
                .into_iter()
                .find(|job| job.status.as_ref().and_then(|s| s.active) == Some(1))
            {
                return job.metadata.name.unwrap_or_default();
            }
            tokio::task::yield_now().await;
        }
    };
    let job = tokio::time::timeout(LONG, started).await.expect("the Job runs");
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    gone(&jobs, &job, LONG).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}
