//! Evidence stays: which users can delete Releases, their reviews and Decisions. All users here have only the rights of the chart's
//! roles.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::{Action, Decision, Release};

use crate::acting::LONG;
use crate::kit::{IMAGE, Stage, User, decision, gone, kubectl, refused};
use crate::verdict::Verdict;

const MANAGER: &str = "signalbox-release-manager";
const DELIVERY: &str = "signalbox-delivery";
const FINALIZER: &str = "signalbox.dev/release";

/// Whether it could be deleted. This is a dry run.
async fn would_delete<K>(client: &Client, namespace: &str, name: &str) -> kube::Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let dry_run = DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    };
    api.delete(name, &dry_run).await.map(drop)
}

/// Asks again until the API server has seen a new object. There is no event for that.
async fn until_refused(asked: impl AsyncFn() -> kube::Result<()>) -> String {
    let said = async {
        loop {
            let answer = asked().await;
            if answer.is_err() {
                break refused(answer);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), said)
        .await
        .expect("it is refused when the API server has seen it")
}

/// A Release of alice that has only entered `sit`, with a status on which the operator does not act.
async fn entered(stage: &Stage, version: &str) -> String {
    let release = stage
        .release(version)
        .into(&["sit", "uat"])
        .image("ledger", IMAGE)
        .with("/metadata/finalizers", json!([FINALIZER]));
    let name = stage.submit_as_admin(release).await;
    let promotion = |short: &str, state: &str| json!({ "name": stage.environment(short), "state": state });
    let mut sit = promotion("sit", "Succeeded");
    sit["entered"] = json!({ "generation": 1, "stage": "SIT", "targetNamespace": "payments-sit" });
    let status = json!({ "environments": [sit, promotion("uat", "Waiting")] });
    stage.forge_status(&name, status).await.unwrap();
    name
}

#[tokio::test]
async fn what_has_entered_is_forgotten_only_by_who_holds_the_verb() {
    let stage = Stage::new("forget").bare().await;
    let here = stage.namespace();
    let alice = User::named("alice@example.com");
    let bob = User::named("bob@example.com");
    stage.bind(DELIVERY, &alice, "delete", "releases").await;
    stage.bind(MANAGER, &bob, "forget", "releases").await;
    let (as_alice, as_bob) = (alice.client().await, bob.client().await);
    let name = entered(&stage, "1").await;
    let fresh = stage.release("2").into(&["sit"]).image("ledger", IMAGE);
    let fresh = stage.submit_as_admin(fresh.with("/spec/hold", json!({}))).await;

    let lacks = format!("but \"alice@example.com\" lacks the verb forget on releases in namespace {here}");
    let said = refused(would_delete::<Release>(&as_alice, here, &name).await);
    let sentence = format!(
        "Release {name} has entered {}, {lacks}. Set spec.withdrawn instead of deleting it, or ask for that verb.",
        stage.environment("sit")
    );
    assert!(said.contains(&sentence), "{said}");
    would_delete::<Release>(&as_alice, here, &fresh).await.unwrap();
    would_delete::<Release>(&as_bob, here, &name).await.unwrap();

    // Acts with the same effect.
    let alices = Verdict::on::<Release>(as_alice.clone(), Some(here));
    let bobs = Verdict::on::<Release>(as_bob.clone(), Some(here));
    let unfinished = json!({ "metadata": { "finalizers": null } });
    let sentence = format!(
        "metadata.finalizers no longer lists {FINALIZER}. Release {name} has entered {}, {lacks}. Leave the finalizer to the operator",
        stage.environment("sit")
    );
    alices.refuses_change(&name, unfinished.clone(), &sentence).await;
    alices.accepts_change(&fresh, unfinished.clone()).await;
    bobs.accepts_change(&name, unfinished).await;

    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "d0b5c1a2-0000-4000-8000-000000000000" }]);
    let owned = json!({ "metadata": { "ownerReferences": owner } });
    let sentence = format!(
        "metadata.ownerReferences adds an owner. Release {name} would be deleted together with it, {lacks}. Remove the owner"
    );
    alices.refuses_change(&name, owned.clone(), &sentence).await;
    bobs.accepts_change(&name, owned).await;
    stage.grant("alice", "promote", "environments", "").await;
    let from_the_start = stage
        .release("3")
        .into(&["sit"])
        .image("ledger", IMAGE)
        .with("/metadata/ownerReferences", owner);
    alices
        .refuses(
            from_the_start.json(),
            "metadata.ownerReferences adds an owner. Release payments-3 would be deleted together with it",
        )
        .await;
    stage.forget(&name).await;
    stage.finish().await;
}

#[tokio::test]
async fn neither_does_a_whole_collection_go() {
    let stage = Stage::new("forget-all").bare().await;
    let here = stage.namespace();
    let roles: Api<ClusterRole> = Api::all(stage.client());
    let sweeper: ClusterRole = serde_json::from_value(json!({
        "metadata": { "name": format!("{here}-sweeper") },
        "rules": [{ "apiGroups": ["signalbox.dev"], "resources": ["releases", "decisions"], "verbs": ["list", "deletecollection"] }],
    }))
    .unwrap();
    roles.create(&PostParams::default(), &sweeper).await.unwrap();
    let alice = User::named("alice@example.com");
    stage
        .bind(&sweeper.name_any(), &alice, "deletecollection", "releases")
        .await;
    let name = entered(&stage, "1").await;
    let releases: Api<Release> = Api::namespaced(alice.client().await, here);
    let swept = releases
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .map(|_| ());
    let said = refused(swept);
    assert!(said.contains(&format!("Release {name} has entered")), "{said}");
    stage.forget(&name).await;
    roles
        .delete(&sweeper.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn kubernetes_own_collectors_are_not_people() {
    let stage = Stage::new("forget-owner").bare().await;
    let owner: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "owner" } })).unwrap();
    let owners = stage.api::<ConfigMap>();
    let owner = owners.create(&PostParams::default(), &owner).await.unwrap();
    let name = entered(&stage, "1").await;
    let owned = json!({ "metadata": { "finalizers": null, "ownerReferences": [
        { "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid().unwrap() },
    ] } });
    stage.merge(&name, owned).await;
    owners.delete("owner", &DeleteParams::background()).await.unwrap();
    gone(&stage.api::<Release>(), &name, LONG).await;

    let name = entered(&stage, "2").await;
    for collector in [
        "system:serviceaccount:kube-system:namespace-controller",
        "system:kube-controller-manager",
    ] {
        let (deleted, told) = kubectl(&[
            "delete",
            &format!("releases.signalbox.dev/{name}"),
            "--dry-run=server",
            "--namespace",
            stage.namespace(),
            &format!("--as={collector}"),
            // Their rights are not tested here.
            "--as-group=system:masters",
        ]);
        assert!(deleted, "{told}");
    }
    stage.forget(&name).await;
    stage.finish().await;
}

#[tokio::test]
async fn what_somebody_has_decided_on_is_forgotten_only_by_who_holds_the_verb() {
    let stage = Stage::new("forget-decided").bare().await;
    let here = stage.namespace();
    let alice = User::named("alice@example.com");
    let bob = User::named("bob@example.com");
    stage.bind(DELIVERY, &alice, "delete", "releases").await;
    stage.bind(MANAGER, &bob, "forget", "releases").await;
    let (as_alice, as_bob) = (alice.client().await, bob.client().await);
    let held = |version: &str| {
        let release = stage.release(version).into(&["sit"]).image("ledger", IMAGE);
        release.with("/spec/hold", json!({}))
    };
    let name = stage.submit_as_admin(held("1")).await;
    let other = stage.submit_as_admin(held("2")).await;
    would_delete::<Release>(&as_alice, here, &name).await.unwrap();

    let hash = format!("v1:sha256:{}", "a".repeat(64));
    let reject = decision(Action::Reject, &name, &stage.environment("sit"))
        .at_gate("board", "board", &hash)
        .named("no")
        .build();
    let decisions: Api<Decision> = Api::namespaced(as_bob.clone(), here);
    decisions.create(&PostParams::default(), &reject).await.unwrap();
    let said = until_refused(async || would_delete::<Release>(&as_alice, here, &name).await).await;
    let sentence = format!(
        "Release {name} has the Decision no (Reject by \"bob@example.com\"), but \"alice@example.com\" lacks the verb forget on \
         releases in namespace {here}. Set spec.withdrawn instead of deleting it, or ask for that verb."
    );
    assert!(said.contains(&sentence), "{said}");
    would_delete::<Release>(&as_alice, here, &other).await.unwrap();
    would_delete::<Release>(&as_bob, here, &name).await.unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn a_decision_is_cleared_only_where_it_names_no_release() {
    let stage = Stage::new("clear").bare().await;
    let here = stage.namespace();
    let bob = User::named("bob@example.com");
    // The tests grant the whole group the verb delete, but not clear.
    let mallory = User::of("developers", "mallory@example.com");
    stage.bind(MANAGER, &bob, "clear", "decisions").await;
    let (as_bob, as_mallory) = (bob.client().await, mallory.client().await);
    let decisions: Api<Decision> = Api::namespaced(as_bob.clone(), here);
    let back_out = |name: &str, release: &str| {
        decision(Action::BackOut, release, &stage.environment("sit"))
            .attempt(1)
            .named(name)
            .build()
    };
    let evidence = |who: &str, name: &str| {
        format!(
            "User \"{who}@example.com\" cannot delete Decision {name}: it is evidence, and is deleted together with its Release"
        )
    };
    // Without any Release in the namespace, and with one.
    for named in ["", "payments-1"] {
        if !named.is_empty() {
            let release = stage.release("1").into(&["sit"]).image("ledger", IMAGE);
            stage.submit_as_admin(release.with("/spec/hold", json!({}))).await;
            decisions
                .create(&PostParams::default(), &back_out("right", named))
                .await
                .unwrap();
            let admin = stage.client();
            for (who, client) in [("bob", &as_bob), ("mallory", &as_mallory)] {
                let said =
                    until_refused(async || would_delete::<Decision>(client, here, "right").await).await;
                assert!(said.contains(&evidence(who, "right")), "{said}");
            }
            // Not even an administrator can do this.
            let said = until_refused(async || would_delete::<Decision>(&admin, here, "right").await).await;
            assert!(said.contains("cannot delete Decision right: it is evidence, and is deleted together with its Release, payments-1"), "{said}");
        }
        decisions
            .create(&PostParams::default(), &back_out("mistyped", "payment-1"))
            .await
            .unwrap();
        let said = refused(would_delete::<Decision>(&as_mallory, here, "mistyped").await);
        assert!(said.contains(&evidence("mallory", "mistyped")), "{said}");
        assert!(
            said.contains(
                "A Decision that names no Release can be deleted by a user with the verb clear on decisions"
            ),
            "{said}"
        );
        decisions
            .delete("mistyped", &DeleteParams::default())
            .await
            .unwrap();
        // A Reject of a plan stays, whichever Release has that plan.
        let name = format!("no-{named}");
        let hash = format!("v1:sha256:{}", "1".repeat(64));
        let reject = decision(Action::Reject, "payments-0", &stage.environment("sit"))
            .at_gate("board", "board", &hash)
            .named(name.trim_end_matches('-'));
        let reject = decisions
            .create(&PostParams::default(), &reject.build())
            .await
            .unwrap()
            .name_any();
        let said = refused(would_delete::<Decision>(&as_bob, here, &reject).await);
        let sentence = format!(
            "User \"bob@example.com\" cannot delete Decision {reject}: it is a Reject, and counts for every Release that has its plan"
        );
        assert!(said.contains(&sentence), "{said}");
    }
    stage.finish().await;
}

/// What no verb allows.
#[tokio::test]
async fn nobody_edits_a_decision_whatever_they_hold() {
    let stage = Stage::new("keep").bare().await;
    let bob = User::named("bob@example.com");
    stage.bind(MANAGER, &bob, "clear", "decisions").await;
    let decisions: Api<Decision> = Api::namespaced(bob.client().await, stage.namespace());
    let back_out = decision(Action::BackOut, "payments-1", &stage.environment("sit")).attempt(1);
    decisions
        .create(&PostParams::default(), &back_out.named("mine").build())
        .await
        .unwrap();
    let admin = Verdict::on::<Decision>(stage.client(), Some(stage.namespace()));
    for change in [
        json!({ "metadata": { "labels": { "a": "b" } } }),
        json!({ "metadata": { "finalizers": ["example.com/stays"] } }),
        json!({ "metadata": { "ownerReferences": [
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "d0b5c1a2-0000-4000-8000-000000000000" },
        ] } }),
    ] as [Value; 3]
    {
        admin
            .refuses_change(
                "mine",
                change,
                "cannot update Decision mine: none of its fields can be changed",
            )
            .await;
    }
    stage.finish().await;
}
