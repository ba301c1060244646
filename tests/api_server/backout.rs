//! Releases that fail: the pre-state is restored exactly, automatically or by a Decision of a user with the right to decide.
//!
//! It is long because it has one story for each way in which a release fails, and for each way back.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::release::{BackoutState, ComponentState, State};
use signalbox::api::{Action, Environment, Release};

use crate::acting::{LONG, SLOW, UNREADY, audited, check, observed, promotion, verification};
use crate::kit::{
    IMAGE, IMAGE_BEFORE, ReleaseBuilder, Stage, approval_gate, decision, gone, operator_namespace,
    operator_user, refused, some, user_name, wait_until,
};

/// A ledger with ordered variables and two protocols on one port, for which a merge by key would be wrong.
async fn intricate(stage: &Stage) -> Value {
    stage
        .meddle::<Deployment>(
            "sit",
            "ledger",
            "team",
            json!({ "spec": { "template": { "spec": { "containers": [{
                "name": "ledger",
                "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "$(A)" }],
                "ports": [
                    { "name": "dns-udp", "containerPort": 53, "protocol": "UDP" },
                    { "name": "dns-tcp", "containerPort": 53, "protocol": "TCP" },
                ],
            }] } } } }),
        )
        .await;
    settled(stage).await
}

/// Waits until all of the ledger is available, and returns its spec.
async fn settled(stage: &Stage) -> Value {
    let ledger = wait_until(&stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
        d.status.as_ref().is_some_and(|s| {
            s.observed_generation == d.metadata.generation
                && s.updated_replicas == Some(2)
                && s.available_replicas == Some(2)
                && s.replicas == Some(2)
        })
    })
    .await;
    serde_json::to_value(ledger.spec).unwrap()
}

fn unready(stage: &Stage, version: &str) -> ReleaseBuilder {
    stage.release(version).into(&["sit"]).image("ledger", UNREADY)
}

/// Waits until the ledger runs `image`, by its template.
async fn patched(stage: &Stage, image: &str) {
    wait_until(&stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
        let pod = d.spec.as_ref().and_then(|s| s.template.spec.as_ref());
        pod.is_some_and(|p| p.containers[0].image.as_deref() == Some(image))
    })
    .await;
}

#[tokio::test]
async fn what_is_not_ready_in_time_is_put_back_to_the_last_field() {
    let stage = Stage::new("backout").await;
    let before = intricate(&stage).await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .component(json!({
                    "name": "config",
                    "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger-config" },
                    "patch": { "data": { "FEATURE_X": "on", "NEW_KEY": "new" } },
                    "remove": ["/data/OLD_KEY"],
                }))
                .component(json!({
                    "name": "routes",
                    "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "routes" },
                    "patch": {
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": { "name": "routes" }, "data": { "default": "ledger" },
                    },
                }))
                .component(json!({
                    "name": "ledger",
                    "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
                    "images": [{ "container": "ledger", "image": UNREADY }],
                    "patch": { "spec": { "template": { "spec": { "containers": [{
                        "name": "ledger",
                        "env": [{ "name": "A", "value": "2" }, { "name": "C", "value": "3" }],
                        "ports": [{ "name": "http", "containerPort": 80 }],
                    }] } } } },
                }))
                .restart_on(&["config"])
                .ready_within("3s"),
        )
        .await;
    stage
        .until(&name, "sit", |p| {
            matches!(p.state, State::BackingOut | State::BackedOut)
        })
        .await;
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(settled(&stage).await, before);
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "off", "OLD_KEY": "old" })
    );
    let maps = stage.in_target::<ConfigMap>("sit");
    assert!(maps.get_opt("routes").await.unwrap().is_none());
    let promotion = promotion(&stage, &release, "sit");
    let backout = promotion.backout.as_ref().unwrap();
    assert_eq!(
        (backout.state, backout.trigger.as_deref(), backout.by.as_deref()),
        (BackoutState::Verified, Some("Automatic"), None)
    );
    assert!(backout.reason.as_ref().unwrap().contains("ReadyTooLate"));
    assert!(
        promotion
            .components
            .iter()
            .all(|c| c.state == ComponentState::Restored)
    );
    let status = release.status.as_ref().unwrap();
    let review = status.review.as_ref().unwrap();
    assert!(review.required_because.contains(&"BackedOut".to_owned()));
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled").unwrap();
    assert_eq!(stalled.status, "True");
    stage.finish().await;
}

#[tokio::test]
async fn on_decision_nothing_goes_back_until_somebody_entitled_says_so() {
    let stage = Stage::new("on-decision").await;
    let name = stage
        .submit(unready(&stage, "1.0").ready_within("2s").backout("OnDecision"))
        .await;
    let release = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let message = promotion(&stage, &release, "sit").message.clone().unwrap();
    assert!(message.contains(&user_name("bob")), "{message}");
    assert_eq!(stage.image("sit").await, UNREADY);

    let stranger = decision(Action::BackOut, &name, &stage.environment("sit"))
        .by("mallory")
        .attempt(1)
        .build();
    let said = refused(stage.create_as("mallory", &stranger).await);
    assert!(said.contains("lacks the verb backout"), "{said}");

    stage.decide("bob", Action::BackOut, &name, "sit").await;
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    let backout = promotion(&stage, &release, "sit").backout.clone().unwrap();
    assert_eq!(backout.by, Some(user_name("bob")));
    assert!(backout.reason.unwrap().contains("seen on the dashboard"));
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn data_that_cannot_be_put_back_keeps_the_backout_from_running_by_itself() {
    let stage = Stage::new("irreversible").await;
    let name = stage
        .submit(
            unready(&stage, "1.0")
                .ready_within("2s")
                .with("/spec/backoutPlan/dataReversible", false),
        )
        .await;
    let release = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let message = promotion(&stage, &release, "sit").message.clone().unwrap();
    assert!(message.contains("data"), "{message}");
    assert_eq!(stage.image("sit").await, UNREADY);
    stage.finish().await;
}

#[tokio::test]
async fn a_success_is_backed_out_unless_something_newer_stands_on_it() {
    let stage = Stage::new("from-success").await;
    let config = |version: &str| {
        stage.release(version).into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": version }),
        )
    };
    let old = stage.submit(config("1.0")).await;
    stage.reaches(&old, "sit", State::Succeeded).await;
    let new = stage.submit(config("1.1")).await;
    stage.reaches(&new, "sit", State::Succeeded).await;

    stage.decide("bob", Action::BackOut, &old, "sit").await;
    stage
        .until(&old, "sit", |p| {
            p.state == State::Succeeded
                && p.not_counted
                    .as_ref()
                    .is_some_and(|m| m.contains(&new) && m.contains("does not count"))
        })
        .await;
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "1.1", "OLD_KEY": "old" })
    );

    stage.decide("bob", Action::BackOut, &new, "sit").await;
    let release = stage.reaches(&new, "sit", State::BackedOut).await;
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "1.0", "OLD_KEY": "old" })
    );
    let review = release.status.unwrap().review.unwrap();
    assert!(review.required_because.contains(&"BackedOut".to_owned()));
    stage.finish().await;
}

#[tokio::test]
async fn a_success_that_somebody_changed_since_is_not_backed_out_over_their_head() {
    let stage = Stage::new("success-changed").await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage
        .meddle::<Deployment>(
            "sit",
            "ledger",
            "midnight-fixer",
            of_ledger("image", &json!(SLOW)),
        )
        .await;
    patched(&stage, SLOW).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage
        .until(&name, "sit", |p| {
            p.state == State::Succeeded
                && p.not_counted
                    .as_ref()
                    .is_some_and(|m| m.contains("does not count"))
        })
        .await;
    assert_eq!(stage.image("sit").await, SLOW);
    stage.finish().await;
}

#[tokio::test]
async fn a_backout_during_deploying_starts_nothing_further() {
    let stage = Stage::new("mid-deploy").await;
    let name = stage
        .submit(
            unready(&stage, "1.0")
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .after(&["ledger"]),
        )
        .await;
    patched(&stage, UNREADY).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    let config = stage
        .in_target::<ConfigMap>("sit")
        .get("ledger-config")
        .await
        .unwrap();
    assert!(
        config
            .managed_fields()
            .iter()
            .all(|f| f.manager.as_deref() != Some("signalbox")),
        "it was never touched"
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_backout_during_observation_ends_it() {
    let stage = Stage::new("mid-observe").with("sit", observed(600)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn health_that_is_lost_during_observation_leads_back() {
    let stage = Stage::new("health").with("sit", observed(600)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    let pods = stage.in_target::<Pod>("sit");
    for pod in pods
        .list(&ListParams::default().labels("app=ledger"))
        .await
        .unwrap()
        .items
        .iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none())
    {
        let crashed = json!({ "status": {
            "conditions": [
                { "type": "Ready", "status": "False", "reason": "ContainersNotReady" },
                { "type": "ContainersReady", "status": "False", "reason": "ContainersNotReady" },
            ],
            "containerStatuses": [{
                "name": "ledger", "image": IMAGE, "imageID": IMAGE, "ready": false, "restartCount": 5,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            }],
        } });
        pods.patch_status(
            &pod.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(crashed),
        )
        .await
        .unwrap();
    }
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    let backout = promotion(&stage, &release, "sit").backout.clone().unwrap();
    assert!(backout.reason.unwrap().contains("HealthLost"));
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn fields_reverted_before_deploying_ends_are_a_definite_failure() {
    let stage = Stage::new("reverted").await;
    let name = stage
        .submit(
            unready(&stage, "1.0")
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .after(&["ledger"]),
        )
        .await;
    patched(&stage, UNREADY).await;
    stage
        .meddle::<Deployment>(
            "sit",
            "ledger",
            "gitops",
            of_ledger("image", &json!(IMAGE_BEFORE)),
        )
        .await;
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    let why = promotion(&stage, &release, "sit").backout.clone().unwrap().reason;
    assert!(why.as_ref().unwrap().contains("FieldsChanged"), "{why:?}");
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

/// A change of one field of the ledger's container.
fn of_ledger(field: &str, value: &Value) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "ledger", field: value }] } } } })
}

#[tokio::test]
async fn drift_while_observing_is_reported_with_who_did_it_and_not_fought() {
    let stage = Stage::new("drift").with("sit", observed(6)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": "on" }),
        ))
        .await;
    // ConfigMaps are not watched, but the workload is.
    let ledger = stage
        .submit(
            stage
                .release("1.0")
                .product("ledger")
                .into(&["sit"])
                .image("ledger", IMAGE),
        )
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.reaches(&ledger, "sit", State::Observing).await;
    stage
        .meddle::<Deployment>(
            "sit",
            "ledger",
            "midnight-fixer",
            of_ledger("image", &json!(SLOW)),
        )
        .await;
    let drifted = stage
        .until(&ledger, "sit", |p| p.components[0].message.is_some())
        .await;
    let message = promotion(&stage, &drifted, "sit").components[0]
        .message
        .clone()
        .unwrap();
    assert!(
        message.starts_with("Drift: ") && message.contains("midnight-fixer"),
        "{message}"
    );
    some(&stage.api::<Event>(), LONG, |event| {
        event.reason.as_deref() == Some("Drift")
            && event
                .message
                .as_ref()
                .is_some_and(|m| m.contains("midnight-fixer"))
    })
    .await;
    // The end is not what was released, so a Decision is required.
    let release = stage.reaches(&ledger, "sit", State::AwaitingDecision).await;
    assert_eq!(stage.image("sit").await, SLOW);
    let review = release.status.unwrap().review.unwrap();
    assert!(review.required_because.contains(&"Drift".to_owned()));
    stage.decide("bob", Action::Accept, &ledger, "sit").await;
    stage.reaches(&ledger, "sit", State::Succeeded).await;
    let environments: Api<Environment> = Api::all(stage.client());
    wait_until(&environments, &stage.environment("sit"), LONG, |environment| {
        environment
            .status
            .as_ref()
            .is_some_and(|s| s.inventory.iter().any(|i| i.component == "ledger" && i.drifted))
    })
    .await;
    stage.finish().await;
}

#[tokio::test]
async fn a_target_that_is_deleted_is_for_people_to_decide_about() {
    let stage = Stage::new("gone").with("sit", observed(600)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    stage
        .in_target::<Deployment>("sit")
        .delete("ledger", &DeleteParams::background())
        .await
        .unwrap();
    let release = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let message = promotion(&stage, &release, "sit").message.clone().unwrap();
    assert!(
        message.contains("TargetGone") && message.contains("ledger"),
        "{message}"
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_list_that_somebody_else_changed_is_not_overwritten() {
    let stage = Stage::new("list").await;
    intricate(&stage).await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .component(json!({
                    "name": "ledger",
                    "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
                    "images": [{ "container": "ledger", "image": UNREADY }],
                    "patch": of_ledger("args", &json!(["--ours"])),
                }))
                .backout("OnDecision"),
        )
        .await;
    patched(&stage, UNREADY).await;
    stage
        .meddle::<Deployment>(
            "sit",
            "ledger",
            "midnight-fixer",
            of_ledger("args", &json!(["--theirs"])),
        )
        .await;
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    let release = stage
        .until(&name, "sit", |p| {
            p.state == State::AwaitingDecision
                && p.decided.is_some()
                && p.message.as_ref().is_some_and(|m| {
                    m.contains("/containers[name=ledger]/args (last written by midnight-fixer)")
                })
        })
        .await;
    let message = promotion(&stage, &release, "sit").message.clone().unwrap();
    assert!(message.contains("FieldsChanged"), "{message}");
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    let spec = serde_json::to_value(ledger.spec).unwrap();
    assert_eq!(
        spec["template"]["spec"]["containers"][0]["args"],
        json!(["--theirs"])
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_retry_after_a_backout_is_a_new_attempt_with_a_new_hash_and_new_approvals() {
    let stage = Stage::new("retry")
        .with("sit", |spec| {
            spec.gates = vec![approval_gate("board", "board", 1)];
            spec.verification = vec![verification(
                json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "1m" } }),
            )];
        })
        .await;
    stage
        .template("sit", "smoke", "registry.example.com/smoke:fail")
        .await;
    stage.entitle("carol", "approve", "environments/board").await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let environment = stage.environment("sit");
    let first = stage.plan_hash(&name, "sit").await;
    let approve = |hash: &str| {
        decision(Action::Approve, &name, &environment)
            .by("carol")
            .at_gate("board", "board", hash)
            .build()
    };
    stage.create_as("carol", &approve(&first)).await.unwrap();
    stage.reaches(&name, "sit", State::BackedOut).await;
    stage
        .meddle::<k8s_openapi::api::batch::v1::CronJob>(
            "sit",
            "smoke",
            "team",
            json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": {
                "containers": [{ "name": "probe", "image": "registry.example.com/smoke:2" }],
            } } } } } }),
        )
        .await;

    stage.decide("bob", Action::Retry, &name, "sit").await;
    let again = stage
        .until(&name, "sit", |p| {
            p.attempt == 2 && check(p, "board").is_some_and(|c| c.reason == "ApprovalsMissing")
        })
        .await;
    let second = promotion(&stage, &again, "sit").plan_hash.clone();
    assert_ne!(first, second);
    stage.create_as("carol", &approve(&second)).await.unwrap();
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    assert_eq!(promotion(&stage, &release, "sit").attempt, 2);
    assert_eq!(stage.image("sit").await, IMAGE);
    stage.finish().await;
}

#[tokio::test]
async fn a_retry_after_failure_can_still_restore_what_ran_before_the_first_attempt() {
    let stage = Stage::new("retry-failed").await;
    let before = intricate(&stage).await;
    let name = stage
        .submit(unready(&stage, "1.0").ready_within("2s").backout("OnDecision"))
        .await;
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    stage.decide("bob", Action::Abandon, &name, "sit").await;
    stage.reaches(&name, "sit", State::Failed).await;
    stage.decide("bob", Action::Retry, &name, "sit").await;
    stage
        .until(&name, "sit", |p| {
            p.attempt == 2 && p.state == State::AwaitingDecision
        })
        .await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(settled(&stage).await, before);
    stage.finish().await;
}

#[tokio::test]
async fn accept_takes_the_release_as_succeeded_and_owes_a_review() {
    let stage = Stage::new("accept").await;
    let name = stage
        .submit(unready(&stage, "1.0").ready_within("2s").backout("OnDecision"))
        .await;
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    stage.decide("bob", Action::Accept, &name, "sit").await;
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    let promotion = promotion(&stage, &release, "sit");
    let decided = promotion.decided.as_ref().unwrap();
    assert_eq!((decided.action, &decided.by), (Action::Accept, &user_name("bob")));
    assert!(promotion.message.as_ref().unwrap().contains(&user_name("bob")));
    let review = release.status.as_ref().unwrap().review.clone().unwrap();
    assert!(review.required_because.contains(&"Accepted".to_owned()));
    stage.finish().await;
}

#[tokio::test]
async fn what_is_abandoned_keeps_others_out_until_somebody_accepts_it() {
    let stage = Stage::new("abandon").await;
    let bad = stage
        .submit(unready(&stage, "1.0").ready_within("2s").backout("OnDecision"))
        .await;
    stage.reaches(&bad, "sit", State::AwaitingDecision).await;
    stage.decide("bob", Action::Abandon, &bad, "sit").await;
    stage.reaches(&bad, "sit", State::Failed).await;
    let next = stage
        .submit(stage.release("2.0").into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": "on" }),
        ))
        .await;
    stage
        .until(&next, "sit", |p| {
            p.state == State::Waiting
                && p.message
                    .as_ref()
                    .is_some_and(|m| m.contains("is unsettled") && m.contains(&bad))
        })
        .await;
    let environments: Api<Environment> = Api::all(stage.client());
    wait_until(&environments, &stage.environment("sit"), LONG, |environment| {
        environment
            .status
            .as_ref()
            .is_some_and(|s| s.occupants.iter().any(|o| o.state == "Unsettled"))
    })
    .await;
    stage.decide("bob", Action::Accept, &next, "sit").await;
    stage.reaches(&next, "sit", State::Succeeded).await;
    stage.finish().await;
}

async fn delete(stage: &Stage, release: &str, parameters: &DeleteParams) {
    let releases = stage.api::<Release>();
    releases.delete(release, parameters).await.unwrap();
    gone(&releases, release, LONG).await;
}

/// The stored pre-states of this stage's releases.
async fn kept(stage: &Stage) -> Vec<String> {
    let revisions: Api<ControllerRevision> = Api::namespaced(stage.client(), &operator_namespace());
    let all = revisions.list(&ListParams::default()).await.unwrap().items;
    all.into_iter()
        .filter(|r| {
            serde_json::to_string(&r.data)
                .unwrap()
                .contains(&stage.environment("sit"))
        })
        .map(|r| r.name_any())
        .collect()
}

#[tokio::test]
async fn deleting_a_release_backs_it_out_first_where_it_says_so() {
    let stage = Stage::new("on-delete").await;
    stage.entitle("alice", "backout", "environments").await;
    let name = stage
        .submit(unready(&stage, "1.0").with(
            "/metadata/annotations",
            json!({ "signalbox.dev/on-delete": "BackOut" }),
        ))
        .await;
    patched(&stage, UNREADY).await;
    delete(&stage, &name, &DeleteParams::background()).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    assert_eq!(kept(&stage).await, Vec::<String>::new());
    stage.finish().await;
}

#[tokio::test]
async fn deleting_a_release_in_the_middle_abandons_it_and_the_next_one_has_to_be_let_in() {
    let stage = Stage::new("delete").await;
    let name = stage.submit(unready(&stage, "1.0")).await;
    patched(&stage, UNREADY).await;
    delete(&stage, &name, &DeleteParams::background()).await;
    assert_eq!(stage.image("sit").await, UNREADY);
    assert_eq!(kept(&stage).await, Vec::<String>::new());
    let next = stage
        .submit(stage.release("2.0").into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": "on" }),
        ))
        .await;
    stage
        .until(&next, "sit", |p| {
            p.state == State::Waiting && p.message.as_ref().is_some_and(|m| m.contains("is unsettled"))
        })
        .await;
    stage.decide("bob", Action::Accept, &next, "sit").await;
    stage.reaches(&next, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn deleting_what_succeeded_changes_nothing_also_in_the_foreground() {
    let stage = Stage::new("delete-done").await;
    for (version, parameters) in [
        ("1.0", DeleteParams::background()),
        ("1.1", DeleteParams::foreground()),
    ] {
        let name = stage
            .submit(stage.release(version).into(&["sit"]).config(
                "config",
                "ledger-config",
                json!({ "FEATURE_X": version }),
            ))
            .await;
        stage.reaches(&name, "sit", State::Succeeded).await;
        delete(&stage, &name, &parameters).await;
        assert_eq!(
            stage.data("sit", "ledger-config").await,
            json!({ "FEATURE_X": version, "OLD_KEY": "old" })
        );
    }
    // The record of the newest version that Succeeded stays after its Release is deleted. Its pre-state does not.
    let kept = kept(&stage).await;
    assert!(kept.len() == 1 && kept[0].starts_with("succeeded-"), "{kept:?}");
    stage.finish().await;
}

#[tokio::test]
async fn deleting_in_the_foreground_in_the_middle_still_backs_out() {
    let stage = Stage::new("foreground").await;
    stage.entitle("alice", "backout", "environments").await;
    let name = stage
        .submit(
            unready(&stage, "1.0")
                .with(
                    "/metadata/annotations",
                    json!({ "signalbox.dev/on-delete": "BackOut" }),
                )
                .component(json!({
                    "name": "routes",
                    "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "routes" },
                    "patch": {
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": { "name": "routes" }, "data": { "default": "ledger" },
                    },
                })),
        )
        .await;
    patched(&stage, UNREADY).await;
    delete(&stage, &name, &DeleteParams::foreground()).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    let maps = stage.in_target::<ConfigMap>("sit");
    assert!(maps.get_opt("routes").await.unwrap().is_none());
    stage.finish().await;
}

#[tokio::test]
async fn without_its_rights_the_deployer_waits_and_goes_on_by_itself_when_they_return() {
    let stage = Stage::new("rights").await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", SLOW)
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .after(&["ledger"]),
        )
        .await;
    patched(&stage, SLOW).await;
    let bindings = stage.in_target::<RoleBinding>("sit");
    let binding = bindings.get("signalbox-deployer").await.unwrap();
    bindings
        .delete("signalbox-deployer", &DeleteParams::default())
        .await
        .unwrap();
    let stuck = stage.until(&name, "sit", |p| p.inconclusive.is_some()).await;
    let why = promotion(&stage, &stuck, "sit").inconclusive.clone().unwrap();
    assert!(
        why.message.contains("signalbox-deployer") || why.reason == "NotPermitted",
        "{why:?}"
    );
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "off", "OLD_KEY": "old" })
    );
    let mut again = binding;
    again.metadata.resource_version = None;
    again.metadata.uid = None;
    let begun = std::time::Instant::now();
    bindings.create(&PostParams::default(), &again).await.unwrap();
    stage.reaches(&name, "sit", State::Succeeded).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let target = stage.target("sit");
    let own: Vec<_> = audited()
        .iter()
        .filter(|line| line.contains(&target))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|e| e["user"]["username"] == *operator_user())
        .filter(|e| e["objectRef"]["namespace"] == *target && e["impersonatedUser"].is_null())
        .filter(|e| !["get", "list", "watch"].contains(&e["verb"].as_str().unwrap_or_default()))
        .filter(|e| e["objectRef"]["resource"] != "events")
        .collect();
    assert!(own.is_empty(), "written without impersonation: {own:#?}");
    stage.finish().await;
}

#[tokio::test]
async fn what_was_changed_last_goes_back_first() {
    let stage = Stage::new("reverse").await;
    let map = |name: &str| {
        json!({
            "name": name,
            "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": name },
            "patch": { "data": { "release": "1.0" } },
        })
    };
    let maps = stage.in_target::<ConfigMap>("sit");
    for name in ["first", "second"] {
        let before = serde_json::from_value(json!({ "metadata": { "name": name }, "data": {} })).unwrap();
        maps.create(&PostParams::default(), &before).await.unwrap();
    }
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .component(map("first"))
                .component(map("second"))
                .after(&["first"])
                .image("ledger", UNREADY)
                .after(&["second"])
                .ready_within("2s"),
        )
        .await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    let mut versions = Vec::new();
    for name in ["second", "first"] {
        let map = maps.get(name).await.unwrap();
        assert_eq!(json!(map.data.unwrap_or_default()), json!({}));
        versions.push(map.metadata.resource_version.unwrap().parse::<u64>().unwrap());
    }
    assert!(versions[0] < versions[1], "{versions:?}");
    stage.finish().await;
}

#[tokio::test]
async fn a_backout_that_takes_too_long_has_failed_and_can_be_asked_for_again() {
    let stage = Stage::new("too-long").await;
    // There are no old pods, so the restored workload must start again, slowly.
    let mut slow = of_ledger("image", &json!(SLOW));
    slow["spec"]["strategy"] = json!({ "$retainKeys": ["type"], "type": "Recreate" });
    stage.meddle::<Deployment>("sit", "ledger", "team", slow).await;
    let before = settled(&stage).await;
    let name = stage
        .submit(
            unready(&stage, "1.0")
                .ready_within("2s")
                .with("/spec/backoutPlan/maxDuration", "1s"),
        )
        .await;
    let release = stage.reaches(&name, "sit", State::Failed).await;
    let promotion = promotion(&stage, &release, "sit");
    assert_eq!(promotion.backout.as_ref().unwrap().state, BackoutState::Failed);
    assert!(promotion.message.as_ref().unwrap().contains("Backout failed"));
    let status = release.status.as_ref().unwrap();
    assert_eq!(
        status.rag.as_ref().unwrap().colour,
        signalbox::api::release::Colour::Red
    );
    // Everything is restored, or will be. A Decision is required to confirm it.
    settled(&stage).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(settled(&stage).await, before);
    stage.finish().await;
}

#[tokio::test]
async fn editing_the_environment_redirects_neither_a_promotion_nor_its_backout() {
    let stage = Stage::new("redirect").with("sit", observed(600)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    let environments: Api<Environment> = Api::all(stage.client());
    let change = json!({ "spec": { "namespace": "{namespace}-prod", "observation": "1s" } });
    environments
        .patch(
            &stage.environment("sit"),
            &PatchParams::default(),
            &Patch::Merge(change),
        )
        .await
        .unwrap();
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    let entered = promotion(&stage, &release, "sit").entered.clone().unwrap();
    assert_eq!(entered.target_namespace, stage.target("sit"));
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn an_environment_that_is_deleted_stays_until_nothing_is_under_way_in_it() {
    let stage = Stage::new("occupied").with("sit", observed(600)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    let environments: Api<Environment> = Api::all(stage.client());
    let sit = stage.environment("sit");
    wait_until(&environments, &sit, LONG, |e| {
        e.status.as_ref().is_some_and(|s| s.occupants_total == 1)
    })
    .await;
    environments.delete(&sit, &DeleteParams::default()).await.unwrap();
    let next = stage
        .submit(stage.release("1.0").product("other").into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": "on" }),
        ))
        .await;
    stage
        .until_check(&next, "sit", "EnvironmentAvailable", "EnvironmentDeleted")
        .await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    gone(&environments, &sit, LONG).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn a_verification_that_hangs_is_backed_out_of() {
    let stage = Stage::new("hang")
        .with("sit", |spec| {
            spec.verification = vec![verification(
                json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "3s" } }),
            )];
        })
        .await;
    stage
        .template("sit", "smoke", "registry.example.com/smoke:hang")
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    let verified = &promotion(&stage, &release, "sit").verification;
    assert_eq!(verified[0].reason, "JobTimedOut");
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}
