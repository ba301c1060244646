//! `signalbox lint`.

use crate::cli::tests::{golden, signalbox};

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
        assert!(printed.contains(": 0 errors"), "{printed}");
    }
}

#[test]
fn a_pipeline_that_has_its_release_alone_is_told_what_could_not_be_looked_at() {
    let release = "examples/payments/release-1.yaml";
    let (exit, printed) = signalbox(&["lint", "-f", release], "");
    assert_eq!(exit, Ok(0));
    assert!(
        printed.starts_with("examples/payments/release-1.yaml:25: note: Release payments/payments-2026.11.1: spec.environments: sit, uat, production are not in the files"),
        "{printed}"
    );
    let known = "--known-environments=sit,uat,production";
    let (exit, printed) = signalbox(&["lint", "-f", release, known], "");
    assert_eq!(
        (exit, printed.as_str()),
        (Ok(0), "1 Signalbox object in 1 file: 0 errors.\n")
    );
    let (exit, printed) = signalbox(&["lint", "-f", release, "--known-environments=sit,uat"], "");
    assert_eq!(exit, Ok(1));
    assert!(
        printed.contains("spec.environments[2]: spec.environments names \"production\", but no Environment of that name exists. Create it or correct the name."),
        "{printed}"
    );
}

#[test]
fn what_is_no_manifest_names_file_and_line_and_ends_with_1() {
    for (input, said) in [
        ("a: [1\nb: 2\n", "standard input:2: Not YAML: "),
        ("kind: {{ .Kind }}\n", "standard input:1: Not YAML"),
    ] {
        let (exit, printed) = signalbox(&["lint", "-f", "-"], input);
        assert_eq!(exit, Ok(1), "{printed}");
        assert!(printed.starts_with(said), "{printed}");
    }
    let (exit, printed) = signalbox(&["lint", "-f", "examples/nothing"], "");
    assert_eq!(exit, Ok(1));
    assert!(
        printed.starts_with("examples/nothing: Cannot be read: "),
        "{printed}"
    );
    let (exit, _) = signalbox(&["lint", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\n");
    assert_eq!(
        exit,
        Err("Nothing to check: no Signalbox object found in 1 file (1 other object skipped). Name manifests with Signalbox objects with -f.".to_owned())
    );
    let (usage, _) = signalbox(&["lint"], "");
    assert!(usage.unwrap_err().contains("--filename <PATH>"));
}

#[test]
fn a_release_that_would_be_its_own_judge_is_found_where_both_are_among_the_files() {
    let environment = "apiVersion: signalbox.dev/v1alpha1\nkind: Environment\nmetadata: {name: sit}\nspec:\n  stage: SIT\n  \
                       namespace: \"{namespace}-sit\"\n  owner: {team: Testing}\n  verification:\n  - {name: smoke, job: {template: smoke-tests}}\n";
    let release = "---\napiVersion: signalbox.dev/v1alpha1\nkind: Release\nmetadata: {name: a, namespace: payments}\nspec:\n  \
                   product: a\n  version: \"1\"\n  requestedBy: rita@example.com\n  change: {}\n  environments: [sit]\n  components:\n  \
                   - name: tests\n    target: {apiVersion: batch/v1, kind: CronJob, name: smoke-tests}\n    patch: {spec: {suspend: true}}\n";
    let (exit, printed) = signalbox(&["lint", "-f", "-"], &format!("{environment}{release}"));
    assert_eq!(exit, Ok(1), "{printed}");
    assert!(
        printed.contains(
            "Release payments/a: spec.components: Blocked in sit: TargetsAllowed: Component tests targets CronJob smoke-tests, the \
             template of the Job of verification smoke in sit. A Release cannot change what judges Releases in payments-sit. Remove the \
             component, or ask Testing for a template of another name."
        ),
        "{printed}"
    );
    let (_, printed) = signalbox(&["simulate", "-f", "-"], &format!("{environment}{release}"));
    let unwrapped = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        unwrapped.contains("targets CronJob smoke-tests, the template of the Job of verification smoke"),
        "{printed}"
    );
}

#[test]
fn a_mistyped_kind_version_or_field_is_not_passed_over() {
    for (input, said) in [
        (
            "apiVersion: signalbox.dev/v1alpha1\nkind: Relase\n",
            "standard input:2: Relase: kind: signalbox.dev/v1alpha1 has no kind \"Relase\". Its kinds are Decision, Environment, Release, ReleaseReview.",
        ),
        (
            "apiVersion: signalbox.dev/v1\nkind: Release\n",
            "standard input:1: Release: apiVersion: signalbox.dev has no version v1. Write signalbox.dev/v1alpha1.",
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
fn a_hold_of_an_environment_that_is_not_listed_is_noted() {
    let release = std::fs::read_to_string("examples/payments/release-1.yaml").unwrap();
    let held = format!("{release}  hold: {{ environments: [productoin] }}\n");
    let (exit, printed) = signalbox(&["lint", "-f", "-"], &held);
    assert_eq!(exit, Ok(0), "{printed}");
    let note = "spec.hold.environments[0]: \"productoin\" is not listed in spec.environments.";
    assert!(printed.contains(note), "{printed}");
}

#[test]
fn a_deny_window_that_is_invalid_closes_the_environment() {
    let (exit, said) =
        of_window("kind: Deny, schedule: \"0 18 * * TUES\", duration: 4h, timeZone: Europe/London");
    assert_eq!(exit, Ok(1));
    let closes = "Deny window \"w\" is invalid, so the Environment counts as closed: the schedule";
    assert!(said.contains(closes), "{said}");
}

/// What `lint` reports about an Environment with this window, without its place.
fn of_window(window: &str) -> (Result<u8, String>, String) {
    let kind = if window.contains("kind: ") {
        ""
    } else {
        "kind: Allow, "
    };
    let environment = format!(
        "apiVersion: signalbox.dev/v1alpha1\nkind: Environment\nmetadata: {{name: production}}\nspec:\n  stage: Production\n  namespace: \"{{namespace}}-prod\"\n  windows:\n  - {{name: w, {kind}{window}}}\n"
    );
    let (exit, printed) = signalbox(&["lint", "-f", "-"], &environment);
    let first = printed.lines().next().unwrap_or_default();
    let said = first.strip_prefix("standard input:8: ").unwrap_or(first);
    (exit, said.to_owned())
}

#[test]
fn a_schedule_is_what_a_cron_job_makes_of_it_or_is_refused_with_what_to_write() {
    let clean = "1 Signalbox object in 1 file: 0 errors.";
    for (schedule, said) in [
        ("0 18 * * TUE#1", clean),
        ("5/15 18 * * MON/2", clean),
        ("@daily", clean),
        (" 0\\t18 * *  TUE\\n", clean),
        (
            "0 18 1-7 * TUE",
            "note: Environment production: spec.windows[0].schedule: Window \"w\": the schedule \"0 18 1-7 * TUE\" restricts both day of month and day of week, so it fires on days that match either. For one weekday of a month, write TUE#1 (the first Tuesday) with * as day of month.",
        ),
        (
            ", 9 * * *",
            "Environment production: spec.windows[0]: Window \"w\" counts as closed: the schedule \", 9 * * *\" cannot be read: minute \",\": an element of the list is empty: remove the comma, or write * for every minute.",
        ),
        (
            "0 , * * *",
            "Environment production: spec.windows[0]: Window \"w\" counts as closed: the schedule \"0 , * * *\" cannot be read: hour \",\": an element of the list is empty: remove the comma, or write * for every hour.",
        ),
        (
            "0 9 * * JAN",
            "Environment production: spec.windows[0]: Window \"w\" counts as closed: the schedule \"0 9 * * JAN\" cannot be read: day of week \"JAN\": JAN is the name of a month, which belongs in the fourth field; write a number from 0 to 6 or a name from SUN to SAT here.",
        ),
        (
            "TZ=Asia/Tokyo 0 9 * * *",
            "Environment production: spec.windows[0].schedule: Invalid value: \"TZ=Asia/Tokyo 0 9 * * *\": must not contain a time zone: use the window's timeZone",
        ),
        (
            "@every 1h",
            "Environment production: spec.windows[0].schedule: Invalid value: \"@every 1h\": must be a clock time, like 0 */2 * * * for every second hour: @every depends on when a process started",
        ),
        (
            "0 18 * *",
            "Environment production: spec.windows[0].schedule: Invalid value: \"0 18 * *\": must be five fields of cron: minute, hour, day of month, month and day of week, like 0 18 * * TUE, or one of @hourly, @daily, @weekly, @monthly and @yearly",
        ),
    ] {
        let (exit, printed) = of_window(&format!(
            "schedule: \"{schedule}\", duration: 4h, timeZone: Europe/London"
        ));
        assert_eq!(printed, said);
        assert_eq!(
            exit,
            Ok(u8::from(!(said == clean || said.starts_with("note")))),
            "{schedule}"
        );
    }
}

#[test]
fn a_date_time_is_refused_in_the_words_of_the_api_server_only_where_it_refuses_it() {
    for (to, said) in [
        ("2027-01-04T00:00:00Z", "1 Signalbox object in 1 file: 0 errors."),
        (
            "2027-01-04 00:00:00Z",
            "spec.windows[0].to: Invalid value: \"2027-01-04 00:00:00Z\": spec.windows[0].to in body must be of type date-time: \"2027-01-04 00:00:00Z\"",
        ),
        (
            "2027-01-04T00:00:60Z",
            "spec.windows[0].to: Invalid value: \"2027-01-04T00:00:60Z\": spec.windows[0].to in body must be of type date-time: \"2027-01-04T00:00:60Z\"",
        ),
        (
            "2027-01-04t00:00:00z",
            "spec.windows[0].to: The API server refuses \"2027-01-04t00:00:00z\", because its rule cannot compare it. Write it like 2026-12-01T18:00:00Z, with a capital T and Z.",
        ),
        (
            "9999-12-31T23:59:59Z",
            "spec.windows[0].to: \"9999-12-31T23:59:59Z\" is later than the operator can read. For no end, write 9999-12-30T00:00:00Z.",
        ),
        (
            "2027-01-04T00:00:00+24:00",
            "1 Signalbox object in 1 file: 0 errors.",
        ),
        (
            "2027-01-04T00:00:00.1234567890Z",
            "spec.windows[0].to: The API server stores \"2027-01-04T00:00:00.1234567890Z\", but the operator cannot read it. Write it like 2026-12-01T18:00:00Z.",
        ),
        (
            "[]",
            "spec.windows[0].to: The API server stores a list here, but the operator needs a date-time. Write it like 2026-12-01T18:00:00Z.",
        ),
        (
            "20270104",
            "spec.windows[0].to: Invalid value: \"int64\": spec.windows[0].to in body must be of type date-time: \"int64\"",
        ),
    ] {
        let to = if to.contains('T') || to.contains('t') || to.contains(' ') {
            format!("\"{to}\"")
        } else {
            to.to_owned()
        };
        // A window that begins in the previous year is in the past, so nothing else is reported.
        let (_, printed) = of_window(&format!("from: 2026-01-01T00:00:00Z, to: {to}"));
        let printed = printed
            .strip_prefix("Environment production: ")
            .unwrap_or(&printed);
        assert_eq!(printed, said);
    }
}

#[test]
fn a_decision_that_would_not_count_is_named() {
    let decision = std::fs::read_to_string("examples/payments/decision-approve.yaml").unwrap();
    for (was, is, said) in [
        (
            "by: bob@example.com",
            "by: alice@example.com",
            "spec.by: Approve by alice@example.com does not count: the requester cannot approve",
        ),
        (
            "role: release-board",
            "role: board",
            "spec.role: Approve by bob@example.com does not count: its role is board, but this gate requires release-board",
        ),
        (
            "subject: board",
            "subject: bord",
            "spec.subject: Environment production has no approval gate \"bord\". Its approval gates are board.",
        ),
        (
            "environment: production",
            "environment: prod",
            "spec.environment: Release payments-2026.11.1 does not list \"prod\" in spec.environments.",
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

/// A folder with this number of Releases, each of its own product, and the example's Environments.
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
        (Ok(0), "15 Signalbox objects in 13 files: 0 errors.\n")
    );
}

#[test]
fn patches_that_are_too_large_in_all_are_found_and_the_largest_component_is_named() {
    let release = std::fs::read_to_string("examples/payments/release-1.yaml").unwrap();
    let head = release.split("  components:").next().unwrap();
    let of = |bytes: usize| {
        let value = "x".repeat(bytes - r#"{"data":{"K":""}}"#.len());
        format!(
            "{head}  components:\n    - name: config\n      target: {{ apiVersion: v1, kind: ConfigMap, name: ledger-config }}\n      \
             patch: {{ data: {{ K: {value} }} }}\n"
        )
    };
    let (exit, printed) = signalbox(&["lint", "-f", "-"], &of(256 * 1024));
    assert_eq!(exit, Ok(0), "{printed}");
    let (exit, printed) = signalbox(&["lint", "-f", "-"], &of(256 * 1024 + 1));
    assert_eq!(exit, Ok(1), "{printed}");
    let said = "spec.components[0]: The patches of this Release, overrides included, take 257 KiB as JSON, but at most 256 KiB are allowed in \
                total (config 257 KiB). Split the Release, or move large data into an image.";
    assert!(printed.contains(said), "{}", &printed[..printed.len().min(2000)]);
}

#[test]
fn what_goes_wrong_on_the_target_is_said_beforehand() {
    let release = std::fs::read_to_string("examples/payments/release-1.yaml").unwrap();
    let head = release.split("  components:").next().unwrap();
    let components = r#"  components:
    - name: config
      target: { apiVersion: v1, kind: ConfigMap, name: ledger-config }
      patch: { immutable: true, data: { A: b } }
    - name: ledger
      target: { apiVersion: apps/v1, kind: Deployment, name: ledger }
      patch: { spec: { template: { spec: { containers: [ { name: ledger, env: [ { name: URL, value: "$(HOST)" }, { name: HOST, value: db } ] } ] } } } }
      remove: [ /spec/template/spec/initContainers/0/env/0 ]
"#;
    let (exit, printed) = signalbox(&["lint", "-f", "-"], &format!("{head}{components}"));
    assert_eq!(exit, Ok(1), "{printed}");
    for said in [
        "spec.components[0].patch.immutable: Component config: ConfigMap ledger-config: /immutable becomes true, which a backout cannot restore",
        "spec.components[1].remove[0]: Component ledger: remove /spec/template/spec/initContainers/0/env/0 names an element by its position",
        "as in /spec/template/spec/initContainers[name=…]/env[name=…].",
        "spec.components[1].patch.spec.template.spec.containers[0].env[0].value: Component ledger: $(HOST) is not expanded, because HOST is defined too late in container ledger",
    ] {
        assert!(printed.contains(said), "{said}\n{printed}");
    }
}
