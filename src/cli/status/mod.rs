//! `signalbox status`: where Releases are, what each waits for, and since when.

mod environment;
mod mine;
mod watching;

use kube::ResourceExt;
use serde::Serialize;

use crate::api::Release;
use crate::api::release::{Colour, State};
use crate::cli::format::{self, Format};
use crate::cli::output::Paint;
use crate::cli::session::{Connection, Listed, Query, Session, list};
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::terminal::{Exit, Terminal};
use crate::cli::times::{age, minute};
use crate::view::explain::{Block, Explanation, InEnvironment, explain};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Releases to show (default: all of the namespace)
    #[arg(value_name = "RELEASE", add = crate::cli::completion::releases())]
    releases: Vec<String>,
    /// Namespace of the Releases (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Show the Releases of every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Label selector of the Releases, such as team=payments
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// Show only the Releases of this product
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Show only what waits for you: your approval, your Decision, your review, or your own Release to be corrected
    #[arg(long)]
    mine: bool,
    /// Show this Environment: who is in it, who waits for it, its windows, and what runs there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["releases", "mine", "watch"], add = crate::cli::completion::environments())]
    environment: Option<String>,
    /// Redraw whenever something changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// Output format
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Format,
    /// Print no header
    #[arg(long)]
    no_headers: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }

    /// How the Releases are listed.
    fn query<'a>(&'a self, session: &'a Session) -> Query<'a> {
        let mut fields: Vec<String> = Vec::new();
        if let Some(product) = &self.product {
            fields.push(format!("spec.product={product}"));
        }
        if let [name] = self.releases.as_slice() {
            fields.push(format!("metadata.name={name}"));
        }
        Query {
            namespace: (!self.all_namespaces).then_some(session.namespace.as_str()),
            labels: &self.selector,
            fields: fields.join(","),
        }
    }
}

/// Prints the Releases.
///
/// # Errors
/// A sentence: a Release does not exist, or the cluster cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    if let Some(name) = &options.environment {
        return environment::run(session, name, options, terminal).await;
    }
    if options.watch {
        return watching::run(session, options, terminal).await;
    }
    let mut listed: Listed<Release> = list(session, &options.query(session)).await?;
    if options.mine {
        listed.items = mine::mine(session, listed.items).await?;
    }
    let shown = show(session, options, &listed.items, terminal)?;
    terminal.print(&shown)?;
    for unreadable in &listed.unreadable {
        terminal.note(&format!("note: {unreadable}"));
    }
    Ok(if listed.unreadable.is_empty() { 0 } else { 2 })
}

/// What programs read.
#[derive(Serialize)]
struct Report<'a> {
    releases: Vec<Explanation<'a>>,
}

/// The Releases in the format of the options.
fn show(
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
    let wide = options.output == Format::Wide;
    let mut header: Vec<String> = Vec::new();
    if options.all_namespaces {
        header.push("NAMESPACE".to_owned());
    }
    header.extend(["NAME", "VERSION", "RAG"].map(str::to_owned));
    header.extend(columns.iter().map(|name| name.to_uppercase()));
    let states = Table::new(header.clone());
    let mut narrow = states;
    header.extend(["WAITS FOR", "SINCE", "FORECAST"].map(str::to_owned));
    if wide {
        header.extend(["REQUESTED BY", "REVIEW", "MESSAGE"].map(str::to_owned));
    }
    let mut full = Table::new(header);
    for release in explained {
        let cells = states_of(release, &columns, options.all_namespaces);
        narrow.row(cells.clone());
        full.row(cells.into_iter().chain(waits(release, wide, terminal)).collect());
    }
    let paint = terminal.paint();
    let fits = terminal.width.is_none_or(|width| full.width() <= width);
    if fits || wide {
        return full.text(paint, !options.no_headers, 0);
    }
    beneath(
        &narrow.text(paint, !options.no_headers, 0),
        explained,
        !options.no_headers,
        terminal,
    )
}

/// Where the terminal is too narrow for all columns, what a Release waits for stands below it.
fn beneath(states: &str, explained: &[Explanation<'_>], headers: bool, terminal: &Terminal<'_>) -> String {
    let mut text = String::new();
    let mut lines = states.lines();
    if headers && let Some(header) = lines.next() {
        text.push_str(header);
        text.push('\n');
    }
    for (line, release) in lines.zip(explained) {
        text.push_str(line);
        text.push('\n');
        if let Some(current) = current(release) {
            let mut said = waits_for(current);
            if let Some(since) = since(current) {
                said = format!("{said}, since {}", age(since, terminal.now));
            }
            if let Some(earliest) = current.earliest {
                said = format!("{said}, at the earliest {}", minute(earliest));
            }
            crate::cli::output::wrapped(&mut text, 2, terminal.width.unwrap_or(usize::MAX), &said);
        }
    }
    text
}

fn states_of(release: &Explanation<'_>, columns: &[&str], namespaced: bool) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    if namespaced {
        cells.push(release.namespace.into());
    }
    cells.push(release.name.into());
    cells.push(release.version.into());
    cells.push(rag(release));
    for column in columns {
        let there = release.environments.iter().find(|e| e.environment == *column);
        cells.push(there.map_or_else(Cell::default, state));
    }
    cells
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

/// The state as a table shows it: a promotion that its Release holds back is `Held`.
pub(crate) fn state(environment: &InEnvironment<'_>) -> Cell {
    if environment.held && environment.state.before_entry() {
        return Cell::toned("Held", Tone::Busy);
    }
    Cell::toned(environment.state.as_str(), tone(environment.state))
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

/// A heading.
pub(crate) fn heading(paint: Paint, text: &str) -> String {
    format!("{}\n", paint.bold(&crate::view::timeline::visible(text)))
}
