//! `history`: what ran where, from when to when, by which Release, and who decided it.

use clap::ValueEnum;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::api::{Decision, Release, ReleaseReview};
use crate::cli::format;
use crate::cli::session::{Connection, Query, Session, records};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::history::{Filter, history, text};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Show only this product
    #[arg(short, long, value_name = "NAME")]
    product: Option<String>,
    /// Show only this Environment
    #[arg(short, long, value_name = "NAME")]
    environment: Option<String>,
    /// Show only what was in progress or running since then, such as 90d, 12h or 2w (default: everything)
    #[arg(long, value_name = "DURATION", value_parser = span)]
    since: Option<Span>,
    /// Output format: table for people, json for programs
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Format,
    /// Show the Releases of this namespace (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Show the Releases of every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn span(text: &str) -> Result<Span, String> {
    let span = text.parse::<Span>().ok().filter(|span| span.is_positive());
    span.ok_or_else(|| "must be a duration such as 90d, 12h or 2w".to_owned())
}

/// Days and months are those of UTC.
fn before(now: Timestamp, span: Span) -> Result<Timestamp, String> {
    let before = now.to_zoned(TimeZone::UTC).checked_sub(span);
    before
        .map(|before| before.timestamp())
        .map_err(|_| "The duration in --since is too long.".to_owned())
}

/// Prints the history that the cluster shows.
///
/// # Errors
/// A sentence: the duration is too long, or the cluster cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let query = Query {
        namespace: (!options.all_namespaces).then_some(session.namespace.as_str()),
        ..Query::default()
    };
    let read = records(session, &query).await?;
    let exit = show(options, &read.releases, &read.decisions, &read.reviews, terminal)?;
    read.notes.iter().for_each(|note| terminal.note(note));
    Ok(if read.notes.is_empty() { exit } else { 2 })
}

/// Prints the history that these objects show.
///
/// # Errors
/// A sentence: the duration is too long, or the output cannot be written.
fn show(
    options: &Options,
    releases: &[Release],
    decisions: &[Decision],
    reviews: &[ReleaseReview],
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let since = options.since.map(|span| before(terminal.now, span)).transpose()?;
    let filter = Filter {
        product: options.product.as_deref(),
        environment: options.environment.as_deref(),
        since,
    };
    let history = history(releases, decisions, reviews, &filter);
    let printed = match options.output {
        Format::Table => text(&history),
        Format::Json => format::json(&history)?,
    };
    terminal.print(&printed)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::api::release::{Promotion, State};
    use crate::api::time;
    use crate::decide::fixtures::{at, morning, promotion, release};

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    fn printed(words: &[&str]) -> Result<String, String> {
        let words = Words::try_parse_from(std::iter::once(&"history").chain(words));
        let options = words.map_err(|error| error.to_string())?.options;
        let mut release = release();
        release.status.get_or_insert_default().environments = vec![Promotion {
            started_at: Some(time(at("2026-11-20T09:00:00Z"))),
            finished_at: Some(time(at("2026-11-20T09:05:00Z"))),
            ..promotion("sit", State::Failed)
        }];
        let mut output = Vec::new();
        let (mut input, mut errors) = (std::io::empty(), std::io::sink());
        let mut terminal = Terminal::piped(&mut input, &mut output, &mut errors, morning());
        assert_eq!(show(&options, &[release], &[], &[], &mut terminal)?, 0);
        Ok(String::from_utf8(output).expect("text"))
    }

    #[test]
    fn only_what_is_asked_for_is_shown() {
        let shows = |words: &[&str]| printed(words).expect("a history").contains("2026-11-20 09:00");
        assert!(shows(&[]));
        assert!(shows(&["-p", "payments", "-e", "sit", "--since", "3d"]));
        assert!(!shows(&["-e", "uat"]));
        assert!(!shows(&["--since", "2d"]));
        assert!(
            printed(&["-o", "json"])
                .expect("a history")
                .contains("\"environment\": \"sit\"")
        );
    }

    #[test]
    fn a_wrong_duration_is_refused() {
        for wrong in ["3", "-3d", "0d", "soon", "9999999d"] {
            let since = format!("--since={wrong}");
            let error = printed(&[&since]).expect_err("an error");
            assert!(
                error.contains("must be a duration") || error.contains("too long"),
                "{error}"
            );
        }
    }
}
