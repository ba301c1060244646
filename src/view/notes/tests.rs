//! What notes say, and that text of people is never markup and secrets are not shown.

use serde_json::{Value, json};

use crate::api::release::{ReviewState, ReviewStatus, State};
use crate::api::{Decision, Release, ReleaseReview};
use crate::decide::fixtures::{
    at, config, decision, image, ledger, promotion, release_of, review, sibling, succeeded,
};
use crate::view::golden::golden;
use crate::view::notes::{markdown, notes};

const HASH: &str = "v1:sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn written(
    release: &Release,
    others: &[Release],
    decisions: &[Decision],
    reviews: &[ReleaseReview],
) -> String {
    markdown(&notes(release, others, decisions, reviews))
}

/// A component that sets these fields of a Deployment.
fn with_patch(patch: Value) -> Value {
    json!({ "name": "web", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "patch": patch })
}

fn container(env: Value) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "env": env, "args": ["-v"] }] } } } })
}

fn older(version: &str, components: Value, state: State) -> Release {
    let mut release = release_of(&json!({ "version": version, "components": components }));
    release.metadata.name = Some(format!("payments-{version}"));
    release.status.get_or_insert_default().environments = vec![promotion("sit", state)];
    release
}

#[test]
fn the_notes_of_a_release() {
    let mut before = ledger();
    before["images"] = json!([{ "container": "app", "image": image("1") }]);
    let previous = older(
        "2026.10.1",
        json!([
            json!({ "name": "settings", "target": config()["target"], "patch": { "data": { "limit": "10", "mode": "slow" } } }),
            before,
            with_patch(container(
                json!([{ "name": "URL", "value": "https://one" }, { "name": "DB_PASSWORD", "value": "hunter1" }])
            )),
            json!({ "name": "old", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "old" }, "patch": { "data": { "a": "b" } } }),
        ]),
        State::Succeeded,
    );
    let mut configured = config();
    configured["overrides"] = json!([{ "environment": "production", "patch": { "data": { "limit": "50", "file": "a: 1\nb: 2\n" } } }]);
    configured["remove"] = json!(["/data/obsolete"]);
    let mut release = release_of(&json!({
        "change": { "reference": "CHG-1234", "reason": "Limits are too low." },
        "source": { "revision": "0a1b2c3", "notesURL": "https://example.com/notes?a=1&b=2" },
        "components": [
            configured, ledger(),
            with_patch(container(json!([{ "name": "URL", "value": "https://two" }, { "name": "DB_PASSWORD", "value": "hunter2" }]))),
            json!({ "name": "new", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "new" }, "patch": { "data": { "empty": "" } } }),
        ],
        "backoutPlan": { "summary": "Put back.", "owner": "olga@example.com", "documentURL": "https://wiki/backout" },
    }));
    let mut production = promotion("production", State::Waiting);
    production.plan_hash = HASH.to_owned();
    let status = release.status.get_or_insert_default();
    status.environments = vec![succeeded("sit", at("2026-11-23T10:00:00Z")), production];
    status.review = Some(Box::new(ReviewStatus {
        state: ReviewState::InProgress,
        due_at: Some(crate::api::time(at("2026-11-30T10:00:00Z"))),
        overdue: false,
        required_because: vec!["BackedOut".to_owned()],
        outcome: None,
        open_actions: Some(1),
        message: None,
    }));
    let approval = |hash: &str, by: &str| {
        let over =
            json!({ "subject": "board", "role": "release-board", "planHash": hash, "reason": "Tested." });
        decision("Approve", by, "production", at("2026-11-23T12:00:00Z"), over)
    };
    let decisions = [
        approval(HASH, "bob@example.com"),
        approval(&HASH.replace('1', "2"), "dan@example.com"),
    ];
    let actions = json!({ "actions": [{ "title": "Raise the limit earlier", "owner": "olga@example.com" }, { "title": "Done", "done": true }] });
    let text = written(
        &release,
        &[previous, release.clone()],
        &decisions,
        &[review("carol@example.com", actions)],
    );
    assert!(!text.contains("hunter"), "{text}");
    assert!(
        !text.contains("dan@example.com"),
        "an approval of another plan: {text}"
    );
    golden("notes/tests/release.md", &text);
}

#[test]
fn text_of_people_is_no_markup() {
    let odd = "<script>alert(1)</script> | `code` [a](javascript:b) **bold** \u{1b}[31m\u{202e}\n# Title\n- item &amp; ![x](y) ~~gone~~";
    let mut release = release_of(&json!({
        "requestedBy": odd,
        "change": { "reference": odd, "reason": odd },
        "source": { "revision": odd, "notesURL": "javascript:alert(1)" },
        "components": [json!({ "name": odd, "target": { "apiVersion": "v1", "kind": odd, "name": odd }, "patch": { "data": { "a|b": "<b>|`", (odd): odd } } })],
        "deploymentPlan": { "documentURL": "https://x/)>|<script>\"` &copy [y](z)\n" },
        "backoutPlan": { "summary": odd, "owner": odd, "documentURL": "data:text/html,x" },
    }));
    release.metadata.name = Some(odd.to_owned());
    release.spec.product = odd.to_owned();
    let status = release.status.get_or_insert_default();
    status.environments = vec![promotion(odd, State::Waiting)];
    let text = written(
        &release,
        &[],
        &[],
        &[review(
            odd,
            json!({ "release": odd, "actions": [{ "title": odd, "owner": odd }] }),
        )],
    );
    golden("notes/tests/hostile.md", &text);
    assert!(!text.contains(|c: char| c != '\n' && c.is_control()), "{text}");
    assert!(!text.contains('\u{202e}'));
    // What is left without what is escaped, and without what the notes themselves write.
    let mut rest = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            letter => rest.push(letter),
        }
    }
    assert!(!rest.contains("<script"), "{rest}");
    assert!(
        !rest.contains('`') && !rest.contains("**") && !rest.contains("~~") && !rest.contains("!["),
        "{rest}"
    );
    let links: Vec<&str> = rest.lines().filter(|line| line.contains("](")).collect();
    assert_eq!(
        links,
        ["- [Deployment plan](<https://x/%29%3E%7C%3Cscript%3E%22%60%20&amp;copy%20%5By%5D%28z%29%0A>)"]
    );
    let tables = rest.lines().filter(|line| line.starts_with('|'));
    assert!(
        tables.into_iter().all(|line| line.matches('|').count() == 4),
        "{rest}"
    );
    assert_eq!(
        rest.lines().filter(|line| line.starts_with("# ")).count(),
        1,
        "{rest}"
    );
    let heads = rest.lines().filter(|line| !line.is_empty());
    assert!(
        heads
            .into_iter()
            .all(|line| line.starts_with(['#', '-', '|']) || line.ends_with('.')),
        "{rest}"
    );
}

#[test]
fn what_may_be_secret_is_masked_at_any_depth() {
    let secret = |patch: Value| {
        let release = release_of(&json!({ "components": [with_patch(patch)] }));
        written(&release, &[], &[], &[])
    };
    for patch in [
        json!({ "data": { "db-password": "hunter2" } }),
        json!({ "data": { "API_KEY": "hunter2" } }),
        json!({ "stringData": { "accessToken": "hunter2" } }),
        json!({ "data": { "url": "postgres://app:hunter2@db/x" } }),
        json!({ "data": { "application.yaml": "user: x\npassword: hunter2\n" } }),
        json!({ "data": { "other": "one\nhunter2\n" } }),
        json!({ "data": { "pem": "-----BEGIN X----- hunter2" } }),
        json!({ "spec": { "password": { "deep": ["hunter2"] } } }),
        json!({ "spec": { "list": [{ "any": { "password": "hunter2" } }] } }),
        container(json!([{ "name": "DB_PASSWORD", "value": "hunter2" }])),
        // Two of one name: the list is one value.
        container(
            json!([{ "name": "DB_PASSWORD", "value": "hunter2" }, { "name": "DB_PASSWORD", "value": "x" }]),
        ),
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "args": ["--password=hunter2"] }] } } } }),
    ] {
        let text = secret(patch.clone());
        assert!(!text.contains("hunter2"), "{patch}: {text}");
    }
    assert!(secret(json!({ "data": { "limit": "20" } })).contains("| /data/limit | not set | 20 |"));
}

#[test]
fn the_previous_release_is_the_newest_that_ran() {
    let ours = release_of(&json!({}));
    let components = || json!([config()]);
    let ran = |version: &str| older(version, components(), State::Succeeded);
    let since = |others: &[Release]| {
        let found = notes(&ours, others, &[], &[]);
        found.previous.map(|release| release.spec.version.clone())
    };
    let failed = older("2026.11.0", components(), State::Failed);
    assert_eq!(
        since(&[ran("2026.9.1"), ran("2026.10.1"), failed, ran("2026.12.1")]).as_deref(),
        Some("2026.10.1")
    );
    assert_eq!(since(std::slice::from_ref(&ours)), None);
    let mut elsewhere = ran("2026.10.1");
    elsewhere.metadata.namespace = Some("elsewhere".to_owned());
    let mut other_line = ran("2026.10.1");
    other_line.spec.line = "1.x".to_owned();
    let mut other_product = ran("2026.10.1");
    other_product.spec.product = "billing".to_owned();
    assert_eq!(since(&[elsewhere, other_line, other_product]), None);
}

#[test]
fn the_same_again_is_said() {
    let ours = release_of(&json!({}));
    let before = sibling("2026.10.1", "r0", &[("sit", State::Succeeded)]);
    let text = written(&ours, &[before.as_ref().clone()], &[], &[]);
    assert_eq!(text.matches("It sets the same as before.").count(), 2, "{text}");
}
