//! The command line: one file a subcommand.

mod run;

use clap::{Parser, Subcommand};

/// A release manager's job, done in the cluster.
#[derive(Parser)]
#[command(name = "signalbox", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator, inside a cluster or beside one
    Run(run::Options),
}

/// Carries out the command.
///
/// # Errors
/// A sentence for the person who gave it.
pub async fn run(arguments: Arguments) -> Result<(), String> {
    match arguments.command {
        Command::Run(options) => run::run(options).await,
    }
}
