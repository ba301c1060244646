//! Validation of new Releases.

use serde_json::{Value, json};
use signalbox::api::Release;

use crate::kit::{IMAGE, ReleaseBuilder, Stage, kubectl, release};
use crate::verdict::Verdict;

fn sound() -> ReleaseBuilder {
    release("2026.11.1")
        .into(&["sit", "uat"])
        .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
        .image("ledger", IMAGE)
        .after(&["config"])
        .restart_on(&["config"])
}

fn config(name: &str) -> Value {
    json!({
        "name": name,
        "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": name },
        "patch": { "data": { "key": "value" } },
    })
}

#[tokio::test]
async fn links_are_web_addresses() {
    let stage = Stage::new("release-links").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    let sound = || {
        sound()
            .with("/spec/source", json!({ "revision": "4f2a9c1" }))
            .with("/spec/deploymentPlan", json!({ "summary": "Config first." }))
            .with("/spec/backoutPlan", json!({ "summary": "Restore." }))
    };
    for pointer in [
        "/spec/deploymentPlan/documentURL",
        "/spec/backoutPlan/documentURL",
        "/spec/source/notesURL",
    ] {
        for link in ["https://example.com/plans/1?a=b#c", "http://wiki.example.com", ""] {
            releases.accepts(sound().with(pointer, link).json()).await;
        }
        for link in [
            "javascript:alert(1)",
            "ftp://example.com/x",
            "example.com",
            "https://",
            "https://a b",
            " https://a",
        ] {
            let release = sound().named("r").with(pointer, link).json();
            releases
                .refuses(release, "must be a URL that begins with https:// or http://")
                .await;
        }
    }
    stage.finish().await;
}

#[tokio::test]
async fn names_versions_and_durations_are_refused_with_a_sentence() {
    let stage = Stage::new("release-words").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    releases.accepts(sound().json()).await;

    for version in ["1", "2026.11.1", "1.4.0-rc.1", "1.2.3.4.5.6"] {
        releases
            .accepts(sound().with("/spec/version", version).json())
            .await;
    }
    for version in ["v1", "1.", "1.2.3.4.5.6.7", "1.0 ", "latest", "1-"] {
        let release = sound().named("r").with("/spec/version", version).json();
        releases
            .refuses(
                release,
                "must be dotted numbers with an optional pre-release, like 2026.11.1",
            )
            .await;
    }
    for duration in ["0s", "721h", "10", "1d", "5m1h", "-5m", ""] {
        let release = sound().with("/spec/components/1/readyWithin", duration).json();
        releases
            .refuses(
                release,
                "must be a duration from 1s to 720h, like 90s, 10m or 1h30m",
            )
            .await;
    }
    for (pointer, value, sentence) in [
        (
            "/spec/product",
            "pay ments",
            r#"spec.product: Invalid value: "pay ments": must be letters, digits"#,
        ),
        (
            "/spec/line",
            "-main",
            r#"spec.line: Invalid value: "-main": must be letters, digits"#,
        ),
        (
            "/spec/components/0/name",
            "Config",
            r#"spec.components[0].name: Invalid value: "Config": must be lower-case letters, digits and dashes"#,
        ),
    ] {
        // No component comes after a component with another name.
        let release = sound()
            .named("r")
            .without("/spec/components/1/after")
            .without("/spec/components/1/restartOn")
            .with(pointer, value)
            .json();
        releases.refuses(release, sentence).await;
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_component_names_earlier_components_only() {
    let stage = Stage::new("release-order").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    for (field, sentence) in [
        (
            "after",
            "after can name only components that are earlier in the list",
        ),
        (
            "restartOn",
            "restartOn can name only components that are earlier in the list",
        ),
    ] {
        for (index, name) in [(0, "ledger"), (0, "config"), (1, "ledger"), (1, "absent")] {
            let pointer = format!("/spec/components/{index}/{field}");
            let release = sound().with(&pointer, json!([name])).json();
            releases.refuses(release, sentence).await;
        }
    }
    stage.finish().await;
}

#[tokio::test]
async fn what_stands_twice_is_named() {
    let stage = Stage::new("release-twice").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    for (release, sentence) in [
        (
            sound().component(config("config")),
            r#"spec.components[2]: Duplicate value: {"name":"config"}"#,
        ),
        (
            sound().into(&["sit", "sit"]),
            r#"spec.environments[1]: Duplicate value: "sit""#,
        ),
        (
            sound().with(
                "/spec/schedule",
                json!([{ "environment": "sit" }, { "environment": "sit" }]),
            ),
            r#"spec.schedule[1]: Duplicate value: {"environment":"sit"}"#,
        ),
    ] {
        releases.refuses(release.json(), sentence).await;
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_component_says_what_changes_and_a_plan_ends_after_it_starts() {
    let stage = Stage::new("release-sense").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    let nothing =
        json!({ "name": "idle", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "idle" } });
    releases
        .refuses(
            sound().component(nothing).json(),
            "a component must say what changes: patch, images, remove, overrides or restartOn",
        )
        .await;
    let backwards =
        json!([{ "environment": "sit", "start": "2026-11-24T20:00:00Z", "end": "2026-11-24T18:00:00Z" }]);
    releases
        .refuses(
            sound().with("/spec/schedule", backwards).json(),
            "start must be before end",
        )
        .await;
    stage.finish().await;
}

#[tokio::test]
async fn null_is_absent() {
    let stage = Stage::new("release-null").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    let stored = releases
        .accepts(
            sound()
                .with("/spec/hold", Value::Null)
                .with("/spec/withdrawn", Value::Null)
                .with("/spec/line", Value::Null)
                .with("/spec/backoutPlan", Value::Null)
                .json(),
        )
        .await;
    let spec = &stored["spec"];
    assert_eq!(spec["line"], "main");
    for field in ["hold", "withdrawn", "backoutPlan"] {
        assert!(spec.get(field).is_none(), "{field} is {}", spec[field]);
    }
    stage.finish().await;
}

#[tokio::test]
async fn too_much_of_anything_is_refused() {
    let stage = Stage::new("release-much").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    let names = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>();
    let components = names(65).iter().map(|name| config(name)).collect::<Vec<_>>();
    for (pointer, value, field) in [
        ("/spec/components", json!(components), "spec.components"),
        ("/spec/components", json!([]), "spec.components"),
        ("/spec/environments", json!(names(9)), "spec.environments"),
        ("/spec/environments", json!([]), "spec.environments"),
        (
            "/spec/components/0/remove",
            json!(names(33)),
            "spec.components[0].remove",
        ),
        (
            "/spec/backoutPlan/summary",
            json!("x".repeat(1025)),
            "spec.backoutPlan.summary",
        ),
    ] {
        let release = sound().with(pointer, value).json();
        let message = releases.refusal(release).await;
        assert!(message.contains(field), "{message}");
        assert!(
            message.contains("Too many") || message.contains("Too long") || message.contains("at least 1"),
            "{message}"
        );
    }
    stage.finish().await;
}

/// 64 components, 8 environments, and all lists at their maximum are within the API server's cost budget for validation rules.
#[must_use]
pub fn largest() -> ReleaseBuilder {
    let environments: Vec<_> = (0..8)
        .map(|i| format!("environment-{i}-{}", "x".repeat(49)))
        .collect();
    let name = |i: usize| format!("component-{i:02}-{}", "x".repeat(50));
    let components: Vec<_> = (0..64)
        .map(|i: usize| {
            let before: Vec<_> = (i.saturating_sub(8)..i).map(name).collect();
            let overrides: Vec<_> = environments
                .iter()
                .map(|e| json!({ "environment": e, "patch": { "metadata": { "labels": { "for": "here" } } } }))
                .collect();
            let images: Vec<_> = (0..16)
                .map(|c| json!({ "container": format!("container-{c}"), "image": IMAGE }))
                .collect();
            let remove: Vec<_> = (0..32).map(|k| format!("/metadata/annotations/key-{k}")).collect();
            json!({
                "name": name(i),
                "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name(i) },
                "patch": { "metadata": { "labels": { "one": "two" } } },
                "images": images, "remove": remove, "overrides": overrides, "after": before, "restartOn": before,
            })
        })
        .collect();
    let schedule: Vec<_> = environments
        .iter()
        .map(|e| json!({ "environment": e, "start": "2026-11-24T18:00:00Z", "end": "2026-11-24T20:00:00Z" }))
        .collect();
    release("2026.11.1")
        .with("/spec/environments", environments)
        .with("/spec/components", components)
        .with("/spec/schedule", schedule)
}

#[tokio::test]
async fn the_largest_release_is_accepted() {
    let stage = Stage::new("release-large").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    releases.accepts(largest().json()).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_mistyped_field_is_named() {
    let stage = Stage::new("release-typo").bare().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let release = sound().with("/spec/enviroments", json!(["sit"])).json();
    std::fs::write(file.path(), release.to_string()).unwrap();
    let path = file.path().to_string_lossy();
    let (content, printed) = kubectl(&["apply", "-n", stage.namespace(), "-f", &path]);
    assert!(!content, "{printed}");
    assert!(
        printed.contains(r#"unknown field "spec.enviroments""#),
        "{printed}"
    );
    stage.finish().await;
}
