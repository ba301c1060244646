//! `signalbox lint`: reports what is wrong with manifests before they are applied.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::output::{Paint, counted, ended};
use crate::cli::terminal::{Exit, Terminal};
use crate::lint::{self, Report, Severity};
use crate::manifests::Manifests;
use crate::view::timeline::visible;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// A file, a folder (every .yaml, .yml and .json file below it), or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    filenames: Vec<PathBuf>,
    /// Output format of the findings
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// Environments that exist in addition to those in the files, so that names can be checked
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    known_environments: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Prints the findings. The exit status is 1 if one of them is an error.
///
/// # Errors
/// A sentence: there is nothing to check, or the output cannot be written.
pub(crate) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
    let manifests = Manifests::read(&options.filenames, terminal.input);
    let report = lint::lint(&manifests, &options.known_environments, terminal.now);
    let text = match options.output {
        Format::Text => text(&report, Paint(terminal.colour)),
        Format::Json => json(&report)?,
    };
    terminal.output.write_all(text.as_bytes()).or_else(ended)?;
    // A pipeline that checks the wrong folder must not succeed.
    if report.checked == 0 && report.findings.is_empty() {
        return Err(format!(
            "Nothing to check: no Signalbox object found in {} ({} skipped). Name manifests with Signalbox objects with -f.",
            counted(report.files, "file", "files"),
            counted(report.passed_over, "other object", "other objects"),
        ));
    }
    Ok(if report.clean() { 0 } else { 1 })
}

fn json(report: &Report) -> Result<String, String> {
    let text = serde_json::to_string_pretty(report).map_err(|e| format!("Cannot print JSON: {e}"))?;
    Ok(format!("{text}\n"))
}

fn text(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let note = match finding.severity {
            Severity::Error => String::new(),
            Severity::Note => paint.yellow(" note:"),
        };
        let (place, said) = (finding.place(), finding.said());
        let _ = writeln!(text, "{}{note} {}", paint.bold(&visible(&place)), visible(&said));
    }
    if report.checked == 0 && report.findings.is_empty() {
        return text;
    }
    let (errors, notes) = (report.count(Severity::Error), report.count(Severity::Note));
    let found = counted(errors, "error", "errors");
    let mut found = match errors {
        0 => paint.green(&found),
        _ => paint.red(&found),
    };
    if notes > 0 {
        let _ = write!(found, ", {}", paint.yellow(&counted(notes, "note", "notes")));
    }
    let others = match report.passed_over {
        0 => String::new(),
        n => format!(" ({} skipped)", counted(n, "other object", "other objects")),
    };
    let _ = writeln!(
        text,
        "{} in {}: {found}{others}.",
        counted(report.checked, "Signalbox object", "Signalbox objects"),
        counted(report.files, "file", "files"),
    );
    text
}
