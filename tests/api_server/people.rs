//! Users: which approvals admit a release, which do not count, and who reviews it.

use std::io::Write as _;

use k8s_openapi::api::core::v1::{Event, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::environment::{EnvironmentSpec, Gate};
use signalbox::api::release::{CheckState, ReviewState, State};
use signalbox::api::{Action, Decision, Release, ReleaseReview};

use crate::acting::{LONG, check, finished, promotion};
use crate::kit::{
    IMAGE, IMAGE_BEFORE, Stage, StageBuilder, approval_gate, as_person, decision, gone, kubectl, refused,
    some, user_name, wait_until,
};

/// `sit` needs `minimum` approvals by the board.
fn board(name: &str, minimum: i64) -> StageBuilder {
    gated(name, approval_gate("board", "board", minimum))
}

fn gated(name: &str, gate: Gate) -> StageBuilder {
    Stage::new(name).with("sit", move |spec: &mut EnvironmentSpec| spec.gates = vec![gate])
}

/// A Release into `sit` and its plan hash.
async fn submitted(stage: &Stage) -> (String, String) {
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let hash = stage.plan_hash(&name, "sit").await;
    (name, hash)
}

async fn answer(stage: &Stage, action: Action, person: &str, release: &str, hash: &str) {
    stage.entitle(person, "approve", "environments/board").await;
    let answer = decision(action, release, &stage.environment("sit"))
        .by(person)
        .at_gate("board", "board", hash)
        .build();
    stage.create_as(person, &answer).await.expect("entitled");
}

async fn approve(stage: &Stage, person: &str, release: &str, hash: &str) {
    answer(stage, Action::Approve, person, release, hash).await;
}

/// Waits until the message of the board's check contains this, and returns the check.
async fn board_says(stage: &Stage, release: &str, text: &str) -> (CheckState, String) {
    let seen = stage
        .until(release, "sit", |p| {
            check(p, "board").is_some_and(|c| c.message.contains(text))
        })
        .await;
    let check = check(promotion(stage, &seen, "sit"), "board").unwrap();
    (check.state, check.message.clone())
}

#[tokio::test]
async fn distinct_people_are_counted_and_the_requester_is_none_of_them() {
    let stage = board("quorum", 2).await;
    let (name, hash) = submitted(&stage).await;
    let (state, _) = board_says(&stage, &name, "0 of 2").await;
    assert_eq!(state, CheckState::Waiting);
    approve(&stage, "alice", &name, &hash).await;
    board_says(&stage, &name, "the requester cannot approve").await;
    approve(&stage, "bob", &name, &hash).await;
    board_says(&stage, &name, "1 of 2").await;
    approve(&stage, "bob", &name, &hash).await;
    // A user without the verb is refused immediately.
    let stranger = decision(Action::Approve, &name, &stage.environment("sit"))
        .by("mallory")
        .at_gate("board", "board", &hash)
        .build();
    let said = refused(stage.create_as("mallory", &stranger).await);
    assert!(said.contains("lacks the verb approve"), "{said}");
    let release = stage.api::<Release>().get(&name).await.unwrap();
    assert_eq!(promotion(&stage, &release, "sit").state, State::Waiting);
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);

    approve(&stage, "carol", &name, &hash).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    // The Release owns its Decisions.
    let decisions = stage.decisions().list(&ListParams::default()).await.unwrap();
    assert_eq!(decisions.items.len(), 4);
    for decision in &decisions {
        let owners = decision.metadata.owner_references.as_ref().unwrap();
        assert_eq!(owners[0].name, name);
    }
    stage.finish().await;
}

#[tokio::test]
async fn one_reject_blocks_a_plan_for_good_and_a_new_plan_starts_afresh() {
    let stage = board("reject", 1).await;
    let (name, hash) = submitted(&stage).await;
    answer(&stage, Action::Reject, "bob", &name, &hash).await;
    let (state, message) = board_says(&stage, &name, "rejected").await;
    assert_eq!(state, CheckState::Failed);
    assert!(message.contains(&user_name("bob")), "{message}");
    approve(&stage, "carol", &name, &hash).await;
    stage
        .merge(
            &name,
            json!({ "spec": { "deploymentPlan": { "summary": "As the board wants it." } } }),
        )
        .await;
    let changed = stage
        .until(&name, "sit", |p| {
            p.plan_hash != hash
                && check(p, "board").is_some_and(|c| {
                    c.state == CheckState::Waiting && c.message.contains("not that of the current plan")
                })
        })
        .await;
    let new = promotion(&stage, &changed, "sit").plan_hash.clone();
    approve(&stage, "carol", &name, &new).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn deleting_and_creating_a_release_again_does_not_undo_a_reject() {
    let stage = board("outlives", 1).await;
    for verb in ["delete", "forget"] {
        stage.grant("alice", verb, "releases", "").await;
    }
    let ours: Api<Release> = Api::namespaced(as_person("alice").await, stage.namespace());
    let plan = |name: &str| {
        let release = stage.release("1.0").into(&["sit"]).image("ledger", IMAGE);
        release.named(name)
    };
    let name = stage.submit(plan("payments-1.0")).await;
    let hash = stage.plan_hash(&name, "sit").await;
    stage.entitle("bob", "approve", "environments/board").await;
    let reject = decision(Action::Reject, &name, &stage.environment("sit"))
        .at_gate("board", "board", &hash)
        .because("Not before the audit.")
        .build();
    let reject = stage.create_as("bob", &reject).await.expect("entitled");
    board_says(
        &stage,
        &name,
        "rejected this plan. Change the plan: only a new plan can enter. Reason: Not before the audit",
    )
    .await;
    some(&stage.api::<Event>(), LONG, |event| {
        let message = event.message.clone().unwrap_or_default();
        event.reason.as_deref() == Some("Rejected")
            && message.contains(&format!("Reject by {}: Not before the audit", user_name("bob")))
    })
    .await;

    // The same plan again, under the same name and under another one.
    for (again, said) in [
        (&*name, "rejected this plan"),
        ("payments-again", "rejected this plan in Release payments-1.0"),
    ] {
        ours.delete(&name, &DeleteParams::default())
            .await
            .expect("alice may");
        gone(&stage.api::<Release>(), &name, LONG).await;
        let again = stage.submit(plan(again)).await;
        assert_eq!(stage.plan_hash(&again, "sit").await, hash);
        let (state, _) = board_says(&stage, &again, said).await;
        assert_eq!(state, CheckState::Failed);
        approve(&stage, "carol", &again, &hash).await;
    }
    let kept = stage
        .decisions()
        .get(&reject.metadata.name.unwrap())
        .await
        .unwrap();
    assert_eq!(kept.metadata.uid, reject.metadata.uid);
    assert!(
        kept.metadata
            .owner_references
            .is_none_or(|owners| owners.is_empty())
    );
    let (state, _) = board_says(&stage, "payments-again", "only a new plan can enter").await;
    assert_eq!(state, CheckState::Failed);
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn a_release_that_a_pipeline_requested_for_nobody_is_approved_by_nobody() {
    let stage = board("unnamed", 1).await;
    stage.grant("alice", "request-for", "releases", "").await;
    let robot = format!("system:serviceaccount:{}:pipeline", stage.namespace());
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", IMAGE)
                .with("/spec/requestedBy", robot.clone()),
        )
        .await;
    let hash = stage.plan_hash(&name, "sit").await;
    let (state, message) = board_says(&stage, &name, "No approval counts").await;
    assert_eq!(state, CheckState::Unknown);
    assert!(
        message.contains(&format!("spec.requestedBy is the ServiceAccount {robot}")),
        "{message}"
    );
    approve(&stage, "bob", &name, &hash).await;
    // A user with request-for names the requester in another Release, which waits for its own approval.
    let release = stage.release("1.1").into(&["sit"]).image("ledger", IMAGE);
    let name = stage.submit(release).await;
    let (state, message) = board_says(&stage, &name, "0 of 1").await;
    assert_eq!(state, CheckState::Waiting, "{message}");
    let hash = stage.plan_hash(&name, "sit").await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    approve(&stage, "bob", &name, &hash).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn one_person_in_two_spellings_is_one_and_fills_one_role() {
    let stage = Stage::new("spellings")
        .with("sit", |spec: &mut EnvironmentSpec| {
            spec.gates = vec![
                approval_gate("board", "board", 2),
                approval_gate("tests", "tester", 1),
            ];
        })
        .await;
    let (name, hash) = submitted(&stage).await;
    approve(&stage, "bob", &name, &hash).await;
    approve(&stage, "BOB", &name, &hash).await;
    board_says(
        &stage,
        &name,
        "1 of 2 approvals by board, given by BOB@example.com or bob@example.com",
    )
    .await;
    stage.entitle("BOB", "approve", "environments/tester").await;
    let tester = decision(Action::Approve, &name, &stage.environment("sit"))
        .by("BOB")
        .at_gate("tests", "tester", &hash)
        .build();
    stage.create_as("BOB", &tester).await.expect("entitled");
    let seen = stage
        .until(&name, "sit", |p| {
            // Either of the two: Decisions of the same second have no visible order.
            let shut = [("board", "tester"), ("tests", "board")].map(|(gate, other)| {
                check(p, gate).is_some_and(|c| {
                    let but = format!(
                        "a person can fill only one role, and bob@example.com already approved as {other}"
                    );
                    c.message.to_lowercase().contains(&but)
                })
            });
            shut[0] != shut[1]
        })
        .await;
    assert_eq!(promotion(&stage, &seen, "sit").state, State::Waiting);
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn an_approval_that_has_expired_has_to_be_given_again() {
    let gate: Gate = serde_json::from_value(json!({
        "name": "board", "approval": { "role": "board", "minimum": 2, "validFor": "5s" },
    }))
    .unwrap();
    let stage = gated("expiry", gate).await;
    let (name, hash) = submitted(&stage).await;
    approve(&stage, "bob", &name, &hash).await;
    board_says(&stage, &name, "1 of 2").await;
    let (state, _) = board_says(&stage, &name, "expired").await;
    assert_eq!(state, CheckState::Waiting);
    stage.entitle("carol", "approve", "environments/board").await;
    approve(&stage, "carol", &name, &hash).await;
    approve(&stage, "bob", &name, &hash).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

/// Creates a Decision as any user of the API server.
fn create_as_user(stage: &Stage, user: &str, decision: &Decision) -> (bool, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = serde_json::to_string(decision).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    kubectl(&["create", "--as", user, "-n", stage.namespace(), "-f", &path])
}

#[tokio::test]
async fn service_accounts_count_only_where_the_gate_says_so() {
    for (case, allowed) in [("robots", true), ("no-robots", false)] {
        let mut approval = json!({ "role": "board", "minimum": 1 });
        if allowed {
            approval["serviceAccounts"] = "Allow".into();
        }
        let gate = serde_json::from_value(json!({ "name": "board", "approval": approval })).unwrap();
        let stage = gated(case, gate).await;
        let create = async |kind: &str, object: Value| match kind {
            "ServiceAccount" => drop(
                stage
                    .api::<ServiceAccount>()
                    .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
                    .await
                    .unwrap(),
            ),
            "Role" => drop(
                stage
                    .api::<Role>()
                    .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
                    .await
                    .unwrap(),
            ),
            _ => drop(
                stage
                    .api::<RoleBinding>()
                    .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
                    .await
                    .unwrap(),
            ),
        };
        create("ServiceAccount", json!({ "metadata": { "name": "robot" } })).await;
        create(
            "Role",
            json!({ "metadata": { "name": "robot" }, "rules": [
                { "apiGroups": ["signalbox.dev"], "resources": ["decisions"], "verbs": ["create"] },
                { "apiGroups": ["signalbox.dev"], "resources": ["environments/board"], "verbs": ["approve"] },
            ] }),
        )
        .await;
        create(
            "RoleBinding",
            json!({
                "metadata": { "name": "robot" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot" },
                "subjects": [{ "kind": "ServiceAccount", "name": "robot", "namespace": stage.namespace() }],
            }),
        )
        .await;
        let robot = format!("system:serviceaccount:{}:robot", stage.namespace());
        let (name, hash) = submitted(&stage).await;
        let approval = decision(Action::Approve, &name, &stage.environment("sit"))
            .with("by", robot.clone())
            .at_gate("board", "board", &hash)
            .build();
        // The authorizer follows bindings a moment later.
        let mut said = create_as_user(&stage, &robot, &approval);
        while !said.0 && (said.1.contains("lacks the verb") || said.1.contains("forbidden")) {
            said = create_as_user(&stage, &robot, &approval);
        }
        assert!(said.0, "{}", said.1);
        if allowed {
            stage.reaches(&name, "sit", State::Succeeded).await;
        } else {
            let (state, _) = board_says(
                &stage,
                &name,
                "this gate does not accept approvals by ServiceAccounts",
            )
            .await;
            assert_eq!(state, CheckState::Waiting);
        }
        stage.finish().await;
    }
}

async fn review(stage: &Stage, person: &str, release: &str, name: &str) -> kube::Result<ReleaseReview> {
    stage.entitle(person, "review", "releases").await;
    let review = serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "ReleaseReview",
        "metadata": { "name": name },
        "spec": { "release": release, "reviewer": user_name(person) },
    }))
    .unwrap();
    stage.create_as::<ReleaseReview>(person, &review).await
}

/// The Release once its review is in `state`.
async fn reviewed(stage: &Stage, release: &str, state: ReviewState) -> Release {
    wait_until(&stage.api::<Release>(), release, LONG, |r| {
        let review = r.status.as_ref().and_then(|s| s.review.as_ref());
        review.is_some_and(|r| r.state == state)
    })
    .await
}

#[tokio::test]
async fn the_first_release_of_a_product_is_reviewed_by_somebody_who_had_no_part_in_it() {
    let stage = board("review", 1).await;
    let (name, hash) = submitted(&stage).await;
    approve(&stage, "bob", &name, &hash).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let pending = reviewed(&stage, &name, ReviewState::Pending).await;
    let status = pending.status.as_ref().unwrap().review.clone().unwrap();
    assert_eq!(status.required_because, ["FirstRelease"]);
    let due = finished(&stage, &pending, "sit") + jiff::SignedDuration::from_hours(120);
    assert_eq!(status.due_at.map(|t| t.0), Some(due));
    assert!(!status.overdue);

    // The requester and the approvers cannot review.
    for person in ["alice", "bob"] {
        review(&stage, person, &name, &format!("by-{person}"))
            .await
            .unwrap();
        wait_until(&stage.api::<Release>(), &name, LONG, |r| {
            let review = r.status.as_ref().and_then(|s| s.review.as_ref());
            review.is_some_and(|r| {
                r.state == ReviewState::Pending
                    && r.message
                        .as_ref()
                        .is_some_and(|m| m.contains("does not count") && m.contains(&user_name(person)))
            })
        })
        .await;
    }

    review(&stage, "carol", &name, "by-carol").await.unwrap();
    reviewed(&stage, &name, ReviewState::InProgress).await;
    let reviews: Api<ReleaseReview> = Api::namespaced(as_person("carol").await, stage.namespace());
    let write = async |spec: Value| {
        reviews
            .patch(
                "by-carol",
                &PatchParams::default(),
                &Patch::Merge(json!({ "spec": spec })),
            )
            .await
            .unwrap()
    };
    // An outcome does not complete the review while an action has no owner.
    write(json!({
        "outcome": "SuccessfulWithIssues",
        "actions": [{ "title": "Tell support a day ahead" }],
    }))
    .await;
    wait_until(&stage.api::<Release>(), &name, LONG, |r| {
        let review = r.status.as_ref().and_then(|s| s.review.as_ref());
        review.is_some_and(|r| r.state == ReviewState::InProgress && r.open_actions == Some(1))
    })
    .await;
    write(json!({ "actions": [{ "title": "Tell support a day ahead", "owner": user_name("dave") }] })).await;
    reviewed(&stage, &name, ReviewState::Completed).await;
    write(json!({ "actions": [{ "title": "Tell support a day ahead", "owner": user_name("dave"), "done": true }] }))
        .await;
    let closed = reviewed(&stage, &name, ReviewState::Closed).await;
    let status = closed.status.unwrap().review.unwrap();
    assert_eq!(
        (status.open_actions, status.outcome),
        (
            Some(0),
            Some(signalbox::api::review::Outcome::SuccessfulWithIssues)
        )
    );
    stage.finish().await;
}

#[tokio::test]
async fn an_ordinary_release_owes_no_review_unless_it_always_does() {
    let stage = Stage::new("no-review").await;
    let first = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE_BEFORE))
        .await;
    stage.reaches(&first, "sit", State::Succeeded).await;
    let plain = stage
        .submit(stage.release("1.1").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&plain, "sit", State::Succeeded).await;
    reviewed(&stage, &plain, ReviewState::NotRequired).await;
    let always = stage
        .submit(
            stage
                .release("1.2")
                .into(&["sit"])
                .image("ledger", IMAGE_BEFORE)
                .with("/spec/review", json!({ "required": "Always", "dueWithin": "2s" })),
        )
        .await;
    stage.reaches(&always, "sit", State::Succeeded).await;
    let overdue = wait_until(&stage.api::<Release>(), &always, LONG, |r| {
        let review = r.status.as_ref().and_then(|s| s.review.as_ref());
        review.is_some_and(|r| r.overdue)
    })
    .await;
    let review = overdue.status.unwrap().review.unwrap();
    assert_eq!(review.state, ReviewState::Pending);
    assert_eq!(review.required_because, ["Always"]);
    stage.finish().await;
}
