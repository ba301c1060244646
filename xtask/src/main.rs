//! The command line of `cargo xtask`: parse, dispatch, and end everything when asked to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Development tools of Signalbox",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a real control plane and run it until Ctrl-C
    Up(xtask::up::Options),
    /// Show a release that is promoted to production, and one that is backed out, on a real control plane
    Demo(xtask::demo::Options),
    /// Run every test: the pure ones, then those against a real control plane
    Test(xtask::test::Options),
    /// Measure what promotions cost on a real control plane, and print a table
    Bench(xtask::bench::Options),
    /// Build the operator's image without a container runtime, and push it
    Image(xtask::image::Options),
    /// Build the kubectl plugin as an archive, with its krew manifest
    Plugin(xtask::plugin::Options),
    /// Run kubectl, in the version that the tests use: `cargo xtask kubectl -- --kubeconfig … get pods`
    Kubectl(Passed),
    /// Run helm, in the version that the tests use
    Helm(Passed),
    /// Build the programs of the control plane, unless they exist, and print their folder
    Tools,
    /// Write the CRDs to crds/ and to the chart; with --check, only compare
    Crds {
        #[arg(long)]
        check: bool,
    },
    /// Lint the chart and render it with every values file in charts/signalbox/ci
    Chart,
}

#[derive(clap::Args)]
struct Passed {
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    // Two dependencies would each bring a provider. Installing one of them decides which is used.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS crypto provider is already installed"))?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hung_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let Arguments { command } = Arguments::parse();
    // The command's future is dropped when a signal comes first, and with it every process and folder it owns.
    tokio::select! {
        code = dispatch(command) => code,
        _ = interrupted.recv() => Ok(ExitCode::from(130)),
        _ = terminated.recv() => Ok(ExitCode::from(143)),
        _ = hung_up.recv() => Ok(ExitCode::from(129)),
    }
}

async fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(options) => xtask::up::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => xtask::demo::run(options).await,
        Command::Test(options) => xtask::test::run(options).await,
        Command::Bench(options) => xtask::bench::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Image(options) => xtask::image::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Plugin(options) => xtask::plugin::run(&options).await.map(|()| ExitCode::SUCCESS),
        Command::Kubectl(passed) => pass_on("kubectl", passed).await,
        Command::Helm(passed) => pass_on("helm", passed).await,
        Command::Crds { check } => xtask::crds::run(&xtask::repository()?, check).map(|()| ExitCode::SUCCESS),
        Command::Chart => xtask::chart::run().await.map(|()| ExitCode::SUCCESS),
        Command::Tools => {
            println!("{}", tools().await?.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn tools() -> Result<PathBuf> {
    Ok(xtask::tools::Tools::ready(&xtask::repository()?)
        .await?
        .folder()
        .to_path_buf())
}

async fn pass_on(tool: &str, passed: Passed) -> Result<ExitCode> {
    let status = tokio::process::Command::new(tools().await?.join(tool))
        .args(passed.arguments)
        .kill_on_drop(true)
        .status()
        .await?;
    Ok(status
        .code()
        .map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8)))
}
