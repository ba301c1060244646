//! What the commands that read cost with many Releases: time, memory, and the time compared with kubectl, which reads the same objects.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::release::ReleaseStatus;
use signalbox::api::{Action, Decision, Environment, Release};

use super::board::Board;
use super::fleet::{self, Fleet};
use super::settled::{AT_ONCE, Settled};
use super::table::{Table, Unit};
use crate::control_plane::{ControlPlane, username};
use crate::operator::{self, Operator};
use crate::tools::Tools;

/// Each command runs this often. kubectl runs between them, so that other load affects both.
const ROUNDS: usize = 7;
const WALL: f64 = 300.0;
const PEAK: f64 = 60.0;
const RATIO: f64 = 1.3;
/// Who reads: an approver, because the requester has nothing to approve.
const READER: &str = "bob";
const GATE: &str = "board";
/// The environment in which every tenth Release waits for an approval.
const LAST: &str = fleet::THROUGH[2];
/// A namespace with a hundred of the Releases, and one of these.
const NAMESPACE: &str = "settled-000";
const RELEASE: &str = "app0-0";
const COMMANDS: [&[&str]; 14] = [
    &["status", "-n", NAMESPACE],
    &["status", "-A"],
    &["status", "-A", "-o", "json"],
    &["status", "-A", "--mine"],
    &["status", "--environment", LAST],
    &["explain", RELEASE, "-n", NAMESPACE],
    &["wait", RELEASE, "-n", NAMESPACE],
    &["calendar"],
    &["history", "-n", NAMESPACE],
    &["history", "-A"],
    &["notes", RELEASE, "-n", NAMESPACE],
    &["review", "list", "-A"],
    &["access"],
    &["version"],
];

/// Measures on a control plane of its own. The operator has stopped by then.
///
/// # Errors
/// A measurement failed. A number over its budget is not an error.
pub async fn measure(
    tools: &Tools,
    repository: &Path,
    binary: &Path,
    size: usize,
    table: &mut Table,
) -> Result<()> {
    let cluster = ControlPlane::start(tools, repository).await?;
    operator::install(tools, repository, &cluster, &["replicas=0"]).await?;
    let fleet = Fleet::new(&cluster, 1)?;
    let mut board = Board::start(cluster.client());
    let mut operator = Operator::start(tools, &cluster, binary, super::FLAGS).await?;
    operator.leads().await?;
    operator::policies_settled(&cluster, super::POLICY_SETTLE).await?;
    let promoted = promote(&fleet, &mut board).await;
    super::broke_off(promoted, &operator)?;
    operator.stop().await?;

    eprintln!("{size} Releases, and a Decision of each");
    fill(&cluster, &fleet, size).await?;
    let releases = Api::<Release>::all(cluster.client());
    let stored = releases.list(&ListParams::default()).await?.items;
    let bytes = serde_json::to_vec(&stored)?.len();
    let checks = stored
        .iter()
        .flat_map(|r| &r.status)
        .flat_map(|s| &s.environments);
    let checks: usize = checks.map(|p| p.checks.len()).sum();
    eprintln!(
        "  {:.1} KiB and {:.0} checks each",
        bytes as f64 / 1024.0 / stored.len() as f64,
        checks as f64 / stored.len() as f64
    );
    let reader = cluster
        .person_kubeconfig(READER)
        .context("the reader has no kubeconfig")?;
    let kubectl = tools.path("kubectl");
    tokio::task::block_in_place(|| Commands::new(&kubectl, binary, &reader)?.measure(size, table))
}

/// One Release through three environments.
async fn promote(fleet: &Fleet, board: &mut Board) -> Result<()> {
    fleet.build().await?;
    fleet.release("1", &fleet::THROUGH).await?;
    board
        .until("succeed everywhere", "1", 1, |release| {
            let everywhere =
                super::promotions(release).all(|p| p == signalbox::api::release::State::Succeeded);
            let reviewed = release.status.as_ref().is_some_and(|s| s.review.is_some());
            everywhere && reviewed
        })
        .await
}

/// Copies of that Release, of which every tenth waits for an approval in the last environment.
async fn fill(cluster: &ControlPlane, fleet: &Fleet, size: usize) -> Result<()> {
    let client = cluster.client();
    let binding = serde_json::from_value(json!({
        "metadata": { "name": "bench-reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": username(READER) }],
    }))?;
    Api::<ClusterRoleBinding>::all(client.clone())
        .create(&PostParams::default(), &binding)
        .await?;
    let gate = json!({ "spec": { "gates": [{ "name": GATE, "approval": { "role": GATE, "minimum": 1 } }] } });
    Api::<Environment>::all(client.clone())
        .patch(LAST, &PatchParams::default(), &Patch::Merge(gate))
        .await?;
    let name = fleet.names("1").swap_remove(0);
    let template = Api::<Release>::namespaced(client.clone(), &name.namespace)
        .get(&name.name)
        .await?;
    let waiting = waiting(template.status.context("the promoted Release has no status")?)?;
    let mut copies = Settled::of(cluster, &name).await?.every_tenth(waiting);
    copies.grow(size).await?;
    let releases = Api::<Release>::all(client.clone())
        .list(&ListParams::default())
        .await?
        .items;
    stream::iter(releases)
        .map(|release| decide(&client, release))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// The status of a Release that waits for an approval in the last environment.
fn waiting(status: ReleaseStatus) -> Result<ReleaseStatus> {
    let mut status = serde_json::to_value(status)?;
    let environments = status["environments"].as_array_mut();
    let last = environments
        .and_then(|all| all.last_mut())
        .context("no promotion")?;
    last["state"] = "Waiting".into();
    if let Some(fields) = last.as_object_mut() {
        for after_entry in ["startedAt", "finishedAt", "enteredAt"] {
            fields.remove(after_entry);
        }
    }
    let mut check = last["checks"][0].clone();
    check["name"] = GATE.into();
    check["state"] = "Waiting".into();
    check["reason"] = "ApprovalsMissing".into();
    check["message"] = format!("0 of 1 approvals by {GATE}.").into();
    let checks = last["checks"].as_array_mut().context("no checks")?;
    checks.push(check);
    Ok(serde_json::from_value(status)?)
}

async fn decide(client: &Client, release: Release) -> Result<()> {
    let decision: Value = json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Decision",
        "metadata": { "name": format!("{}-decided", release.name_any()) },
        "spec": {
            "release": release.name_any(), "environment": LAST, "action": Action::BackOut, "by": "admin", "attempt": 1,
            "reason": "The dashboard of the last environment shows errors.",
        },
    });
    let decision: Decision = serde_json::from_value(decision)?;
    let decisions = Api::<Decision>::namespaced(client.clone(), &release.namespace().unwrap_or_default());
    decisions
        .create(&PostParams::default(), &decision)
        .await
        .context("a Decision was refused")?;
    Ok(())
}

/// The programs, and who runs them.
struct Commands<'a> {
    kubectl: &'a Path,
    binary: &'a Path,
    kubeconfig: &'a Path,
    /// Which kinds are served, for kubectl.
    cache: tempfile::TempDir,
}

impl<'a> Commands<'a> {
    fn new(kubectl: &'a Path, binary: &'a Path, kubeconfig: &'a Path) -> Result<Self> {
        Ok(Self {
            kubectl,
            binary,
            kubeconfig,
            cache: tempfile::tempdir()?,
        })
    }

    fn measure(&self, size: usize, table: &mut Table) -> Result<()> {
        let kubectl = ["get", "releases.signalbox.dev", "-A", "-o", "json"];
        let raw = ["get", "--raw", "/apis/signalbox.dev/v1alpha1/releases"];
        // The first run of each reads what later ones have cached.
        self.wall(self.kubectl, &kubectl)?;
        for words in COMMANDS {
            self.wall(self.binary, words)?;
        }
        let (mut theirs, mut unread) = (Vec::new(), Vec::new());
        let mut ours = vec![Vec::new(); COMMANDS.len()];
        for round in 1..=ROUNDS {
            eprintln!("  round {round} of {ROUNDS}");
            unread.push(self.wall(self.kubectl, &raw)?);
            for (words, took) in COMMANDS.iter().zip(&mut ours) {
                theirs.push(self.wall(self.kubectl, &kubectl)?);
                took.push(self.wall(self.binary, words)?);
            }
        }
        let kubectl = median(theirs);
        let ours: Vec<f64> = ours.into_iter().map(median).collect();
        let rows = || COMMANDS.iter().map(|words| words.join(" ")).zip(&ours);
        table.section(&format!(
            "commands with {size} Releases: wall, median of {ROUNDS}"
        ));
        table.row(
            "kubectl get releases.signalbox.dev -A -o json",
            kubectl,
            Unit::Milliseconds,
            None,
        );
        // Most of it is the time in which the API server writes them.
        table.row(
            "kubectl get --raw of the same, which reads nothing of it",
            median(unread),
            Unit::Milliseconds,
            None,
        );
        for (name, wall) in rows() {
            table.row(&name, *wall, Unit::Milliseconds, Some(WALL));
        }
        table.section("wall, divided by that of kubectl get releases.signalbox.dev -A -o json");
        for (name, wall) in rows() {
            table.row(&name, wall / kubectl, Unit::Count, Some(RATIO));
        }
        table.section("peak memory");
        for words in COMMANDS {
            let peak = self.peak(words)?;
            table.row(&words.join(" "), peak, Unit::Mebibytes, Some(PEAK));
        }
        Ok(())
    }

    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .env("KUBECACHEDIR", self.cache.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Milliseconds.
    fn wall(&self, program: &Path, words: &[&str]) -> Result<f64> {
        let mut command = self.command(program, words);
        let began = Instant::now();
        let output = command.output()?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        ensure!(
            output.status.success(),
            "{} failed with {}: {}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Ok(took)
    }

    /// MiB, as the kernel last showed it before the end: at most a fraction of a millisecond before.
    fn peak(&self, words: &[&str]) -> Result<f64> {
        let mut command = self.command(self.binary, words);
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let path = format!("/proc/{}/status", child.id());
        let mut peak = 0.0;
        loop {
            if let Some(ended) = child.try_wait()? {
                ensure!(ended.success(), "{} failed with {ended}", words.join(" "));
                break;
            }
            let status = fs::read_to_string(&path).unwrap_or_default();
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
            peak = kibibytes.map_or(peak, |k| f64::max(peak, k / 1024.0));
            std::thread::sleep(Duration::from_micros(200));
        }
        if peak == 0.0 {
            bail!("{} ended before its memory was seen", words.join(" "));
        }
        Ok(peak)
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
