//! Invalid manifests: the API server refuses what the schema detects, the rest is Accepted=False.

use serde_json::{Value, json};
use signalbox::api::release::State;
use signalbox::api::{Environment, Release};

use super::{another_goes_on, harmless, says};
use crate::kit::{IMAGE, ReleaseBuilder, Stage, admin, state_of};
use crate::verdict::Verdict;

fn ledger(patch: Value, remove: Value) -> Value {
    json!({
        "name": "ledger",
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
        "patch": patch,
        "remove": remove,
    })
}

#[tokio::test]
async fn a_manifest_that_makes_no_sense_is_not_accepted_and_says_why() {
    let stage = Stage::new("nonsense").await;
    let (sit, uat) = (stage.environment("sit"), stage.environment("uat"));
    let of = |product: &str| stage.release("1").product(product).into(&["sit"]);
    let patched = |product: &str, patch: Value| of(product).component(ledger(patch, json!([])));
    let cases: Vec<(ReleaseBuilder, &str, String)> = vec![
        (
            of("nowhere").into(&["moon"]).image("ledger", IMAGE),
            "UnknownEnvironment",
            format!(
                "spec.environments names \"{}-moon\", but no Environment of that name exists. Create it or correct the name.",
                stage.namespace()
            ),
        ),
        (
            of("upstream").into(&["uat"]).image("ledger", IMAGE),
            "UpstreamNotListed",
            format!(
                "Environment {uat} promotes from {sit} and requires all of them. Add {sit} to spec.environments."
            ),
        ),
        (
            patched("null", json!({ "spec": { "minReadySeconds": null } })),
            "PatchNotAllowed",
            "Component ledger: patch /spec/minReadySeconds is null; use remove to remove a field.".into(),
        ),
        (
            patched("directive", json!({ "spec": { "$patch": "replace", "replicas": 1 } })),
            "PatchNotAllowed",
            "Component ledger: patch /spec/$patch is a directive; a patch states maps and values only.".into(),
        ),
        (
            patched("metadata", json!({ "metadata": { "finalizers": ["a.example.com/b"] } })),
            "PatchNotAllowed",
            "Component ledger: patch /metadata/finalizers is not allowed: in metadata only labels, annotations and name are.".into(),
        ),
        (
            patched("other-name", json!({ "metadata": { "name": "leger" } })),
            "PatchNotAllowed",
            "Component ledger: patch /metadata/name is \"leger\", but the target's is \"ledger\".".into(),
        ),
        (
            patched("huge", json!({ "spec": { "revisionHistoryLimit": 9_007_199_254_740_993_i64 } })),
            "PatchNotAllowed",
            "patch /spec/revisionHistoryLimit is 9007199254740993, which the API server would round: integers beyond 2^53 are not exact; use a string.".into(),
        ),
        (
            of("large").config("large", "large", json!({ "text": "x".repeat(256 * 1024) })),
            "PatchesTooLarge",
            "The patches of this Release, overrides included, take 257 KiB as JSON, but at most 256 KiB are allowed in total (large 257 KiB). Split the Release".into(),
        ),
        (
            patched(
                "image",
                json!({ "spec": { "template": { "spec": { "containers": [{ "name": "ledger", "image": IMAGE }] } } } }),
            ),
            "PatchNotAllowed",
            "patch /spec/template/spec/containers/0/image is not allowed: images are set by images only.".into(),
        ),
        (
            of("identity").component(ledger(json!({ "spec": { "minReadySeconds": 1 } }), json!(["/metadata/name"]))),
            "PatchNotAllowed",
            "Component ledger: remove /metadata/name is not allowed: only fields below /spec".into(),
        ),
        (
            of("both").component(ledger(
                json!({ "spec": { "minReadySeconds": 1 } }),
                json!(["/spec/minReadySeconds"]),
            )),
            "PatchNotAllowed",
            "Component ledger: remove /spec/minReadySeconds removes what patch sets.".into(),
        ),
        (
            of("gadget").component(json!({
                "name": "gadget",
                "target": { "apiVersion": "example.com/v1", "kind": "Gadget", "name": "gadget" },
                "patch": { "spec": { "size": 1 } },
            })),
            "KindUnsupported",
            "Component gadget targets example.com/v1 Gadget: Signalbox has no readiness check for this kind".into(),
        ),
        (
            of("secret").component(json!({
                "name": "password",
                "target": { "apiVersion": "v1", "kind": "Secret", "name": "password" },
                "patch": { "data": { "a": "Yg==" } },
            })),
            "KindUnsupported",
            "Component password targets v1 Secret: Signalbox has no readiness check for this kind. Remove the component".into(),
        ),
        (
            of("same-target").image("ledger", IMAGE).component({
                let mut again = ledger(json!({ "spec": { "minReadySeconds": 1 } }), json!([]));
                again["name"] = "again".into();
                again
            }),
            "Invalid",
            "Component again targets Deployment ledger again. Put both changes into one component.".into(),
        ),
    ];
    let mut names = Vec::new();
    for (release, reason, sentence) in cases {
        names.push((stage.submit_as_admin(release).await, reason, sentence));
    }
    another_goes_on(&stage, "sit").await;
    for (name, reason, sentence) in names {
        let (is, message) = says(&stage, &name, "Accepted", "False").await;
        assert_eq!(is, reason, "{name}: {message}");
        assert!(message.contains(&sentence), "{name}: {message}");
        let (stalled, why) = says(&stage, &name, "Stalled", "True").await;
        assert_eq!((stalled.as_str(), &why), (reason, &message), "{name}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_version_is_released_once_and_the_first_goes_on() {
    let stage = Stage::new("again").await;
    let first = stage
        .submit(harmless(&stage, "payments", "sit").named("first"))
        .await;
    stage.reaches(&first, "sit", State::Succeeded).await;
    let second = stage
        .submit(
            harmless(&stage, "payments", "sit")
                .with("/spec/version", "1.0")
                .named("second"),
        )
        .await;
    let (reason, message) = says(&stage, &second, "Accepted", "False").await;
    assert_eq!(reason, "DuplicateVersion");
    assert_eq!(
        message,
        "Release first already has version 1.0.0 of payments on line main. A version is released only once: raise spec.version."
    );
    another_goes_on(&stage, "sit").await;
    stage.finish().await;
}

#[tokio::test]
async fn environments_that_promote_from_each_other_are_named_in_a_circle() {
    let stage = Stage::new("circle");
    let uat = format!("{}-uat", stage.name());
    let stage = stage
        .with("sit", move |sit| {
            sit.promotes_from = serde_json::from_value(json!({ "environments": [uat] })).unwrap();
        })
        .with("prod", |prod| prod.promotes_from = None)
        .await;
    let (sit, uat) = (stage.environment("sit"), stage.environment("uat"));
    let name = stage
        .submit(harmless(&stage, "payments", "sit").into(&["sit", "uat"]))
        .await;
    let (reason, message) = says(&stage, &name, "Accepted", "False").await;
    assert_eq!(reason, "Cycle");
    assert!(
        message.contains(&format!(
            "The Environments promote from each other in a circle ({sit} from {uat} from {sit}). An environment owner must break it in promotesFrom."
        )),
        "{message}"
    );
    another_goes_on(&stage, "prod").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_component_cannot_be_edited_once_an_environment_has_been_entered() {
    let stage = Stage::new("edited").await;
    let name = stage
        .submit(harmless(&stage, "payments", "sit").into(&["sit", "uat"]))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let releases = Verdict::on::<Release>(admin().await, Some(stage.namespace()));
    let mut changed = harmless(&stage, "payments", "sit")
        .config("more", "ledger-config-2", json!({ "A": "b" }))
        .json();
    changed["spec"] = json!({ "components": changed["spec"]["components"] });
    releases
        .refuses_change(
            &name,
            changed,
            "components are immutable once an environment has been entered: create a Release of a new version",
        )
        .await;
    let goes_on = stage.reaches(&name, "uat", State::Succeeded).await;
    assert_eq!(
        state_of(&goes_on, &stage.environment("sit")),
        Some(State::Succeeded)
    );
    stage.finish().await;
}

#[tokio::test]
async fn duplicate_names_and_values_that_are_too_long_are_refused() {
    let stage = Stage::new("lengths").bare().await;
    let releases = Verdict::on::<Release>(admin().await, Some(stage.namespace()));
    let sound = || harmless(&stage, "payments", "sit");
    let long = |n: usize| "x".repeat(n);
    for (release, sentence) in [
        (
            sound().config("config", "other", json!({ "A": "b" })).json(),
            "spec.components[1]: Duplicate value: {\"name\":\"config\"}",
        ),
        (
            sound().into(&["sit", "sit"]).json(),
            "spec.environments[1]: Duplicate value",
        ),
        (
            sound().named(&long(64)).json(),
            "metadata.name must be at most 63 characters",
        ),
        (
            sound().product(&long(64)).json(),
            "spec.product: Too long: may not be more than 63 bytes",
        ),
        (
            sound().with("/spec/change/reason", long(5_000)).json(),
            "spec.change.reason: Too long: may not be more than",
        ),
        (
            sound().with("/spec/components/0/name", long(64)).json(),
            "spec.components[0].name: Too long: may not be more than",
        ),
        (
            sound().with("/spec/environments/0", long(64)).json(),
            "spec.environments[0]: Too long: may not be more than 63 bytes",
        ),
    ] {
        let message = releases.refusal(release).await;
        assert!(message.contains(sentence), "{message}");
    }
    let environments = Verdict::on::<Environment>(admin().await, None);
    let with = |name: &str, field: &str, value: Value| {
        let mut environment = json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment",
            "metadata": { "name": name },
            "spec": { "stage": "SIT", "namespace": "{namespace}-sit" },
        });
        environment["spec"][field] = value;
        environment
    };
    let soak = json!({ "name": "soak", "soak": { "environment": "sit", "duration": "1h" } });
    let window =
        json!({ "name": "w", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2027-01-04T00:00:00Z" });
    let backwards =
        json!({ "name": "w", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2026-12-18T00:00:00Z" });
    for (environment, sentence) in [
        (
            with("production", "gates", json!([soak, soak])),
            "spec.gates[1]: Duplicate value: {\"name\":\"soak\"}",
        ),
        (
            with("production", "windows", json!([window, window])),
            "spec.windows[1]: Duplicate value: {\"name\":\"w\"}",
        ),
        (
            with("production", "windows", json!([backwards])),
            "a window's from must be before its to",
        ),
        (
            with("production", "namespace", json!(long(254))),
            "spec.namespace: Too long: may not be more than",
        ),
    ] {
        let message = environments.refusal(environment).await;
        assert!(message.contains(sentence), "{message}");
    }
    stage.finish().await;
}
