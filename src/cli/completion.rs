//! Completion of commands, flags and live names, for bash, zsh, fish and PowerShell.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use kube::ResourceExt;

use crate::api::Release;
use crate::api::environment::Environment;
use crate::cli::session::{Connection, Query, Session, list};
use crate::cli::terminal::{Exit, Terminal};

/// How long a key press may wait for names. Then there are none.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
    /// For the command `signalbox` instead of `kubectl signalbox`
    #[arg(long)]
    standalone: bool,
}

/// Shells for which there is a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Prints the script that the shell reads.
///
/// # Errors
/// A sentence: the script cannot be written.
pub(crate) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
    if options.standalone {
        let name = match options.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
        };
        let shells = clap_complete::env::Shells::builtins();
        let shell = shells
            .completer(name)
            .ok_or_else(|| format!("There is no completion for {name}."))?;
        let mut script = Vec::new();
        shell
            .write_registration("COMPLETE", "signalbox", "signalbox", "signalbox", &mut script)
            .map_err(|e| format!("Cannot write the script: {e}."))?;
        terminal.print(&String::from_utf8_lossy(&script))?;
        return Ok(0);
    }
    // kubectl completes plugins by a program of this name on $PATH. It needs nothing of a shell's own.
    terminal.print(match options.shell {
        Shell::Powershell => POWERSHELL,
        Shell::Bash | Shell::Zsh | Shell::Fish => KUBECTL,
    })?;
    Ok(0)
}

const KUBECTL: &str = "\
#!/bin/sh
# kubectl runs this program to complete `kubectl signalbox`. Save it as kubectl_complete-signalbox, make it executable, and put it in a
# folder of $PATH. kubectl's own completion must be installed in the shell.
exec kubectl-signalbox __complete \"$@\"
";

const POWERSHELL: &str = "\
@echo off
rem kubectl runs this program to complete `kubectl signalbox`. Save it as kubectl_complete-signalbox.cmd in a folder of $env:PATH. kubectl's
rem own completion must be installed in the shell.
kubectl-signalbox.exe __complete %*
";

/// The first argument with which kubectl's completion calls this program.
pub(crate) const PROTOCOL: &str = "__complete";

/// Candidates for the last of `words`, in the form that kubectl reads: one a line, its description behind a tab, and a directive last.
#[must_use]
pub(crate) fn for_kubectl(mut command: Command, words: Vec<std::ffi::OsString>) -> String {
    let mut all = vec![std::ffi::OsString::from("signalbox")];
    all.extend(words);
    let last = all.len() - 1;
    let here = std::env::current_dir().ok();
    let found = clap_complete::engine::complete(&mut command, all, last, here.as_deref()).unwrap_or_default();
    let mut text = String::new();
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        text.push_str(&candidate.get_value().to_string_lossy());
        if let Some(help) = candidate.get_help() {
            let help = help.to_string();
            text.push('\t');
            text.push_str(help.lines().next().unwrap_or_default());
        }
        text.push('\n');
    }
    // 4: the shell does not complete file names instead.
    text.push_str(":4\n");
    text
}

/// Names of Releases in the namespace of the command line.
pub(crate) fn releases() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| names(current, Names::Releases))
}

/// The name of a Release, also behind its kind, as `-o name` prints it.
#[expect(clippy::unnecessary_wraps, reason = "clap asks for a Result")]
pub(crate) fn bare(name: &str) -> Result<String, std::convert::Infallible> {
    let kinds = [
        "release.signalbox.dev",
        "releases.signalbox.dev",
        "release",
        "releases",
        "rel",
    ];
    let behind = name.split_once('/').filter(|(kind, _)| kinds.contains(kind));
    Ok(behind.map_or(name, |(_, name)| name).to_owned())
}

/// Names of Environments.
pub(crate) fn environments() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| names(current, Names::Environments))
}

#[derive(Clone, Copy)]
enum Names {
    Releases,
    Environments,
}

/// Live names that begin with what is typed. Completion never fails: without a cluster there are none.
fn names(current: &OsStr, what: Names) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy().into_owned();
    // The engine calls this inside of the program's own runtime, which cannot be blocked.
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let found =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, live(what)).await.ok().flatten() });
        // A command that asks for credentials may go on: no key press waits for it.
        runtime.shutdown_background();
        found
    });
    let names = asked.join().ok().flatten().unwrap_or_default();
    let names = names.into_iter().filter(|name| name.starts_with(&typed));
    names.map(CompletionCandidate::new).collect()
}

async fn live(what: Names) -> Option<Vec<String>> {
    let words: Vec<String> = std::env::args().collect();
    let flag = |long: &str, short: &str| flag(&words, long, short);
    let connection = Connection {
        kubeconfig: flag("--kubeconfig", "").map(PathBuf::from),
        context: flag("--context", ""),
        cluster: flag("--cluster", ""),
        user: flag("--user", ""),
        impersonate: flag("--as", ""),
        ..Connection::default()
    };
    let namespace = flag("--namespace", "-n");
    let session: Session = Session::open(&connection, namespace.as_deref()).await.ok()?;
    Some(match what {
        Names::Releases => {
            let query = Query {
                namespace: Some(&session.namespace),
                ..Query::default()
            };
            let listed = list::<Release>(&session, &query).await.ok()?;
            listed.items.iter().map(ResourceExt::name_any).collect()
        }
        Names::Environments => {
            let listed = list::<Environment>(&session, &Query::default()).await.ok()?;
            listed.items.iter().map(ResourceExt::name_any).collect()
        }
    })
}

/// The value of a flag among the words that are typed so far: `--flag value`, `--flag=value` or `-n value`.
fn flag(words: &[String], long: &str, short: &str) -> Option<String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == long || !short.is_empty() && word == short {
            return words.next().cloned();
        }
        if let Some(value) = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_in_each_of_its_forms() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for line in [
            "status -n payments",
            "status --namespace payments",
            "status --namespace=payments",
        ] {
            assert_eq!(
                flag(&words(line), "--namespace", "-n").as_deref(),
                Some("payments"),
                "{line}"
            );
        }
        assert_eq!(
            flag(&words("status --namespaces=payments"), "--namespace", "-n"),
            None
        );
        assert_eq!(flag(&words("status -n"), "--namespace", "-n"), None);
    }
}
