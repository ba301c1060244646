//! Only Releases that a target namespace accepts enter it. An Environment alone cannot admit Releases to the namespace of another team.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use signalbox::api::environment::EnvironmentSpec;
use signalbox::api::release::{CheckState, State};
use signalbox::api::{ACCEPT, Action, Environment};

use crate::acting::{LONG, check, observed};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, as_person, user_name, wait_until};

const DEPLOYER: &str = "signalbox-deployer";

/// Sets the annotation on the deployer of a target, as the admin of the cluster; `None` is no annotation.
async fn accepts(stage: &Stage, short: &str, text: Option<&str>) {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { (ACCEPT): text } } }));
    let accounts = stage.in_target::<ServiceAccount>(short);
    let patched = accounts.patch(DEPLOYER, &PatchParams::default(), &patch).await;
    patched.expect("the deployer is there");
}

/// The same for the Namespace.
async fn namespace_accepts(stage: &Stage, short: &str, text: Option<&str>) {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { (ACCEPT): text } } }));
    let namespaces: Api<Namespace> = Api::all(stage.client());
    let patched = namespaces
        .patch(&stage.target(short), &PatchParams::default(), &patch)
        .await;
    patched.expect("the namespace is there");
}

/// `person` becomes admin of a target namespace and consents there with the command in the message.
async fn its_admin_accepts(stage: &Stage, short: &str, person: &str, text: &str) {
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": format!("{person}-is-admin") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user_name(person) }],
    }))
    .unwrap();
    let bindings = stage.in_target::<RoleBinding>(short);
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(as_person(person).await, &stage.target(short));
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { (ACCEPT): text } } }));
    let consents = async {
        loop {
            match accounts.patch(DEPLOYER, &PatchParams::default(), &patch).await {
                // The authorizer follows the binding a moment later.
                Err(kube::Error::Api(status)) if status.code == 403 => tokio::task::yield_now().await,
                other => break other.expect("an admin of the namespace is allowed to"),
            }
        }
    };
    tokio::time::timeout(LONG, consents).await.expect("in time");
}

#[tokio::test]
async fn releases_of_another_tenant_get_in_where_and_by_which_environment_the_namespace_accepts_them() {
    let owner = Stage::new("consent-owner").await;
    let target = owner.target("sit");
    let leads_there = |target: String| {
        move |spec: &mut EnvironmentSpec| {
            spec.namespace = target;
            spec.promotes_from = None;
        }
    };
    let guest = Stage::new("consent-guest")
        .with("sit", leads_there(target.clone()))
        .with("uat", leads_there(target.clone()))
        .await;
    let into = |product: &str, short: &str| {
        let release = guest
            .release("1.0")
            .product(product)
            .named(product)
            .into(&[short]);
        release.image("ledger", IMAGE)
    };
    let by_sit = guest.submit(into("by-sit", "sit")).await;
    let by_uat = guest.submit(into("by-uat", "uat")).await;
    let entry = format!("{}/{}", guest.namespace(), guest.environment("sit"));
    let refused = guest
        .until_check(&by_sit, "sit", "TargetsAllowed", "NotAccepted")
        .await;
    assert_eq!(refused.state, CheckState::Failed);
    assert_eq!(
        refused.message,
        format!(
            "Namespace {target} does not accept Releases of namespace {} through Environment {}: the annotation signalbox.dev/accept of \
             ServiceAccount {DEPLOYER} in {target} does not list {entry}. To consent, the owner of the namespace adds it with \
             `kubectl --namespace {target} edit serviceaccount {DEPLOYER}`.",
            guest.namespace(),
            guest.environment("sit"),
        )
    );
    guest
        .until_check(&by_uat, "uat", "TargetsAllowed", "NotAccepted")
        .await;
    assert_eq!(owner.image("sit").await, IMAGE_BEFORE);

    its_admin_accepts(&owner, "sit", "carl", &format!("{}, {entry}", owner.namespace())).await;
    guest.reaches(&by_sit, "sit", State::Succeeded).await;
    assert_eq!(owner.image("sit").await, IMAGE);
    let held = guest
        .until_check(&by_uat, "uat", "TargetsAllowed", "NotAccepted")
        .await;
    let other = format!("does not list {}/{}", guest.namespace(), guest.environment("uat"));
    assert!(held.message.contains(&other), "{}", held.message);
    guest.finish().await;
    owner.finish().await;
}

#[tokio::test]
async fn an_environment_says_which_others_lead_to_its_targets() {
    let owner = Stage::new("shared-owner").only(&["sit"]).await;
    let (sit, target) = (owner.environment("sit"), owner.target("sit"));
    let environments: Api<Environment> = Api::all(owner.client());
    let alone = wait_until(&environments, &sit, LONG, |e| {
        e.status
            .as_ref()
            .is_some_and(|s| s.conditions.iter().any(|c| c.type_ == "Ready"))
    })
    .await;
    assert!(
        alone
            .status
            .unwrap()
            .conditions
            .iter()
            .all(|c| c.type_ != "SharedTargets")
    );
    let guest = Stage::new("shared-guest")
        .only(&["sit"])
        .with("sit", {
            let target = target.clone();
            move |spec| spec.namespace = target
        })
        .await;
    let told = |e: &Environment| {
        let conditions = &e.status.as_ref()?.conditions;
        let found = conditions.iter().find(|c| c.type_ == "SharedTargets")?;
        Some((found.status.clone(), found.reason.clone(), found.message.clone()))
    };
    let now = wait_until(&environments, &sit, LONG, |e| told(e).is_some()).await;
    let other = guest.environment("sit");
    let sentence = format!(
        "Other Environments have the same target namespaces for other Release namespaces, or with weaker controls (1, see sharedTargets): {other}."
    );
    assert_eq!(
        told(&now),
        Some(("True".to_owned(), "OtherTenants".to_owned(), sentence))
    );
    let shared = now.status.unwrap().shared_targets;
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].environment, other);
    assert_eq!(
        shared[0].message,
        format!(
            "Environment {other} also deploys Releases of other namespaces there, for example those of {} to {target}, where this \
             Environment deploys those of {}.",
            guest.namespace(),
            owner.namespace(),
        )
    );
    guest.finish().await;
    wait_until(&environments, &sit, LONG, |e| told(e).is_none()).await;
    owner.finish().await;
}

#[tokio::test]
async fn what_says_nothing_or_cannot_be_read_accepts_nobody_and_the_namespaces_word_counts_too() {
    let stage = Stage::new("consent-said").only(&["sit"]).await;
    accepts(&stage, "sit", None).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let (target, own) = (stage.target("sit"), stage.namespace());
    let entry = format!("{own}/{}", stage.environment("sit"));
    let refused = stage
        .until_check(&name, "sit", "TargetsAllowed", "NotAccepted")
        .await;
    assert_eq!(
        refused.message,
        format!(
            "Namespace {target} does not accept Releases of namespace {own} through Environment {}: neither the Namespace nor its \
             ServiceAccount {DEPLOYER} lists {entry} in the annotation signalbox.dev/accept. To consent, the owner of the namespace \
             runs `kubectl --namespace {target} annotate serviceaccount {DEPLOYER} signalbox.dev/accept={entry}`.",
            stage.environment("sit"),
        )
    );
    let long = format!("{own},{}", "x".repeat(5000));
    for (text, says) in [
        (format!("{own},,{entry}"), "it has an empty entry"),
        (format!("{entry}/x"), "must be the name of a Release namespace"),
        (format!("{own},Payments"), "entry \"Payments\" must be"),
        (format!("{own},*/sit"), "entry \"*/sit\" must be"),
        (long, "at most 4096 are allowed"),
    ] {
        namespace_accepts(&stage, "sit", Some(&text)).await;
        let told = |message: &str| {
            message.contains(&format!("of Namespace {target} cannot be read")) && message.contains(says)
        };
        stage
            .until(&name, "sit", |p| {
                p.state == State::Waiting && check(p, "TargetsAllowed").is_some_and(|c| told(&c.message))
            })
            .await;
    }
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    namespace_accepts(&stage, "sit", Some(&format!(" {entry} "))).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn consent_that_is_withdrawn_stops_nothing_that_is_in_and_no_backout() {
    let stage = Stage::new("consent-gone").with("sit", observed(600)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    accepts(&stage, "sit", Some("")).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    let next = stage
        .submit(
            stage
                .release("1.1")
                .named("next")
                .into(&["sit"])
                .image("ledger", IMAGE),
        )
        .await;
    stage
        .until_check(&next, "sit", "TargetsAllowed", "NotAccepted")
        .await;
    stage.finish().await;
}
