//! `signalbox simulate`.

use std::fmt::Write as _;

use crate::cli::tests::{golden, signalbox};

const ONE: [&str; 7] = [
    "simulate",
    "-f",
    "examples/payments/environments.yaml",
    "-f",
    "examples/payments/namespaces.yaml",
    "-f",
    "examples/payments/release-1.yaml",
];

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    ONE.iter().copied().chain(words.iter().copied()).collect()
}

#[test]
fn a_release_that_waits_for_people_is_blocked_and_says_for_whom() {
    let (exit, printed) = signalbox(&ONE, "");
    assert_eq!(exit, Ok(2), "{printed}");
    golden("blocked.txt", &printed);
    assert!(
        printed.lines().all(|line| line.chars().count() <= 100),
        "{printed}"
    );
}

#[test]
fn with_everybody_s_approval_it_reaches_its_goal() {
    for (output, name) in [
        ("text", "reached.txt"),
        ("json", "reached.json"),
        ("svg", "reached.svg"),
    ] {
        let (exit, printed) = signalbox(&with(&["--approve", "board@bob@example.com", "-o", output]), "");
        assert_eq!(exit, Ok(0), "{printed}");
        golden(name, &printed);
    }
    let (by_role, _) = signalbox(&with(&["--approve", "release-board@bob@example.com"]), "");
    assert_eq!(by_role, Ok(0));
}

#[test]
fn the_requester_s_approval_does_not_help() {
    let (exit, printed) = signalbox(&with(&["--approve", "board@alice@example.com"]), "");
    assert_eq!(exit, Ok(2));
    let flowed: Vec<&str> = printed.split_whitespace().collect();
    assert!(
        flowed
            .join(" ")
            .contains("Approve by alice@example.com does not count: the requester cannot approve"),
        "{printed}"
    );
}

#[test]
fn what_fails_is_backed_out_and_says_what_is_put_back() {
    let (exit, printed) = signalbox(&with(&["--fail", "uat/ledger", "--approve", "board@bob"]), "");
    assert_eq!(exit, Ok(2), "{printed}");
    golden("failed.txt", &printed);
    let (exit, printed) = signalbox(&with(&["--fail", "uat/smoke", "--approve", "board@bob"]), "");
    assert_eq!(exit, Ok(2));
    assert!(printed.contains("BackedOut"), "{printed}");
}

#[test]
fn windows_and_soaks_take_the_time_they_take() {
    let file = "src/cli/tests/tuesdays.yaml";
    let words = [
        "simulate",
        "-f",
        file,
        "--approve",
        "release-board@bob,carol",
        "--now",
        "2026-11-23T09:00:00Z",
    ];
    let (exit, printed) = signalbox(&words, "");
    assert_eq!(exit, Ok(0), "{printed}");
    golden("tuesdays.txt", &printed);
    let svg: Vec<&str> = words.iter().copied().chain(["-o", "svg"]).collect();
    let (_, printed) = signalbox(&svg, "");
    golden("../../../docs/simulated.svg", &printed);
    let until: Vec<&str> = words
        .iter()
        .copied()
        .chain(["--until", "2026-11-23T12:00:00Z"])
        .collect();
    let (exit, printed) = signalbox(&until, "");
    assert_eq!(exit, Ok(2));
    assert!(
        printed.contains("in progress when the simulation ends: use a later --until"),
        "{printed}"
    );
}

/// The release of Tuesdays, changed by its author.
fn tuesday(more: &str, people: &str) -> (Result<super::Exit, String>, String) {
    let text = std::fs::read_to_string("src/cli/tests/tuesdays.yaml").unwrap();
    let (text, _second) = text.rsplit_once("---\n").unwrap();
    let words = [
        "simulate",
        "-f",
        "-",
        "--approve",
        people,
        "--now",
        "2026-11-23T09:00:00Z",
    ];
    let (exit, printed) = signalbox(&words, &format!("{text}{more}"));
    (exit, printed.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn with_one_approver_too_few_it_is_blocked_and_nobody_signs_for_a_year() {
    let (exit, printed) = tuesday("", "release-board@bob");
    assert_eq!(exit, Ok(2));
    assert!(
        printed.contains("=> blocked by board: production is Waiting"),
        "{printed}"
    );
    assert!(!printed.contains("--until"), "{printed}");
    assert_eq!(printed.matches("1 of 2 approvals").count(), 1, "{printed}");
    assert!(
        printed.contains("can enter production at 2026-11-24 18:00:00Z at the earliest"),
        "{printed}"
    );
}

#[test]
fn who_would_sign_in_time_blocks_nothing() {
    // An approval that is given more than three days before the planned start would expire.
    let planned = "  schedule: [{ environment: production, start: 2026-12-01T19:00:00Z }]\n";
    let text = std::fs::read_to_string("src/cli/tests/tuesdays.yaml").unwrap();
    let (text, _second) = text.rsplit_once("---\n").unwrap();
    let until = ["--until", "2026-11-25T09:00:00Z", "--now", "2026-11-23T09:00:00Z"];
    let words = [
        &["simulate", "-f", "-", "--approve", "release-board@bob,carol"],
        &until[..],
    ]
    .concat();
    let (exit, printed) = signalbox(&words, &format!("{text}{planned}"));
    assert_eq!(exit, Ok(2), "{printed}");
    assert!(
        printed.contains("=> is still in progress when the simulation ends"),
        "{printed}"
    );

    let short = text.replace("duration: 4h", "duration: 10m");
    let words = [
        "simulate",
        "-f",
        "-",
        "--approve",
        "release-board@bob,carol",
        "--now",
        "2026-11-23T09:00:00Z",
    ];
    let (exit, printed) = signalbox(&words, &short);
    assert_eq!(exit, Ok(2), "{printed}");
    assert!(
        printed.contains("=> blocked by WindowOpen: production is Waiting"),
        "{printed}"
    );
    assert!(
        printed.contains("production  Waiting           waits for a fix"),
        "{printed}"
    );
}

#[test]
fn a_release_on_hold_is_blocked_by_the_hold() {
    let (exit, printed) = tuesday(
        "  hold: { reason: the board meets first }\n",
        "release-board@bob,carol",
    );
    assert_eq!(exit, Ok(2));
    assert!(
        printed.contains("Held by spec.hold. Remove it to continue. Reason: the board meets first. => blocked by a hold: uat is Waiting"),
        "{printed}"
    );
    assert!(!printed.contains("--until"), "{printed}");
}

#[test]
fn a_release_that_is_withdrawn_reaches_nothing() {
    let (exit, printed) = tuesday("  withdrawn: { reason: not needed }\n", "release-board@bob,carol");
    assert_eq!(exit, Ok(2), "{printed}");
    assert!(
        printed.contains("=> is withdrawn and enters no other environment"),
        "{printed}"
    );
    assert!(!printed.contains("reaches its goal"), "{printed}");
}

#[test]
fn a_release_that_is_overtaken_does_not_reach_its_goal_and_the_one_that_overtakes_it_does() {
    let text = std::fs::read_to_string("src/cli/tests/tuesdays.yaml").unwrap();
    let documents: Vec<&str> = text.split("---\n").collect();
    let [uat, production, first, _] = &documents[..] else {
        panic!("two Environments and two Releases");
    };
    // Planned for a Tuesday after the one on which the next version enters.
    let planned = "  schedule: [{ environment: production, start: 2026-12-08T18:00:00Z }]\n";
    let second = first
        .replace("2026.11.1", "2026.11.2")
        .replace("9f2c4b", "c3a9d5");
    let text = format!("{uat}---\n{production}---\n{first}{planned}---\n{second}");
    let words = [
        "simulate",
        "-f",
        "-",
        "--approve",
        "release-board@bob,carol",
        "--now",
        "2026-11-23T09:00:00Z",
    ];
    let (exit, printed) = signalbox(&words, &text);
    assert_eq!(exit, Ok(0), "{printed}");
    assert_eq!(printed.matches("=> is superseded by a newer release").count(), 1);
    assert_eq!(printed.matches("=> reaches its goal").count(), 1);
    assert!(!printed.contains("Fix them first"), "{printed}");
}

#[test]
fn what_is_not_among_the_files_is_said_to_be_assumed_and_its_values_are_not_made_up() {
    let (_, printed) = tuesday("", "release-board@bob,carol");
    let assumed = "Not in the files, and assumed to exist as the releases need it: Namespace payments, Namespace payments-prod, Namespace payments-uat, \
                   Deployment payments-prod/ledger, Deployment payments-uat/ledger.";
    assert!(printed.contains(assumed), "{printed}");
    assert!(
        printed.contains(
            "Deployment ledger: /spec/template/spec/containers/ledger/image back to the current value"
        ),
        "{printed}"
    );
}

#[test]
fn the_example_as_a_whole_is_played() {
    let (exit, printed) = signalbox(
        &[
            "simulate",
            "-f",
            "examples/payments",
            "--approve",
            "board@bob@example.com",
        ],
        "",
    );
    assert_eq!(exit, Ok(0), "{printed}");
}

#[test]
fn bad_flags_name_what_must_hold() {
    for (words, sentence) in [
        (
            vec!["--approve", "board"],
            "must be role@people, such as board@bob,carol",
        ),
        (
            vec!["--approve", "board@"],
            "must be role@people, such as board@bob,carol",
        ),
        (
            vec!["--approve", "bord@bob"],
            "--approve bord@bob: no approval gate has this role or name. Use one of board, release-board.",
        ),
        (
            vec!["--fail", "uat"],
            "must be environment/component, such as uat/ledger",
        ),
        (
            vec!["--fail", "uta/ledger"],
            "--fail uta/ledger: the environment must be one of production, sit, uat.",
        ),
        (
            vec!["--fail", "uat/leger"],
            "--fail uat/leger: uat has no such rolled-out component or Job. Use one of ledger, smoke.",
        ),
        (
            vec!["--fail", "uat/config"],
            "--fail uat/config: uat has no such rolled-out component or Job. Use one of ledger, smoke.",
        ),
        (
            vec!["--now", "tomorrow"],
            "must be a time such as 2026-11-24T18:00:00Z",
        ),
        (
            vec!["--now", "9999-12-30T12:00:00Z"],
            "must be between the years 1970 and 9990",
        ),
        (
            vec!["--now=-009999-01-02T02:00:00Z"],
            "must be between the years 1970 and 9990",
        ),
        (
            vec!["--now", "2026-11-24T18:00:00Z", "--until", "2026-11-24T18:00:00Z"],
            "--until 2026-11-24T18:00:00Z must be after --now",
        ),
        (vec!["--kubeconfig", "x"], "--cluster"),
        (vec!["--context", "x"], "--cluster"),
        (
            vec!["--cluster", "--kubeconfig", "examples/nothing"],
            "Kubeconfig examples/nothing does not exist. Correct --kubeconfig.",
        ),
        (vec!["-o", "png"], "possible values: text, json, svg"),
    ] {
        let (exit, _) = signalbox(&with(&words), "");
        let said = exit.unwrap_err();
        assert!(said.contains(sentence), "{words:?}: {said}");
    }
}

#[test]
fn bad_manifests_are_named() {
    let (exit, _) = signalbox(&["simulate", "-f", "examples/payments/release-1.yaml"], "");
    assert_eq!(
        exit.unwrap_err(),
        "Release payments/payments-2026.11.1 lists Environments that were not found: sit, uat, production. Add them with -f, or read the cluster with --cluster."
    );
    let (exit, _) = signalbox(&["simulate", "-f", "examples/payments/environments.yaml"], "");
    assert_eq!(
        exit.unwrap_err(),
        "No Release found in the files. Name manifests that have one with -f."
    );
    let (exit, _) = signalbox(&["simulate", "-f", "-"], "a: [");
    assert!(exit.unwrap_err().contains("standard input:"), "names the file");
    let wrong = std::fs::read_to_string("examples/payments/release-1.yaml").unwrap();
    let wrong = wrong.replace("version: 2026.11.1\n", "version: 2026.11\n");
    let (exit, _) = signalbox(&["simulate", "-f", "-"], &wrong);
    assert!(
        exit.unwrap_err()
            .contains("standard input:13: Release payments/payments-2026.11.1: spec.version:")
    );
}

/// This number of releases, each of its own product, spread over a year by their schedules.
fn year(releases: usize) -> String {
    let text = std::fs::read_to_string("src/cli/tests/tuesdays.yaml").unwrap();
    let documents: Vec<&str> = text.split("---\n").collect();
    let [uat, production, release, _] = &documents[..] else {
        panic!("two Environments and two Releases");
    };
    let mut text = format!("{uat}---\n{production}");
    let begin: jiff::Timestamp = "2026-11-24T18:00:00Z".parse().unwrap();
    for n in 0..releases {
        let weeks = i64::try_from(n * 52 / releases).unwrap();
        let start = begin + jiff::SignedDuration::from_hours(weeks * 168);
        let release = release
            .replace("product: payments", &format!("product: product-{n}"))
            .replace(
                "name: payments-2026.11.1",
                &format!("name: product-{n}-2026.11.1"),
            )
            .replace("namespace: payments", &format!("namespace: team-{n}"));
        let _ = write!(
            text,
            "---\n{release}  schedule: [{{ environment: production, start: {start} }}]\n"
        );
    }
    text
}

#[test]
fn a_year_of_some_releases_is_played_to_its_end() {
    let releases = 6;
    let text = year(releases);
    let words = [
        "simulate",
        "-f",
        "-",
        "--approve",
        "release-board@bob,carol",
        "--now",
        "2026-11-23T09:00:00Z",
    ];
    let (exit, printed) = signalbox(&words, &text);
    assert_eq!(exit, Ok(0), "{printed}");
    assert_eq!(printed.matches("=> reaches its goal").count(), releases);
}
