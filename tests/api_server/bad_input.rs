//! Mistakes of users, and changes by others: each is reported in status, or refused by the API server, with a message that says what
//! to do. None of them stops another release, and none of them loses a claim or a pre-state.

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

/// Promotes a healthy release of another product into `short`. The mistake elsewhere does not stop it.
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

/// Waits until the condition `kind` of a Release is `status`, and returns its message.
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

/// Waits until the check `name` of the promotion into `short` has this reason, and returns it.
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

/// Waits until the message of the promotion into `short` contains `sentence`, and returns it.
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

/// Waits until the Environment's condition Ready is False, and returns it.
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
