//! `signalbox access`: who may do what with Releases, and who can bypass the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::ValueEnum;

use crate::access::{Answer, Around, Home, Question, Row, Scope, Unread};
use crate::cli::output::{Paint, ended};
use crate::cli::rights;
use crate::cli::session::{Connection, Session};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::layout::{columns, visible};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Show only the rights in this Environment
    #[arg(short, long, value_name = "NAME")]
    environment: Option<String>,
    /// Show only the Releases of this namespace (default: every namespace in which such a right is bound)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The operator's own namespace, which holds its locks (Leases) and pre-states
    #[arg(
        long,
        env = "SIGNALBOX_NAMESPACE",
        default_value = "signalbox-system",
        value_name = "NAME"
    )]
    operator_namespace: String,
    /// The ServiceAccount that the operator impersonates in target namespaces
    #[arg(
        long,
        env = "SIGNALBOX_DEPLOYER_NAME",
        default_value = "signalbox-deployer",
        value_name = "NAME"
    )]
    deployer_name: String,
    /// Output format: table for people, json for programs
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Prints the answer. The exit status is 2 if something could not be read.
///
/// # Errors
/// A sentence: the cluster cannot be read, or the output cannot be written.
pub(crate) async fn run(options: Options, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
    let question = Question {
        environment: options.environment,
        namespace: options.namespace,
        operator_namespace: options.operator_namespace,
        deployer: options.deployer_name,
    };
    let session = Session::open(&options.connection, None).await?;
    let answer = rights::answer(&session, &question).await?;
    let printed = match options.output {
        Format::Table => table(&answer, Paint(terminal.colour)),
        Format::Json => json(&answer)?,
    };
    terminal.output.write_all(printed.as_bytes()).or_else(ended)?;
    Ok(if answer.complete { 0 } else { 2 })
}

/// The answer as indented JSON, for programs.
///
/// # Errors
/// A sentence: the answer cannot be written as JSON.
pub(crate) fn json(answer: &Answer) -> Result<String, String> {
    let text = serde_json::to_string_pretty(answer).map_err(|e| format!("Cannot print JSON: {e}"))?;
    Ok(format!("{text}\n"))
}

/// For people: the rights, then the ways to bypass the rules, then what could not be read.
pub(crate) fn table(answer: &Answer, paint: Paint) -> String {
    let mut text = String::new();
    let everywhere = acts(&answer.everywhere);
    if !everywhere.is_empty() {
        headed(&mut text, paint, "Rights in every namespace", &ACTS, &everywhere);
    }
    for Home { name, rows, unfilled } in &answer.namespaces {
        let mut rows = acts(rows);
        // A listing that was refused may contain the binding that grants this right.
        let concerns = |unread: &Unread| unread.namespace.as_ref().is_none_or(|other| other == name);
        let no_one = if answer.unread.iter().any(concerns) {
            "unknown"
        } else {
            "no one"
        };
        rows.extend(unfilled.iter().map(|unfilled| {
            let act = format!("approve as {}", unfilled.role);
            let [who, may, by, why] = [no_one, "-", "-", ""].map(str::to_owned);
            [act, unfilled.environment.clone(), who, may, by, why]
        }));
        let title = format!("Rights in namespace {name}");
        if rows.is_empty() {
            let _ = writeln!(
                text,
                "{}\n\n  No RoleBinding here grants any right to Signalbox objects.\n",
                paint.bold(&visible(&title))
            );
        } else {
            headed(&mut text, paint, &title, &ACTS, &rows);
        }
    }
    if answer.everywhere.is_empty() && answer.namespaces.is_empty() && answer.complete {
        let _ = writeln!(text, "No binding grants any right to Signalbox objects.\n");
    }
    around(&mut text, paint, &answer.around);
    let own = answer
        .everywhere
        .iter()
        .filter(|row| row.built_in)
        .map(|row| &row.who);
    let own = own.chain(
        answer
            .around
            .iter()
            .filter(|row| row.built_in)
            .map(|row| &row.who),
    );
    let own: BTreeSet<String> = own.map(ToString::to_string).collect();
    if !own.is_empty() {
        let own: Vec<String> = own.into_iter().collect();
        let _ = writeln!(
            text,
            "Kubernetes components also have such rights, through default bindings: {}.",
            visible(&own.join(", "))
        );
    }
    text.push_str(
        "RBAC does not list the members of a group. A user in several groups has the rights of all of them. Other authorizers, such as webhooks, are not checked.\n",
    );
    for note in &answer.notes {
        let _ = writeln!(text, "{} {}", paint.yellow("note:"), visible(note));
    }
    for unread in &answer.unread {
        let _ = writeln!(text, "{} {}", paint.red("incomplete:"), visible(&refused(unread)));
    }
    text
}

fn refused(unread: &Unread) -> String {
    let place = match &unread.namespace {
        Some(namespace) => format!(" in namespace {namespace}"),
        None => String::new(),
    };
    format!(
        "{}{place} could not be listed, so what depends on them is missing above. The API server said: {}",
        unread.what, unread.because
    )
}

const ACTS: [&str; 6] = ["ACT", "ENVIRONMENT", "WHO", "MAY", "BY", ""];

/// One line for all Environments in which the same is true.
fn acts(rows: &[Row]) -> Vec<[String; 6]> {
    let mut lines: Vec<(&Row, Vec<&str>)> = Vec::new();
    let mut known = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.built_in) {
        let same = (row.act, &row.role, &row.who, &row.because, &row.only, &row.by);
        let at = *known.entry(same).or_insert(lines.len());
        if at == lines.len() {
            lines.push((row, vec![]));
        }
        if let (Some((_, environments)), Some(environment)) = (lines.get_mut(at), &row.environment) {
            environments.push(environment);
        }
    }
    let line = |(row, environments): (&Row, Vec<&str>)| {
        let mut act = row.act.to_owned();
        if let Some(role) = &row.role {
            let _ = write!(act, " as {role}");
        }
        if !row.only.is_empty() {
            let _ = write!(act, " only {}", row.only.join(", "));
        }
        [
            act,
            if environments.is_empty() {
                "-".to_owned()
            } else {
                environments.join(", ")
            },
            row.who.to_string(),
            if row.may { "yes" } else { "no" }.to_owned(),
            row.by.join(", "),
            row.because.clone().unwrap_or_default(),
        ]
    };
    lines.into_iter().map(line).collect()
}

/// The table shows this many rights of each way; `-o json` shows them all.
const TOLD: usize = 2;

fn around(text: &mut String, paint: Paint, all: &[Around]) {
    let _ = writeln!(text, "{}\n", paint.bold("Who can bypass the rules"));
    let mut ways: BTreeMap<_, Vec<[String; 4]>> = BTreeMap::new();
    for one in all.iter().filter(|one| !one.built_in) {
        let place = match &one.scope {
            Scope::Cluster => "the cluster".to_owned(),
            Scope::EveryNamespace => "every namespace".to_owned(),
            Scope::Namespace(namespace) => namespace.clone(),
        };
        let who = match one.part {
            Some(part) => format!("{} (the {part})", one.who),
            None => one.who.to_string(),
        };
        let mut rights = one
            .rights
            .iter()
            .take(TOLD)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        if one.rights.len() > TOLD {
            let _ = write!(rights, " and {} more", one.rights.len() - TOLD);
        }
        let line = [place, who, rights, one.by.join(", ")];
        ways.entry(one.way).or_default().push(line);
    }
    for (way, lines) in &ways {
        let _ = writeln!(text, "{}: {}", paint.bold(way.as_str()), way.meaning());
        columns(text, lines);
        text.push('\n');
    }
}

fn headed<const N: usize>(
    text: &mut String,
    paint: Paint,
    title: &str,
    header: &[&str; N],
    rows: &[[String; N]],
) {
    let _ = writeln!(text, "{}\n", paint.bold(&visible(title)));
    let mut lines = vec![header.map(str::to_owned)];
    lines.extend_from_slice(rows);
    columns(text, &lines);
    text.push('\n');
}
