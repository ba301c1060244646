//! Files that are passed to `signalbox lint` and `signalbox simulate`.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::decide::fixtures;
use crate::fuzz::{fuzz, json_value, mistaken, repeated, soup};
use crate::lint::{forms, lint};
use crate::manifests::tests::written;
use crate::manifests::{Manifests, field};

/// For some hundred kilobytes, without optimization.
const WITHIN: Duration = Duration::from_secs(20);
const WORDS: &[&str] = &[
    "a",
    "b",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "  ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "&b ",
    "*a",
    "*b",
    "<<: ",
    "<<: *a",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "!!str ",
    "!!binary ",
    "!<tag:x> ",
    "!!set ",
    "\t",
    "~",
    "null",
    "0x",
    "1e999",
    "-.inf",
    "0o7",
    "kind: ",
    "List",
    "items: ",
    "apiVersion: signalbox.dev/v1alpha1",
    "\r\n",
    "\u{feff}",
    "\u{85}",
    "\u{0}",
    "=",
    "@",
    "`",
];

fn read(text: &str) -> Manifests {
    written("x.yaml", text)
}

/// Every method works on any manifest that was read.
fn looked_at(manifests: &Manifests) {
    for one in &manifests.objects {
        let _ = (one.path(), one.kind(), one.stated_twice().count());
        for at in super::all_pointers(&one.value) {
            let _ = (one.line(&at), field(&one.value, &at));
        }
    }
}

#[test]
fn any_text_is_read_or_refused() {
    let texts = prop_oneof![8 => soup(WORDS, 40), 2 => repeated(WORDS, 3000), 1 => any::<String>()];
    fuzz(400, WITHIN, texts, |text| {
        let manifests = read(&text);
        looked_at(&manifests);
        for unreadable in &manifests.unreadable {
            prop_assert!(
                unreadable.line.is_some() && unreadable.why.starts_with("Not YAML"),
                "{unreadable}"
            );
        }
        Ok(())
    });
}

#[test]
fn any_bytes_are_read_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.yaml");
    let examples = examples();
    let bytes = (
        0..examples.len(),
        proptest::collection::vec((any::<usize>(), any::<u8>()), 0..12),
    )
        .prop_map(move |(n, changes)| {
            let mut bytes = examples[n].as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at % bytes.len();
                match byte % 3 {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, byte),
                }
            }
            bytes
        });
    fuzz(
        200,
        WITHIN,
        prop_oneof![1 => proptest::collection::vec(any::<u8>(), 0..200), 4 => bytes],
        |bytes| {
            std::fs::write(&path, bytes).expect("it can be written");
            let manifests = Manifests::read(std::slice::from_ref(&path), &mut std::io::empty());
            looked_at(&manifests);
            Ok(())
        },
    );
}

#[test]
fn what_is_printed_is_read_back() {
    fuzz(400, WITHIN, json_value(), |value| {
        let value = json!({ "kind": "X", "it": value });
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let back = read(&text);
        prop_assert!(back.unreadable.is_empty(), "{:?}", back.unreadable);
        prop_assert!(
            same(&back.objects[0].value, &value),
            "{} instead of {value}",
            back.objects[0].value
        );
        Ok(())
    });
}

/// Except for the last digit of a number with a point.
fn same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => match (one.as_f64(), two.as_f64()) {
            (Some(a), Some(b)) => one == two || (a - b).abs() <= a.abs() * 1e-15,
            _ => false,
        },
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(a, b)| same(a, b))
        }
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .all(|(key, a)| two.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == two,
    }
}

/// Aliases of aliases, anchors within anchors, long texts and long keys: a few bytes that expand to many.
fn bomb() -> impl Strategy<Value = String> {
    let anchors = proptest::collection::vec((0..4_u8, 1..14_usize, 0..3000_usize), 1..14);
    anchors.prop_map(|lines| {
        let mut text = String::new();
        for (n, (how, times, length)) in lines.iter().enumerate() {
            let alias = |times: usize| match n {
                0 => vec!["x"; times].join(", "),
                n => vec![format!("*a{}", n - 1); times].join(", "),
            };
            let long = "k".repeat(*length);
            text += &match how {
                0 => format!("a{n}: &a{n} [{}]\n", alias(*times)),
                1 => format!("a{n}: &a{n} {{p: {long}, q: [{}]}}\n", alias(times * 20)),
                2 => format!(
                    "a{n}: &a{n} {{p: {{q: &b{n} [&c{n} [&d{n} [{}]]]}}}}\n",
                    alias(*times)
                ),
                _ => format!("? {long}{n}\n: &a{n} [{}]\n", alias(times * 100)),
            };
        }
        text
    })
}

#[test]
fn a_few_bytes_stand_for_no_more_than_a_cluster_would_take() {
    fuzz(20, WITHIN, bomb(), |text| {
        let manifests = read(&text);
        let size: usize = manifests
            .objects
            .iter()
            .map(|one| one.value.to_string().len())
            .sum();
        prop_assert!(size < 64 << 20, "{} bytes became {size}", text.len());
        Ok(())
    });
}

fn examples() -> Vec<String> {
    let mut found = vec![];
    texts(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"),
        &mut found,
    );
    assert!(found.len() > 5, "the examples were not found");
    found
}

fn texts(folder: &Path, found: &mut Vec<String>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(std::fs::read_to_string(path).expect("a text"));
        }
    }
}

fn ours() -> Vec<Value> {
    let examples = examples();
    let objects = examples.iter().flat_map(|text| read(text).objects);
    let ours = objects.filter(|one| one.api_version().starts_with("signalbox.dev/"));
    let mut ours: Vec<Value> = ours.map(|one| one.value).collect();
    ours.push(serde_json::to_value(fixtures::release()).expect("a Release"));
    ours.push(serde_json::to_value(fixtures::uat()).expect("an Environment"));
    ours
}

#[test]
fn mistaken_manifests_are_judged() {
    let ours = ours();
    let objects = proptest::collection::vec(
        (0..ours.len()).prop_flat_map(move |n| mistaken(ours[n].clone())),
        1..4,
    );
    let now = fixtures::morning();
    fuzz(10, WITHIN, objects, |objects| {
        let text: Vec<String> = objects
            .iter()
            .map(|one| serde_json::to_string_pretty(one).expect("JSON"))
            .collect();
        let manifests = read(&text.join("\n---\n"));
        looked_at(&manifests);
        let report = lint(&manifests, &[], now);
        for finding in &report.findings {
            prop_assert!(!finding.to_string().is_empty());
        }
        let (_, findings) = forms(&manifests, now);
        prop_assert!(findings.len() <= report.findings.len());
        Ok(())
    });
}

/// Lists far longer than the definitions allow: they are refused, and their elements are not compared pair by pair.
#[test]
fn lists_that_are_too_long_are_refused_in_time() {
    let release = serde_json::to_value(fixtures::release()).expect("a Release");
    let environment = serde_json::to_value(fixtures::production()).expect("an Environment");
    let gate =
        json!({ "name": "a", "stage": "UAT", "approval": { "role": "x", "approvals": 1 }, "unheard": 1 });
    let window = json!({ "name": "a", "kind": "Deny", "schedule": "*/2 * * * *", "timeZone": "Europe/London", "duration": "1m" });
    let inputs = (1..2000_usize, 0..6_u8);
    fuzz(4, WITHIN, inputs, |(length, which)| {
        let (mut release, mut environment) = (release.clone(), environment.clone());
        let names = || json!((0..length).map(|n| format!("e{}", n % 1000)).collect::<Vec<_>>());
        match which {
            0 => environment["spec"]["gates"] = json!(vec![&gate; length]),
            1 => environment["spec"]["windows"] = json!(vec![&window; length]),
            2 => release["spec"]["environments"] = names(),
            3 => {
                release["spec"]["components"] = json!(vec![release["spec"]["components"][0].clone(); length])
            }
            4 => {
                release["spec"]["components"][0]["remove"] =
                    json!((0..length).map(|n| format!("/data/{n}")).collect::<Vec<_>>())
            }
            _ => {
                release["spec"][format!("k{}", "k".repeat(length * 20))] = json!(1);
                environment["spec"]["promotesFrom"] = json!({ "environments": names() });
            }
        }
        let text = format!("{release}\n---\n{environment}");
        let report = lint(&read(&text), &[], fixtures::morning());
        prop_assert!(length < 100 || !report.clean());
        Ok(())
    });
}
