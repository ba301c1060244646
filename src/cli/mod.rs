//! The command line: one file for each subcommand, and what several of them share.

mod access;
mod calendar;
mod completion;
mod decision;
mod explain;
mod format;
mod history;
mod hold;
mod kubeconfig;
mod lint;
mod live;
mod log;
mod manual;
mod notes;
mod output;
mod review;
mod rights;
mod run;
mod session;
pub(crate) mod simulate;
mod status;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod times;
mod version;
mod wait;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use jiff::Timestamp;

use crate::api::Action;
use crate::view::timeline::visible;
use session::{Connection, Session};
use terminal::Colour;
pub use terminal::{Exit, Terminal};

/// A Kubernetes operator that does a release manager's job in the cluster, and the commands for the people who work with it.
#[derive(Parser)]
#[command(name = "signalbox", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Whether to colour the output
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    color: Colour,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Person(Person),
    /// Check manifests without a cluster, with the rules of the API server and the operator
    Lint(lint::Options),
    /// Simulate Releases: when each enters an environment, what blocks it, and what it waits for
    Simulate(simulate::Options),
    /// Report who may request, approve and back out Releases, and who can bypass the rules, from the cluster's RBAC
    Access(access::Options),
    /// Run the operator, inside or outside a cluster
    Run(run::Options),
    /// Print the script that completes commands and names in a shell
    Completion(completion::Options),
    /// Print a manual page, or write all of them
    Man(manual::Options),
}

/// The commands with which people work on a cluster, each with their own kubeconfig and rights.
#[derive(Subcommand)]
enum Person {
    /// Show where Releases are, what each waits for, and since when
    Status(status::Options),
    /// Explain every check of a Release: its evidence, who can clear it, and the command that does
    Explain(explain::Options),
    /// Approve the plan of a Release at an approval gate
    Approve(decision::GateOptions),
    /// Reject the plan of a Release at an approval gate, for good
    Reject(decision::GateOptions),
    /// Start the next attempt of a promotion that failed or was backed out
    Retry(decision::Options),
    /// Restore what ran before a Release entered
    BackOut(decision::Options),
    /// Count a promotion as Succeeded although something failed, or let a Release in with its targets as they are
    Accept(decision::Options),
    /// End a promotion as Failed, and leave everything as it is
    Abandon(decision::Options),
    /// Keep a Release from entering further environments
    Hold(hold::HoldOptions),
    /// End the hold of a Release
    Unhold(hold::Options),
    /// Withdraw a Release: it never enters an environment again
    Withdraw(hold::WithdrawOptions),
    /// Show what ran where, from when to when, by which Release, and who decided it
    History(history::Options),
    /// Print the release notes of a Release, in Markdown
    Notes(notes::Options),
    /// Show when Environments are open, and what Releases plan, foresee and occupy
    Calendar(calendar::Options),
    /// Write the post-implementation review of a Release, or list those that are open
    Review(review::Options),
    /// Show the versions of this command, of the operator and of the definitions
    Version(version::Options),
    /// Wait until a Release is where a pipeline wants it
    Wait(wait::Options),
}

impl Person {
    /// The cluster, and the namespace of the flag.
    fn connection(&self) -> (&Connection, Option<&str>) {
        match self {
            Self::Status(options) => options.connection(),
            Self::Explain(options) => options.connection(),
            Self::Approve(options) | Self::Reject(options) => options.connection(),
            Self::Retry(options)
            | Self::BackOut(options)
            | Self::Accept(options)
            | Self::Abandon(options) => options.connection(),
            Self::Hold(options) => options.connection(),
            Self::Unhold(options) => options.connection(),
            Self::Withdraw(options) => options.connection(),
            Self::History(options) => options.connection(),
            Self::Notes(options) => options.connection(),
            Self::Calendar(options) => options.connection(),
            Self::Review(options) => options.connection(),
            Self::Version(options) => options.connection(),
            Self::Wait(options) => options.connection(),
        }
    }

    async fn run(&self, session: &Session, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
        match self {
            Self::Status(options) => status::run(session, options, terminal).await,
            Self::Explain(options) => explain::run(session, options, terminal).await,
            Self::Approve(options) => decision::answer(session, Action::Approve, options, terminal).await,
            Self::Reject(options) => decision::answer(session, Action::Reject, options, terminal).await,
            Self::Retry(options) => decision::act(session, Action::Retry, options, terminal).await,
            Self::BackOut(options) => decision::act(session, Action::BackOut, options, terminal).await,
            Self::Accept(options) => decision::act(session, Action::Accept, options, terminal).await,
            Self::Abandon(options) => decision::act(session, Action::Abandon, options, terminal).await,
            Self::Hold(options) => hold::hold(session, options, terminal).await,
            Self::Unhold(options) => hold::unhold(session, options, terminal).await,
            Self::Withdraw(options) => hold::withdraw(session, options, terminal).await,
            Self::History(options) => history::run(session, options, terminal).await,
            Self::Notes(options) => notes::run(session, options, terminal).await,
            Self::Calendar(options) => calendar::run(session, options, terminal).await,
            Self::Review(options) => review::run(session, options, terminal).await,
            Self::Version(options) => version::run(session, options, terminal).await,
            Self::Wait(options) => wait::run(session, options, terminal).await,
        }
    }
}

/// What a command line asks for.
pub enum Called {
    /// A command.
    Run(Box<Arguments>),
    /// Candidates for kubectl's completion: the text to print.
    Complete(String),
    /// Help, the version, or a usage error.
    Wrong(clap::Error),
}

/// Reads a command line. As `kubectl-signalbox`, which is how kubectl finds the plugin, the program calls itself `kubectl signalbox`.
#[must_use]
pub fn called(words: Vec<OsString>) -> Called {
    let program = words
        .first()
        .map(std::path::Path::new)
        .and_then(std::path::Path::file_stem);
    let program = program
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let plugin = program.starts_with("kubectl");
    if plugin && words.get(1).is_some_and(|word| word == completion::PROTOCOL) {
        return Called::Complete(completion::for_kubectl(
            Arguments::command(),
            words.into_iter().skip(2).collect(),
        ));
    }
    clap_complete::CompleteEnv::with_factory(Arguments::command).complete();
    let command = if plugin { described() } else { Arguments::command() };
    let parsed = command.try_get_matches_from(words);
    match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => Called::Run(Box::new(arguments)),
        Err(usage) => Called::Wrong(usage),
    }
}

/// The command line as clap describes it, under the name by which people call it.
fn described() -> clap::Command {
    Arguments::command()
        .name("kubectl-signalbox")
        .bin_name("kubectl signalbox")
}

/// Runs the command with this process's standard input and output.
///
/// # Errors
/// A sentence for the user.
pub async fn run(arguments: Arguments) -> Result<Exit, String> {
    let is_terminal = std::io::stdout().is_terminal();
    let colour = arguments
        .color
        .chosen(is_terminal, |name| std::env::var(name).ok());
    let mut output = std::io::BufWriter::new(std::io::stdout());
    let mut terminal = Terminal {
        input: &mut std::io::stdin(),
        output: &mut output,
        errors: &mut std::io::stderr(),
        colour,
        asks: std::io::stdin().is_terminal(),
        redraws: is_terminal,
        width: terminal::width(),
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
        Command::Person(command) => {
            let (connection, namespace) = command.connection();
            let ran = match Session::open(connection, namespace).await {
                Ok(session) => command.run(&session, terminal).await,
                Err(sentence) => Err(sentence),
            };
            // The API server repeats what people wrote.
            ran.map_err(|said| said.lines().map(visible).collect::<Vec<_>>().join("\n"))
        }
        Command::Run(options) => run::run(options).await.map(|()| 0),
        Command::Lint(options) => lint::run(&options, terminal),
        Command::Simulate(options) => simulate::run(options, terminal).await,
        Command::Access(options) => access::run(options, terminal).await,
        Command::Completion(options) => completion::run(&options, terminal),
        Command::Man(options) => manual::run(&options, described(), terminal),
    }
}
