//! The start of `cargo xtask`: builds xtask, and at the same time the programs of a control plane if the command needs them and they
//! do not exist yet; then this process becomes xtask.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use xtask_first::builds::{self, Build};
use xtask_first::tools::Tools;

/// The commands that use the programs of a control plane.
const WITH_TOOLS: [&str; 8] = ["bench", "chart", "demo", "helm", "kubectl", "test", "tools", "up"];
/// The commands that run the operator as cargo builds it for development.
const WITH_OPERATOR: [&str; 1] = ["demo"];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments).await {
        Ok(Outcome::Ended(code)) => ExitCode::from(code),
        Ok(Outcome::Built(xtask)) => {
            let error = std::process::Command::new(&xtask).args(&arguments).exec();
            eprintln!("error: cannot start {}: {error}", xtask.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Outcome {
    /// The program to become.
    Built(PathBuf),
    /// A signal came first.
    Ended(u8),
}

async fn run(arguments: &[OsString]) -> Result<Outcome> {
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hung_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    // What is being built is dropped when a signal comes first, and with it every process and folder it owns.
    tokio::select! {
        xtask = build(arguments) => xtask.map(Outcome::Built),
        _ = interrupted.recv() => Ok(Outcome::Ended(130)),
        _ = terminated.recv() => Ok(Outcome::Ended(143)),
        _ = hung_up.recv() => Ok(Outcome::Ended(129)),
    }
}

async fn build(arguments: &[OsString]) -> Result<PathBuf> {
    // Cargo has put both programs into one folder.
    let xtask = std::env::current_exe()?.with_file_name("xtask");
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let repository = xtask_first::repository()?;
    let needs = needs(&words);
    if !needs.tools || Tools::exist(&repository)? {
        ours(&xtask, needs.operator).await?;
        return Ok(xtask);
    }
    builds::say(
        "The first run builds a Kubernetes control plane and Signalbox from source. Later runs use what it built.",
    );
    let all = async { tokio::try_join!(ours(&xtask, needs.operator), Tools::ready(&repository)).map(drop) };
    Build::new(
        "first-run",
        "everything for the first run",
        Duration::from_secs(660),
    )
    .around(all)
    .await?;
    Ok(xtask)
}

/// Builds xtask, and with it the operator if the command runs it.
async fn ours(xtask: &Path, operator: bool) -> Result<()> {
    let build = match xtask.exists() {
        true => Build::new(
            "xtask-again",
            "what has changed in Signalbox",
            Duration::from_secs(60),
        ),
        false => Build::new("xtask", "Signalbox and its tools", Duration::from_secs(360)),
    };
    let log = builds::log()?;
    let mut cargo = xtask_first::cargo();
    cargo.args(["build", "--bins", "--package", "xtask"]);
    if operator {
        cargo.args(["--package", "signalbox"]);
    }
    build.run(&mut cargo, log.path()).await
}

/// What a command needs besides xtask.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    tools: bool,
    operator: bool,
}

fn needs(words: &[&str]) -> Needs {
    let own = words.split(|word| *word == "--").next().unwrap_or_default();
    let asks = own.iter().any(|word| ["-h", "--help"].contains(word));
    let among = |commands: &[&str]| !asks && own.first().is_some_and(|first| commands.contains(first));
    Needs {
        tools: among(&WITH_TOOLS),
        operator: among(&WITH_OPERATOR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_with_a_control_plane_build_one() {
        let of = |words: &[&str]| {
            let needs = needs(words);
            (needs.tools, needs.operator)
        };
        assert_eq!(of(&["demo", "--keep"]), (true, true));
        assert_eq!(of(&["test", "--", "--help"]), (true, false));
        assert_eq!(of(&["crds", "--check"]), (false, false));
        assert_eq!(of(&["demo", "--help"]), (false, false));
        assert_eq!(of(&[]), (false, false));
    }
}
