//! `calendar`: when each Environment is open, and what Releases plan, foresee and occupy.

use clap::ValueEnum;
use jiff::tz::TimeZone;

use crate::api::{Environment, Release};
use crate::cli::format;
use crate::cli::session::{Connection, Query, Session, list, reach};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::calendar::{Range, calendar, ics, svg, text};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The month to show, such as 2026-12 (default: this month)
    #[arg(short, long, value_name = "MONTH")]
    month: Option<String>,
    /// Show only this Environment; may be repeated
    #[arg(short, long = "environment", value_name = "NAME")]
    environments: Vec<String>,
    /// Show the Releases of this namespace only (default: of every namespace that you may list)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The time zone of the days, such as Europe/London; windows keep their own
    #[arg(long, default_value = "UTC", value_name = "ZONE", value_parser = zone)]
    time_zone: TimeZone,
    /// Output format: text for people, ics for calendar programs, svg for a chart, json for programs
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
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
    Text,
    Ics,
    Svg,
    Json,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "must be the name of a time zone, such as Europe/London".to_owned())
}

/// Prints the calendar of the cluster. Who may list the Releases of one namespace only sees those.
///
/// # Errors
/// A sentence: the month is none, an Environment does not exist, or the cluster cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let environments = list::<Environment>(session, &Query::default()).await?.items;
    let (releases, partial) = reach(session, options.namespace.as_deref()).await?;
    let exit = show(options, environments, &releases, terminal)?;
    match partial {
        Some(why) => {
            terminal.note(&format!("note: {why}"));
            Ok(2)
        }
        None => Ok(exit),
    }
}

/// Prints the calendar of these objects.
///
/// # Errors
/// A sentence: the month is none, an Environment does not exist, or the output cannot be written.
fn show(
    options: &Options,
    mut environments: Vec<Environment>,
    releases: &[Release],
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let zone = options.time_zone.clone();
    let range = match &options.month {
        Some(month) => Range::month(month, zone),
        None => Range::month_of(terminal.now, zone),
    };
    let range = range.map_err(|error| format!("The calendar cannot be shown: {error}."))?;
    let is = |environment: &Environment, name: &String| environment.metadata.name.as_ref() == Some(name);
    if !options.environments.is_empty() {
        let absent = |name: &&String| !environments.iter().any(|environment| is(environment, name));
        if let Some(name) = options.environments.iter().find(absent) {
            return Err(format!("Environment {name:?} does not exist."));
        }
        environments.retain(|environment| options.environments.iter().any(|name| is(environment, name)));
    }
    let calendar = calendar(&environments, releases, &range, terminal.now);
    let printed = match options.output {
        Format::Text => text(&calendar),
        Format::Ics => ics(&calendar),
        Format::Svg => svg(&calendar),
        Format::Json => format::json(&calendar)?,
    };
    terminal.print(&printed)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::decide::fixtures::{environment, morning, sit};

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    fn printed(words: &[&str]) -> Result<String, String> {
        let words = Words::try_parse_from(std::iter::once(&"calendar").chain(words));
        let options = words.map_err(|error| error.to_string())?.options;
        let windows = json!([{ "name": "evening", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London" }]);
        let spec = json!({ "stage": "Production", "namespace": "{namespace}", "windows": windows });
        let mut output = Vec::new();
        let (mut input, mut errors) = (std::io::empty(), std::io::sink());
        let mut terminal = Terminal::piped(&mut input, &mut output, &mut errors, morning());
        let all = vec![environment("production", spec), sit()];
        assert_eq!(show(&options, all, &[], &mut terminal)?, 0);
        Ok(String::from_utf8(output).expect("text"))
    }

    #[test]
    fn the_month_and_the_environments_are_chosen() {
        let now = printed(&[]).expect("a calendar");
        assert!(
            now.starts_with("From 2026-11-01 00:00 to 2026-12-01 00:00, days in UTC."),
            "{now}"
        );
        assert!(now.contains("\nsit\n"), "{now}");
        let words = [
            "-m",
            "2027-03",
            "-e",
            "production",
            "--time-zone",
            "Europe/London",
        ];
        let march = printed(&words).expect("a calendar");
        assert!(march.contains("Tue 2027-03-30 18:00  to 22:00 BST"), "{march}");
        assert!(!march.contains("\nsit\n"), "{march}");
    }

    #[test]
    fn every_format_is_printed() {
        for (format, begins) in [("ics", "BEGIN:VCALENDAR\r\n"), ("svg", "<svg "), ("json", "{\n")] {
            let printed = printed(&["-o", format]).expect("a calendar");
            assert!(printed.starts_with(begins), "{printed}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        for (words, wanted) in [
            (
                ["-m", "december"],
                "The calendar cannot be shown: \"december\" is not a month: write year and month, like 2026-12.",
            ),
            (["-e", "moon"], "Environment \"moon\" does not exist."),
            (["--time-zone", "Mars/Base"], "must be the name of a time zone"),
        ] {
            let error = printed(&words).expect_err("an error");
            assert!(error.contains(wanted), "{error}");
        }
    }
}
