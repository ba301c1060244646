//! The limit of objects in one namespace, as in the README: a ResourceQuota, and the message for a user who exceeds it.

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::PostParams;
use serde_json::json;

use crate::kit::{IMAGE, Stage, refused, wait_until};

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

#[tokio::test]
async fn one_release_more_than_the_quota_is_refused_with_how_many_there_are() {
    let stage = Stage::new("quota").only(&["sit"]).await;
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": { "name": "signalbox" },
        "spec": { "hard": { "count/releases.signalbox.dev": "2", "count/decisions.signalbox.dev": "1" } },
    }))
    .unwrap();
    let quotas = stage.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    // The quota controller learns by discovery that Releases exist.
    wait_until(&quotas, "signalbox", LONG, |quota| {
        let used = quota.status.as_ref().and_then(|status| status.used.as_ref());
        used.is_some_and(|used| used.contains_key("count/releases.signalbox.dev"))
    })
    .await;
    for product in ["ledger", "cards"] {
        stage
            .submit(
                stage
                    .release("1")
                    .product(product)
                    .into(&["sit"])
                    .image("ledger", IMAGE),
            )
            .await;
    }
    let third = stage
        .release("1")
        .product("third")
        .into(&["sit"])
        .image("ledger", IMAGE);
    let said = refused(stage.create_as("alice", &third.build()).await);
    assert!(
        said.contains(
            "exceeded quota: signalbox, requested: count/releases.signalbox.dev=1, used: count/releases.signalbox.dev=2, \
             limited: count/releases.signalbox.dev=2"
        ),
        "{said}"
    );
    stage.finish().await;
}
