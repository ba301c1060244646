//! The recipes for pipelines, run by a shell with programs that stand for kubectl and the plugin.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for $PATH in which `kubectl` records its words, and answers `wait` with this exit status.
fn stub(waits: i32, exists: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{}'\ncase \"$*\" in\n  'signalbox wait '*) exit {waits} ;;\n  'get '*) exit {} ;;\n  \
         'signalbox release '*) echo 'kind: Release' ;;\n  create*) echo created ;;\nesac\n",
        log.display(),
        i32::from(!exists)
    );
    let kubectl = folder.path().join("kubectl");
    std::fs::write(&kubectl, script).unwrap();
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, log)
}

/// Runs `script` as a CI system does, and returns its exit status, its output and what was asked of kubectl.
fn run(script: &str, waits: i32, variables: &[(&str, &str)]) -> (i32, String, Vec<String>) {
    run_again(script, waits, false, variables)
}

fn run_again(
    script: &str,
    waits: i32,
    exists: bool,
    variables: &[(&str, &str)],
) -> (i32, String, Vec<String>) {
    let (folder, log) = stub(waits, exists);
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh")
        .args(["-e", "-c", script])
        .current_dir(home())
        .env("PATH", path)
        .env("RUNNER_TEMP", folder.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    let asked = std::fs::read_to_string(log).unwrap_or_default();
    (
        ran.status.code().unwrap(),
        output,
        asked.lines().map(str::to_owned).collect(),
    )
}

fn recipe(name: &str) -> Value {
    let text = std::fs::read_to_string(home().join("examples/pipelines").join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

const IMAGE: &str = "registry.example.com/ledger@sha256:9f2c";

fn asked_the_right_things(asked: &[String], requester: &str) {
    let wanted = format!(
        "signalbox release payments 2026.12.3 --image ledger={IMAGE} --requested-by {requester} --namespace payments"
    );
    assert_eq!(asked[1], wanted);
    assert!(asked[2].starts_with("signalbox lint -f "), "{asked:?}");
    assert!(
        asked[3].starts_with("create --namespace payments --filename "),
        "{asked:?}"
    );
    assert_eq!(
        asked[5],
        "signalbox wait payments-2026.12.3 --namespace payments --environment uat --timeout 60m"
    );
}

#[test]
fn each_end_of_the_wait_ends_the_pipeline_as_documented() {
    let script = "examples/pipelines/release.sh";
    let variables = [
        ("PRODUCT", "payments"),
        ("VERSION", "2026.12.3"),
        ("IMAGES", &*format!("ledger={IMAGE}")),
        ("REQUESTER", "alice@example.com"),
        ("NAMESPACE", "payments"),
        ("GOAL", "uat"),
        ("TIMEOUT", "60m"),
    ];
    for (waits, exit, said, explains) in [
        (0, 0, "has Succeeded in uat", false),
        (1, 1, "", true),
        (2, 0, "waits for people", true),
        (3, 3, "", true),
        (4, 0, "overtaken", false),
        (124, 124, "", true),
    ] {
        let (ended, output, asked) = run(script, waits, &variables);
        assert_eq!(ended, exit, "{output}");
        assert!(output.contains(said), "{output}");
        asked_the_right_things(&asked, "alice@example.com");
        let explained = asked
            .iter()
            .any(|words| words.starts_with("signalbox explain payments-2026.12.3"));
        assert_eq!(explained, explains, "{asked:?}");
    }
    let (ended, output, asked) = run_again(script, 0, true, &variables);
    assert_eq!(ended, 0, "{output}");
    let created = |words: &&String| words.starts_with("create") || words.starts_with("signalbox release");
    assert_eq!(asked.iter().filter(created).count(), 0, "{asked:?}");
    let (ended, output, asked) = run(script, 0, &variables[1..]);
    assert!(ended != 0 && output.contains("PRODUCT"), "{output}");
    assert_eq!(asked, Vec::<String>::new());
}

#[test]
fn the_github_recipe_is_a_shell_script_that_releases() {
    let workflow = recipe("github.yaml");
    let steps = workflow["jobs"]["release"]["steps"].as_array().unwrap();
    let script = steps.iter().find_map(|step| step["run"].as_str()).unwrap();
    let variables = [
        ("KUBECONFIG_TEXT", "kind: Config"),
        ("TAG", "v2026.12.3"),
        ("IMAGE", IMAGE),
        ("ACTOR", "alice"),
    ];
    let (ended, output, asked) = run(script, 0, &variables);
    assert_eq!(ended, 0, "{output}");
    asked_the_right_things(&asked, "alice@example.com");
    assert_eq!(run(script, 3, &variables).0, 3);
}

#[test]
fn the_gitlab_recipe_is_a_shell_script_that_releases() {
    let pipeline = recipe("gitlab.yaml");
    let lines = pipeline["release"]["script"].as_array().unwrap();
    let script: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
    let variables = [
        ("CI_COMMIT_TAG", "v2026.12.3"),
        ("IMAGE", IMAGE),
        ("GITLAB_USER_EMAIL", "alice@example.com"),
    ];
    let (ended, output, asked) = run(&script.join("\n"), 0, &variables);
    assert_eq!(ended, 0, "{output}");
    asked_the_right_things(&asked, "alice@example.com");
    assert_eq!(run(&script.join("\n"), 124, &variables).0, 124);
}
