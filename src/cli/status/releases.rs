//! Releases as a table, or as programs read them.

use kube::ResourceExt;
use serde::Serialize;

use super::options::Options;
use crate::api::Release;
use crate::api::release::{Colour, State};
use crate::cli::format::{self, Format};
use crate::cli::output::wrapped;
use crate::cli::session::Session;
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::terminal::Terminal;
use crate::cli::times::{age, minute};
use crate::view::explain::{Block, Explanation, InEnvironment, explain};

/// What programs read.
#[derive(Serialize)]
struct Report<'a> {
    releases: Vec<Explanation<'a>>,
}

/// The Releases in the format of the options.
pub(super) fn show(
    session: &Session,
    options: &Options,
    releases: &[Release],
    terminal: &mut Terminal<'_>,
) -> Result<String, String> {
    let chosen: Vec<&Release> = chosen(releases, &options.releases, session)?;
    let explained = || chosen.iter().map(|release| explain(release)).collect::<Vec<_>>();
    match options.output {
        Format::Json => format::json(&Report {
            releases: explained(),
        }),
        Format::Yaml => format::yaml(&Report {
            releases: explained(),
        }),
        Format::Name => Ok(chosen
            .iter()
            .map(|release| format!("release.signalbox.dev/{}\n", release.name_any()))
            .collect()),
        Format::Table | Format::Wide => {
            if chosen.is_empty() {
                terminal.note(&nothing(session, options));
                return Ok(String::new());
            }
            Ok(table(&explained(), options, terminal))
        }
    }
}

fn nothing(session: &Session, options: &Options) -> String {
    if options.mine {
        return "Nothing waits for you.".to_owned();
    }
    if options.all_namespaces {
        return "No Releases found.".to_owned();
    }
    format!(
        "No Releases found in namespace {}. -A shows those of every namespace.",
        session.namespace
    )
}

/// Those that are named, in the order of the list; or all.
fn chosen<'a>(
    releases: &'a [Release],
    names: &[String],
    session: &Session,
) -> Result<Vec<&'a Release>, String> {
    for name in names {
        if !releases.iter().any(|release| release.name_any() == *name) {
            return Err(format!(
                "Release {name:?} does not exist in namespace {}.",
                session.namespace
            ));
        }
    }
    let named = |release: &&Release| names.is_empty() || names.contains(&release.name_any());
    Ok(releases.iter().filter(named).collect())
}

/// The environments of all Releases, each after those that come before it in every Release that lists both.
fn columns<'a>(explained: &[Explanation<'a>]) -> Vec<&'a str> {
    let mut columns: Vec<&str> = Vec::new();
    for release in explained {
        let mut at = 0;
        for environment in &release.environments {
            match columns.iter().position(|known| *known == environment.environment) {
                Some(known) => at = at.max(known + 1),
                None => {
                    columns.insert(at, environment.environment);
                    at += 1;
                }
            }
        }
    }
    columns
}

fn table(explained: &[Explanation<'_>], options: &Options, terminal: &Terminal<'_>) -> String {
    let columns = columns(explained);
    let namespace = options.all_namespaces.then_some("NAMESPACE");
    let names = || {
        namespace
            .into_iter()
            .chain(["NAME", "VERSION", "RAG"])
            .map(str::to_owned)
    };
    let states = || columns.iter().map(|name| name.to_uppercase());
    let mut header: Vec<String> = names().chain(states()).collect();
    header.extend(["WAITS FOR", "SINCE", "FORECAST"].map(str::to_owned));
    let wide = options.output == Format::Wide;
    if wide {
        header.extend(["REQUESTED BY", "REVIEW", "MESSAGE"].map(str::to_owned));
    }
    let (mut full, mut short) = (Table::new(header), Table::new(names().chain(states())));
    let mut shortest = Table::new(names());
    for release in explained {
        let (names, states) = (
            names_of(release, options.all_namespaces),
            states_of(release, &columns),
        );
        let cells: Vec<Cell> = names.iter().cloned().chain(states).collect();
        shortest.row(names);
        short.row(cells.clone());
        full.row(cells.into_iter().chain(waits(release, wide, terminal)).collect());
    }
    let fits = |table: &Table| terminal.width.is_none_or(|width| table.width() <= width);
    let (paint, headers) = (terminal.paint(), !options.no_headers);
    if fits(&full) || wide {
        return full.text(paint, headers, 0);
    }
    // Where the terminal is too narrow for all columns, what a Release waits for stands below it; and its states, too, if they must.
    let short = short.tight();
    let fits = fits(&short);
    let lines = if fits { short } else { shortest }.text(paint, headers, 0);
    beneath(&lines, explained, headers, !fits, terminal)
}

fn beneath(
    table: &str,
    explained: &[Explanation<'_>],
    headers: bool,
    with_states: bool,
    terminal: &Terminal<'_>,
) -> String {
    let mut text = String::new();
    let mut lines = table.lines();
    let mut line = |text: &mut String| {
        text.push_str(lines.next().unwrap_or_default());
        text.push('\n');
    };
    if headers {
        line(&mut text);
    }
    let width = terminal.width.unwrap_or(usize::MAX);
    for release in explained {
        line(&mut text);
        if with_states {
            let states = release
                .environments
                .iter()
                .map(|e| format!("{} {}", e.environment, shown(e)));
            wrapped(&mut text, 2, width, &states.collect::<Vec<_>>().join(", "));
        }
        if let Some(current) = current(release) {
            let mut said = waits_for(current);
            if let Some(since) = since(current) {
                said = format!("{said}, since {}", age(since, terminal.now));
            }
            if let Some(earliest) = current.earliest {
                said = format!("{said}, at the earliest {}", minute(earliest));
            }
            wrapped(&mut text, 2, width, &said);
        }
    }
    text
}

fn names_of(release: &Explanation<'_>, namespaced: bool) -> Vec<Cell> {
    let namespace = namespaced.then(|| Cell::from(release.namespace));
    let names = [release.name.into(), release.version.into(), rag(release)];
    namespace.into_iter().chain(names).collect()
}

fn states_of(release: &Explanation<'_>, columns: &[&str]) -> Vec<Cell> {
    let of = |column: &&str| {
        let there = release.environments.iter().find(|e| e.environment == *column);
        there.map_or_else(Cell::default, state)
    };
    columns.iter().map(of).collect()
}

/// The state as people read it: a promotion that its Release holds back is `Held`.
fn shown(environment: &InEnvironment<'_>) -> &'static str {
    if environment.held && environment.state.before_entry() {
        "Held"
    } else {
        environment.state.as_str()
    }
}

fn waits(release: &Explanation<'_>, wide: bool, terminal: &Terminal<'_>) -> Vec<Cell> {
    let current = current(release);
    let mut cells: Vec<Cell> = vec![
        match (release.refused, current) {
            (Some(_), _) => Cell::toned("not accepted", Tone::Bad),
            (None, Some(current)) => waits_for(current).into(),
            (None, None) => Cell::default(),
        },
        current
            .and_then(since)
            .map_or_else(String::new, |since| age(since, terminal.now))
            .into(),
        current
            .and_then(|c| c.earliest)
            .map_or_else(String::new, minute)
            .into(),
    ];
    if wide {
        let review = release.review.map_or("", |review| review.state.as_str());
        let message = match release.refused {
            Some(refused) => refused.to_owned(),
            None => current.map_or_else(String::new, |current| current.summary.clone()),
        };
        cells.extend([release.requested_by.into(), review.into(), message.into()]);
    }
    cells
}

/// The environment that people have to look at: the first one that something holds, and not one that only waits for an earlier one.
pub(crate) fn current<'a, 'b>(release: &'b Explanation<'a>) -> Option<&'b InEnvironment<'a>> {
    // A release that another one has overtaken, or that is withdrawn, waits for nothing that it would have to do.
    let over = release.environments.iter().any(|e| e.state.never_entered());
    if over
        && !release
            .environments
            .iter()
            .any(|e| e.state.under_way() || e.state.needs_decision())
    {
        return None;
    }
    let unfinished = || {
        release
            .environments
            .iter()
            .filter(|e| e.waits_for.is_some() || e.state.is_stuck())
    };
    let stuck = unfinished().find(|e| e.state.is_stuck());
    stuck
        .or_else(|| unfinished().find(|e| e.state != State::Pending))
        .or_else(|| unfinished().next())
}

/// `production: an approval (board)`.
fn waits_for(environment: &InEnvironment<'_>) -> String {
    let name = environment.environment;
    let Some(waits) = environment.waits_for else {
        return format!("{name}: {}", environment.state.as_str());
    };
    let subject = environment.blocks.first().map(Block::subject);
    match subject {
        Some(subject) => format!("{name}: {waits} ({subject})"),
        None => format!("{name}: {waits}"),
    }
}

/// Since when it waits for that.
fn since(environment: &InEnvironment<'_>) -> Option<jiff::Timestamp> {
    let check = environment.blocks.iter().find_map(Block::check);
    check.map(|held| held.check.since.0).or(environment.since)
}

fn rag(release: &Explanation<'_>) -> Cell {
    let Some(rag) = release.rag else {
        return Cell::default();
    };
    match rag.colour {
        Colour::Grey => Cell::toned("Grey", Tone::Faint),
        Colour::Green => Cell::toned("Green", Tone::Good),
        Colour::Amber => Cell::toned("Amber", Tone::Busy),
        Colour::Red => Cell::toned("Red", Tone::Bad),
    }
}

/// The state as a table shows it.
fn state(environment: &InEnvironment<'_>) -> Cell {
    let shown = shown(environment);
    Cell::toned(
        shown,
        if shown == "Held" {
            Tone::Busy
        } else {
            tone(environment.state)
        },
    )
}

/// What the colour of a state is.
pub(crate) fn tone(state: State) -> Tone {
    match state {
        State::Succeeded => Tone::Good,
        State::Pending | State::Superseded | State::Withdrawn => Tone::Faint,
        state if state.went_wrong() => Tone::Bad,
        state if state.under_way() => Tone::Busy,
        _ => Tone::Plain,
    }
}
