//! The commands of people, against an API server in memory: what they print, byte for byte, at several widths.
//!
//! It is long because it is the one table of what people see.

use std::sync::Arc;

use clap::Parser;
use http::Method;
use jiff::Timestamp;
use serde_json::json;

use super::golden;
use super::server::Server;
use crate::cli::{Arguments, Command, Exit, Terminal};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// How a command ended.
pub(super) struct Ran {
    pub exit: Result<Exit, String>,
    pub output: String,
    pub errors: String,
}

impl Ran {
    /// Output, then what stood on standard error, then how it ended.
    pub fn transcript(&self, words: &str) -> String {
        let end = match &self.exit {
            Ok(exit) => format!("exit {exit}"),
            Err(sentence) => format!("error: {sentence}\nexit 1"),
        };
        let errors = if self.errors.is_empty() {
            String::new()
        } else {
            format!("--- standard error\n{}", self.errors)
        };
        format!("$ kubectl signalbox {words}\n{}{errors}--- {end}\n", self.output)
    }
}

/// A terminal: its width, its colours, and what the person answers.
#[derive(Clone, Copy)]
pub(super) struct Screen<'a> {
    pub width: Option<usize>,
    pub colour: bool,
    pub answer: Option<&'a str>,
}

pub(super) const PIPE: Screen<'_> = Screen {
    width: None,
    colour: false,
    answer: None,
};

pub(super) fn run(server: &Arc<Server>, words: &str, screen: Screen<'_>) -> Ran {
    run_while(server, words, screen, || {})
}

/// What a terminal shows of a command that documents name, with the words of a shell. Bob runs it.
pub(super) fn documented(command: &str) -> String {
    let server = Server::after_the_demo(BOB);
    server.allow("approve", "environments/release-board", "production");
    server.allow("backout", "environments", "uat");
    server.refuse("PATCH /api", 403, "User \"bob@example.com\" cannot patch");
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = run_words(&server, &words, PIPE, || {});
    assert!(ran.exit.is_ok(), "{command}: {:?}", ran.exit);
    format!("{}{}", ran.output, unclocked(&ran.errors))
}

/// The words of a command line, as a shell splits them: quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Runs a command; `meanwhile` happens when the person reads.
fn run_while(server: &Arc<Server>, words: &str, screen: Screen<'_>, meanwhile: impl Fn()) -> Ran {
    run_words(
        server,
        &words.split_whitespace().collect::<Vec<_>>(),
        screen,
        meanwhile,
    )
}

fn run_words(server: &Arc<Server>, words: &[&str], screen: Screen<'_>, meanwhile: impl Fn()) -> Ran {
    let words = std::iter::once(&"signalbox").chain(words);
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(usage) => {
            return Ran {
                exit: Err(usage.to_string()),
                output: String::new(),
                errors: String::new(),
            };
        }
    };
    let Command::Person(command) = arguments.command else {
        panic!("not a command of people");
    };
    let (_, namespace) = command.connection();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let session = {
        // The client starts a task of its own.
        let _inside = runtime.enter();
        server.session(namespace.unwrap_or("payments"))
    };
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut answer = Reader {
        text: screen.answer.unwrap_or_default().as_bytes(),
        first: Some(&meanwhile),
    };
    let mut terminal = Terminal {
        input: &mut answer,
        output: &mut output,
        errors: &mut errors,
        colour: screen.colour,
        asks: screen.answer.is_some(),
        redraws: false,
        width: screen.width,
        now: "2026-11-28T13:05:00Z".parse::<Timestamp>().unwrap(),
    };
    let exit = runtime.block_on(command.run(&session, &mut terminal));
    Ran {
        exit,
        output: String::from_utf8(output).unwrap(),
        errors: String::from_utf8(errors).unwrap(),
    }
}

/// A person's answers. Something may happen before the first one.
struct Reader<'a> {
    text: &'a [u8],
    first: Option<&'a dyn Fn()>,
}

impl std::io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(meanwhile) = self.first.take() {
            meanwhile();
        }
        std::io::Read::read(&mut self.text, buffer)
    }
}

#[test]
fn what_is_read_is_laid_out_for_pipes_and_for_terminals() {
    let server = Server::after_the_demo(BOB);
    server.allow("approve", "environments/release-board", "production");
    server.allow("backout", "environments", "uat");
    let mut text = String::new();
    let narrow = Screen {
        width: Some(80),
        ..PIPE
    };
    let broad = Screen {
        width: Some(200),
        ..PIPE
    };
    for (words, screen) in [
        ("status", PIPE),
        ("status", narrow),
        ("status", broad),
        ("status -o wide", broad),
        ("status --no-headers", PIPE),
        ("status -A", narrow),
        ("status -o name", PIPE),
        ("status --product payments payments-2026.12.1", PIPE),
        ("status --product ledgers", PIPE),
        ("status -l team=none", PIPE),
        ("status --mine", PIPE),
        ("status --environment production", narrow),
        ("status --environment uat", broad),
        ("status payments-1", PIPE),
        ("status --environment nowhere", PIPE),
        ("explain payments-2026.12.1 production", narrow),
        ("explain payments-2026.12.2 uat", broad),
        ("explain payments-2026.12.2 nowhere", PIPE),
        ("explain payments-1", PIPE),
        ("review list", PIPE),
        ("review list --overdue", PIPE),
        ("review payments-2026.11.2 --print", PIPE),
        ("history", PIPE),
        ("history --environment production --since 1d -o json", PIPE),
        ("notes payments-2026.12.2", PIPE),
        ("notes payments-1", PIPE),
        ("calendar --month 2026-12", narrow),
        ("calendar --month 2026-12 --environment nowhere", PIPE),
        (
            "release payments 2027.1.1 --image ledger=registry.example.com/ledger@sha256:1b7e3d9c5a2f48061b7e3d9c5a2f48061b7e3d9c5a2f48061b7e3d9c5a2f4806 --change CHG0032000 -m January",
            PIPE,
        ),
        (
            "release payments 2027.1.1 --image ledger=registry.example.com/ledger:1",
            PIPE,
        ),
        ("release payments 2026.11.1", PIPE),
        ("release ledgers 1", PIPE),
        ("version", PIPE),
        ("wait payments-2026.11.1", PIPE),
        ("wait payments-2026.11.2", PIPE),
        ("wait payments-2026.12.1", PIPE),
        ("wait payments-2026.12.1 --for decision", PIPE),
        ("wait payments-2026.12.2 --environment sit", PIPE),
    ] {
        let ran = run(&server, words, screen);
        let width = screen
            .width
            .map_or_else(String::new, |width| format!(" ({width} columns)"));
        text.push_str(&unclocked(&ran.transcript(&format!("{words}{width}"))));
        text.push('\n');
        if let Some(width) = screen.width.filter(|_| !words.contains("wide")) {
            for line in ran
                .output
                .lines()
                .filter(|line| !line.trim_start().starts_with('$'))
            {
                let columns = console::measure_text_width(line);
                // A word that is longer than a line cannot be broken.
                assert!(
                    columns <= width || !line.trim().contains(' '),
                    "{words}: {columns} columns: {line}"
                );
            }
        }
    }
    golden("people.txt", &text);
}

/// Without the times of day of `wait`, which are those of the test.
fn unclocked(text: &str) -> String {
    let clock = regex::Regex::new(r"(?m)^\d\d:\d\d:\d\d ").unwrap();
    clock.replace_all(text, "HH:MM:SS ").into_owned()
}

#[test]
fn a_difference_is_computed_where_the_user_may_not_patch_and_hides_what_looks_secret() {
    let server = Server::after_the_demo(BOB);
    server.refuse(
        "PATCH /api",
        403,
        "deployments.apps \"ledger\" is forbidden: User \"bob\" cannot patch",
    );
    let mut text = String::new();
    for words in [
        "diff payments-2026.12.1",
        "diff payments-2026.12.1 production --exit-code",
        "diff payments-2026.11.1 sit --exit-code",
        "diff payments-2026.12.1 nowhere",
        "diff payments-1 --exit-code",
    ] {
        text.push_str(&run(&server, words, PIPE).transcript(words));
        text.push('\n');
    }
    // What the API server would refuse is no difference of nothing.
    let strict = Server::after_the_demo(BOB);
    strict.refuse("PATCH /api", 422, "spec is invalid");
    let ran = run(&strict, "diff payments-2026.12.1 --exit-code", PIPE);
    assert_eq!(ran.exit, Ok(2), "{}", ran.errors);
    assert!(
        ran.errors.contains("would refuse ConfigMap ledger-config"),
        "{}",
        ran.errors
    );
    server.refuse(
        "GET /api/v1/namespaces/payments-prod",
        403,
        "configmaps is forbidden",
    );
    let words = "diff payments-2026.12.1 production";
    text.push_str(&run(&server, words, PIPE).transcript(words));
    golden("diff.txt", &text);
    assert!(!text.contains("not for everyone"), "{text}");
    let json = run(&server, "diff payments-2026.12.1 production -o json", PIPE);
    let json: serde_json::Value = serde_json::from_str(&json.output).unwrap();
    assert_eq!(
        json[0]["differences"][0]["target"],
        "payments-prod/Deployment/ledger"
    );
}

#[test]
fn the_first_manifests_are_written_once_and_pass_lint() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("new");
    let server = Server::after_the_demo(ALICE);
    let words = format!(
        "init payments --stage test=payments-sit --stage live=payments-prod --approver bob@example.com --output {}",
        output.display()
    );
    let ran = run(&server, &words, PIPE);
    assert_eq!(ran.exit, Ok(0), "{}", ran.errors);
    let (exit, printed) = super::signalbox(&["lint", "-f", output.to_str().unwrap()], "");
    assert_eq!(exit, Ok(0), "{printed}");
    // A second time nothing is overwritten.
    let release = output.join("release.yaml");
    std::fs::write(&release, "mine").unwrap();
    let ran = run(&server, &words, PIPE);
    assert!(ran.exit.unwrap_err().contains("exists, so nothing was written"));
    assert_eq!(std::fs::read_to_string(&release).unwrap(), "mine");
    let asked = words
        .replace("--stage test=payments-sit --stage live=payments-prod ", "")
        .replace("/new", "/asked");
    let person = Screen {
        answer: Some("test=payments-sit, live=payments-prod\n"),
        ..PIPE
    };
    assert_eq!(run(&server, &asked, person).exit, Ok(0));
    assert!(folder.path().join("asked/environments.yaml").exists());
    for (answer, wanted) in [
        ("sit\n", "must be environment=namespace"),
        ("test=nowhere\n", "Name namespaces in which the product runs"),
        ("uat=payments-uat\n", "Environment \"uat\" exists already"),
    ] {
        let person = Screen {
            answer: Some(answer),
            ..PIPE
        };
        let said = run(&server, &asked.replace("/asked", "/wrong"), person)
            .exit
            .unwrap_err();
        assert!(said.contains(wanted), "{said}");
        assert!(!folder.path().join("wrong").exists());
    }
}

#[test]
fn colour_is_for_terminals_and_changes_nothing_but_the_colour() {
    let server = Server::after_the_demo(BOB);
    for words in [
        "status",
        "status --environment production",
        "explain payments-2026.12.2",
    ] {
        let plain = run(&server, words, PIPE);
        let colourful = run(&server, words, Screen { colour: true, ..PIPE });
        assert!(!plain.output.contains('\x1b'), "{words}");
        assert!(colourful.output.contains("\x1b["), "{words}");
        assert_eq!(
            console::strip_ansi_codes(&colourful.output),
            plain.output,
            "{words}"
        );
    }
    let colourful = run(
        &server,
        "status",
        Screen {
            colour: true,
            width: Some(80),
            ..PIPE
        },
    );
    snapbox::assert_data_eq!(colourful.output, snapbox::file!["status.term.svg"].raw());
}

#[test]
fn programs_read_the_same_facts_as_json_and_yaml() {
    let server = Server::after_the_demo(BOB);
    for words in [
        "status",
        "status --environment production",
        "explain payments-2026.12.1 production",
        "review list",
    ] {
        let json = run(&server, &format!("{words} -o json"), PIPE);
        let yaml = run(&server, &format!("{words} -o yaml"), PIPE);
        let json: serde_json::Value = serde_json::from_str(&json.output).unwrap();
        let yaml: serde_json::Value = serde_yaml_ng::from_str(&yaml.output).unwrap();
        assert_eq!(json, yaml, "{words}");
    }
    let explained = run(&server, "explain payments-2026.12.1 production -o json", PIPE);
    let explained: serde_json::Value = serde_json::from_str(&explained.output).unwrap();
    let checks = explained["checks"].as_array().unwrap();
    let board = checks.iter().find(|check| check["name"] == "board").unwrap();
    assert_eq!(
        board["remedy"]["commands"],
        json!(["kubectl signalbox approve payments-2026.12.1 production -n payments --gate board"])
    );
    assert_eq!(explained["environments"][0]["waitsFor"], "an approval");
}

#[test]
fn who_may_read_rbac_reads_who_may_decide() {
    let server = Server::after_the_demo(BOB);
    let role = |name: &str, resource: &str, environment: &str, verbs: &[&str]| {
        let rules = json!([
            { "apiGroups": ["signalbox.dev"], "resources": [resource], "resourceNames": [environment], "verbs": verbs },
            { "apiGroups": ["signalbox.dev"], "resources": ["decisions"], "verbs": ["create"] },
        ]);
        let (rbac, place) = (
            "rbac.authorization.k8s.io",
            json!({ "name": name, "namespace": "payments" }),
        );
        server.add(
            json!({ "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": place, "rules": rules }),
        );
        let people = [ALICE, BOB].map(|name| json!({ "apiGroup": rbac, "kind": "User", "name": name }));
        let binds = json!({ "apiGroup": rbac, "kind": "Role", "name": name });
        server.add(json!({ "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": place, "roleRef": binds, "subjects": people }));
    };
    role("board", "environments/release-board", "production", &["approve"]);
    role("managers", "environments", "uat", &["backout", "accept"]);
    let ran = run(&server, "explain payments-2026.12.1 production", PIPE);
    assert!(
        ran.output.contains("Who may: bob@example.com.\n"),
        "{}",
        ran.output
    );
    let ran = run(&server, "explain payments-2026.12.2 uat", PIPE);
    let both = "alice@example.com, bob@example.com";
    assert!(
        ran.output
            .contains(&format!("Who may: back-out: {both}; accept:")),
        "{}",
        ran.output
    );
}

#[test]
fn a_person_reads_what_they_sign_and_then_signs_exactly_that() {
    let server = Server::after_the_demo(BOB);
    server.allow("approve", "environments/release-board", "production");
    let person = Screen {
        answer: Some("y\n"),
        width: Some(80),
        ..PIPE
    };
    let mut text = String::new();
    for (words, screen) in [
        (
            "approve payments-2026.12.1 production",
            Screen {
                answer: Some("n\n"),
                ..person
            },
        ),
        (
            "approve payments-2026.12.1 production",
            Screen {
                answer: None,
                ..person
            },
        ),
        ("approve payments-2026.12.1 production --dry-run", person),
        ("approve payments-2026.12.1 production --gate nothing", person),
        ("approve payments-2026.12.1 production --role other", person),
        (
            "approve payments-2026.12.1 production --plan-hash v1:sha256:0",
            person,
        ),
        ("approve payments-2026.12.1 sit", person),
        ("approve payments-2026.12.1 nowhere", person),
        ("approve payments-1 production", person),
        ("back-out payments-2026.12.1 production", person),
        ("accept payments-2026.11.2 uat", person),
        ("approve payments-2026.12.1 production -m Reviewed", person),
        ("back-out payments-2026.12.2 uat --yes", PIPE),
        ("reject payments-2026.12.1 production", person),
    ] {
        let ran = run(&server, words, screen);
        text.push_str(&ran.transcript(words));
        text.push('\n');
    }
    golden("signing.txt", &text);
    let writes = server.writes.lock().unwrap();
    let created: Vec<&serde_json::Value> = writes
        .iter()
        .filter(|(method, path, _)| *method == Method::POST && !path.contains("dryRun"))
        .map(|(_, _, body)| &body["spec"])
        .collect();
    let hash = "v1:sha256:";
    assert_eq!(created.len(), 3, "{created:?}");
    assert_eq!(created[0]["action"], "Approve");
    assert_eq!(
        (&created[0]["subject"], &created[0]["role"]),
        (&json!("board"), &json!("release-board"))
    );
    assert_eq!(
        (&created[0]["by"], &created[0]["reason"]),
        (&json!(BOB), &json!("Reviewed"))
    );
    assert!(created[0]["planHash"].as_str().unwrap().starts_with(hash));
    assert_eq!(
        (&created[1]["action"], &created[1]["attempt"]),
        (&json!("BackOut"), &json!(1))
    );
    assert_eq!(created[2]["action"], "Reject");
}

#[test]
fn the_requester_never_approves_and_a_refusal_of_the_server_comes_before_the_question() {
    let server = Server::after_the_demo(ALICE);
    server.allow("approve", "environments/release-board", "production");
    let person = Screen {
        answer: Some("y\n"),
        ..PIPE
    };
    let ran = run(&server, "approve payments-2026.12.1 production", person);
    assert!(
        ran.exit
            .unwrap_err()
            .contains("the requester's approval never counts")
    );
    let server = Server::after_the_demo("mallory@example.com");
    server.refuse(
        "POST /apis/signalbox.dev",
        403,
        "denied request: lacks the verb approve",
    );
    let ran = run(&server, "approve payments-2026.12.1 production", person);
    assert_eq!(
        ran.exit.unwrap_err(),
        "The API server refuses this Approve: denied request: lacks the verb approve."
    );
    assert_eq!((ran.output.as_str(), ran.errors.as_str()), ("", ""));
}

#[test]
fn a_plan_that_changes_while_it_is_read_is_not_signed() {
    let person = Screen {
        answer: Some("y\n"),
        ..PIPE
    };
    for (what, said) in [
        ("edited", "changed while you read it"),
        ("deleted", "does not exist"),
    ] {
        let server = Server::after_the_demo(BOB);
        server.allow("approve", "environments/release-board", "production");
        let ran = run_while(
            &server,
            "approve payments-2026.12.1 production",
            person,
            || match what {
                "edited" => server.change("payments-2026.12.1", |release| {
                    release["metadata"]["generation"] = json!(7);
                    release["status"]["environments"][2]["planHash"] = json!("v1:sha256:other");
                }),
                _ => server.remove("payments-2026.12.1"),
            },
        );
        assert!(
            ran.exit.as_ref().is_err_and(|e| e.contains(said)),
            "{what}: {:?}",
            ran.exit
        );
        let writes = server.writes.lock().unwrap();
        assert!(
            writes.iter().all(|(_, path, _)| path.contains("dryRun")),
            "{writes:?}"
        );
    }
}

#[test]
fn a_plan_that_the_operator_has_not_read_yet_is_not_signed() {
    let server = Server::after_the_demo(BOB);
    server.allow("approve", "environments/release-board", "production");
    server.change("payments-2026.12.1", |release| {
        release["metadata"]["generation"] = json!(2)
    });
    let person = Screen {
        answer: Some("y\n"),
        ..PIPE
    };
    let said = run(&server, "approve payments-2026.12.1 production", person)
        .exit
        .unwrap_err();
    assert!(
        said.contains("status describes generation 1, and the spec is of generation 2"),
        "{said}"
    );
    assert_eq!(server.writes.lock().unwrap().len(), 0);
}

#[test]
fn with_yes_a_release_that_was_created_again_is_not_decided_on() {
    // The dry run of the Decision comes before the Release is read again.
    let server = Server::after_the_demo(BOB);
    server.on_write("/decisions", |objects| {
        let again = objects
            .iter_mut()
            .filter(|o| o["metadata"]["name"] == "payments-2026.12.2");
        again.for_each(|release| release["metadata"]["uid"] = json!("another"));
    });
    let said = run(&server, "back-out payments-2026.12.2 uat --yes", PIPE)
        .exit
        .unwrap_err();
    assert!(said.contains("changed while you read it"), "{said}");
}

#[test]
fn a_hold_never_frees_what_another_hold_holds() {
    let server = Server::after_the_demo(ALICE);
    let held = |server: &Arc<Server>| {
        let text = run(server, "status payments-2026.12.1 -o json", PIPE).output;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["releases"][0]["hold"].clone()
    };
    let hold = "hold payments-2026.12.1 --yes";
    for (words, wanted) in [
        (
            "--environment production -m first",
            json!({ "reason": "first", "environments": ["production"] }),
        ),
        (
            "--environment uat",
            json!({ "reason": "first", "environments": ["production", "uat"] }),
        ),
        ("-m incident", json!({ "reason": "incident" })),
        ("--environment sit", json!({ "reason": "incident" })),
        ("", json!({ "reason": "incident" })),
    ] {
        let ran = run(&server, &format!("{hold} {words}"), PIPE);
        assert_eq!(ran.exit, Ok(0), "{words}");
        assert_eq!(held(&server), wanted, "{words}");
    }
}

#[test]
fn a_hold_is_written_to_the_version_that_was_compared_and_past_writes_of_the_status() {
    let written = |at_most: usize| {
        let server = Server::after_the_demo(ALICE);
        let count = std::sync::atomic::AtomicUsize::new(0);
        // The operator writes status between the read and the write of the hold, some times.
        server.on_write("/payments-2026.12.1", move |objects| {
            let nth = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            for release in objects
                .iter_mut()
                .filter(|o| o["metadata"]["name"] == "payments-2026.12.1")
            {
                if nth <= at_most {
                    release["metadata"]["resourceVersion"] = json!(format!("operator-{nth}"));
                }
            }
        });
        let ran = run(
            &server,
            "hold payments-2026.12.1 --environment production --yes",
            PIPE,
        );
        (
            ran.exit,
            server.find("payments-2026.12.1")["spec"]["hold"].clone(),
        )
    };
    let held = json!({ "environments": ["production"] });
    for writes in [0, 1, 3] {
        assert_eq!(written(writes), (Ok(0), held.clone()), "{writes}");
    }
    let (exit, hold) = written(100);
    assert!(exit.is_err_and(|e| e.contains("changed meanwhile, so nothing was changed")));
    assert!(hold.is_null(), "{hold}");
}

#[test]
fn a_wait_ends_by_the_environments_that_matter() {
    let demo = || Server::after_the_demo(BOB);
    let promotion = |server: &Arc<Server>, place: usize, change: &dyn Fn(&mut serde_json::Value)| {
        server.change("payments-2026.12.1", |release| {
            change(&mut release["status"]["environments"][place])
        });
    };
    let ends = |server: &Arc<Server>, words: &str| {
        run(
            server,
            &format!("wait payments-2026.12.1 --timeout 1s {words}"),
            PIPE,
        )
        .exit
    };
    // A hold of production says nothing about uat, which is still deploying.
    let server = demo();
    promotion(&server, 1, &|p| p["state"] = json!("Deploying"));
    server.change("payments-2026.12.1", |r| {
        r["spec"]["hold"] = json!({ "environments": ["production"] })
    });
    assert_eq!(ends(&server, "--environment uat"), Ok(124));
    assert_eq!(ends(&server, "--environment sit"), Ok(0));
    // sit comes before uat, and production does not.
    promotion(&server, 0, &|p| p["state"] = json!("Failed"));
    assert_eq!(ends(&server, "--environment uat"), Ok(3));
    promotion(&server, 0, &|p| p["state"] = json!("Succeeded"));
    promotion(&server, 2, &|p| p["state"] = json!("Failed"));
    assert_eq!(ends(&server, "--environment uat"), Ok(124));
    assert_eq!(ends(&server, ""), Ok(3));
    // Without the Environments, what comes before may be needed, and what comes after is not.
    server.refuse("GET /apis/signalbox.dev/v1alpha1/environments", 403, "forbidden");
    assert_eq!(ends(&server, "--environment uat"), Ok(124));
    promotion(&server, 0, &|p| p["state"] = json!("Failed"));
    assert_eq!(ends(&server, "--environment uat"), Ok(3));
    promotion(&server, 0, &|p| p["state"] = json!("Succeeded"));
    // A Failed promotion is not ready, and one that Succeeded asks no one any more.
    assert_eq!(ends(&server, "--environment production --for ready"), Ok(3));
    let server = demo();
    assert_eq!(ends(&server, "--environment sit --for decision"), Ok(0));
    // What could not be evaluated yet asks no one.
    promotion(&server, 2, &|p| {
        for check in p["checks"].as_array_mut().unwrap() {
            check["state"] = json!("Unknown");
            check["reason"] = json!("NotReadYet");
        }
    });
    assert_eq!(ends(&server, ""), Ok(124));
    // A Decision that was created a moment ago may not be in status yet.
    let server = demo();
    assert_eq!(ends(&server, ""), Ok(2));
    let hash = server.find("payments-2026.12.1")["status"]["environments"][2]["planHash"].clone();
    let spec = json!({ "release": "payments-2026.12.1", "environment": "production", "action": "Approve", "subject": "board",
        "role": "release-board", "by": BOB, "planHash": hash });
    let created = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let metadata =
        json!({ "name": "now", "namespace": "payments", "uid": "now", "creationTimestamp": created });
    server.add(json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Decision", "metadata": metadata, "spec": spec }));
    assert_eq!(ends(&server, ""), Ok(124));
}

#[test]
fn mine_is_what_the_user_has_not_done_yet() {
    let server = Server::after_the_demo(BOB);
    server.allow("approve", "environments/release-board", "production");
    let mine = || run(&server, "status --mine -o name", PIPE).output;
    assert_eq!(mine(), "release.signalbox.dev/payments-2026.12.1\n");
    let hash = server.find("payments-2026.12.1")["status"]["environments"][2]["planHash"].clone();
    let approve = |name: &str, gate: &str, created: &str| {
        let spec = json!({ "release": "payments-2026.12.1", "environment": "production", "action": "Approve", "subject": gate,
            "role": "release-board", "by": BOB, "planHash": hash });
        let metadata =
            json!({ "name": name, "namespace": "payments", "uid": name, "creationTimestamp": created });
        server.add(json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Decision", "metadata": metadata, "spec": spec }));
    };
    // Another gate, and an approval that has expired (validFor: 72h).
    approve("a", "security", "2026-11-28T13:04:00Z");
    approve("b", "board", "2026-11-25T13:04:00Z");
    assert_eq!(mine(), "release.signalbox.dev/payments-2026.12.1\n");
    approve("c", "board", "2026-11-28T13:04:00Z");
    assert_eq!(mine(), "");
}

#[test]
fn what_cannot_be_read_is_never_left_out_without_a_word() {
    for (words, exit) in [
        ("status", Ok(2)),
        ("history", Ok(2)),
        ("calendar", Ok(2)),
        ("review list", Ok(2)),
        ("notes payments-2026.11.1", Ok(0)),
        ("release payments 2027.1.1", Err(())),
    ] {
        let server = Server::after_the_demo(BOB);
        server.change("payments-2026.12.2", |release| {
            release["spec"]["change"]["model"] = json!("Emergency")
        });
        let ran = run(&server, words, PIPE);
        let said = format!(
            "{}{}",
            ran.errors,
            ran.exit.as_ref().err().cloned().unwrap_or_default()
        );
        assert!(
            said.contains("Release payments/payments-2026.12.2 is not shown"),
            "{words}: {said}"
        );
        assert_eq!(ran.exit.map_err(|_| ()), exit, "{words}");
    }
}

#[test]
fn holds_and_withdrawals_change_one_field() {
    let server = Server::after_the_demo(ALICE);
    let mut text = String::new();
    for words in [
        "hold payments-2026.12.1 --environment nowhere --yes",
        "hold payments-2026.12.1 -m later --environment production --yes",
        "hold payments-2026.12.1 -m later --environment production --yes",
        "status payments-2026.12.1",
        "explain payments-2026.12.1 production -o name",
        "wait payments-2026.12.1",
        "hold payments-2026.12.1 --dry-run",
        "unhold payments-2026.12.1 --yes",
        "unhold payments-2026.12.1 --yes",
        "withdraw payments-2026.12.1",
        "withdraw payments-2026.12.1 --yes -m mistake",
        "withdraw payments-2026.12.1 --yes",
    ] {
        let ran = run(&server, words, PIPE);
        text.push_str(&unclocked(&ran.transcript(words)));
        text.push('\n');
    }
    golden("holding.txt", &text);
    let writes = server.writes.lock().unwrap();
    let changed: Vec<&serde_json::Value> = writes
        .iter()
        .filter(|(method, path, _)| *method == Method::PATCH && !path.contains("dryRun"))
        .map(|(_, _, body)| &body["spec"])
        .collect();
    assert_eq!(
        changed,
        [
            &json!({ "hold": { "reason": "later", "environments": ["production"] } }),
            &json!({ "hold": null }),
            &json!({ "withdrawn": { "reason": "mistake" } }),
        ]
    );
}

#[test]
fn nothing_that_people_wrote_moves_the_cursor() {
    let server = Server::after_the_demo(BOB);
    let evil = "\x1b[2J\x1b[31mred\r\n\u{202e}turned";
    server.change("payments-2026.12.1", |release| {
        release["spec"]["change"]["reason"] = json!(evil);
        release["spec"]["deploymentPlan"]["summary"] = json!(evil);
        release["spec"]["backoutPlan"]["summary"] = json!(evil);
        release["spec"]["requestedBy"] = json!(evil);
        release["spec"]["hold"] = json!({ "reason": evil });
        release["status"]["rag"]["reasons"] = json!([evil]);
        for promotion in release["status"]["environments"].as_array_mut().unwrap() {
            promotion["message"] = json!(evil);
            for check in promotion["checks"].as_array_mut().into_iter().flatten() {
                check["message"] = json!(evil);
            }
        }
    });
    server.change("production", |environment| {
        environment["status"]["window"]["because"] = json!(evil)
    });
    for words in [
        "status",
        "status -o wide",
        "status --environment production",
        "explain payments-2026.12.1",
        "approve payments-2026.12.1 production --gate board --dry-run",
        "review payments-2026.12.1 --print",
        "review list",
        "history",
        "notes payments-2026.12.1",
        "calendar",
        "diff payments-2026.12.1",
        "release payments 2027.1.1",
        "status -o json",
        "status -o yaml",
        "hold payments-2026.12.1 --dry-run",
        "wait payments-2026.12.1",
    ] {
        let ran = run(
            &server,
            words,
            Screen {
                width: Some(80),
                ..PIPE
            },
        );
        for text in [
            &ran.output,
            &ran.errors,
            ran.exit.as_ref().err().unwrap_or(&String::new()),
        ] {
            let moves = text
                .chars()
                .find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
            assert_eq!(moves, None, "{words}: {text:?}");
        }
    }
}

#[test]
fn what_the_server_answers_is_one_sentence_that_says_what_to_do() {
    for (code, message, wanted) in [
        (401, "Unauthorized", "does not accept your credentials (401)"),
        (
            403,
            "releases.signalbox.dev is forbidden: User \"x\" cannot list",
            "is forbidden: User \"x\" cannot list",
        ),
        (
            404,
            "404 page not found",
            "Install Signalbox, or check the context",
        ),
        (500, "etcd is down", "Cannot list releases: etcd is down."),
    ] {
        let server = Server::after_the_demo(BOB);
        server.refuse("GET /apis/signalbox.dev", code, message);
        let said = run(&server, "status", PIPE).exit.unwrap_err();
        assert!(said.contains(wanted) && said.ends_with('.'), "{code}: {said}");
    }
    // An object of a newer version is named, and the others are shown.
    let server = Server::after_the_demo(BOB);
    server.change("payments-2026.12.1", |release| {
        release["status"]["environments"][0]["state"] = json!("Skipped")
    });
    let ran = run(&server, "status", PIPE);
    assert_eq!(ran.exit, Ok(2));
    assert!(
        ran.output.contains("payments-2026.12.2") && !ran.output.contains("payments-2026.12.1"),
        "{}",
        ran.output
    );
    assert!(
        ran.errors
            .contains("Release payments/payments-2026.12.1 is not shown"),
        "{}",
        ran.errors
    );
}

#[test]
fn long_lists_are_read_page_by_page() {
    let text = include_str!("cluster/releases.json");
    let releases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let many: Vec<serde_json::Value> = (0..1_203)
        .map(|n| {
            let mut release = releases[0].clone();
            release["metadata"]["name"] = json!(format!("payments-{n:04}"));
            release
        })
        .collect();
    let server = Server::with(BOB, many);
    let ran = run(&server, "status --no-headers", PIPE);
    assert_eq!(ran.output.lines().count(), 1_203);
    assert_eq!(ran.exit, Ok(0));
}
