//! Several people at once, and what changes between display and yes.

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use signalbox::api::release::State;
use signalbox::api::{Action, Release};

use super::{Cast, board, elsewhere, submitted};
use crate::acting::{LONG, check, promotion};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, admin, as_person, decision, gone, state_of, wait_until};

/// Waits until the board's check says this.
async fn board_says(stage: &Stage, release: &str, text: &str) {
    stage
        .until(release, "sit", |p| {
            check(p, "board").is_some_and(|c| c.message.contains(text))
        })
        .await;
}

#[tokio::test]
async fn two_who_approve_at_once_both_count_and_one_who_approves_twice_counts_once() {
    let stage = board("plugin-at-once", 2).await;
    let people = Cast::of(&stage).await;
    let (name, sit) = (submitted(&stage, "payments").await, stage.environment("sit"));
    let words = ["approve", &name, &sit, "--yes"];
    people.run("bob", &words).await.done();
    board_says(&stage, &name, "1 of 2").await;
    people.run("bob", &words).await.done();
    assert_eq!(people.decisions().await, 2);
    // Another change of the Release shows that the operator has seen the second one.
    stage
        .merge(&name, json!({ "spec": { "review": { "required": "Always" } } }))
        .await;
    let seen = wait_until(&stage.api::<Release>(), &name, LONG, |r| {
        r.status
            .as_ref()
            .is_some_and(|s| s.observed_generation == r.metadata.generation)
    })
    .await;
    let message = &check(promotion(&stage, &seen, "sit"), "board").unwrap().message;
    assert!(message.contains("1 of 2"), "{message}");
    assert_eq!(promotion(&stage, &seen, "sit").state, State::Waiting);

    let other = submitted(&stage, "cards").await;
    let words = ["approve", &other, &sit, "--yes"];
    let (bob, dave) = tokio::join!(people.run("bob", &words), people.run("dave", &words));
    assert_ne!(bob.done(), dave.done());
    stage.reaches(&other, "sit", State::Succeeded).await;
    assert_eq!(people.decisions().await, 4);
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn what_changes_between_display_and_yes_is_not_signed() {
    let stage = board("plugin-meanwhile", 1).await;
    let people = Cast::of(&stage).await;
    let (namespace, sit) = (stage.namespace(), stage.environment("sit"));
    stage.grant("frank", "create", "decisions", "").await;
    stage.grant("frank", "approve", "environments/board", "").await;
    let ours = async || Api::<Release>::namespaced(admin().await, namespace);

    let edited = submitted(&stage, "edited").await;
    let edit = || {
        elsewhere(|| async {
            let change = json!({ "spec": { "deploymentPlan": { "summary": "Another one." } } });
            let change = Patch::Merge(change);
            let patched = ours()
                .await
                .patch(&edited, &PatchParams::default(), &change)
                .await;
            patched.unwrap();
        });
    };
    let changed = "changed while you read it, so nothing was created";
    let ran = people.agrees("bob", &["approve", &edited, &sit], edit).await;
    assert!(
        ran.output.contains("Config first, then ledger."),
        "{}",
        ran.output
    );
    ran.refused(changed);

    let deleted = submitted(&stage, "deleted").await;
    let delete = async |name: &str| {
        let api = ours().await;
        api.delete(name, &DeleteParams::default()).await.unwrap();
        gone(&api, name, LONG).await;
    };
    people
        .agrees("bob", &["approve", &deleted, &sit], || {
            elsewhere(|| delete(&deleted));
        })
        .await
        .refused("does not exist in namespace");

    let again = submitted(&stage, "again").await;
    people
        .agrees("bob", &["approve", &again, &sit], || {
            elsewhere(|| async {
                let release = ours().await.get(&again).await.unwrap();
                let plan = release.promotion(&sit).unwrap().plan_hash.clone();
                delete(&again).await;
                let mut copy = Release::new(&again, release.spec);
                copy.metadata.namespace = Some(namespace.to_owned());
                let api = ours().await;
                api.create(&PostParams::default(), &copy).await.unwrap();
                // The same plan: only its uid is another one.
                wait_until(&api, &again, LONG, |r| {
                    r.promotion(&sit).is_some_and(|p| p.plan_hash == plan)
                })
                .await;
            });
        })
        .await
        .refused(changed);
    assert_eq!(people.decisions().await, 0);

    let entered = submitted(&stage, "entered").await;
    let hash = stage.plan_hash(&entered, "sit").await;
    people
        .agrees("bob", &["approve", &entered, &sit], || {
            elsewhere(|| async {
                let approve = decision(Action::Approve, &entered, &sit).by("frank");
                let approve = approve.at_gate("board", "board", &hash).build();
                let decisions = Api::namespaced(as_person("frank").await, namespace);
                decisions.create(&PostParams::default(), &approve).await.unwrap();
                let succeeded = |r: &Release| state_of(r, &sit) == Some(State::Succeeded);
                wait_until(&ours().await, &entered, LONG, succeeded).await;
            });
        })
        .await
        .refused(changed);
    assert_eq!(people.decisions().await, 1);

    // An attempt is signed in the same way.
    let backs_out = ["back-out", &entered, &sit];
    let ran = people.agrees("dave", &backs_out, || {
        elsewhere(|| async {
            let change = Patch::Merge(json!({ "spec": { "withdrawn": {} } }));
            let patched = ours()
                .await
                .patch(&entered, &PatchParams::default(), &change)
                .await;
            patched.unwrap();
        });
    });
    ran.await.refused(changed);
    assert_eq!(people.decisions().await, 1);
    assert_eq!(stage.image("sit").await, IMAGE);
    people.agrees("dave", &backs_out, || {}).await.done();
    stage.reaches(&entered, "sit", State::BackedOut).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);

    // So is a change of the Release itself.
    let kept = submitted(&stage, "kept").await;
    for (word, wanted) in [
        ("hold", "nothing was changed"),
        ("withdraw", "nothing was changed"),
    ] {
        let words = [word, kept.as_str()];
        let ran = people.agrees("alice", &words, || {
            elsewhere(|| async {
                let change =
                    json!({ "spec": { "deploymentPlan": { "summary": format!("Before {word}.") } } });
                let change = Patch::Merge(change);
                let patched = ours().await.patch(&kept, &PatchParams::default(), &change).await;
                patched.unwrap();
            });
        });
        ran.await.refused(wanted);
    }
    let spec = stage.api::<Release>().get(&kept).await.unwrap().spec;
    assert!(spec.hold.is_none() && spec.withdrawn.is_none());
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn a_plan_that_was_not_read_is_not_approved_and_without_a_yes_nothing_happens() {
    let stage = board("plugin-yes", 1).await;
    let people = Cast::of(&stage).await;
    let (name, sit) = (submitted(&stage, "payments").await, stage.environment("sit"));
    let hash = stage.plan_hash(&name, "sit").await;
    stage
        .merge(
            &name,
            json!({ "spec": { "deploymentPlan": { "summary": "Another one." } } }),
        )
        .await;
    stage.until(&name, "sit", |p| p.plan_hash != hash).await;
    let new = stage.plan_hash(&name, "sit").await;
    let said = people
        .run("bob", &["approve", &name, &sit, "--plan-hash", &hash, "--yes"])
        .await
        .refused("is not the one that you have read");
    assert!(said.contains(&hash) && said.contains(&new), "{said}");

    let now = ["approve", &name, &sit, "--plan-hash", &new];
    let dry = people.run("bob", &[&now[..], &["--dry-run"]].concat()).await;
    assert!(
        dry.errors.contains("Nothing was created (--dry-run)."),
        "{}",
        dry.errors
    );
    let shown = dry.done();
    assert!(shown.contains(&new) && shown.contains("Another one."), "{shown}");
    // The API server answers before anything is shown.
    let refused = people
        .run("mallory", &["approve", &name, &sit, "--dry-run"])
        .await;
    assert_eq!(refused.output, "");
    refused.refused("lacks the verb approve");

    people
        .run("bob", &now)
        .await
        .refused("Standard input is not a terminal");
    people
        .run("alice", &["hold", &name])
        .await
        .refused("Standard input is not a terminal");
    let dry = people.run("alice", &["withdraw", &name, "--dry-run"]).await;
    assert!(
        dry.errors.contains("Nothing was changed (--dry-run)."),
        "{}",
        dry.errors
    );
    dry.done();
    for answer in ["n\n", "\n", "", "yesterday\n"] {
        let ran = people.answers("bob", &now, answer, || {}).await;
        assert_eq!(ran.exit, Ok(1), "{answer:?}");
        assert!(ran.errors.contains("Nothing was created."), "{}", ran.errors);
    }
    assert_eq!(people.decisions().await, 0);
    let spec = stage.api::<Release>().get(&name).await.unwrap().spec;
    assert!(spec.hold.is_none() && spec.withdrawn.is_none());

    let ran = people.agrees("bob", &now, || {}).await;
    let question = format!("Approve {name} in {sit} as board, as bob@example.com? [y/N]");
    assert!(ran.errors.contains(&question), "{}", ran.errors);
    ran.done();
    stage.reaches(&name, "sit", State::Succeeded).await;
    people.end().await;
    stage.finish().await;
}
