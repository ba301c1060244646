//! Four eyes: a user who can write Releases in the names of others cannot approve, and only the requester can change a plan. All users
//! here have only the rights of the chart's roles.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::{Action, Decision, Release};

use crate::kit::{IMAGE, ReleaseBuilder, Stage, User, decision, nameless, user_name};
use crate::verdict::Verdict;

const MANAGER: &str = "signalbox-release-manager";
const PIPELINE: &str = "signalbox-pipeline";
const DELIVERY: &str = "signalbox-delivery";

fn approval(user: &User, environment: &str) -> Value {
    let hash = format!("v1:sha256:{}", "a".repeat(64));
    decision(Action::Approve, "payments-1", environment)
        .with("by", user.name.clone())
        .at_gate("board", "board", &hash)
        .json()
}

/// A user with the right to approve loses it with the role `also`, but keeps all other rights.
async fn approves_until(stage: &Stage, user: &User, also: &str) -> String {
    let production = stage.environment("prod");
    stage.bind(MANAGER, user, "backout", "environments").await;
    let decisions = Verdict::on::<Decision>(user.client().await, Some(stage.namespace()));
    let approve = approval(user, &production);
    decisions.accepts(approve.clone()).await;

    stage.bind(also, user, "request-for", "releases").await;
    let said = decisions.refusal(approve.clone()).await;
    let mut reject = approve;
    reject["spec"]["action"] = "Reject".into();
    decisions.accepts(reject).await;
    let back_out = decision(Action::BackOut, "payments-1", &production).attempt(1);
    decisions
        .accepts(back_out.with("by", user.name.clone()).json())
        .await;
    said
}

/// A ClusterRole outside the stage. `taken_away` deletes it.
async fn role(stage: &Stage, name: &str, labels: Value, rules: Value) -> String {
    let name = format!("{}-{name}", stage.namespace());
    let mut role = json!({ "metadata": { "name": name, "labels": labels } });
    let what = if rules.is_array() {
        "rules"
    } else {
        "aggregationRule"
    };
    role[what] = rules;
    let roles: Api<ClusterRole> = Api::all(stage.client());
    roles
        .create(&PostParams::default(), &serde_json::from_value(role).unwrap())
        .await
        .unwrap();
    name
}

async fn taken_away(stage: &Stage, roles: &[&str]) {
    let all: Api<ClusterRole> = Api::all(stage.client());
    for role in roles {
        all.delete(role, &DeleteParams::default()).await.unwrap();
    }
}

fn says_why(said: &str, user: &User, namespace: &str) {
    let sentence = format!(
        "spec.action is Approve, but \"{}\" holds the verb request-for on releases in namespace {namespace}, and so could write \
         a Release in the name of another user and approve it. Let a user without that verb approve, or have the verb removed",
        user.name
    );
    assert!(said.contains(&sentence), "not {sentence:?} but {said:?}");
}

#[tokio::test]
async fn who_may_ask_in_other_peoples_names_approves_nothing() {
    let stage = Stage::new("both-rights").bare().await;
    for user in [
        User::named("bob@example.com"),
        User::named("corp:Carol de Smith"),
        User::of("release-tools", "dave@example.com"),
    ] {
        let said = approves_until(&stage, &user, PIPELINE).await;
        says_why(&said, &user, stage.namespace());
    }
    stage.finish().await;
}

#[tokio::test]
async fn neither_does_who_may_by_a_wildcard_or_by_an_aggregated_role() {
    let stage = Stage::new("wildcard").bare().await;
    let everything = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    let ours = json!([{ "apiGroups": ["signalbox.dev"], "resources": ["releases"], "verbs": ["*"] }]);
    let part =
        json!([{ "apiGroups": ["signalbox.dev"], "resources": ["releases"], "verbs": ["request-for"] }]);
    let label = json!({ "example.com/part-of": stage.namespace() });
    let everything = role(&stage, "everything", json!({}), everything).await;
    let ours = role(&stage, "ours", json!({}), ours).await;
    let part = role(&stage, "part", label.clone(), part).await;
    let sum = json!({ "clusterRoleSelectors": [{ "matchLabels": label }] });
    let sum = role(&stage, "sum", json!({}), sum).await;
    for (person, role) in [("bob", &everything), ("carol", &ours), ("dave", &sum)] {
        let user = User::named(&user_name(person));
        let said = approves_until(&stage, &user, role).await;
        says_why(&said, &user, stage.namespace());
    }
    taken_away(&stage, &[&everything, &ours, &part, &sum]).await;
    stage.finish().await;
}

/// A Release in the name of `requester`, with all parts of a plan.
fn planned(stage: &Stage, requester: &str) -> ReleaseBuilder {
    stage
        .release("1")
        .into(&["sit"])
        .image("ledger", IMAGE)
        .with("/spec/requestedBy", requester)
        .with("/spec/source", json!({ "revision": "4f2a9c1" }))
}

/// One change of each part of the plan, and the name of the field.
fn changes(stage: &Stage) -> Vec<(&'static str, Value)> {
    let other = planned(stage, "x").config("config", "ledger-config", json!({ "FEATURE_X": "on" }));
    let environments = [stage.environment("sit"), stage.environment("uat")];
    vec![
        (
            "spec.components",
            json!({ "components": other.json()["spec"]["components"] }),
        ),
        (
            "spec.deploymentPlan",
            json!({ "deploymentPlan": { "summary": "Another one." } }),
        ),
        (
            "spec.backoutPlan",
            json!({ "backoutPlan": { "trigger": "OnDecision" } }),
        ),
        ("spec.backoutPlan", json!({ "backoutPlan": null })),
        ("spec.source", json!({ "source": { "revision": "0000000" } })),
        ("spec.source", json!({ "source": null })),
        ("spec.environments", json!({ "environments": environments })),
        ("spec.environments", json!({ "environments": environments[1..] })),
        (
            "spec.deploymentPlan, spec.source",
            json!({ "source": null, "deploymentPlan": { "owner": "mallory@example.com" } }),
        ),
    ]
}

#[tokio::test]
async fn a_plan_is_its_requesters_and_of_who_may_ask_for_others() {
    let stage = Stage::new("plan").bare().await;
    let requester = User::named("corp:Alice de Smith");
    let name = stage.submit_as_admin(planned(&stage, &requester.name)).await;
    let pipeline = User::named("system:serviceaccount:payments-pipeline:pipeline");
    // User names of the API server are compared exactly: a similar name is a different user.
    let namesake = User::named("corp:alice de smith");
    let colleague = User::named("mallory@example.com");
    let by_group = User::of("payments-team", "erin@example.com");
    // The right to promote does not allow a change of the plan.
    let promotes =
        json!([{ "apiGroups": ["signalbox.dev"], "resources": ["environments"], "verbs": ["promote"] }]);
    let promotes = role(&stage, "promotes", json!({}), promotes).await;
    for user in [&requester, &pipeline, &namesake, &colleague, &by_group] {
        stage.bind(&promotes, user, "promote", "environments").await;
        let role = if user.name == pipeline.name {
            PIPELINE
        } else {
            DELIVERY
        };
        stage.bind(role, user, "update", "releases").await;
        let releases = Verdict::on::<Release>(user.client().await, Some(stage.namespace()));
        let may = [&requester.name, &pipeline.name].contains(&&user.name);
        for (what, change) in changes(&stage) {
            let change = json!({ "spec": change });
            if may {
                releases.accepts_change(&name, change).await;
                continue;
            }
            let sentence = format!(
                "{what} of Release {name} can be changed only by its requester, \"{}\", and you are \"{}\". You can change spec.hold, \
                 spec.withdrawn, spec.schedule and spec.review. For other changes ask the requester, or create a Release of your own.",
                requester.name, user.name
            );
            releases.refuses_change(&name, change, &sentence).await;
        }
        let sit = stage.environment("sit");
        for open in [
            json!({ "spec": { "hold": { "reason": "Wait for the auditors." } } }),
            json!({ "spec": { "withdrawn": { "reason": "Not needed." } } }),
            json!({ "spec": { "schedule": [{ "environment": sit, "start": "2026-12-01T18:00:00Z" }] } }),
            json!({ "spec": { "review": { "required": "Always" } } }),
            json!({ "metadata": { "labels": { "team": "payments" } } }),
            json!({ "spec": { "environments": [sit], "hold": {} } }),
        ] {
            releases.accepts_change(&name, open).await;
        }
    }
    taken_away(&stage, &[&promotes]).await;
    stage.finish().await;
}

#[tokio::test]
async fn to_back_out_on_deletion_asks_for_backout_wherever_it_may_be() {
    let stage = Stage::new("on-delete").await;
    let alice = Verdict::on::<Release>(crate::kit::as_person("alice").await, Some(stage.namespace()));
    let (sit, uat) = (stage.environment("sit"), stage.environment("uat"));
    let lacks = |environment: &str| {
        format!(
            "metadata.annotations: signalbox.dev/on-delete is BackOut and spec.environments names {environment}, but \
             \"alice@example.com\" lacks the verb backout on that environment in namespace {}. Remove the annotation, \
             or ask for a RoleBinding in that namespace that grants the verb.",
            stage.namespace()
        )
    };
    let annotated =
        |value: Value| json!({ "metadata": { "annotations": { "signalbox.dev/on-delete": value } } });
    let plain = stage.release("1").into(&["sit", "uat"]).image("ledger", IMAGE);
    let plain = plain.with("/spec/hold", json!({}));
    let armed = plain.clone().named("armed").with(
        "/metadata/annotations",
        json!({ "signalbox.dev/on-delete": "BackOut" }),
    );
    let name = stage.submit(plain).await;

    alice.refuses(armed.clone().json(), &lacks(&sit)).await;
    alice
        .refuses_change(&name, annotated("BackOut".into()), &lacks(&sit))
        .await;
    alice.accepts_change(&name, annotated("Keep".into())).await;

    stage.grant("alice", "backout", "environments", &sit).await;
    alice.refuses(armed.clone().json(), &lacks(&uat)).await;
    alice
        .refuses_change(&name, annotated("BackOut".into()), &lacks(&uat))
        .await;
    let only_sit = armed.clone().into(&["sit"]);
    alice.accepts(only_sit.clone().json()).await;
    // An environment that is added to the list of an armed Release is checked, too. The others are not checked again.
    let armed = stage.submit(only_sit).await;
    let more = json!({ "spec": { "environments": [sit, uat] } });
    alice.refuses_change(&armed, more, &lacks(&uat)).await;
    let mallory = Verdict::on::<Release>(crate::kit::as_person("mallory").await, Some(stage.namespace()));
    mallory
        .accepts_change(&armed, json!({ "spec": { "withdrawn": {} } }))
        .await;
    mallory.accepts_change(&armed, annotated(Value::Null)).await;
    stage.finish().await;
}

#[tokio::test]
async fn who_has_no_name_writes_nothing_in_anybodys() {
    let Some(nameless) = nameless().await else {
        eprintln!("left out: only a cluster of ours knows a user without a name");
        return;
    };
    let stage = Stage::new("nameless").bare().await;
    let sit = stage.environment("sit");
    let name = stage.submit_as_admin(planned(&stage, &user_name("alice"))).await;
    let releases = Verdict::on::<Release>(nameless.clone(), Some(stage.namespace()));
    let decisions = Verdict::on::<Decision>(nameless, Some(stage.namespace()));
    let mut unsigned = planned(&stage, "").named("unsigned");
    releases
        .refuses(unsigned.clone().json(), "spec.requestedBy: Invalid value: \"\"")
        .await;
    unsigned = unsigned.with("/spec/requestedBy", user_name("alice"));
    // Without a user name the field is absent, for which that policy has no message.
    let said = releases.refusal(unsigned.json()).await;
    assert!(
        said.contains("signalbox-request") && said.contains("no such key: username"),
        "{said}"
    );
    releases
        .refuses_change(
            &name,
            json!({ "spec": { "source": null } }),
            "spec.source of Release payments-1 can be changed only by its requester, \"alice@example.com\", and you are \"\"",
        )
        .await;
    let mut approve = approval(&User::named(&user_name("bob")), &sit);
    decisions
        .refuses(
            approve.clone(),
            "spec.by is \"bob@example.com\", but you are \"\"",
        )
        .await;
    approve["spec"]["by"] = "".into();
    decisions.refuses(approve, "spec.by: Invalid value: \"\"").await;
    stage.finish().await;
}
