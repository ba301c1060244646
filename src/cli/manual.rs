//! `signalbox man`, and the reference of the command line in docs/cli.md: both are made from what clap knows.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command};

use crate::cli::terminal::{Exit, Terminal};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The subcommand (default: the page of the program)
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Write all pages to this folder instead
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    output: Option<PathBuf>,
    /// Print the reference of all commands as Markdown, as in docs/cli.md
    #[arg(long, conflicts_with_all = ["command", "output"])]
    markdown: bool,
}

/// Prints a manual page, as `man -l -` reads it, or writes all of them.
///
/// # Errors
/// A sentence: there is no such command, or a file cannot be written.
pub(crate) fn run(options: &Options, program: Command, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
    if options.markdown {
        terminal.print(&reference(program))?;
        return Ok(0);
    }
    let mut pages = pages(program)?;
    if let Some(folder) = &options.output {
        std::fs::create_dir_all(folder).map_err(|e| format!("Cannot create {}: {e}.", folder.display()))?;
        for (name, page) in &pages {
            let path = folder.join(format!("{name}.1"));
            std::fs::write(&path, page).map_err(|e| format!("Cannot write {}: {e}.", path.display()))?;
        }
        terminal.note(&format!("{} pages are in {}.", pages.len(), folder.display()));
        return Ok(0);
    }
    let wanted = match &options.command {
        Some(command) => format!("{PROGRAM}-{command}"),
        None => PROGRAM.to_owned(),
    };
    let Some(at) = pages.iter().position(|(name, _)| *name == wanted) else {
        return Err(format!(
            "There is no command {:?}. --help lists them.",
            options.command.as_deref().unwrap_or_default()
        ));
    };
    let (_, page) = pages.swap_remove(at);
    terminal.print(&page)?;
    Ok(0)
}

const PROGRAM: &str = "kubectl-signalbox";

/// Each page by its name.
pub(crate) fn pages(mut program: Command) -> Result<Vec<(String, String)>, String> {
    let mut pages = Vec::new();
    program.build();
    add(&mut pages, PROGRAM.to_owned(), program.clone())?;
    for command in program.get_subcommands() {
        add(
            &mut pages,
            format!("{PROGRAM}-{}", command.get_name()),
            command.clone(),
        )?;
    }
    Ok(pages)
}

fn add(pages: &mut Vec<(String, String)>, name: String, command: Command) -> Result<(), String> {
    // A page is named as the file in which `man` looks for it.
    let command = command.name(name.clone()).version(env!("CARGO_PKG_VERSION"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|e| format!("Cannot write a manual page: {e}."))?;
    pages.push((name, String::from_utf8_lossy(&page).into_owned()));
    Ok(())
}

/// docs/cli.md: each command, what it is for, its arguments and its options.
#[must_use]
pub(crate) fn reference(mut program: Command) -> String {
    let mut text = String::from(HEAD);
    program.build();
    let commands: Vec<&Command> = program.get_subcommands().collect();
    for command in &commands {
        let _ = writeln!(text, "- [`{0}`](#{0}): {1}", command.get_name(), about(command));
    }
    for command in commands {
        let _ = writeln!(text, "\n## {}\n\n{}.\n", command.get_name(), about(command));
        usage(
            &mut text,
            &format!("kubectl signalbox {}", command.get_name()),
            command,
        );
        for below in command.get_subcommands() {
            let _ = writeln!(
                text,
                "\n### {} {}\n\n{}.\n",
                command.get_name(),
                below.get_name(),
                about(below)
            );
            usage(
                &mut text,
                &format!("kubectl signalbox {} {}", command.get_name(), below.get_name()),
                below,
            );
        }
    }
    text
}

const HEAD: &str = "\
# The command line

This file is made from the help of the commands. The program is `kubectl-signalbox`, which kubectl runs as `kubectl signalbox`; the operator's own
binary `signalbox` is the same. Each command works with your own kubeconfig and rights, and reads the cluster only as you.

Output that goes to a file or a pipe has no colours and lines of any length. Its columns, and the fields of `-o json` and `-o yaml`, are stable: new
ones may be added. Errors are one sentence on standard error, and the exit status is then 1.

The flags of a connection are those of kubectl: `--kubeconfig`, `--context`, `--cluster`, `--user`, `--as`, `--as-group` and `--request-timeout`.
They are left out below.

";

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn usage(text: &mut String, name: &str, command: &Command) {
    let mut line = name.to_owned();
    for argument in command.get_positionals() {
        let value = names(argument);
        let value = if argument.is_required_set() {
            value
        } else {
            format!("[{value}]")
        };
        let _ = write!(line, " {value}");
    }
    let connection = |arg: &Arg| arg.get_help_heading().is_some();
    let everywhere = |arg: &Arg| matches!(arg.get_id().as_str(), "help" | "color" | "version");
    let shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !connection(arg) && !everywhere(arg))
        .collect();
    if shown.iter().any(|arg| !arg.is_positional()) {
        line.push_str(" [OPTIONS]");
    }
    let _ = writeln!(text, "```text\n{line}\n```\n");
    if shown.is_empty() {
        return;
    }
    text.push_str("| argument | meaning |\n| --- | --- |\n");
    for arg in shown {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let mut help = help.replace('|', "\\|");
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .map(|v| v.get_name().to_owned())
            .collect();
        if !values.is_empty() && arg.get_action().takes_values() {
            let _ = write!(help, ": {}", values.join(", "));
        }
        let default: Vec<String> = arg
            .get_default_values()
            .iter()
            .map(|v| v.to_string_lossy().into_owned())
            .collect();
        if !default.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
            let _ = write!(help, " (default: {})", default.join(","));
        }
        let _ = writeln!(text, "| {} | {help} |", spelled(arg));
    }
}

/// `` `-n`, `--namespace NAME` ``.
fn spelled(arg: &Arg) -> String {
    let value = if arg.get_action().takes_values() {
        format!(" {}", names(arg))
    } else {
        String::new()
    };
    let short = arg.get_short().map(|short| format!("`-{short}`"));
    let long = arg.get_long().map(|long| format!("`--{long}{value}`"));
    let forms: Vec<String> = short.into_iter().chain(long).collect();
    if forms.is_empty() {
        format!("`{}`", names(arg))
    } else {
        forms.join(", ")
    }
}

fn names(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    if names.is_empty() {
        arg.get_id().as_str().to_uppercase()
    } else {
        names.join(" ")
    }
}
