//! `signalbox simulate`: what would happen to Releases, simulated before they are applied.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};

use crate::api::GROUP;
use crate::cli::live;
use crate::cli::output::ended;
use crate::cli::session::{Connection, Session};
use crate::cli::terminal::{Exit, Terminal};
use crate::lint;
use crate::manifests::Manifests;
use crate::view::timeline::{self, Approvals, Cast, Fail, Question, Timeline};

/// A year, and a day for leap years.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// A file, a folder (every .yaml, .yml and .json file below it), or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    filenames: Vec<PathBuf>,
    /// When the manifests are applied (default: now)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    now: Option<Timestamp>,
    /// When the simulation ends at the latest (default: a year later)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Timestamp>,
    /// A component that never becomes ready, or a Job that fails, in one environment, such as uat/ledger; may be repeated
    #[arg(long, value_name = "ENVIRONMENT/COMPONENT")]
    fail: Vec<Fail>,
    /// People who approve in a role, or at a gate, as soon as their approval is needed, such as board@bob,carol; may be repeated
    #[arg(long, value_name = "ROLE@PEOPLE")]
    approve: Vec<Approvals>,
    /// Start from the objects in the cluster of the kubeconfig, which is only read
    #[arg(long)]
    cluster: bool,
    /// Path of a kubeconfig (default: the files of $KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount)
    #[arg(long, value_name = "PATH", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use
    #[arg(long, value_name = "NAME", requires = "cluster")]
    context: Option<String>,
    /// Output format: text for people, json for programs, svg for a chart of environments over time
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Svg,
}

/// The years in which a simulation can run: calendars look back and ahead from its time.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=9990;

fn instant(text: &str) -> Result<Timestamp, String> {
    let sentence = "must be a time such as 2026-11-24T18:00:00Z";
    let at = text.parse::<Timestamp>().map_err(|_| sentence.to_owned())?;
    let year = at.to_zoned(jiff::tz::TimeZone::UTC).year();
    if !YEARS.contains(&year) {
        return Err(format!(
            "must be between the years {} and {}",
            YEARS.start(),
            YEARS.end()
        ));
    }
    // Kubernetes stores whole seconds.
    Timestamp::from_second(at.as_second()).map_err(|_| sentence.to_owned())
}

impl FromStr for Fail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((environment, name)) if !environment.is_empty() && !name.is_empty() => Ok(Self {
                environment: environment.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("must be environment/component, such as uat/ledger".to_owned()),
        }
    }
}

impl FromStr for Approvals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be role@people, such as board@bob,carol".to_owned();
        // A person's name may contain an @, too.
        let (role, people) = text.split_once('@').ok_or_else(wrong)?;
        let people: Vec<String> = people.split(',').map(|p| p.trim().to_owned()).collect();
        if role.is_empty() || people.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self {
            role: role.to_owned(),
            people,
        })
    }
}

/// Prints what would happen. The exit status is 2 if something is blocked.
///
/// # Errors
/// A sentence: invalid manifests, flags that match nothing, a cluster that cannot be read, or output that cannot be written.
pub(crate) async fn run(options: Options, terminal: &mut Terminal<'_>) -> Result<Exit, String> {
    let second = Timestamp::from_second(terminal.now.as_second()).unwrap_or(terminal.now);
    let now = options.now.unwrap_or(second);
    let until = match options.until {
        Some(until) if until <= now => {
            return Err(format!("--until {until} must be after --now, which is {now}."));
        }
        Some(until) => until,
        None => now.checked_add(LONGEST).unwrap_or(Timestamp::MAX),
    };
    let manifests = Manifests::read(&options.filenames, terminal.input);
    let (forms, refused) = lint::forms(&manifests, now);
    if !refused.is_empty() {
        let said: Vec<String> = refused.iter().map(ToString::to_string).collect();
        return Err(format!("The manifests are invalid:\n{}", said.join("\n")));
    }
    let mut cast = cast(&manifests, forms);
    if options.cluster {
        let connection = Connection {
            kubeconfig: options.kubeconfig,
            context: options.context,
            ..Connection::default()
        };
        live::join(&mut cast, &Session::open(&connection, None).await?).await?;
    }
    let question = Question {
        now,
        until,
        fails: options.fail,
        approvals: options.approve,
    };
    let timeline = timeline::play(cast, &question).map_err(|e| e.to_string())?;
    let printed = match options.output {
        Format::Text => timeline::text(&timeline),
        Format::Json => json(&timeline)?,
        Format::Svg => timeline::svg(&timeline),
    };
    terminal.output.write_all(printed.as_bytes()).or_else(ended)?;
    Ok(if timeline.reached() { 0 } else { 2 })
}

/// The content of files: `forms` of Signalbox kinds, and every other object.
pub(crate) fn cast(manifests: &Manifests, forms: lint::Forms) -> Cast {
    let mut namespaces = BTreeMap::new();
    let mut targets = Vec::new();
    let ours = format!("{GROUP}/");
    for manifest in &manifests.objects {
        if (manifest.api_version(), manifest.kind()) == ("v1", "Namespace") {
            let labels = manifest.value.pointer("/metadata/labels");
            let labels = labels.and_then(|labels| serde_json::from_value(labels.clone()).ok());
            namespaces.insert(manifest.name().to_owned(), labels.unwrap_or_default());
        } else if !manifest.namespace().is_empty() && !manifest.api_version().starts_with(&ours) {
            targets.push((manifest.namespace().to_owned(), manifest.value.clone()));
        }
    }
    Cast {
        environments: forms.environments,
        releases: forms.releases,
        decisions: forms.decisions,
        reviews: forms.reviews,
        namespaces,
        targets,
        fill_in: true,
        verified_since: None,
    }
}

fn json(timeline: &Timeline) -> Result<String, String> {
    let text = serde_json::to_string_pretty(timeline).map_err(|e| format!("Cannot print JSON: {e}"))?;
    Ok(format!("{text}\n"))
}
