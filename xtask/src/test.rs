//! `cargo xtask test`: every rung of the tests, the fast ones first, the others against one real control plane.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::control_plane::{ControlPlane, free_ports};
use crate::process::Process;
use crate::tools::Tools;

const NAMESPACE: &str = "signalbox-system";
const RELEASE: &str = "signalbox";

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
pub async fn run(options: Options) -> Result<ExitCode> {
    let repository = crate::repository()?;
    let tools = Tools::ready(&repository).await?;
    let mut rungs = Rungs {
        repository: repository.clone(),
        arguments: options.arguments,
        failed: Vec::new(),
    };

    // Two things that take their time and share nothing.
    let (built, cluster) = tokio::join!(
        cargo(&repository, &["build", "--workspace", "--bins"], &[]),
        async {
            match &options.kubeconfig {
                Some(path) => ControlPlane::existing(path).await,
                None => ControlPlane::start(&tools, &repository).await,
            }
        }
    );
    ensure!(built?, "the workspace does not build");
    let mut cluster = cluster?;

    rungs
        .run("pure", &["--workspace", "--lib", "--bins"], &[], &[])
        .await?;

    let environment = environment(&cluster, &tools);
    let outcome = {
        let watched = Watched {
            tools: &tools,
            repository: &repository,
        };
        let operator = watched.operator(&cluster).await?;
        match operator {
            None => Ok(()),
            Some(mut operator) => {
                // They wait far more than they compute.
                let rung = rungs.run(
                    "api_server",
                    &["--test", "api_server"],
                    &environment,
                    &["--test-threads=12"],
                );
                let outcome = tokio::select! {
                    outcome = rung => outcome,
                    error = operator.failed() => Err(error),
                    error = cluster.failed() => Err(error),
                };
                if rungs.failed.contains(&"api_server") {
                    eprintln!("The operator{}", operator.told());
                }
                outcome.and(stopped(operator).await)
            }
        }
    };
    if let Err(error) = outcome {
        eprintln!("error: {error:#}");
        rungs.failed.push("operator");
    }
    tokio::select! {
        outcome = rungs.run("crash", &["--test", "crash"], &environment, &["--test-threads=1"]) => outcome?,
        error = cluster.failed() => return Err(error),
    }
    // Last: a test that ends in the middle leaves the whole cluster's policies as they then are.
    tokio::select! {
        outcome = rungs.run("policies", &["--test", "policies"], &environment, &["--test-threads=1"]) => outcome?,
        error = cluster.failed() => return Err(error),
    }

    if rungs.failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", rungs.failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// What the tests need to know, and nothing that they could look up themselves.
fn environment(cluster: &ControlPlane, tools: &Tools) -> Vec<(&'static str, PathBuf)> {
    let mut environment = vec![
        ("SIGNALBOX_TEST_KUBECONFIG", cluster.admin().to_path_buf()),
        ("SIGNALBOX_TEST_BIN", tools.folder().to_path_buf()),
        ("SIGNALBOX_OPERATOR_NAMESPACE", PathBuf::from(NAMESPACE)),
    ];
    environment.extend(cluster.audit_log().map(|path| ("SIGNALBOX_TEST_AUDIT_LOG", path)));
    environment
}

struct Rungs {
    repository: PathBuf,
    arguments: Vec<String>,
    failed: Vec<&'static str>,
}

impl Rungs {
    async fn run(
        &mut self,
        name: &'static str,
        selection: &[&str],
        environment: &[(&'static str, PathBuf)],
        also: &[&str],
    ) -> Result<()> {
        if let ["--test", test] = selection
            && !has_test(&self.repository, test)
        {
            return Ok(());
        }
        let began = Instant::now();
        let mut arguments = vec!["test"];
        arguments.extend(selection);
        arguments.push("--");
        arguments.extend(also);
        arguments.extend(self.arguments.iter().map(String::as_str));
        let passed = cargo(&self.repository, &arguments, environment).await?;
        eprintln!(
            "{name}: {} in {:.1} s",
            if passed { "passed" } else { "failed" },
            began.elapsed().as_secs_f32()
        );
        if !passed {
            self.failed.push(name);
        }
        Ok(())
    }
}

fn has_test(repository: &Path, name: &str) -> bool {
    let tests = repository.join("tests");
    tests.join(format!("{name}.rs")).exists() || tests.join(name).join("main.rs").exists()
}

async fn cargo(repository: &Path, arguments: &[&str], environment: &[(&str, PathBuf)]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(repository)
        .envs(environment.iter().map(|(name, value)| (name, value)));
    Ok(Process::in_sight("cargo", &mut command)?.ended().await?.success())
}

struct Watched<'a> {
    tools: &'a Tools,
    repository: &'a Path,
}

impl Watched<'_> {
    /// Installs the chart and runs the operator beside the cluster with the rights that the chart gives it, no others;
    /// nothing where there is no chart yet.
    async fn operator(&self, cluster: &ControlPlane) -> Result<Option<Process>> {
        let chart = self.repository.join("charts/signalbox");
        if !chart.join("Chart.yaml").exists() {
            return Ok(None);
        }
        let mut helm = Command::new(self.tools.path("helm"));
        helm.args(["upgrade", "--install", RELEASE])
            .arg(chart)
            .args(["--namespace", NAMESPACE, "--create-namespace", "--kubeconfig"])
            .arg(cluster.admin());
        let log = cluster.folder().join("helm.log");
        let mut helm = Process::start("helm", &mut helm, log)?;
        ensure!(
            helm.ended().await?.success(),
            "helm cannot install the chart{}",
            helm.told()
        );

        let kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, RELEASE).await?;
        let [port] = free_ports()?;
        let mut command = Command::new(self.tools.path("tether"));
        command
            .arg("run")
            .arg(self.repository.join("target/debug/signalbox"))
            .args(["run", "--namespace", NAMESPACE, "--log-format", "json"])
            .args(["--policy-settle", "3s", "--health-grace", "5s"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .arg("--kubeconfig")
            .arg(kubeconfig);
        let mut operator = Process::start("operator", &mut command, cluster.folder().join("operator.log"))?;
        let ready = async {
            while !answers(port, "/readyz").await.unwrap_or(false) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::select! {
                () = ready => Ok(()),
                error = operator.failed() => Err(error),
            }
        })
        .await;
        match waited {
            Ok(outcome) => outcome?,
            Err(_) => bail!("the operator was not ready within 60 s{}", operator.told()),
        }
        Ok(Some(operator))
    }
}

async fn stopped(operator: Process) -> Result<()> {
    let status = operator.stop(Duration::from_secs(10)).await?;
    ensure!(
        status.success(),
        "asked to stop, the operator ended with {status}"
    );
    Ok(())
}

/// Whether a port answers a path with 200. One line of HTTP needs no client.
async fn answers(port: u16, path: &str) -> Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
        .await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.context("no answer")?;
    Ok(answer.ends_with(b" 200"))
}
