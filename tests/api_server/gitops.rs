//! How generic tools treat Signalbox objects: kstatus, with which Flux and helm wait, Flux and Argo CD with the health checks of the
//! examples, and kubectl in a pipeline.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use signalbox::api::release::State;
use signalbox::api::{Environment, Release};

use crate::kit::{IMAGE, Stage, gone, kubeconfig};

/// Long enough for a busy machine. A test that passes never waits that long.
const LONG: Duration = Duration::from_secs(60);
/// Simulated pods with this image never become ready.
const NEVER_READY: &str = "registry.example.com/ledger-unready@sha256:3333333333333333333333333333333333333333333333333333333333333333";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The result of kstatus, or of a health check, for each of `objects`.
fn judged(arguments: &[&str], objects: &[Value]) -> Vec<String> {
    let folder = std::env::var("SIGNALBOX_TEST_GITOPS").expect("cargo xtask test sets it");
    let mut program = Command::new(Path::new(&folder).join("gitops"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    // The objects are larger than the buffer of a pipe, so they are written in parallel to the answers.
    let mut stdin = program.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let verdicts = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    verdicts
        .map(|verdict| verdict["status"].as_str().unwrap().to_owned())
        .collect()
}

/// One object in each line, in all possible states, written by the operator's own code: see `src/gitops.rs`.
fn recorded(kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(repository("tests/fixtures/gitops.jsonl")).unwrap();
    let all = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|object| object["kind"] == kind).collect()
}

/// The `spec` of the Kustomization in the example for Flux.
fn kustomization() -> Value {
    let text = fs::read_to_string(repository("examples/gitops/flux/releases.yaml")).unwrap();
    let kustomization: Value = serde_yaml_ng::from_str(&text).unwrap();
    kustomization["spec"].clone()
}

/// The result of Flux for every recorded state of a Release, with the `healthCheckExprs` of the example.
fn by_flux() -> BTreeMap<String, String> {
    let spec = kustomization();
    let checks = spec["healthCheckExprs"].as_array().unwrap();
    assert_eq!(checks.len(), 1, "Releases have one");
    let mut check = tempfile::NamedTempFile::new().unwrap();
    check.write_all(checks[0].to_string().as_bytes()).unwrap();
    let objects = recorded("Release");
    let verdicts = judged(&["flux", check.path().to_str().unwrap()], &objects);
    names(&objects).zip(verdicts).collect()
}

fn names(objects: &[Value]) -> impl Iterator<Item = String> {
    objects
        .iter()
        .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
}

/// The health check for `kind` from the example.
fn health_check(kind: &str) -> tempfile::NamedTempFile {
    let text = fs::read_to_string(repository("examples/gitops/argocd/argocd-cm.yaml")).unwrap();
    let config: Value = serde_yaml_ng::from_str(&text).unwrap();
    let key = format!("resource.customizations.health.signalbox.dev_{kind}");
    let mut script = tempfile::NamedTempFile::new().unwrap();
    let text = config["data"][key].as_str().unwrap();
    script.write_all(text.as_bytes()).unwrap();
    script
}

/// For every recorded state: the results of kstatus and of Argo CD.
fn verdicts(kind: &str) -> BTreeMap<String, (String, String)> {
    let objects = recorded(kind);
    let script = health_check(kind);
    let kstatus = judged(&["kstatus"], &objects);
    let health = judged(&["lua", script.path().to_str().unwrap()], &objects);
    names(&objects).zip(kstatus.into_iter().zip(health)).collect()
}

fn expected(all: &[(&str, &str, &str)]) -> BTreeMap<String, (String, String)> {
    all.iter()
        .map(|(state, kstatus, health)| ((*state).to_owned(), ((*kstatus).to_owned(), (*health).to_owned())))
        .collect()
}

#[test]
fn every_state_of_a_release_reads_as_what_it_is() {
    assert_eq!(
        verdicts("Release"),
        expected(&[
            ("new", "InProgress", "Progressing"),
            ("edited", "InProgress", "Progressing"),
            ("refused", "Failed", "Degraded"),
            ("pending", "InProgress", "Progressing"),
            ("waiting", "InProgress", "Suspended"),
            ("held", "InProgress", "Suspended"),
            ("queued", "InProgress", "Suspended"),
            ("deploying", "InProgress", "Progressing"),
            ("verifying", "InProgress", "Progressing"),
            ("observing", "InProgress", "Progressing"),
            // In uat; production comes later.
            ("succeeded", "InProgress", "Progressing"),
            ("everywhere", "Current", "Healthy"),
            ("awaitingdecision", "Failed", "Degraded"),
            ("backingout", "InProgress", "Progressing"),
            ("backedout", "Failed", "Degraded"),
            ("failed", "Failed", "Degraded"),
            ("withdrawn", "Current", "Healthy"),
            ("overtaken-superseded", "Current", "Healthy"),
            ("overtaken-backedout", "Current", "Healthy"),
            ("overtaken-failed", "Failed", "Degraded"),
            ("overtaken-awaitingdecision", "Failed", "Degraded"),
        ])
    );
}

#[test]
fn every_state_of_an_environment_reads_as_what_it_is() {
    assert_eq!(
        verdicts("Environment"),
        expected(&[
            ("new", "InProgress", "Progressing"),
            ("ready", "Current", "Healthy"),
            ("stalled", "Failed", "Degraded"),
        ])
    );
}

#[test]
fn for_flux_a_release_is_good_from_when_it_is_accepted() {
    let what = by_flux();
    for (state, verdict) in &what {
        let expected = match state.as_str() {
            "new" | "edited" => "InProgress",
            "refused" => "Failed",
            _ => "Current",
        };
        assert_eq!(verdict, expected, "{state}");
    }
    assert!(
        ["new", "edited", "refused"]
            .iter()
            .all(|state| what.contains_key(*state)),
        "{what:?}"
    );
    // Without the expressions, a Kustomization would occupy one of the controller's workers in these states.
    assert_eq!(verdicts("Release")["waiting"].0, "InProgress");
    assert_eq!(what["waiting"], "Current");
}

#[test]
fn the_document_shows_the_example_for_flux() {
    let document = fs::read_to_string(repository("docs/gitops.md")).unwrap();
    let (_, section) = document.split_once("\n## Flux\n").unwrap();
    let (_, block) = section.split_once("```yaml\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let shown: Value = serde_yaml_ng::from_str(block).unwrap();
    let spec = kustomization();
    let shown = shown.as_object().unwrap();
    assert!(shown.contains_key("healthCheckExprs"));
    for (field, value) in shown {
        assert_eq!(&spec[field], value, "spec.{field}");
    }
}

#[tokio::test]
async fn what_nobody_has_looked_at_is_in_progress_from_its_first_moment() {
    let stage = Stage::new("unseen").bare().await;
    let release = stage.release("1").into(&["sit"]).image("ledger", IMAGE).build();
    let created: Release = stage
        .api()
        .create(&PostParams::default(), &release)
        .await
        .unwrap();
    let environment: Environment = serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": { "name": stage.environment("new") },
        "spec": { "stage": "SIT", "namespace": "{namespace}-new" },
    }))
    .unwrap();
    let environments: Api<Environment> = Api::all(stage.client());
    let environment = environments
        .create(&PostParams::default(), &environment)
        .await
        .unwrap();
    let name = environment.metadata.name.clone().unwrap();
    let objects = [json!(created), json!(environment)];
    for object in &objects {
        assert_eq!(object["status"]["observedGeneration"], -1, "{object}");
    }
    assert_eq!(judged(&["kstatus"], &objects), ["InProgress", "InProgress"]);
    environments.delete(&name, &Default::default()).await.unwrap();
    gone(&environments, &name, LONG).await;
    stage.finish().await;
}

/// A chart with only this Release.
fn chart(release: &Release) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("templates")).unwrap();
    let chart = "apiVersion: v2\nname: delivery\nversion: 1.0.0\n";
    fs::write(folder.path().join("Chart.yaml"), chart).unwrap();
    let path = folder.path().join("templates/release.yaml");
    fs::write(path, serde_json::to_string(release).unwrap()).unwrap();
    folder
}

/// `helm install --wait` of `chart`. It ends at the latest with its own timeout.
fn helm_waits(stage: &Stage, chart: &Path) -> Child {
    let tools = PathBuf::from(std::env::var_os("SIGNALBOX_TEST_BIN").expect("cargo xtask test sets it"));
    Command::new(tools.join("helm"))
        .args([
            "install",
            "delivery",
            "--wait",
            "--timeout=3m",
            "--namespace",
            stage.namespace(),
        ])
        .arg(chart)
        .env("KUBECONFIG", kubeconfig())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The exit, which must come when the Release is finished, long before the timeout.
async fn ended(child: Child) -> Output {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = tokio::time::timeout(LONG, output).await;
    output
        .expect("it ends when the Release is finished")
        .unwrap()
        .unwrap()
}

/// The output of `examples/gitops/wait.sh`, and whether it succeeds.
async fn waited(stage: &Stage, release: &str) -> (bool, String) {
    told(waits(stage, release)).await
}

async fn told(wait: Child) -> (bool, String) {
    let output = ended(wait).await;
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

/// `examples/gitops/wait.sh`, started.
fn waits(stage: &Stage, release: &str) -> Child {
    let tools = std::env::var("SIGNALBOX_TEST_BIN").expect("cargo xtask test sets it");
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    Command::new("bash")
        .arg(repository("examples/gitops/wait.sh"))
        .args([stage.namespace(), release, "3m"])
        .envs([
            ("KUBECONFIG", kubeconfig().into_os_string()),
            ("PATH", path.into()),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The processes with this text in their command line.
fn running(text: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}

/// The kernel has no event for that.
async fn until_running(text: &str, holds: impl Fn(usize) -> bool) {
    let waited = async {
        while !holds(running(text)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(LONG, waited).await;
    waited.unwrap_or_else(|_| panic!("{} processes wait for {text}", running(text)));
}

#[tokio::test]
async fn a_pipeline_does_not_wait_for_what_is_deleted_and_leaves_nothing_behind_when_it_is_cancelled() {
    let stage = Stage::new("wait-ends").only(&["sit"]).await;
    let held = |version: &str| {
        let release = stage.release(version).into(&["sit"]).image("ledger", IMAGE);
        release.with("/spec/hold", json!({ "reason": "not yet" }))
    };
    let deleted = stage.submit(held("2")).await;
    let wait = waits(&stage, &deleted);
    until_running(&format!("wait\0releases.signalbox.dev/{deleted}\0"), |n| n == 3).await;
    stage.forget(&deleted).await;
    let (content, printed) = told(wait).await;
    assert!(!content && printed.contains("NotFound"), "{printed}");

    let cancelled = stage.submit(held("3")).await;
    let wait = waits(&stage, &cancelled);
    let waiting = format!("wait\0releases.signalbox.dev/{cancelled}\0");
    until_running(&waiting, |n| n == 3).await;
    let ended = Command::new("kill").arg(wait.id().to_string()).status().unwrap();
    assert!(ended.success());
    let (content, _) = told(wait).await;
    assert!(!content);
    until_running(&waiting, |n| n == 0).await;
    stage.finish().await;
}

#[tokio::test]
async fn helm_and_a_pipeline_wait_for_a_held_release_until_it_has_succeeded() {
    let stage = Stage::new("helm-held").only(&["sit"]).await;
    let release = stage.release("2").into(&["sit"]).image("ledger", IMAGE);
    let release = release.with("/spec/hold", json!({ "reason": "not yet" })).build();
    let name = release.metadata.name.clone().unwrap();
    let chart = chart(&release);
    let mut helm = helm_waits(&stage, chart.path());
    stage.reaches(&name, "sit", State::Waiting).await;
    assert!(helm.try_wait().unwrap().is_none(), "helm has not waited");

    stage.merge(&name, json!({ "spec": { "hold": null } })).await;
    let (content, printed) = waited(&stage, &name).await;
    assert!(
        content && printed.contains("Succeeded: Succeeded in"),
        "{printed}"
    );
    let helm = ended(helm).await;
    assert!(helm.status.success(), "{}", String::from_utf8_lossy(&helm.stderr));
    stage.finish().await;
}

#[tokio::test]
async fn helm_and_a_pipeline_end_at_once_where_a_release_is_backed_out() {
    let stage = Stage::new("helm-crash").only(&["sit"]).await;
    let release = stage
        .release("2")
        .into(&["sit"])
        .image("ledger", NEVER_READY)
        .ready_within("2s");
    let release = release.backout("Automatic").build();
    let name = release.metadata.name.clone().unwrap();
    let chart = chart(&release);
    let helm = helm_waits(&stage, chart.path());
    stage.reaches(&name, "sit", State::BackedOut).await;
    let (content, printed) = waited(&stage, &name).await;
    assert!(!content && printed.contains("BackedOut: "), "{printed}");
    let helm = ended(helm).await;
    assert!(
        !helm.status.success(),
        "helm accepts a Release that was backed out"
    );
    stage.finish().await;
}
