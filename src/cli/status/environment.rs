//! `status --environment`: who is in an Environment, who waits for it, its windows, and what runs there.

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::options::Options;
use crate::api::environment::{
    Environment, EnvironmentStatus, InventoryItem, Occupant, SharedTargets, WindowStatus,
};
use crate::api::release::State;
use crate::api::{Release, Time};
use crate::cli::format::{self, Format};
use crate::cli::output::heading;
use crate::cli::session::{Session, get, reach};
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::terminal::{Exit, Terminal};
use crate::cli::times::{age, minute};

/// What people read about an Environment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    environment: &'a str,
    /// The stage in its spec.
    stage: crate::api::environment::Stage,
    /// Whether it is Ready, and why not.
    ready: Option<bool>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<&'a WindowStatus>,
    occupants: &'a [Occupant],
    occupants_total: i64,
    waiting: Vec<Waiting>,
    inventory: &'a [InventoryItem],
    inventory_total: i64,
    drifted_total: i64,
    shared_targets: &'a [SharedTargets],
}

/// A Release that wants to enter.
#[derive(Serialize)]
struct Waiting {
    namespace: String,
    release: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest: Option<jiff::Timestamp>,
    summary: String,
}

/// Prints the Environment.
///
/// # Errors
/// A sentence: it does not exist, or the cluster cannot be read.
pub(super) async fn run(
    session: &Session,
    name: &str,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let environments: Api<Environment> = Api::all(session.client.clone());
    let environment = get(session, &environments, name, "").await?;
    let (releases, partial) = reach(session, None).await?;
    let empty = EnvironmentStatus::default();
    let report = report(
        &environment,
        environment.status.as_ref().unwrap_or(&empty),
        &releases,
    );
    let text = match options.output {
        Format::Json => format::json(&report)?,
        Format::Yaml => format::yaml(&report)?,
        Format::Name => format!("environment.signalbox.dev/{name}\n"),
        Format::Table | Format::Wide => text(&report, options, terminal),
    };
    terminal.print(&text)?;
    if let Some(why) = partial {
        terminal.note(&format!("note: {why}"));
        return Ok(2);
    }
    Ok(0)
}

fn report<'a>(
    environment: &'a Environment,
    status: &'a EnvironmentStatus,
    releases: &[Release],
) -> Report<'a> {
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
    let mut waiting: Vec<Waiting> = Vec::new();
    for release in releases {
        let Some(p) = release.promotion(name) else {
            continue;
        };
        if matches!(p.state, State::Waiting | State::Queued) {
            waiting.push(Waiting {
                namespace: release.namespace().unwrap_or_default(),
                release: release.name_any(),
                state: p.state,
                since: p.since.as_ref().map(|t| t.0),
                earliest: p.forecast.as_ref().and_then(|f| f.earliest.as_ref()).map(|t| t.0),
                summary: p.summary(),
            });
        }
    }
    // Those in the queue first, then who waits longest.
    waiting.sort_by_key(|w| (w.state != State::Queued, w.since));
    Report {
        environment: name,
        stage: environment.spec.stage,
        ready: ready.map(|c| c.status == "True"),
        message: ready.map_or("", |c| c.message.as_str()),
        window: status.window.as_ref(),
        occupants: &status.occupants,
        occupants_total: status.occupants_total,
        waiting,
        inventory: &status.inventory,
        inventory_total: status.inventory_total,
        drifted_total: status.drifted_total,
        shared_targets: &status.shared_targets,
    }
}

fn text(report: &Report<'_>, options: &Options, terminal: &Terminal<'_>) -> String {
    let mut text = heading(terminal.paint(), &format!("Environment {}", report.environment));
    text.push_str(&facts(report).text(terminal.paint(), false, 2));
    let mut section = |title: &str, total: i64, table: &Table| {
        section(&mut text, title, total, table, options, terminal);
    };
    section(
        "In it now",
        report.occupants_total,
        &occupants(report, terminal.now),
    );
    let waiting = i64::try_from(report.waiting.len()).unwrap_or(i64::MAX);
    section("Waiting to enter", waiting, &waits(report, terminal.now));
    section(
        "What runs in it",
        report.inventory_total,
        &inventory(report, terminal.now),
    );
    text
}

fn facts(report: &Report<'_>) -> Table {
    let mut facts = Table::default();
    let ready = match report.ready {
        Some(true) => Cell::toned("yes", Tone::Good),
        Some(false) => Cell::toned(format!("no: {}", report.message), Tone::Bad),
        None => Cell::toned("not known yet", Tone::Busy),
    };
    facts.row(vec!["Ready".into(), ready]);
    if let Some(window) = report.window {
        let (word, tone) = if window.open {
            ("open", Tone::Good)
        } else {
            ("closed", Tone::Busy)
        };
        facts.row(vec![
            "Window".into(),
            Cell::toned(format!("{word} ({})", window.because), tone),
        ]);
        let time = |time: &Option<Time>| time.as_ref().map(|t| minute(t.0));
        if let Some(opens) = time(&window.next_open) {
            facts.row(vec!["Next opening".into(), opens.into()]);
        }
        if let Some(closes) = time(&window.next_close) {
            facts.row(vec!["Next closing".into(), closes.into()]);
        }
    }
    if report.drifted_total > 0 {
        let drifted = format!("{} components changed by other writers", report.drifted_total);
        facts.row(vec!["Drift".into(), Cell::toned(drifted, Tone::Busy)]);
    }
    for shared in report.shared_targets {
        let said = format!("{}: {}", shared.environment, shared.message);
        facts.row(vec!["Shares targets".into(), Cell::toned(said, Tone::Busy)]);
    }
    facts
}

/// How long ago, if that is known.
fn since(at: Option<&Time>, now: Timestamp) -> Cell {
    at.map_or_else(String::new, |t| age(t.0, now)).into()
}

fn occupants(report: &Report<'_>, now: Timestamp) -> Table {
    let mut table = Table::new(["RELEASE", "STATE", "SINCE"]);
    for one in report.occupants {
        let name = format!("{}/{}", one.namespace, one.release);
        table.row(vec![
            name.into(),
            one.state.as_str().into(),
            since(one.since.as_ref(), now),
        ]);
    }
    table
}

fn waits(report: &Report<'_>, now: Timestamp) -> Table {
    let mut table = Table::new(["RELEASE", "STATE", "SINCE", "EARLIEST", "WHY"]);
    for one in &report.waiting {
        let summary = one.summary.strip_prefix(&format!("{}: ", report.environment));
        table.row(vec![
            format!("{}/{}", one.namespace, one.release).into(),
            one.state.as_str().into(),
            one.since.map_or_else(String::new, |at| age(at, now)).into(),
            one.earliest.map_or_else(String::new, minute).into(),
            summary.unwrap_or(&one.summary).into(),
        ]);
    }
    table
}

fn inventory(report: &Report<'_>, now: Timestamp) -> Table {
    let mut table = Table::new(["COMPONENT", "RELEASE", "SINCE", "DRIFTED", "IMAGE"]);
    for item in report.inventory {
        table.row(vec![
            format!("{}/{}", item.namespace, item.component).into(),
            item.release.as_str().into(),
            since(item.since.as_ref(), now),
            if item.drifted {
                Cell::toned("yes", Tone::Busy)
            } else {
                "".into()
            },
            item.image.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

fn section(
    text: &mut String,
    title: &str,
    total: i64,
    table: &Table,
    options: &Options,
    terminal: &Terminal<'_>,
) {
    let paint = terminal.paint();
    text.push('\n');
    text.push_str(&heading(paint, title));
    let rows = table.len();
    if rows == 0 {
        text.push_str("  nothing\n");
        return;
    }
    text.push_str(&table.within(terminal.width, paint, !options.no_headers, 2));
    let more = total - i64::try_from(rows).unwrap_or(0);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
}
