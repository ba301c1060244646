//! What people get wrong, and what strangers do: each is said on status, or refused by the API server, in a sentence that
//! says what to do. Nothing of it stops another release, and none of it loses a claim or a pre-state.

mod decisions;
mod environments;
mod manifests;
mod occupied;
mod strangers;
mod targets;

use std::time::Duration;

use kube::Api;
use serde_json::json;
use signalbox::api::release::{Check, State};
use signalbox::api::{Environment, Release};

use crate::kit::{ReleaseBuilder, Stage, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// Promotes a healthy release of another product into `short`: whatever is wrong elsewhere does not stop it.
async fn another_goes_on(stage: &Stage, short: &str) {
    let release = stage
        .release("1.0.0")
        .product("another")
        .named("another")
        .into(&[short])
        .with("/spec/deploymentPlan/documentURL", "https://example.com/plans/1")
        .config("config", "ledger-config", json!({ "ANOTHER": "on" }));
    let name = stage.submit_as_admin(release).await;
    stage.reaches(&name, short, State::Succeeded).await;
}

/// The sentence on the condition `kind` of a Release, once it is `status`.
async fn says(stage: &Stage, release: &str, kind: &str, status: &str) -> (String, String) {
    let release = wait_until(&stage.api::<Release>(), release, LONG, |release| {
        condition(release, kind).is_some_and(|(is, ..)| is == status)
    })
    .await;
    let (_, reason, message) = condition(&release, kind).unwrap();
    (reason, message)
}

fn condition(release: &Release, kind: &str) -> Option<(String, String, String)> {
    let conditions = &release.status.as_ref()?.conditions;
    let found = conditions.iter().find(|c| c.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

/// The check `name` of the promotion into `short`, once its reason is `reason`.
async fn check(stage: &Stage, release: &str, short: &str, name: &str, reason: &str) -> Check {
    let environment = stage.environment(short);
    let find = |release: &Release| {
        let checks = &release.promotion(&environment)?.checks;
        checks
            .iter()
            .find(|c| c.name == name && c.reason == reason)
            .cloned()
    };
    let release = wait_until(&stage.api::<Release>(), release, LONG, |r| find(r).is_some()).await;
    find(&release).unwrap()
}

/// What the promotion into `short` says, once that contains `sentence`.
async fn promotion_says(stage: &Stage, release: &str, short: &str, sentence: &str) -> Release {
    let environment = stage.environment(short);
    wait_until(&stage.api::<Release>(), release, LONG, |release| {
        let promotion = release.promotion(&environment);
        promotion
            .and_then(|p| p.says())
            .is_some_and(|says| says.contains(sentence))
    })
    .await
}

/// The Environment's condition Ready, once it is False.
async fn not_ready(stage: &Stage, short: &str) -> (String, String) {
    let environments: Api<Environment> = Api::all(stage.client());
    let ready = |environment: &Environment| {
        let conditions = &environment.status.as_ref()?.conditions;
        conditions.iter().find(|c| c.type_ == "Ready").cloned()
    };
    let environment = wait_until(&environments, &stage.environment(short), LONG, |e| {
        ready(e).is_some_and(|c| c.status == "False")
    })
    .await;
    let ready = ready(&environment).unwrap();
    (ready.reason, ready.message)
}

/// A Release of `product` into `short` that sets a key of the ConfigMap.
fn harmless(stage: &Stage, product: &str, short: &str) -> ReleaseBuilder {
    stage.release("1.0.0").product(product).into(&[short]).config(
        "config",
        "ledger-config",
        json!({ "FEATURE_X": "on" }),
    )
}
