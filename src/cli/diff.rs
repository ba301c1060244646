//! `signalbox diff`: what a Release would change on its targets, against what runs.

use kube::Api;
use serde::Serialize;

use crate::api::{Environment, Release};
use crate::cli::format;
use crate::cli::output::Paint;
use crate::cli::session::{Connection, Place, Session, get};
use crate::cli::targets::{self, Changes};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::differences::Difference;
use crate::view::layout::visible;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The Release
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    release: String,
    /// The Environment (default: each that the Release has not entered, or all if there is none)
    #[arg(value_name = "ENVIRONMENT", add = crate::cli::completion::environments())]
    environment: Option<String>,
    /// End with exit status 1 if something differs, and with 2 after an error, as kubectl diff
    #[arg(long)]
    exit_code: bool,
    /// Show values that look secret
    #[arg(long)]
    show_values: bool,
    /// Output format
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Form,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.place.parts()
    }
}

/// The differences of one environment.
#[derive(Serialize)]
struct In {
    environment: String,
    namespace: String,
    differences: Vec<Difference>,
    notes: Vec<String>,
}

/// Prints the differences.
///
/// # Errors
/// A sentence: the Release or the Environment does not exist, or the cluster cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    match show(session, options, terminal).await {
        Err(sentence) if options.exit_code => {
            terminal.note(&format!("error: {sentence}"));
            Ok(2)
        }
        ended => ended,
    }
}

async fn show(session: &Session, options: &Options, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    let release = get(
        session,
        &api,
        &options.release,
        &format!(" in namespace {}", session.namespace),
    )
    .await?;
    let mut all = Vec::new();
    let mut partial = false;
    for name in chosen(&release, options)? {
        let environments: Api<Environment> = Api::all(session.client.clone());
        let environment = get(session, &environments, &name, "").await?;
        let namespace = targets::namespace(&release, Some(&environment), &name)?;
        let found: Changes =
            targets::changes(session, &release, &name, &namespace, options.show_values).await?;
        partial |= found.partial || found.refused;
        all.push(In {
            environment: name,
            namespace,
            differences: found.differences,
            notes: found.notes,
        });
    }
    let text = match options.output {
        Form::Json => format::json(&all)?,
        Form::Text => text(&all, terminal),
    };
    terminal.print(&text)?;
    let changed = all.iter().flat_map(|there| &there.differences).any(|d| d.changed);
    Ok(match (options.exit_code, partial, changed) {
        (_, true, _) => 2,
        (true, false, true) => 1,
        _ => 0,
    })
}

/// The environment that is named; else those that the Release has not entered, or all of them.
fn chosen(release: &Release, options: &Options) -> Result<Vec<String>, String> {
    let listed = &release.spec.environments;
    if let Some(name) = &options.environment {
        if !listed.contains(name) {
            return Err(format!(
                "Release {} does not list {name}. It lists {}.",
                options.release,
                listed.join(", ")
            ));
        }
        return Ok(vec![name.clone()]);
    }
    // In promotion order, if the operator has written it.
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    let mut ordered: Vec<String> = promotions
        .map(|p| p.name.clone())
        .filter(|name| listed.contains(name))
        .collect();
    let unknown = listed
        .iter()
        .filter(|name| !ordered.contains(name))
        .cloned()
        .collect::<Vec<_>>();
    ordered.extend(unknown);
    let ahead = |name: &&String| release.promotion(name).is_none_or(|p| p.state.before_entry());
    let ahead: Vec<String> = ordered.iter().filter(ahead).cloned().collect();
    Ok(if ahead.is_empty() { ordered } else { ahead })
}

fn text(all: &[In], terminal: &mut Terminal<'_>) -> String {
    let mut text = String::new();
    for there in all {
        for note in &there.notes {
            terminal.note(&format!("note: {}: {}", there.environment, visible(note)));
        }
        for difference in there.differences.iter().filter(|d| d.changed) {
            text.push_str(&coloured(&difference.text, terminal.paint()));
        }
        let same: Vec<&str> = there
            .differences
            .iter()
            .filter(|d| !d.changed)
            .map(|d| d.target.as_str())
            .collect();
        if !same.is_empty() {
            terminal.note(&visible(&format!(
                "{}: nothing changes on {}.",
                there.environment,
                same.join(", ")
            )));
        }
    }
    text
}

/// A unified diff in the colours in which people know it.
pub(crate) fn coloured(diff: &str, paint: Paint) -> String {
    let line = |line: &str| {
        let painted = match line.as_bytes().first() {
            Some(b'-') => paint.red(line),
            Some(b'+') => paint.green(line),
            _ => line.to_owned(),
        };
        painted + "\n"
    };
    diff.lines().map(line).collect()
}
