//! `signalbox lint`.

use super::{golden, signalbox};

const WRONG: &str = "src/cli/tests/wrong.yaml";

#[test]
fn everything_that_is_wrong_is_said_in_one_go_with_its_line() {
    let (exit, printed) = signalbox(&["lint", "-f", WRONG], "");
    assert_eq!(exit, Ok(1));
    golden("wrong.txt", &printed);
    let (exit, printed) = signalbox(&["lint", "-f", WRONG, "-o", "json"], "");
    assert_eq!(exit, Ok(1));
    golden("wrong.json", &printed);
}

#[test]
fn the_examples_have_nothing_wrong_with_them() {
    for folder in ["examples/payments", "examples/gitops"] {
        let (exit, printed) = signalbox(&["lint", "-f", folder], "");
        assert_eq!(exit, Ok(0), "{printed}");
        assert!(printed.contains("no errors"), "{printed}");
    }
}

#[test]
fn a_pipeline_that_has_its_release_alone_is_told_what_could_not_be_looked_at() {
    let release = "examples/payments/release-1.yaml";
    let (exit, printed) = signalbox(&["lint", "-f", release], "");
    assert_eq!(exit, Ok(0));
    assert!(
        printed.starts_with("examples/payments/release-1.yaml:25: note: Release payments/payments-2026.11.1: spec.environments: sit, uat, production are not among the files"),
        "{printed}"
    );
    let known = "--known-environments=sit,uat,production";
    let (exit, printed) = signalbox(&["lint", "-f", release, known], "");
    assert_eq!(
        (exit, printed.as_str()),
        (Ok(0), "no errors in 1 object of signalbox.dev in 1 file\n")
    );
    let (exit, printed) = signalbox(&["lint", "-f", release, "--known-environments=sit,uat"], "");
    assert_eq!(exit, Ok(1));
    assert!(
        printed.contains("spec.environments[2]: spec.environments names \"production\", but there is no Environment of that name: create it or correct the name."),
        "{printed}"
    );
}

#[test]
fn what_is_no_manifest_names_file_and_line_and_ends_with_1() {
    for (input, said) in [
        ("a: [1\nb: 2\n", "standard input:2: not YAML: "),
        ("kind: {{ .Kind }}\n", "standard input:1: not YAML"),
    ] {
        let (exit, printed) = signalbox(&["lint", "-f", "-"], input);
        assert_eq!(exit, Ok(1), "{printed}");
        assert!(printed.starts_with(said), "{printed}");
    }
    let (exit, printed) = signalbox(&["lint", "-f", "examples/nothing"], "");
    assert_eq!(exit, Ok(1));
    assert!(
        printed.starts_with("examples/nothing: cannot be read: "),
        "{printed}"
    );
    let (exit, _) = signalbox(&["lint", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\n");
    assert_eq!(
        exit,
        Err("nothing to check: no object of signalbox.dev among 1 object in 1 file; -f must name manifests that have one".to_owned())
    );
    let (usage, _) = signalbox(&["lint"], "");
    assert!(usage.unwrap_err().contains("--filename <PATH>"));
}

#[test]
fn a_mistyped_kind_version_or_field_is_not_passed_over() {
    for (input, said) in [
        (
            "apiVersion: signalbox.dev/v1alpha1\nkind: Relase\n",
            "standard input:2: Relase: kind: signalbox.dev/v1alpha1 has no kind \"Relase\": it has Decision, Environment, Release, ReleaseReview",
        ),
        (
            "apiVersion: signalbox.dev/v1\nkind: Release\n",
            "standard input:1: Release: apiVersion: signalbox.dev has no version v1: write signalbox.dev/v1alpha1",
        ),
        (
            "apiVersion: signalbox.dev/v1alpha1\nkind: ReleaseReview\nmetadata: {name: a}\nspec:\n  release: a\n  reviewr: carol@example.com\n",
            "standard input:6: ReleaseReview a: spec.reviewr: unknown field \"spec.reviewr\"; did you mean reviewer?",
        ),
    ] {
        let (exit, printed) = signalbox(&["lint", "-f", "-"], input);
        assert_eq!(exit, Ok(1));
        assert!(printed.contains(said), "{printed}");
    }
}

#[test]
fn a_decision_that_would_not_count_is_named() {
    let decision = std::fs::read_to_string("examples/payments/decision-approve.yaml").unwrap();
    for (was, is, said) in [
        (
            "by: bob@example.com",
            "by: alice@example.com",
            "spec.by: Approve by alice@example.com does not count: the requester never approves",
        ),
        (
            "role: release-board",
            "role: board",
            "spec.role: Approve by bob@example.com does not count: it was given as board, not as release-board",
        ),
        (
            "subject: board",
            "subject: bord",
            "spec.subject: Environment production has no approval gate \"bord\": it has board",
        ),
        (
            "environment: production",
            "environment: prod",
            "spec.environment: names \"prod\", which Release payments-2026.11.1 does not list",
        ),
    ] {
        let changed = decision.replace(was, is);
        let words = [
            "lint",
            "-f",
            "-",
            "-f",
            "examples/payments/environments.yaml",
            "-f",
            "examples/payments/release-1.yaml",
        ];
        let (exit, printed) = signalbox(&words, &changed);
        assert_eq!(exit, Ok(1), "{printed}");
        assert!(printed.contains(said), "{printed}");
    }
}

/// A folder of as many Releases, each of its own product, beside the example's Environments.
fn folder(releases: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let release = std::fs::read_to_string("examples/payments/release-1.yaml").unwrap();
    for n in 0..releases {
        let text = release
            .replace("product: payments", &format!("product: product-{n}"))
            .replace(
                "name: payments-2026.11.1",
                &format!("name: product-{n}-2026.11.1"),
            );
        std::fs::write(folder.path().join(format!("release-{n}.yaml")), text).unwrap();
    }
    let environments = folder.path().join("environments.yaml");
    std::fs::copy("examples/payments/environments.yaml", environments).unwrap();
    folder
}

#[test]
fn many_files_are_checked_together() {
    let folder = folder(12);
    let (exit, printed) = signalbox(&["lint", "-f", &folder.path().display().to_string()], "");
    assert_eq!(
        (exit, printed.as_str()),
        (Ok(0), "no errors in 15 objects of signalbox.dev in 13 files\n")
    );
}
