//! The next Release, and the digests of what runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use serde_json::{Value, json};

use super::*;
use crate::api::release::State;
use crate::decide::fixtures::{DIGEST, image, ledger, release_of, sibling};

fn releases() -> Vec<Release> {
    let mut last = release_of(&json!({
        "version": "2026.11.10", "hold": { "reason": "x" }, "withdrawn": {}, "source": { "revision": "abc" },
        "schedule": [{ "environment": "uat", "start": "2026-11-24T18:00:00Z" }],
    }));
    last.metadata.name = Some("payments-2026.11.10".to_owned());
    last.status = Some(crate::api::ReleaseStatus::default());
    let older = sibling("2026.11.9", "r2", &[("sit", State::Succeeded)]);
    vec![(*older).clone(), last]
}

fn wanted<'a>(version: &'a str, images: &'a [Choice]) -> Wanted<'a> {
    Wanted {
        product: "payments",
        version,
        images,
        reference: Some("CHG1"),
        reason: Some("because"),
        user: "alice@example.com",
        ..Wanted::default()
    }
}

fn choices(words: &[&str]) -> Vec<Choice> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn refused(releases: &[Release], wanted: &Wanted<'_>) -> String {
    next(releases, wanted, &Running::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn the_last_release_is_copied_with_another_version_and_image() {
    let images = choices(&[&format!("ledger={}", image("3"))]);
    let made = next(
        &releases(),
        &wanted("2026.12.1-rc.1", &images),
        &Running::default(),
    )
    .unwrap();
    let mut spec = releases()[1].spec.clone();
    spec.version = "2026.12.1-rc.1".to_owned();
    spec.requested_by = "alice@example.com".to_owned();
    spec.change.reference = Some("CHG1".to_owned());
    spec.change.reason = Some("because".to_owned());
    (spec.hold, spec.withdrawn, spec.source) = (None, None, None);
    spec.schedule = vec![];
    spec.components[1].images[0].image = image("3");
    assert_eq!(made.spec, spec);
    assert_eq!(made.status, None);
    assert_eq!(made.metadata.name.as_deref(), Some("payments-2026.12.1-rc.1"));
    let text = manifest(&made).unwrap();
    let order = [
        "apiVersion:",
        "kind:",
        "metadata:",
        "spec:",
        "  product:",
        "  version:",
        "  components:",
    ];
    let places: Vec<Option<usize>> = order.iter().map(|key| text.find(&format!("\n{key}"))).collect();
    assert!(text.starts_with(order[0]) && places[1..].is_sorted(), "{text}");
    assert!(
        places[1..].iter().all(Option::is_some) && !text.contains("status"),
        "{text}"
    );
    assert_eq!(serde_yaml_ng::from_str::<Release>(&text).unwrap(), made);
}

#[test]
fn another_release_can_be_copied() {
    let from = Wanted {
        from: Some("payments-2026.11.9"),
        ..wanted("2026.11.9.1", &[])
    };
    let made = next(&releases(), &from, &Running::default()).unwrap();
    assert_eq!(made.spec.components, releases()[0].spec.components);
    let unknown = Wanted {
        from: Some("x\u{1b}"),
        ..wanted("9", &[])
    };
    assert_eq!(
        refused(&releases(), &unknown),
        r#"No Release "x\u{1b}" of the product and line exists. Name one of: payments-2026.11.9, payments-2026.11.10."#
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut several = ledger();
    several["images"] =
        json!([{ "container": "app", "image": image("1") }, { "container": "proxy", "image": image("1") }]);
    let mut releases = releases();
    releases.push(release_of(&json!({ "version": "1", "line": "1.x" })));
    releases.push(release_of(
        &json!({ "version": "1", "product": "fees", "components": [several] }),
    ));
    let main = |version, images| Wanted {
        line: Some("main"),
        ..wanted(version, images)
    };
    let fees = |images| Wanted {
        product: "fees",
        ..wanted("2", images)
    };
    for (wanted, sentence) in [
        (
            main("v1", &[]),
            "The new Release is not valid: version \"v1\" is not",
        ),
        (
            main("2026.11.10.0", &[]),
            "Version \"2026.11.10.0\" must be newer than 2026.11.10, the version of Release \"payments-2026.11.10\".",
        ),
        (
            Wanted {
                from: Some("payments-2026.11.9"),
                ..main("2026.11.10", &[])
            },
            "Release \"payments-2026.11.10\" exists already. Choose another version.",
        ),
        (
            wanted("9", &[]),
            "Product \"payments\" has several lines. Name one of them: 1.x, main.",
        ),
        (
            Wanted {
                line: Some("2.x"),
                ..wanted("9", &[])
            },
            "Product \"payments\" has no line \"2.x\". Name one of its lines: 1.x, main.",
        ),
        (
            Wanted {
                product: "x",
                ..wanted("9", &[])
            },
            "No Release of product \"x\" exists (products: fees, payments). Create the first one from a manifest.",
        ),
        (
            main("2027", &choices(&["ledgr=a@b"])),
            "Component \"ledgr\" does not exist. Name one of: config, ledger.",
        ),
        (
            main("2027", &choices(&["config=a@b"])),
            "Component \"config\" sets no images. Add its images to the manifest.",
        ),
        (
            main("2027", &choices(&["ledger/proxy=a@b"])),
            "Component \"ledger\" sets no image of container \"proxy\". Name one of: ledger/app.",
        ),
        (
            fees(&choices(&["ledger=a@b"])),
            "Component \"ledger\" sets several images. Name one of: ledger/app, ledger/proxy.",
        ),
        (
            fees(&choices(&[
                &format!("ledger/app={}", image("1")),
                &format!("ledger/app={}", image("2")),
            ])),
            "The image of ledger/app is given twice. Give it once.",
        ),
        (
            main("2027", &choices(&["ledger=a:1"])),
            "No running container has the image \"a:1\", so its digest is not known. Name the image by digest (name@sha256:…).",
        ),
    ] {
        let said = refused(&releases, &wanted);
        assert!(said.starts_with(sentence), "{said}");
    }
    for wrong in ["ledger", "=a", "ledger=", "/app=a", "ledger/=a"] {
        assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
    }
}

fn pod(spec: &str, reported: &str, id: &str) -> Value {
    json!({ "spec": { "containers": [{ "name": "app", "image": spec }] },
            "status": { "containerStatuses": [{ "name": "app", "image": reported, "imageID": id }] } })
}

#[test]
fn a_tag_is_resolved_from_what_runs() {
    let other = DIGEST.replace('1', "2");
    let pods = [
        pod(
            "ledger:1",
            "docker.io/library/ledger:1",
            &format!("docker.io/library/ledger@{DIGEST}"),
        ),
        pod(
            "reg:5000/a/b:1",
            "sha256:1234",
            &format!("docker-pullable://mirror/a/b@{DIGEST}"),
        ),
        pod("local:1", "local:1", "sha256:1234"),
        pod("two:1", "two:1", &format!("two@{DIGEST}")),
        pod("two:1", "two:1", &format!("two@{other}")),
        pod("team/x", "team/x", &format!("team/x@{DIGEST}")),
        json!({ "spec": { "containers": [] } }),
    ];
    let running = Running::of(&pods);
    for (image, wanted) in [
        ("ledger:1", format!("ledger@{DIGEST}")),
        (
            "docker.io/library/ledger:1",
            format!("docker.io/library/ledger@{DIGEST}"),
        ),
        ("reg:5000/a/b:1", format!("reg:5000/a/b@{DIGEST}")),
        ("team/x:latest", format!("team/x@{DIGEST}")),
        (&image("9"), image("9")),
    ] {
        assert_eq!(running.resolve(image), Ok(wanted));
    }
    for unknown in ["ledger:2", "ledger", "reg:5000/a/b", "local:1", "team/ledger:1"] {
        assert_eq!(
            running.resolve(unknown),
            Err(Unresolved::NotRunning(unknown.to_owned()))
        );
    }
    let several = running.resolve("two:1").unwrap_err().to_string();
    assert!(several.contains(DIGEST) && several.contains(&other), "{several}");
}

#[test]
fn a_name_is_one_that_the_api_server_accepts() {
    for (product, version, wanted) in [
        ("payments", "2026.11.1", "payments-2026.11.1"),
        ("My_Product.", "1.0-RC.1", "my-product.1.0-rc.1"),
        ("a", "1.0--.-x", "a-1.0.x"),
    ] {
        assert_eq!(release_name(product, version), wanted);
    }
    assert_eq!(
        release_name(&"p".repeat(63), &format!("1-{}", "a".repeat(64))).len(),
        63 + 1 + 66
    );
}

#[test]
fn what_is_written_is_read_back_as_kubectl_reads_it() {
    let texts = [
        ("on", true),
        ("No", true),
        ("y", true),
        ("010", true),
        ("1_000", true),
        ("12:30:45", true),
        ("2026-11-23", true),
        ("a: b # c", true),
        ("yes\nno: on\n", true),
        (" lead\n  ing", true),
        ("\ttab\n", true),
        ("- a", true),
        ("~", true),
        ("a\r\nb", true),
        ("\u{feff}", true),
        ("x\u{2028}y", false),
    ];
    for (text, as_yaml) in texts {
        let mut release = releases().remove(0);
        release.status = None;
        release.spec.components[0].patch = Some(
            json!({ "data": { "file": text, "n": "z" }, "spec": { "list": ["off", 1, true, { "a": text }] } }),
        );
        let written = manifest(&release).unwrap();
        let read = Manifests::read(&["-".into()], &mut written.as_bytes());
        assert_eq!(
            read.objects[0].value,
            serde_json::to_value(&release).unwrap(),
            "{text:?}: {written}"
        );
        assert_eq!(!written.starts_with('{'), as_yaml, "{text:?}");
    }
}
