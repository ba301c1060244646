//! `cargo xtask test`: every rung of the tests, the fast ones first, then those against one real control plane whose pods are
//! simulated, and last those with real nodes and containers.

mod kubelet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use xtask_first::builds::{self, Build};

use crate::before;
use crate::control_plane::ControlPlane;
use crate::go::Module;
use crate::namespaces::Namespaces;
use crate::operator::{self, NAMESPACE, Operator};
use crate::process::Process;
use crate::tools::Tools;

/// Short times, so that tests need not wait for minutes. Everything else is as shipped.
const POLICY_SETTLE: Duration = Duration::from_secs(3);
const FLAGS: &[&str] = &[
    "--log-format",
    "json",
    "--policy-settle",
    "3s",
    "--health-grace",
    "5s",
];
/// The rungs that need an operator outside the cluster. Those after the first use the whole cluster alone. Tests of the first
/// mostly wait, so that more run at the same time than there are processors.
const BESIDE: [(&str, &str); 2] = [("api_server", "--test-threads=12"), ("definitions", SERIAL)];
/// The rungs that start and kill operators of their own. The tests of the first are independent and mostly wait. A test of the
/// last that is interrupted leaves the policies of the whole cluster as they are then.
const ALONE: [(&str, &str); 2] = [("crash", "--test-threads=32"), ("policies", SERIAL)];
const SERIAL: &str = "--test-threads=1";
/// The rung that compares the granted rights with the used ones. It is meaningful only in a run of all rungs.
const RIGHTS: &str = "rights";
/// The rung that compares what the demo prints with the README.
const DEMO: &str = "demo";
/// The rung with real containers.
const KUBELET: &str = "kubelet";
/// How other tools judge Signalbox objects, for the first rung with the operator.
pub(crate) const GITOPS: Module = Module {
    name: "gitops",
    what: "the health rules of GitOps tools",
    sources: &["go.mod", "go.sum", "main.go"],
};
/// The rung in which other implementations read the same texts.
const DIALECTS: &str = "dialects";
/// How other implementations read expressions and schedules, for that rung.
pub(crate) const ORACLE: Module = Module {
    name: "dialects/oracle",
    what: "the expression and schedule libraries of Kubernetes",
    sources: &["cel.go", "cron.go", "go.mod", "go.sum", "main.go"],
};
/// All rungs, in their order.
const RUNGS: [&str; 11] = [
    DIALECTS,
    "pure",
    "api_server",
    "definitions",
    "image",
    "crash",
    "policies",
    "writes",
    RIGHTS,
    DEMO,
    KUBELET,
];

/// The options of `test`.
#[derive(clap::Args)]
pub struct Options {
    /// Use the cluster of this kubeconfig instead of starting one. Its user must be an administrator
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Run only this rung; may be repeated
    #[arg(long, value_name = "RUNG", value_parser = RUNGS)]
    rung: Vec<String>,
    /// Arguments for every test program, for instance a test's name
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs all rungs, even after one failed, and reports which failed.
///
/// # Errors
/// The rungs cannot run. A failing test is not an error, but sets the exit code.
pub async fn run(options: Options) -> Result<ExitCode> {
    let repository = crate::repository()?;
    let tools = Tools::ready(&repository).await?;
    let mut rungs = Rungs {
        repository: repository.clone(),
        arguments: options.arguments,
        wanted: options.rung,
        ended: Vec::new(),
        left_out: Vec::new(),
    };
    if let Some(namespaces) = Namespaces::inside() {
        return kubelet::inside(&mut rungs, &tools, &namespaces).await;
    }
    let built = built(&mut rungs).await?;
    if let Some(oracle) = built.oracle.clone() {
        let environment = [("SIGNALBOX_TEST_DIALECTS", oracle)];
        let selection = ["--test", DIALECTS];
        rungs
            .run(DIALECTS, &selection, &environment, "--nocapture")
            .await?;
    }
    if rungs.want_a_cluster() {
        on_one_cluster(&mut rungs, &tools, built, options.kubeconfig.as_deref()).await?;
    }
    rungs.demo().await;
    if rungs.wants(KUBELET) {
        kubelet::outside(&mut rungs, &tools).await?;
    }
    Ok(rungs.summary())
}

/// What the rungs need besides the tools.
struct Built {
    oracle: Option<PathBuf>,
    gitops: Option<PathBuf>,
    before: Option<PathBuf>,
}

/// Builds the tests, and side by side with them what the wanted rungs need. The rungs begin afterwards, because they measure times.
async fn built(rungs: &mut Rungs) -> Result<Built> {
    let repository = rungs.repository.clone();
    let module = async |rung: &str, module: Module| match rungs.wants(rung) {
        true => module.built(&repository).await.map(Some),
        false => Ok(None),
    };
    let clusters = rungs.want_a_cluster();
    let tests = async {
        let began = Instant::now();
        if clusters {
            build_tests(&repository).await?;
        }
        Ok(clusters.then(|| began.elapsed()))
    };
    // Without it, all tests but those of an upgrade are possible.
    let before = async {
        Ok(match clusters {
            true => Some(before::operator(&repository).await),
            false => None,
        })
    };
    let image = module("image", crate::oci::MODULE);
    let (took, before, oracle, gitops, _) = tokio::try_join!(
        tests,
        before,
        module(DIALECTS, ORACLE),
        module("api_server", GITOPS),
        image
    )?;
    rungs.ended.extend(took.map(|took| ("build", true, took)));
    let before = match before.transpose() {
        Ok(before) => before,
        Err(error) => {
            eprintln!("error: {error:#}");
            rungs.ended.push(("v0.1.0", false, Duration::ZERO));
            None
        }
    };
    Ok(Built {
        oracle,
        gitops,
        before,
    })
}

/// After `cargo build`, everything would be built again for the profile `test`.
async fn build_tests(repository: &Path) -> Result<()> {
    let log = builds::log()?;
    let (name, usual) = match crate::target(repository).join("debug/signalbox").exists() {
        true => ("tests-again", Duration::from_secs(120)),
        false => ("tests", Duration::from_secs(300)),
    };
    let mut cargo = xtask_first::cargo();
    cargo
        .args(["test", "--workspace", "--no-run"])
        .current_dir(repository);
    Build::new(name, "the tests", usual)
        .run(&mut cargo, log.path())
        .await
}

/// The rungs with simulated pods.
async fn on_one_cluster(
    rungs: &mut Rungs,
    tools: &Tools,
    built: Built,
    kubeconfig: Option<&Path>,
) -> Result<()> {
    let repository = rungs.repository.clone();
    let mut cluster = match kubeconfig {
        Some(path) => ControlPlane::existing(path).await?,
        None => ControlPlane::start(tools, &repository).await?,
    };

    rungs.run("pure", &["--lib", "--bins"], &[], "").await?;

    let mut environment = environment(&cluster, tools);
    environment.extend(built.gitops.map(|folder| ("SIGNALBOX_TEST_GITOPS", folder)));
    environment.extend(built.before.map(|binary| ("SIGNALBOX_TEST_BEFORE", binary)));
    let operator = beside(&repository, &cluster, tools).await?;
    tokio::select! {
        outcome = rungs.beside(operator, &environment) => if let Err(error) = outcome {
            eprintln!("error: {error:#}");
            rungs.ended.push(("operator", false, Duration::ZERO));
        },
        error = cluster.failed() => return Err(error),
    }
    rungs.image(&cluster, tools).await?;
    environment.push((
        "SIGNALBOX_TEST_SHIPPED",
        crate::target(&repository).join("release/signalbox"),
    ));
    for (name, threads) in ALONE {
        let selection = ["--test", name];
        tokio::select! {
            outcome = rungs.run(name, &selection, &environment, threads) => outcome?,
            error = cluster.failed() => return Err(error),
        }
    }
    if let Some(log) = cluster.audit_log() {
        rungs.writes(&log);
        rungs.rights(&log, tools).await;
    }
    Ok(())
}

/// The operator that the rungs share.
async fn beside(repository: &Path, cluster: &ControlPlane, tools: &Tools) -> Result<Operator> {
    operator::install(tools, repository, cluster, &[]).await?;
    let binary = crate::target(repository).join("debug/signalbox");
    let mut operator = Operator::start(tools, cluster, &binary, FLAGS).await?;
    operator.ready().await?;
    operator::policies_settled(cluster, POLICY_SETTLE).await?;
    Ok(operator)
}

/// The environment of the tests, without what they can find out themselves.
fn environment(cluster: &ControlPlane, tools: &Tools) -> Vec<(&'static str, PathBuf)> {
    let mut environment = vec![
        ("SIGNALBOX_TEST_KUBECONFIG", cluster.admin().to_path_buf()),
        ("SIGNALBOX_TEST_BIN", tools.folder().to_path_buf()),
        ("SIGNALBOX_OPERATOR_NAMESPACE", PathBuf::from(NAMESPACE)),
    ];
    environment.extend(cluster.audit_log().map(|path| ("SIGNALBOX_TEST_AUDIT_LOG", path)));
    environment.extend(
        cluster
            .etcd()
            .map(|url| ("SIGNALBOX_TEST_ETCD", PathBuf::from(url))),
    );
    environment
}

struct Rungs {
    repository: PathBuf,
    arguments: Vec<String>,
    /// Empty: all.
    wanted: Vec<String>,
    /// Each rung, whether it passed, and how long it took.
    ended: Vec<(&'static str, bool, Duration)>,
    /// Rungs that cannot be run here, and why.
    left_out: Vec<(&'static str, String)>,
}

impl Rungs {
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }

    /// Whether any rung with simulated pods is wanted.
    fn want_a_cluster(&self) -> bool {
        RUNGS
            .iter()
            .any(|name| ![DIALECTS, DEMO, KUBELET].contains(name) && self.wants(name))
    }

    /// The rungs that share one operator. Afterwards it has to stop when asked to.
    async fn beside(
        &mut self,
        mut operator: Operator,
        environment: &[(&'static str, PathBuf)],
    ) -> Result<()> {
        let mut environment = environment.to_vec();
        environment.push(("SIGNALBOX_OPERATOR_URL", operator.url().into()));
        for (name, threads) in BESIDE {
            let selection = ["--test", name];
            tokio::select! {
                outcome = self.run(name, &selection, &environment, threads) => outcome?,
                error = operator.failed() => return Err(error),
            }
        }
        if self
            .ended
            .iter()
            .any(|(name, passed, _)| BESIDE.iter().any(|(beside, _)| beside == name) && !passed)
        {
            eprintln!("The operator{}", operator.told());
        }
        operator.stop().await
    }

    /// Checks that the image's files are enough for its program.
    async fn image(&mut self, cluster: &ControlPlane, tools: &Tools) -> Result<()> {
        if !self.wants("image") {
            return Ok(());
        }
        let began = Instant::now();
        let outcome = crate::image::starts(&self.repository, cluster, tools).await;
        if let Err(error) = &outcome {
            eprintln!("error: {error:#}");
        }
        self.ended.push(("image", outcome.is_ok(), began.elapsed()));
        Ok(())
    }

    /// Checks that no target was written in a loop, whatever other writers did in the tests.
    fn writes(&mut self, log: &Path) {
        if !self.wants("writes") {
            return;
        }
        let began = Instant::now();
        let outcome = crate::writes::bounded(log);
        match &outcome {
            Ok(most) => {
                eprintln!("No target was written more than {most} times by one attempt of a promotion.")
            }
            Err(error) => eprintln!("error: {error:#}"),
        }
        self.ended.push(("writes", outcome.is_ok(), began.elapsed()));
    }

    /// Checks that the README shows what the demo prints.
    async fn demo(&mut self) {
        if !self.wants(DEMO) {
            return;
        }
        let began = Instant::now();
        let outcome = crate::demo::readme::check(&self.repository).await;
        if let Err(error) = &outcome {
            eprintln!("error: {error:#}");
        }
        self.ended.push((DEMO, outcome.is_ok(), began.elapsed()));
    }

    /// Checks that no request of the operator was refused, and that each of its rights was used.
    async fn rights(&mut self, log: &Path, tools: &Tools) {
        if !self.wants(RIGHTS) {
            return;
        }
        if !self.wanted.is_empty() || !self.arguments.is_empty() {
            let why = "it needs all tests of all earlier rungs".to_owned();
            self.left_out.push((RIGHTS, why));
            return;
        }
        let began = Instant::now();
        let outcome = crate::rights::least(tools, &self.repository, log).await;
        match &outcome {
            Ok(all) => {
                eprintln!("Each of the {all} rights that the chart grants was used, and none was missing.")
            }
            Err(error) => eprintln!("error: {error:#}"),
        }
        self.ended.push((RIGHTS, outcome.is_ok(), began.elapsed()));
    }

    async fn run(
        &mut self,
        name: &'static str,
        selection: &[&str],
        environment: &[(&'static str, PathBuf)],
        also: &str,
    ) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        let began = Instant::now();
        let mut arguments = vec!["test", "--workspace"];
        arguments.extend(selection);
        arguments.push("--");
        arguments.extend((!also.is_empty()).then_some(also));
        arguments.extend(self.arguments.iter().map(String::as_str));
        let passed = cargo(&self.repository, &arguments, environment).await?;
        self.ended.push((name, passed, began.elapsed()));
        Ok(())
    }

    fn summary(&self) -> ExitCode {
        eprintln!();
        for (name, passed, took) in &self.ended {
            let word = if *passed { "passed" } else { "FAILED" };
            eprintln!("{name:<12}{word}{:>8.1} s", took.as_secs_f32());
        }
        for (name, why) in &self.left_out {
            eprintln!("{name:<12}left out: {why}");
        }
        if self.ended.iter().all(|(_, passed, _)| *passed) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Runs cargo with its output on the terminal.
pub(crate) async fn cargo(
    repository: &Path,
    arguments: &[&str],
    environment: &[(&str, PathBuf)],
) -> Result<bool> {
    let mut command = xtask_first::cargo();
    command
        .args(arguments)
        .current_dir(repository)
        .envs(environment.iter().map(|(name, value)| (name, value)));
    Ok(Process::in_sight("cargo", &mut command)?.ended().await?.success())
}
