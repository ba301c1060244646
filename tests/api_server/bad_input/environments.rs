//! Environments with windows or expressions that cannot be evaluated: reported on the Environment, and on the Releases that wait for it.

use serde_json::{Value, json};
use signalbox::api::EnvironmentSpec;
use signalbox::api::release::{CheckState, State};

use super::{another_goes_on, check, harmless, not_ready};
use crate::kit::{Stage, expression_gate};

fn opens(
    name: &'static str,
    schedule: &'static str,
    time_zone: &'static str,
) -> impl FnOnce(&mut EnvironmentSpec) + Send {
    move |environment| {
        environment.promotes_from = None;
        environment.windows = windows(json!([{
            "name": name, "kind": "Allow", "schedule": schedule, "duration": "2h", "timeZone": time_zone,
        }]));
    }
}

fn windows<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("windows")
}

#[tokio::test]
async fn a_window_that_cannot_be_understood_counts_as_closed_and_is_said_on_the_environment() {
    let stage = Stage::new("windows")
        .with("uat", opens("tuesdays", "0 18 * * TUE", "Europe/Lodnon"))
        .with("prod", opens("never", "0 18 30 2 *", "Europe/London"))
        .await;
    let zone = stage.submit(harmless(&stage, "zone", "uat")).await;
    let never = stage.submit(harmless(&stage, "never", "prod")).await;
    for (release, short, sentence) in [
        (
            &zone,
            "uat",
            r#"Window "tuesdays" counts as closed: the time zone "Europe/Lodnon" is unknown; write a name like Europe/London"#,
        ),
        (
            &never,
            "prod",
            r#"Window "never" counts as closed: the schedule "0 18 30 2 *" never fires"#,
        ),
    ] {
        let (reason, message) = not_ready(&stage, short).await;
        assert_eq!(reason, "WindowInvalid");
        assert!(message.contains(sentence), "{message}");
        let check = check(&stage, release, short, "WindowOpen", "WindowInvalid").await;
        assert!(check.message.contains(sentence), "{}", check.message);
    }
    another_goes_on(&stage, "sit").await;
    stage.finish().await;
}

#[tokio::test]
async fn an_expression_that_cannot_hold_is_unknown_and_never_go() {
    let stage = Stage::new("cel")
        .with("uat", |uat| {
            uat.promotes_from = None;
            uat.gates = vec![expression_gate("policy", "release.spec.components.size( > 3")];
        })
        .with("prod", |prod| {
            prod.promotes_from = None;
            prod.gates = vec![expression_gate("policy", "release.spec.colour == 'green'")];
        })
        .await;
    let syntax = stage.submit(harmless(&stage, "syntax", "uat")).await;
    let field = stage.submit(harmless(&stage, "field", "prod")).await;
    let (reason, message) = not_ready(&stage, "uat").await;
    assert_eq!(reason, "ExpressionInvalid");
    assert!(
        message.contains(r#"policy: passWhen "release.spec.components.size( > 3" cannot be evaluated: "#),
        "{message}"
    );
    for (release, short) in [(&syntax, "uat"), (&field, "prod")] {
        let check = check(&stage, release, short, "policy", "ExpressionUnknown").await;
        assert_eq!(check.state, CheckState::Unknown);
        assert!(
            check.message.starts_with("The expression has no result: "),
            "{}",
            check.message
        );
        assert!(
            check
                .message
                .contains(". Ask the environment's owner to correct it: `"),
            "{}",
            check.message
        );
    }
    another_goes_on(&stage, "sit").await;
    stage.finish().await;
}

#[tokio::test]
async fn an_environment_that_is_corrected_lets_its_releases_in() {
    let stage = Stage::new("corrected")
        .with("sit", opens("tuesdays", "0 18 * * TUE", "Europe/Lodnon"))
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let name = stage.submit(harmless(&stage, "payments", "sit")).await;
    check(&stage, &name, "sit", "WindowOpen", "WindowInvalid").await;
    let environments: kube::Api<signalbox::api::Environment> = kube::Api::all(stage.client());
    let open = json!({ "spec": { "windows": [] } });
    environments
        .patch(
            &stage.environment("sit"),
            &Default::default(),
            &kube::api::Patch::Merge(open),
        )
        .await
        .unwrap();
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}
