//! The command line: one file for each subcommand, and what several of them share.

mod access;
mod kubeconfig;
mod lint;
mod live;
mod log;
mod output;
mod rights;
mod run;
pub(crate) mod simulate;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};

use clap::{Parser, Subcommand};
use jiff::Timestamp;

pub use terminal::{Exit, Terminal};

/// A Kubernetes operator that does a release manager's job in the cluster.
#[derive(Parser)]
#[command(name = "signalbox", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator, inside or outside a cluster
    Run(run::Options),
    /// Check manifests without a cluster, with the rules of the API server and the operator
    Lint(lint::Options),
    /// Simulate Releases: when each enters an environment, what blocks it, and what it waits for
    Simulate(simulate::Options),
    /// Report who may request, approve and back out Releases, and who can bypass the rules, from the cluster's RBAC
    Access(access::Options),
}

/// Runs the command with this process's standard input and output.
///
/// # Errors
/// A sentence for the user.
pub async fn run(arguments: Arguments) -> Result<Exit, String> {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stdout().is_terminal() && !plain;
    let mut output = std::io::BufWriter::new(std::io::stdout());
    let mut terminal = Terminal {
        input: &mut std::io::stdin(),
        output: &mut output,
        colour,
        now: Timestamp::now(),
    };
    let exit = run_on(&mut terminal, arguments).await?;
    output.flush().or_else(output::ended)?;
    Ok(exit)
}

/// Runs the command with `terminal` as its input and output.
///
/// # Errors
/// A sentence for the user.
pub async fn run_on(terminal: &mut Terminal<'_>, arguments: Arguments) -> Result<Exit, String> {
    match arguments.command {
        Command::Run(options) => run::run(options).await.map(|()| 0),
        Command::Lint(options) => lint::run(&options, terminal),
        Command::Simulate(options) => simulate::run(options, terminal).await,
        Command::Access(options) => access::run(options, terminal).await,
    }
}
