//! Field ownership: `docs/gitops.md` followed to the letter. Its template lines and its commands are taken out of the document
//! and carried out by the real helm and kubectl, with what it shows as their output. Only the namespace is another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use signalbox::api::release::State;
use tempfile::TempDir;

use crate::acting::LONG;
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, kubeconfig, wait_until};

/// What a second Release brings.
const IMAGE_AFTER: &str =
    "registry.example.com/ledger@sha256:5555555555555555555555555555555555555555555555555555555555555555";
/// The namespace in the document.
const NAMESPACE: &str = "payments-prod";

/// The first block of `language` under `heading` in the document.
fn block(heading: &str, language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gitops.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, section) = document
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let (section, _) = section.split_once("\n### ").unwrap_or((section, ""));
    let (_, block) = section
        .split_once(&format!("```{language}\n"))
        .unwrap_or_else(|| panic!("no {language} under {heading}"));
    block.split_once("```").unwrap().0.to_owned()
}

/// Somebody's folder, with a file or a chart that states the ledger in the target of `sit`.
struct Desk<'a> {
    stage: &'a Stage,
    folder: TempDir,
}

impl<'a> Desk<'a> {
    fn new(stage: &'a Stage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { stage, folder }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A chart whose template begins with `head`.
    fn chart(&self, head: &str, image: &str, replicas: u8) {
        self.write(
            "chart/Chart.yaml",
            "apiVersion: v2\nname: ledger\nversion: 1.0.0\n",
        );
        self.write("chart/values.yaml", &format!("image: {IMAGE_BEFORE}\n"));
        self.write(
            "chart/templates/ledger.yaml",
            &(head.to_owned() + &ledger(image, replicas)),
        );
    }

    /// Whether a command is content, and everything it prints.
    fn runs(&self, command: &str) -> (bool, String) {
        let tools = PathBuf::from(std::env::var_os("SIGNALBOX_TEST_BIN").expect("cargo xtask test sets it"));
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &command.replace(NAMESPACE, &self.stage.target("sit"))])
            .current_dir(self.folder.path())
            .envs([
                ("KUBECONFIG", kubeconfig().into_os_string()),
                ("KUBECACHEDIR", self.folder.path().join("cache").into_os_string()),
                ("PATH", path.into()),
            ])
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(printed).unwrap())
    }

    fn passes(&self, command: &str) {
        let (content, printed) = self.runs(command);
        assert!(content, "{command}: {printed}");
    }

    /// Runs the commands under `heading` in one shell. Each prints the lines that the document shows, and fails only where one of
    /// these is an error.
    fn follows(&self, heading: &str) {
        const END: &str = "--- ended with ";
        let mut script = "exec 2>&1\n".to_owned();
        let mut steps: Vec<(String, Vec<String>)> = Vec::new();
        for line in block(heading, "console").lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                script += &format!("{command}\necho \"{END}$?\"\n");
                steps.push((command.to_owned(), Vec::new()));
            } else {
                let (_, shown) = steps.last_mut().expect("a command comes first");
                shown.push(line.replace(NAMESPACE, &self.stage.target("sit")));
            }
        }
        let (_, all) = self.runs(&script);
        let mut printed = all.as_str();
        for (command, shown) in steps {
            let (said, rest) = printed.split_once(END).unwrap_or_else(|| panic!("{all}"));
            let (code, rest) = rest.split_once('\n').unwrap();
            let fails = shown.iter().any(|line| line.starts_with("error"));
            assert_eq!(code != "0", fails, "{command} ended with {code}: {said}");
            for line in shown {
                assert!(
                    said.lines().any(|l| l == line),
                    "{command}: no {line:?} in {said}"
                );
            }
            printed = rest;
        }
    }

    /// A Release of `image` succeeds.
    async fn released(&self, version: &str, image: &str) {
        let release = self.stage.release(version).into(&["sit"]).image("ledger", image);
        let name = self.stage.submit(release).await;
        self.stage.reaches(&name, "sit", State::Succeeded).await;
    }

    /// What is stated runs, and nothing else.
    async fn ready(&self) {
        wait_until(&self.stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
            let replicas = d.spec.as_ref().and_then(|s| s.replicas);
            d.status.as_ref().is_some_and(|s| {
                s.observed_generation == d.metadata.generation
                    && [s.replicas, s.updated_replicas, s.available_replicas] == [replicas; 3]
            })
        })
        .await;
    }

    /// The ledger's image and replicas, as they are stated.
    async fn states(&self) -> (String, i32) {
        let ledger = self
            .stage
            .in_target::<Deployment>("sit")
            .get("ledger")
            .await
            .unwrap();
        let spec = ledger.spec.unwrap();
        let pod = spec.template.spec.unwrap();
        (pod.containers[0].image.clone().unwrap(), spec.replicas.unwrap())
    }
}

fn ledger(image: &str, replicas: u8) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: ledger
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{ app: ledger }}
  template:
    metadata:
      labels: {{ app: ledger }}
    spec:
      containers:
      - name: ledger
        image: {image}
"
    )
}

/// A stage in whose target nothing runs yet: the owner creates it.
async fn stage(name: &str) -> Stage {
    Stage::new(name).only(&["sit"]).empty().await
}

const PLAIN: &str = "{{ .Values.image }}";
const UPGRADE: &str = "helm upgrade ledger ./chart --namespace payments-prod";
const ROLLBACK: &str = "helm rollback ledger 1 --namespace payments-prod";

#[tokio::test]
async fn helm_server_side_conflicts_and_goes_on_with_what_runs() {
    let stage = stage("helm-ssa").await;
    let desk = Desk::new(&stage);
    desk.chart("", PLAIN, 1);
    desk.passes("helm install ledger ./chart --namespace payments-prod");
    desk.ready().await;
    desk.released("1.0", IMAGE).await;

    for refused in [UPGRADE, ROLLBACK] {
        let (content, printed) = desk.runs(refused);
        assert!(!content, "{refused}: {printed}");
        assert!(
            printed.contains("conflict with \"signalbox\""),
            "{refused}: {printed}"
        );
        assert_eq!(desk.states().await, (IMAGE.to_owned(), 1));
    }

    // What else the chart changes goes through, without force.
    desk.chart("", PLAIN, 2);
    desk.follows("In a chart");
    assert_eq!(desk.states().await, (IMAGE.to_owned(), 2));
    desk.ready().await;
    desk.released("1.1", IMAGE_AFTER).await;
    desk.chart(&block("In a chart", "yaml"), "{{ $image }}", 1);
    desk.passes(UPGRADE);
    assert_eq!(desk.states().await, (IMAGE_AFTER.to_owned(), 1));

    // What puts the old value back, as the table says.
    desk.chart("", PLAIN, 1);
    for (version, image, flag) in [
        ("1.2", IMAGE, "--force-conflicts"),
        ("1.3", IMAGE_AFTER, "--server-side=false"),
    ] {
        desk.ready().await;
        desk.released(version, image).await;
        desk.passes(&format!("{UPGRADE} --reset-values {flag}"));
        assert_eq!(desk.states().await.0, IMAGE_BEFORE, "{flag}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn helm_client_side_puts_its_value_back_and_with_what_runs_it_does_not() {
    let stage = stage("helm-csa").await;
    let desk = Desk::new(&stage);
    desk.chart("", PLAIN, 1);
    desk.passes("helm install ledger ./chart --namespace payments-prod --server-side=false");
    desk.ready().await;
    desk.released("1.0", IMAGE).await;

    // helm 4 keeps to how it was installed.
    desk.passes(UPGRADE);
    assert_eq!(desk.states().await, (IMAGE_BEFORE.to_owned(), 1));
    desk.ready().await;

    desk.released("1.1", IMAGE_AFTER).await;
    desk.chart("", PLAIN, 2);
    desk.follows("In a chart");
    assert_eq!(desk.states().await, (IMAGE_AFTER.to_owned(), 2));
    desk.ready().await;
    desk.released("1.2", IMAGE).await;
    desk.chart(&block("In a chart", "yaml"), "{{ $image }}", 1);
    desk.passes(UPGRADE);
    assert_eq!(desk.states().await, (IMAGE.to_owned(), 1));
    stage.finish().await;
}

#[tokio::test]
async fn kubectl_server_side_conflicts_and_goes_on_without_the_field() {
    let stage = stage("kubectl-ssa").await;
    let desk = Desk::new(&stage);
    desk.write("ledger.yaml", &ledger(IMAGE_BEFORE, 1));
    desk.passes("kubectl apply --server-side -f ledger.yaml --namespace payments-prod");
    desk.ready().await;
    desk.released("1.0", IMAGE).await;
    desk.write("ledger.yaml", &ledger(IMAGE_BEFORE, 2));
    desk.follows("In a file, server-side");
    assert_eq!(desk.states().await, (IMAGE.to_owned(), 2));
    desk.ready().await;
    desk.released("1.1", IMAGE_AFTER).await;
    stage.finish().await;
}

#[tokio::test]
async fn kubectl_client_side_puts_its_value_back_and_without_the_field_it_does_not() {
    let stage = stage("kubectl-csa").await;
    let desk = Desk::new(&stage);
    let apply = "kubectl apply -f ledger.yaml --namespace payments-prod";
    desk.write("ledger.yaml", &ledger(IMAGE_BEFORE, 1));
    desk.passes(apply);
    desk.ready().await;
    desk.released("1.0", IMAGE).await;
    desk.passes(apply);
    assert_eq!(desk.states().await, (IMAGE_BEFORE.to_owned(), 1));
    desk.ready().await;

    desk.released("1.1", IMAGE_AFTER).await;
    desk.write("ledger.yaml", &ledger(IMAGE_BEFORE, 2));
    desk.follows("In a file, client-side");
    assert_eq!(desk.states().await, (IMAGE_AFTER.to_owned(), 2));
    desk.ready().await;
    desk.released("1.2", IMAGE).await;
    desk.passes(apply);
    assert_eq!(desk.states().await, (IMAGE.to_owned(), 2));
    stage.finish().await;
}
