//! Lists of kinds that are written by hand, because files of the chart and fields of structs cannot be generated from [`Kind::ALL`]: each
//! list must have every kind.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::api::Kind;
use crate::cli::simulate;
use crate::decide::fixtures::{decision, morning, release, review, sit};
use crate::lint;
use crate::manifests::tests::written;
use crate::view::timeline::Cast;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn every_type_that_becomes_a_kind_is_listed_once() {
    let mut derived = Vec::new();
    for file in files(&root().join("src/api")) {
        let text = std::fs::read_to_string(file).unwrap();
        let kinds = text
            .lines()
            .filter_map(|line| line.strip_prefix("    kind = \"")?.strip_suffix("\","));
        derived.extend(kinds.map(str::to_owned));
    }
    derived.sort();
    let mut listed = Kind::ALL.map(Kind::name);
    listed.sort_unstable();
    assert_eq!(derived, listed);
}

#[test]
fn each_is_called_as_its_definition_calls_it() {
    for kind in Kind::ALL {
        let names = kind.derived().spec.names;
        assert_eq!(
            (names.kind.as_str(), names.plural.as_str()),
            (kind.name(), kind.plural())
        );
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(Kind::named("release"), None);
}

#[test]
fn there_is_one_file_of_each_definition_and_no_other() {
    let wanted: BTreeSet<String> = Kind::ALL
        .map(|kind| format!("{}.signalbox.dev.yaml", kind.plural()))
        .into();
    for folder in ["crds", "charts/signalbox/files/crds"] {
        let found: BTreeSet<String> = files(&root().join(folder))
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(found, wanted, "{folder}");
    }
}

/// For each rule of a template on our group, its resources and verbs: they are on three consecutive lines.
fn rules(template: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(template)).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let ours = lines
        .windows(3)
        .filter(|rule| rule[0] == "- apiGroups: [signalbox.dev]");
    ours.map(|rule| {
        let list = |line: &str, of: &str| line.strip_prefix(of).unwrap_or_default().to_owned();
        (list(rule[1], "resources: "), list(rule[2], "verbs: "))
    })
    .collect()
}

fn has(list: &str, word: &str) -> bool {
    list.trim_matches(['[', ']']).split(", ").any(|one| one == word)
}

#[test]
fn the_chart_lets_the_operator_watch_each_and_people_read_each() {
    let operator = rules("charts/signalbox/templates/rbac-operator.yaml");
    let people = rules("charts/signalbox/templates/rbac-people.yaml");
    for kind in Kind::ALL {
        let may = |rules: &[(String, String)], verb: &str| {
            rules
                .iter()
                .any(|(resources, verbs)| has(resources, kind.plural()) && has(verbs, verb))
        };
        for verb in ["list", "watch"] {
            assert!(may(&operator, verb), "the operator may not {verb} {kind:?}");
            assert!(may(&people, verb), "no one may {verb} {kind:?}");
        }
    }
}

/// The operator writes the status of every kind that has one, and of no other.
#[test]
fn the_chart_lets_the_operator_write_each_status_that_there_is_and_no_other() {
    let mut written = BTreeSet::new();
    for (resources, verbs) in rules("charts/signalbox/templates/rbac-operator.yaml") {
        for resource in resources.trim_matches(['[', ']']).split(", ") {
            if let Some(plural) = resource.strip_suffix("/status") {
                assert_eq!(verbs, "[patch, update]", "{resource}");
                written.insert(plural.to_owned());
            }
        }
    }
    let has_status = |kind: &Kind| {
        let versions = kind.derived().spec.versions;
        let subresources = versions.into_iter().filter_map(|version| version.subresources);
        subresources.into_iter().any(|sub| sub.status.is_some())
    };
    let wanted = Kind::ALL.into_iter().filter(has_status);
    assert_eq!(written, wanted.map(|kind| kind.plural().to_owned()).collect());
}

#[test]
fn the_chart_bounds_each_kind_of_a_teams_namespace_and_says_how_each_definition_is_removed() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (values, notes) = (
        read("charts/signalbox/values.yaml"),
        read("charts/signalbox/templates/NOTES.txt"),
    );
    let removal = notes
        .lines()
        .find(|line| line.contains("kubectl delete crd"))
        .unwrap();
    for kind in Kind::ALL {
        let name = format!("{}.signalbox.dev", kind.plural());
        assert!(
            removal.split(' ').any(|word| word == name),
            "NOTES.txt removes no {name}"
        );
        let is_counted = values.contains(&format!("\n    count/{name}: "));
        let in_namespaces = kind.derived().spec.scope == "Namespaced";
        assert_eq!(
            is_counted, in_namespaces,
            "tenantQuota of values.yaml: count/{name}"
        );
    }
}

/// How many objects of the kind `simulate` would play.
fn played(cast: &Cast, kind: Kind) -> usize {
    match kind {
        Kind::Release => cast.releases.len(),
        Kind::Environment => cast.environments.len(),
        Kind::Decision => cast.decisions.len(),
        Kind::ReleaseReview => cast.reviews.len(),
    }
}

/// As users write it.
fn manifest(kind: Kind) -> String {
    let mut object = match kind {
        Kind::Release => json!(release()),
        Kind::Environment => json!(sit()),
        Kind::Decision => {
            let attempt = json!({ "attempt": 1 });
            json!(decision("Retry", "alice@example.com", "sit", morning(), attempt))
        }
        Kind::ReleaseReview => json!(review("carol@example.com", json!({}))),
    };
    // Fields that the API server sets are in no file, and the name of a fixture is not the name of an object.
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| key == "namespace");
    metadata.insert("name".to_owned(), json!("a"));
    object.to_string()
}

#[test]
fn what_stands_in_a_file_is_linted_and_played_whatever_its_kind() {
    for kind in Kind::ALL {
        let manifests = written("a.yaml", &manifest(kind));
        let (forms, findings) = lint::forms(&manifests, morning());
        assert!(findings.is_empty(), "{kind:?}: {findings:?}");
        let cast = simulate::cast(&manifests, forms);
        for of in Kind::ALL {
            assert_eq!(played(&cast, of), usize::from(of == kind), "{kind:?} as {of:?}");
        }
    }
}
