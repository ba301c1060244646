//! A Decision whose author was not verified never counts, at whatever time the operator reads it.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::release::{Check, CheckState, State};
use signalbox::api::{Action, Release, reasons};

use crate::kit::{
    IMAGE, IMAGE_BEFORE, Process, Stage, admin, approval_gate, as_person, decision, refused, state_of,
    wait_until,
};

const LONG: Duration = Duration::from_secs(60);
/// The three seconds of `--policy-settle`, and one for rounding.
const SETTLED: SignedDuration = SignedDuration::from_secs(4);
const BINDING: &str = "signalbox-decision";

/// The binding of a policy.
struct Bound {
    name: String,
    api: Api<ValidatingAdmissionPolicyBinding>,
    kept: ValidatingAdmissionPolicyBinding,
}

impl Bound {
    async fn now(name: &str) -> Self {
        let api: Api<ValidatingAdmissionPolicyBinding> = Api::all(admin().await);
        let mut kept = api.get(name).await.expect("the chart's binding");
        kept.metadata.managed_fields = None;
        (kept.metadata.resource_version, kept.metadata.uid) = (None, None);
        let name = name.to_owned();
        Self { name, api, kept }
    }

    async fn deleted(&self) {
        self.api
            .delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    async fn created_again(&self) {
        self.api.create(&PostParams::default(), &self.kept).await.unwrap();
    }

    /// The policy only warns, so all requests pass.
    async fn acts(&self, actions: Value) {
        let change = Patch::Merge(json!({ "spec": { "validationActions": actions } }));
        self.api
            .patch(&self.name, &PatchParams::default(), &change)
            .await
            .unwrap();
    }
}

/// Approves in bob's name as another user, as soon as the API server accepts that.
async fn forge(stage: &Stage, release: &str, hash: &str) {
    let forged = decision(Action::Approve, release, &stage.environment("sit"))
        .named("forged")
        .at_gate("board", "board", hash)
        .build();
    let decisions = Api::namespaced(as_person("mallory").await, stage.namespace());
    // The API server follows its policies a moment later. There is no event for that.
    while let Err(error) = decisions.create(&PostParams::default(), &forged).await {
        assert!(error.to_string().contains("spec.by"), "{error}");
        tokio::task::yield_now().await;
    }
}

/// Returns when mallory can no longer write in bob's name.
async fn until_vouched_for(stage: &Stage, release: &str, hash: &str) {
    let forged = decision(Action::Approve, release, &stage.environment("sit"))
        .at_gate("board", "board", hash)
        .build();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let decisions = Api::namespaced(as_person("mallory").await, stage.namespace());
    loop {
        let answer = decisions.create(&dry_run, &forged).await;
        if answer.is_err() {
            let said = refused(answer);
            assert!(said.contains("spec.by"), "{said}");
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn board(stage: &Stage, release: &str, holds: impl Fn(&Check) -> bool + Send + Sync) -> Check {
    let environment = stage.environment("sit");
    let of = |release: &Release| {
        let promotion = release.promotion(&environment)?;
        promotion.checks.iter().find(|c| c.name == "board").cloned()
    };
    let seen = wait_until(&stage.api::<Release>(), release, LONG, |r| {
        of(r).is_some_and(|c| holds(&c))
    })
    .await;
    of(&seen).expect("it was there")
}

/// No release was admitted, and nothing was changed.
async fn kept_out(stage: &Stage, release: &str) {
    let seen = stage.api::<Release>().get(release).await.unwrap();
    assert_eq!(state_of(&seen, &stage.environment("sit")), Some(State::Waiting));
    let ledger: k8s_openapi::api::apps::v1::Deployment = stage.in_target("sit").get("ledger").await.unwrap();
    let image = ledger.spec.unwrap().template.spec.unwrap().containers[0]
        .image
        .clone();
    assert_eq!(image.as_deref(), Some(IMAGE_BEFORE));
}

async fn forged_while(case: &str, unbind: impl AsyncFnOnce(&Bound), bind: impl AsyncFnOnce(&Bound)) {
    let folder = tempfile::tempdir().unwrap();
    let operator = Process::start("first", folder.path()).await;
    let stage = Stage::new(case)
        .with("sit", |spec| {
            spec.gates = vec![approval_gate("board", "board", 1)]
        })
        .await;
    stage.grant("bob", "approve", "environments/board", "").await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let hash = stage.plan_hash(&name, "sit").await;
    board(&stage, &name, |c| c.reason == reasons::APPROVALS_MISSING).await;

    let bound = Bound::now(BINDING).await;
    unbind(&bound).await;
    forge(&stage, &name, &hash).await;
    let unknown = board(&stage, &name, |c| c.reason == reasons::NOT_VOUCHED_FOR).await;
    assert_eq!(unknown.state, CheckState::Unknown);
    assert!(unknown.message.contains(BINDING), "{}", unknown.message);
    bind(&bound).await;
    let bound_at = clock(&stage).await;
    until_vouched_for(&stage, &name, &hash).await;
    let of_bob = |c: &Check| c.reason == reasons::APPROVALS_MISSING && c.message.contains("does not count");
    board(&stage, &name, of_bob).await;
    kept_out(&stage, &name).await;

    // A new operator comes to the same conclusion. The hold is its first reconcile.
    operator.terminated().await;
    let operator = Process::start("second", folder.path()).await;
    stage.merge(&name, json!({ "spec": { "hold": {} } })).await;
    let environment = stage.environment("sit");
    wait_until(&stage.api::<Release>(), &name, LONG, |r| {
        r.promotion(&environment)
            .and_then(|p| p.message.as_ref())
            .is_some_and(|m| m.contains("Held"))
    })
    .await;
    stage.merge(&name, json!({ "spec": { "hold": null } })).await;
    wait_until(&stage.api::<Release>(), &name, LONG, |r| {
        let promotion = r.promotion(&environment);
        promotion.is_some_and(|p| !p.message.as_ref().is_some_and(|m| m.contains("Held")))
    })
    .await;
    board(&stage, &name, of_bob).await;
    kept_out(&stage, &name).await;

    // bob's own approval counts when it is that much younger than the binding.
    settled(&stage, bound_at).await;
    let own = decision(Action::Approve, &name, &environment)
        .at_gate("board", "board", &hash)
        .build();
    stage.create_as("bob", &own).await.expect("entitled");
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
    operator.terminated().await;
}

/// Returns when a new object is that much younger than the one that was written at `bound_at`.
async fn settled(stage: &Stage, bound_at: Timestamp) {
    while clock(stage).await < bound_at + SETTLED {
        tokio::task::yield_now().await;
    }
}

/// The clock of the API server, with which ages are counted.
async fn clock(stage: &Stage) -> Timestamp {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let probe: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "clock" } })).unwrap();
    let probe = stage.api::<ConfigMap>().create(&dry_run, &probe).await.unwrap();
    probe.creation_timestamp().expect("a time").0
}

#[tokio::test]
async fn while_the_binding_was_gone() {
    forged_while(
        "unbound",
        async |bound| bound.deleted().await,
        async |bound| bound.created_again().await,
    )
    .await;
}

#[tokio::test]
async fn while_the_binding_only_audited() {
    forged_while(
        "audited",
        async |bound| bound.acts(json!(["Audit"])).await,
        async |bound| bound.acts(json!(["Deny"])).await,
    )
    .await;
}

/// The chart's policies, by the names of their files.
fn policies() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/signalbox/files/policies");
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| {
        file.unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    });
    names.collect()
}

#[tokio::test]
async fn no_decision_counts_while_any_of_the_policies_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Process::start("missing", folder.path()).await;
    let stage = Stage::new("missing")
        .with("sit", |spec| {
            spec.gates = vec![approval_gate("board", "board", 1)]
        })
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    board(&stage, &name, |c| c.reason == reasons::APPROVALS_MISSING).await;
    let policies = policies();
    assert_eq!(policies.len(), 11);
    for policy in policies {
        let bound = Bound::now(&policy).await;
        bound.deleted().await;
        let missing = format!("ValidatingAdmissionPolicyBinding {policy} is missing");
        let unknown = |c: &Check| c.reason == reasons::NOT_VOUCHED_FOR && c.message.contains(&missing);
        board(&stage, &name, unknown).await;
        bound.created_again().await;
        board(&stage, &name, |c| !c.message.contains(&missing)).await;
    }
    // The tests after this one need approvals immediately.
    settled(&stage, clock(&stage).await).await;
    kept_out(&stage, &name).await;
    stage.finish().await;
    operator.terminated().await;
}
