//! The deployer's rights are removed in the middle of a promotion.

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use signalbox::api::Release;
use signalbox::api::release::State;

use crate::audit::{written_as_deployer, written_as_itself};
use crate::end;
use crate::kit::{Operator, Scope, Stage, wait_until};
use crate::play::{CLUSTER, LONG, Scenario};

const DEPLOYER: &str = "signalbox-deployer";

/// Returns when the authorizer has followed. There is no event for that.
async fn until_it_may(stage: &Stage, may: bool) {
    let namespace = stage.target("sit");
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": format!("system:serviceaccount:{namespace}:{DEPLOYER}"),
            "resourceAttributes": { "namespace": namespace, "verb": "patch", "resource": "configmaps" },
        },
    }))
    .unwrap();
    let reviews: Api<SubjectAccessReview> = Api::all(stage.client());
    let settled = async {
        while reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap()
            .status
            .unwrap()
            .allowed
            != may
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, settled)
        .await
        .expect("the authorizer follows");
}

#[tokio::test]
async fn without_its_binding_nothing_is_written_and_it_moves_on_when_the_binding_returns() {
    let _side_by_side = CLUSTER.read().await;
    let stage = Scenario::Slow.stage(None).await;
    let operator = Operator::start(&Scope::of([&stage]), None).await;
    let start = end::start(&stage).await;
    // The ledger takes five seconds, and the config is changed after it.
    let release = stage.submit(Scenario::Slow.release(&stage)).await;
    stage.reaches(&release, "sit", State::Deploying).await;
    let bindings: Api<RoleBinding> = stage.in_target("sit");
    let binding = bindings.get(DEPLOYER).await.unwrap();
    bindings.delete(DEPLOYER, &DeleteParams::default()).await.unwrap();
    until_it_may(&stage, false).await;

    let environment = stage.environment("sit");
    let held = wait_until(&stage.api::<Release>(), &release, LONG, |release| {
        release
            .promotion(&environment)
            .is_some_and(|p| p.inconclusive.is_some())
    })
    .await;
    let promotion = held.promotion(&environment).unwrap();
    let why = promotion.inconclusive.as_ref().unwrap();
    assert_eq!(
        (promotion.state, why.reason.as_str()),
        (State::Deploying, "NotPermitted"),
        "{}",
        why.message
    );
    assert!(why.message.contains("The deployer may not"), "{}", why.message);
    let meanwhile = end::read(&stage, &release, &start).await;
    assert_eq!((&meanwhile.config, meanwhile.config_changes), (&start.config, 0));

    let again: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": binding.name_any() },
        "roleRef": binding.role_ref, "subjects": binding.subjects,
    }))
    .unwrap();
    bindings.create(&PostParams::default(), &again).await.unwrap();
    stage.reaches(&release, "sit", State::Succeeded).await;
    let end = end::read(&stage, &release, &start).await;
    assert_eq!((end.ledger_changes, end.config_changes), (1, 1));

    let alone: Vec<_> = operator
        .faults
        .writes()
        .into_iter()
        .filter(|write| write.in_target() && write.impersonates.is_none())
        .collect();
    assert!(alone.is_empty(), "{alone:?}");
    assert_eq!(written_as_itself(&stage.target("sit")), Vec::<String>::new());
    assert!(written_as_deployer(&stage.target("sit")) > 0);
    stage.finish().await;
    operator.killed().await;
}
