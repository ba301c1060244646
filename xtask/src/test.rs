//! `cargo xtask test`: every rung of the tests, the fast ones first, the others against one real control plane.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::before;
use crate::control_plane::ControlPlane;
use crate::operator::{self, NAMESPACE, Operator};
use crate::process::Process;
use crate::tools::Tools;

/// Short, so that tests need not wait for minutes; everything else is as it is shipped.
const POLICY_SETTLE: Duration = Duration::from_secs(3);
const FLAGS: &[&str] = &[
    "--log-format",
    "json",
    "--policy-settle",
    "3s",
    "--health-grace",
    "5s",
];
/// The rungs that need an operator beside the cluster. Those after the first make the whole cluster theirs. Tests of the first
/// wait far more than they compute, so that there are more at once than processors.
const BESIDE: [(&str, &str); 2] = [("api_server", "--test-threads=12"), ("definitions", SERIAL)];
/// The rungs that start, and kill, operators of their own; those of the first see nothing of each other, and a test of it waits
/// for many. A test of the last that ends in the middle leaves the whole cluster's policies as they then are.
const ALONE: [(&str, &str); 2] = [("crash", "--test-threads=32"), ("policies", SERIAL)];
const SERIAL: &str = "--test-threads=1";

/// What `test` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Uses the cluster of this kubeconfig, whose user may do everything, instead of starting one
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Handed to every test program, for instance a test's name
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs all rungs, also after one failed, and says which did.
///
/// # Errors
/// What keeps the rungs from being run; a failing test is no error, but the exit code says it.
pub async fn run(options: Options) -> Result<ExitCode> {
    let repository = crate::repository()?;
    let tools = Tools::ready(&repository).await?;
    let mut rungs = Rungs {
        repository: repository.clone(),
        arguments: options.arguments,
        ended: Vec::new(),
    };

    // Two things that take their time and share nothing.
    let (built, cluster) = tokio::join!(
        async {
            let began = Instant::now();
            let built = cargo(&repository, &["build", "--workspace", "--bins", "--tests"], &[]).await?;
            ensure!(built, "the workspace does not build");
            let took = began.elapsed();
            // Not earlier: two builds at once would take turns at the same processors.
            anyhow::Ok((took, before::operator(&repository).await))
        },
        async {
            match &options.kubeconfig {
                Some(path) => ControlPlane::existing(path).await,
                None => ControlPlane::start(&tools, &repository).await,
            }
        }
    );
    let (took, before) = built?;
    rungs.ended.push(("build", true, took));
    let mut cluster = cluster?;

    rungs.run("pure", &["--lib", "--bins"], &[], "").await?;

    let mut environment = environment(&cluster, &tools);
    match before {
        Ok(binary) => environment.push(("SIGNALBOX_TEST_BEFORE", binary)),
        Err(error) => {
            eprintln!("error: {error:#}");
            rungs.ended.push(("v0.1.0", false, Duration::ZERO));
        }
    }
    let operator = beside(&repository, &cluster, &tools).await?;
    tokio::select! {
        outcome = rungs.beside(operator, &environment) => if let Err(error) = outcome {
            eprintln!("error: {error:#}");
            rungs.ended.push(("operator", false, Duration::ZERO));
        },
        error = cluster.failed() => return Err(error),
    }
    rungs.image(&cluster, &tools).await?;
    environment.push((
        "SIGNALBOX_TEST_SHIPPED",
        repository.join("target/release/signalbox"),
    ));
    for (name, threads) in ALONE {
        let selection = ["--test", name];
        tokio::select! {
            outcome = rungs.run(name, &selection, &environment, threads) => outcome?,
            error = cluster.failed() => return Err(error),
        }
    }
    Ok(rungs.summary())
}

/// The operator that the rungs share.
async fn beside(repository: &Path, cluster: &ControlPlane, tools: &Tools) -> Result<Operator> {
    operator::install(tools, repository, cluster, &[]).await?;
    let binary = repository.join("target/debug/signalbox");
    let mut operator = Operator::start(tools, cluster, &binary, FLAGS).await?;
    operator.ready().await?;
    operator::policies_settled(cluster, POLICY_SETTLE).await?;
    Ok(operator)
}

/// What the tests need to know, and nothing that they could look up themselves.
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
    /// Each rung, whether it passed, and how long it took.
    ended: Vec<(&'static str, bool, Duration)>,
}

impl Rungs {
    /// The rungs that share one operator, which afterwards has to stop when asked to.
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

    /// The image's files are enough for the image's program.
    async fn image(&mut self, cluster: &ControlPlane, tools: &Tools) -> Result<()> {
        let began = Instant::now();
        let outcome = crate::image::starts(&self.repository, cluster, tools).await;
        if let Err(error) = &outcome {
            eprintln!("error: {error:#}");
        }
        self.ended.push(("image", outcome.is_ok(), began.elapsed()));
        Ok(())
    }

    async fn run(
        &mut self,
        name: &'static str,
        selection: &[&str],
        environment: &[(&'static str, PathBuf)],
        also: &str,
    ) -> Result<()> {
        if let ["--test", test] = selection
            && !has_test(&self.repository, test)
        {
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
        if self.ended.iter().all(|(_, passed, _)| *passed) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn has_test(repository: &Path, name: &str) -> bool {
    let tests = repository.join("tests");
    tests.join(format!("{name}.rs")).exists() || tests.join(name).join("main.rs").exists()
}

/// Runs cargo in sight of whoever asked.
pub(crate) async fn cargo(
    repository: &Path,
    arguments: &[&str],
    environment: &[(&str, PathBuf)],
) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(repository)
        .envs(environment.iter().map(|(name, value)| (name, value)));
    // What `cargo run` told us about ourselves. Build scripts watch some of it, and would have everything built again.
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    for name in ours {
        command.env_remove(name);
    }
    Ok(Process::in_sight("cargo", &mut command)?.ended().await?.success())
}
