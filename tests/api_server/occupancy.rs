//! How long a release can occupy an environment: the owner of the environment can end and hold releases of any namespace, maxOccupancy
//! does the same automatically, and a planned start in the past does not give precedence over releases that already wait. All users here
//! have only the rights of the chart's roles.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::environment::{EnvironmentSpec, MaxOccupancy, Then};
use signalbox::api::release::State;
use signalbox::api::{Action, Decision, GoDuration, Release};

use crate::acting::{UNREADY, observed, promotion};
use crate::kit::{DecisionBuilder, IMAGE, Stage, User, decision};
use crate::promotion::older_than_a_tick;
use crate::verdict::Verdict;

const OWNER: &str = "signalbox-environment-owner";
const DELIVERY: &str = "signalbox-delivery";

/// A ClusterRole outside the stage: the right to end and hold releases in its environment `short`.
async fn ends(stage: &Stage, short: &str) -> String {
    let name = format!("{}-ends-{short}", stage.namespace());
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": { "name": name },
        "rules": [{ "apiGroups": ["signalbox.dev"], "resources": ["environments"],
                    "resourceNames": [stage.environment(short)], "verbs": ["backout", "abandon", "hold"] }],
    }))
    .unwrap();
    let roles: Api<ClusterRole> = Api::all(stage.client());
    roles.create(&PostParams::default(), &role).await.unwrap();
    name
}

/// A user with both roles in the whole cluster, and the names of the objects that `taken_away` deletes.
async fn owner(stage: &Stage, short: &str) -> (User, Vec<String>) {
    let user = User::named("corp:Olga the Owner");
    let role = ends(stage, short).await;
    let environment = stage.environment(short);
    let bound = [
        stage
            .bind_everywhere(&role, &user, "hold", "environments", &environment)
            .await,
        stage
            .bind_everywhere(OWNER, &user, "create", "decisions", "")
            .await,
    ];
    (user, [vec![role], bound.into()].concat())
}

async fn taken_away(stage: &Stage, names: &[String]) {
    let roles: Api<ClusterRole> = Api::all(stage.client());
    roles.delete(&names[0], &DeleteParams::default()).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(stage.client());
    for name in &names[1..] {
        bindings.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

fn signed(decision: DecisionBuilder, user: &User) -> Value {
    decision.attempt(1).with("by", user.name.clone()).json()
}

/// `user` creates a Decision, with only their own rights.
async fn decides(stage: &Stage, user: &User, action: Action, release: &str, short: &str) {
    let decision = signed(decision(action, release, &stage.environment(short)), user);
    let decisions: Api<Decision> = Api::namespaced(user.client().await, stage.namespace());
    let decision = serde_json::from_value(decision).unwrap();
    decisions.create(&PostParams::default(), &decision).await.unwrap();
}

fn at_most(seconds: i64, then: Option<Then>) -> impl FnOnce(&mut EnvironmentSpec) + Send + 'static {
    move |spec| {
        spec.max_occupancy = Some(MaxOccupancy {
            after: GoDuration::from_secs(seconds),
            then,
        });
    }
}

/// A Release that does not become ready, in `sit`.
async fn occupies(stage: &Stage) -> String {
    let release = stage.release("1").into(&["sit"]).image("ledger", UNREADY);
    stage.submit(release.ready_within("10m")).await
}

#[tokio::test]
async fn an_environments_owner_ends_what_occupies_it_in_a_namespace_where_they_have_nothing_else() {
    let stage = Stage::new("owner-ends").with("sit", observed(600)).await;
    let (olga, names) = owner(&stage, "sit").await;
    let release = stage.release("1").into(&["sit", "uat"]).image("ledger", IMAGE);
    let name = stage.submit(release).await;
    stage.reaches(&name, "sit", State::Observing).await;

    let decisions = Verdict::on::<Decision>(olga.client().await, Some(stage.namespace()));
    let elsewhere = decision(Action::BackOut, &name, &stage.environment("uat"));
    decisions
        .refuses(
            signed(elsewhere, &olga),
            &format!(
                "spec.action is BackOut, but \"{}\" lacks the verb backout on environments named {} in namespace {}",
                olga.name,
                stage.environment("uat"),
                stage.namespace()
            ),
        )
        .await;
    let accept = decision(Action::Accept, &name, &stage.environment("sit"));
    decisions
        .refuses(signed(accept, &olga), "lacks the verb accept on environments")
        .await;

    decides(&stage, &olga, Action::BackOut, &name, "sit").await;
    let ended = stage.reaches(&name, "sit", State::BackedOut).await;
    let backout = promotion(&stage, &ended, "sit").backout.clone().unwrap();
    assert_eq!(backout.by.as_deref(), Some(olga.name.as_str()));
    taken_away(&stage, &names).await;
    stage.finish().await;
}

#[tokio::test]
async fn and_holds_it_but_changes_nothing_else_of_anybodys_release() {
    let stage = Stage::new("owner-holds").bare().await;
    let (olga, names) = owner(&stage, "prod").await;
    let (sit, prod) = (stage.environment("sit"), stage.environment("prod"));
    let release = stage.release("1").into(&["sit", "prod"]).image("ledger", IMAGE);
    let name = stage.submit_as_admin(release).await;
    let releases = Verdict::on::<Release>(olga.client().await, Some(stage.namespace()));
    let spec = |change: Value| json!({ "spec": change });

    let hold = spec(json!({ "hold": { "reason": "An incident.", "environments": [prod] } }));
    releases.accepts_change(&name, hold.clone()).await;
    let lacks = format!(
        "spec.hold holds or frees {sit}, but \"{}\" cannot create Releases in namespace {} and lacks the verb hold on \
         that environment. Leave spec.hold unchanged, or ask for that verb (a ClusterRoleBinding can grant it, too).",
        olga.name,
        stage.namespace()
    );
    for wider in [
        json!({ "hold": {} }),
        json!({ "hold": { "environments": [sit] } }),
        json!({ "hold": { "environments": [sit, prod] } }),
    ] {
        releases.refuses_change(&name, spec(wider), &lacks).await;
    }

    let other = stage.release("1").into(&["sit"]).image("other", IMAGE).json();
    for (what, change) in [
        ("spec.withdrawn", spec(json!({ "withdrawn": {} }))),
        (
            "spec.schedule",
            spec(json!({ "schedule": [{ "environment": prod, "start": "2027-12-01T18:00:00Z" }] })),
        ),
        ("spec.review", spec(json!({ "review": { "required": "Always" } }))),
        (
            "spec.components",
            spec(json!({ "components": other["spec"]["components"] })),
        ),
        ("spec.environments", spec(json!({ "environments": [sit] }))),
        (
            "metadata.labels",
            json!({ "metadata": { "labels": { "team": "x" } } }),
        ),
        (
            "metadata.annotations",
            json!({ "metadata": { "annotations": { "signalbox.dev/on-delete": "BackOut" } } }),
        ),
    ] {
        let said = releases.change_refusal(&name, change).await;
        // If another policy refuses it, too, the API server reports one of them.
        let ours = format!(
            "{what} of Release {name} can be changed only by a user who can create Releases in namespace {}, which \"{}\" cannot. \
             Change only spec.hold, or ask for the verb create on releases.",
            stage.namespace(),
            olga.name
        );
        let plan = format!("{what} of Release {name} can be changed only by its requester");
        let armed = format!("{what}: signalbox.dev/on-delete is BackOut");
        assert!(
            [ours, plan, armed].iter().any(|sentence| said.contains(sentence)),
            "{what}: {said}"
        );
    }

    // She can free what she can hold, but not what others hold.
    let held = spec(json!({ "hold": { "reason": "An audit.", "environments": [sit] } }));
    stage.merge(&name, held).await;
    releases
        .refuses_change(&name, spec(json!({ "hold": null })), &lacks)
        .await;
    releases
        .refuses_change(&name, spec(json!({ "hold": { "reason": "Mine." } })), &lacks)
        .await;
    let both = spec(json!({ "hold": { "environments": [sit, prod] } }));
    releases.accepts_change(&name, both.clone()).await;
    stage.merge(&name, both).await;
    let back = spec(json!({ "hold": { "environments": [sit] } }));
    releases.accepts_change(&name, back).await;

    // A colleague of the requester can do the same as before.
    let colleague = User::named("erin@example.com");
    stage.bind(DELIVERY, &colleague, "update", "releases").await;
    let releases = Verdict::on::<Release>(colleague.client().await, Some(stage.namespace()));
    releases
        .accepts_change(&name, spec(json!({ "hold": null, "withdrawn": {} })))
        .await;
    taken_away(&stage, &names).await;
    stage.finish().await;
}

#[tokio::test]
async fn who_holds_the_verbs_in_one_namespace_ends_nothing_in_another() {
    let here = Stage::new("owner-here").bare().await;
    let there = Stage::new("owner-there").bare().await;
    let role = ends(&here, "sit").await;
    let user = User::named("corp:Half an Owner");
    here.bind_named(&role, &user, "hold", "environments", &here.environment("sit"))
        .await;
    let everywhere = here
        .bind_everywhere(OWNER, &user, "create", "decisions", "")
        .await;
    let sit = here.environment("sit");
    for (stage, may) in [(&here, true), (&there, false)] {
        let release = here.release("1").into(&["sit"]).image("ledger", IMAGE);
        let name = stage.submit_as_admin(release).await;
        let client = user.client().await;
        let decisions = Verdict::on::<Decision>(client.clone(), Some(stage.namespace()));
        let releases = Verdict::on::<Release>(client, Some(stage.namespace()));
        let back_out = signed(decision(Action::BackOut, &name, &sit), &user);
        let hold = json!({ "spec": { "hold": { "environments": [sit] } } });
        if may {
            decisions.accepts(back_out).await;
            releases.accepts_change(&name, hold).await;
        } else {
            let lacks = format!("lacks the verb backout on environments named {sit}");
            decisions.refuses(back_out, &lacks).await;
            let lacks = format!("spec.hold holds or frees {sit}, but");
            releases.refuses_change(&name, hold, &lacks).await;
        }
        stage.forget(&name).await;
    }
    taken_away(&here, &[role, everywhere]).await;
    here.finish().await;
    there.finish().await;
}

#[tokio::test]
async fn what_occupies_too_long_is_backed_out_where_the_owner_has_chosen_that() {
    let stage = Stage::new("too-long")
        .with("sit", at_most(15, Some(Then::BackOut)))
        .await;
    let before = stage.image("sit").await;
    let name = occupies(&stage).await;
    let asked = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let said = promotion(&stage, &asked, "sit")
        .message
        .clone()
        .unwrap_or_default();
    assert!(
        said.starts_with("OccupiedTooLong: This release has occupied the environment since "),
        "{said}"
    );
    assert!(said.contains("Without a Decision, BackOut follows at "), "{said}");
    let ended = stage.reaches(&name, "sit", State::BackedOut).await;
    let backout = promotion(&stage, &ended, "sit").backout.clone().unwrap();
    assert_eq!(backout.trigger.as_deref(), Some("MaxOccupancy"));
    let by = format!("maxOccupancy of Environment {}", stage.environment("sit"));
    assert_eq!(backout.by, Some(by));
    let review = ended.status.unwrap().review.unwrap();
    for because in ["OccupiedTooLong", "BackedOut"] {
        assert!(review.required_because.iter().any(|b| b == because), "{review:?}");
    }
    assert_eq!(stage.image("sit").await, before);
    assert_eq!(events(&stage, &name, "OccupiedTooLong").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn or_abandoned() {
    let stage = Stage::new("abandoned")
        .with("sit", at_most(5, Some(Then::Abandon)))
        .await;
    let name = occupies(&stage).await;
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let ended = stage.reaches(&name, "sit", State::Failed).await;
    let said = promotion(&stage, &ended, "sit")
        .message
        .clone()
        .unwrap_or_default();
    let by = stage.environment("sit");
    assert!(
        said.starts_with(&format!(
            "Abandoned by maxOccupancy of Environment {by}; the target namespace is Unsettled. "
        )),
        "{said}"
    );
    assert_eq!(stage.image("sit").await, UNREADY, "it is not changed");
    stage.finish().await;
}

#[tokio::test]
async fn where_the_owner_has_chosen_nothing_it_waits_until_they_decide() {
    let stage = Stage::new("unchosen").with("sit", at_most(2, None)).await;
    let (olga, names) = owner(&stage, "sit").await;
    let name = occupies(&stage).await;
    let asked = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let said = promotion(&stage, &asked, "sit")
        .message
        .clone()
        .unwrap_or_default();
    assert!(
        said.ends_with("longer than the limit of 2s. A Decision is required (BackOut, Accept or Abandon)."),
        "{said}"
    );
    decides(&stage, &olga, Action::Abandon, &name, "sit").await;
    stage.reaches(&name, "sit", State::Failed).await;
    taken_away(&stage, &names).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_rule_that_no_observation_fits_into_is_refused() {
    let stage = Stage::new("rule").await;
    let environments = Verdict::on::<signalbox::api::Environment>(stage.client(), None);
    let change = |after: &str| json!({ "spec": { "observation": "1h", "maxOccupancy": { "after": after } } });
    let sit = stage.environment("sit");
    environments
        .refuses_change(
            &sit,
            change("60m"),
            "maxOccupancy.after must be longer than observation: otherwise no Release could succeed in time",
        )
        .await;
    environments.accepts_change(&sit, change("61m")).await;
    let stored = environments
        .accepts_change(&sit, json!({ "spec": { "maxOccupancy": { "then": "Abandon" } } }))
        .await;
    assert_eq!(
        stored["spec"]["maxOccupancy"],
        json!({ "after": "24h", "then": "Abandon" })
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_start_that_was_over_before_the_release_was_created_passes_nobody() {
    let stage = Stage::new("back-dated").with("sit", observed(600)).await;
    let of = |product: &str| {
        let release = stage.release("1").into(&["sit"]).image("ledger", IMAGE);
        release.product(product).named(&format!("{product}-1"))
    };
    let first = stage.submit(of("first")).await;
    stage.reaches(&first, "sit", State::Observing).await;
    let waited = stage.submit(of("waited")).await;
    let queued = stage.reaches(&waited, "sit", State::Queued).await;
    older_than_a_tick(&stage, &queued).await;
    let dated = of("dated").with(
        "/spec/schedule",
        json!([{ "environment": stage.environment("sit"), "start": "1970-01-01T00:00:00Z" }]),
    );
    let dated = stage.submit(dated).await;
    stage.reaches(&dated, "sit", State::Queued).await;

    stage.decide("bob", Action::BackOut, &first, "sit").await;
    stage.reaches(&first, "sit", State::BackedOut).await;
    stage.reaches(&waited, "sit", State::Observing).await;
    let dated = stage.api::<Release>().get(&dated).await.unwrap();
    assert_eq!(promotion(&stage, &dated, "sit").state, State::Queued);
    stage.finish().await;
}

async fn events(stage: &Stage, release: &str, reason: &str) -> usize {
    let events = stage.api::<Event>().list(&ListParams::default()).await.unwrap();
    let told = events.items.iter().filter(|e| {
        e.involved_object.name.as_deref() == Some(release) && e.reason.as_deref() == Some(reason)
    });
    told.count()
}
