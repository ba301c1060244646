//! `signalbox wait`: follows a Release for a pipeline, until it is where the pipeline wants it, or cannot get there.

use std::time::Duration;

use clap::ValueEnum;
use futures::TryStreamExt;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde::Serialize;

use crate::api::release::{Promotion, State};
use crate::api::{GoDuration, Release};
use crate::cli::session::{Connection, Session, failed, get};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::explain::{WaitsFor, in_environment};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The Release
    #[arg(value_name = "RELEASE", add = crate::cli::completion::releases())]
    release: String,
    /// What to wait for
    #[arg(long = "for", value_name = "GOAL", default_value = "finished")]
    goal: Goal,
    /// The Environment (default: all that the Release lists)
    #[arg(long, value_name = "NAME", add = crate::cli::completion::environments())]
    environment: Option<String>,
    /// How long to wait, such as 30m (default: without a limit)
    #[arg(long, value_name = "DURATION")]
    timeout: Option<GoDuration>,
    /// Also wait while only people can go on: otherwise that ends the command with exit status 2
    #[arg(long)]
    for_people: bool,
    /// Output format: text for people, json for a line an event
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Form,
    /// Namespace of the Release (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// What a pipeline waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Goal {
    /// All checks are satisfied, or it has entered
    Ready,
    /// It has entered
    Entered,
    /// People are asked: an approval or another Decision
    Decision,
    /// It has Succeeded
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }
}

/// How the wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum End {
    /// The goal is reached.
    Reached,
    /// Only people can go on.
    Blocked,
    /// It failed, or was backed out.
    Failed,
    /// It never enters: superseded, or withdrawn.
    NeverEnters,
    /// Time is over.
    TimedOut,
}

impl End {
    fn exit(self) -> Exit {
        match self {
            Self::Reached => 0,
            Self::Blocked => 2,
            Self::Failed => 3,
            Self::NeverEnters => 4,
            Self::TimedOut => 124,
        }
    }
}

/// A line of `-o json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    time: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

/// Waits, and says on the way what changes.
///
/// # Errors
/// A sentence: the Release does not exist, does not list the environment, or cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let limit = options
        .timeout
        .as_ref()
        .map(|t| Duration::try_from(t.get()).unwrap_or_default());
    let mut told = Told {
        options,
        lines: Vec::new(),
    };
    let followed = follow(session, options, &mut told, terminal);
    let end = match limit {
        None => followed.await?,
        Some(limit) => match tokio::time::timeout(limit, followed).await {
            Ok(end) => end?,
            Err(_) => End::TimedOut,
        },
    };
    told.end(end, terminal)?;
    Ok(end.exit())
}

async fn follow(
    session: &Session,
    options: &Options,
    told: &mut Told<'_>,
    terminal: &mut Terminal<'_>,
) -> Result<End, String> {
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    let place = format!(" in namespace {}", session.namespace);
    let mut uid = None;
    loop {
        let release = get(session, &api, &options.release, &place).await?;
        if let Some(name) = &options.environment
            && !release.spec.environments.contains(name)
        {
            return Err(format!(
                "Release {} does not list {name}. It lists {}.",
                options.release,
                release.spec.environments.join(", ")
            ));
        }
        if uid.is_some() && uid != release.metadata.uid {
            return Err(format!(
                "Release {} was deleted and created again meanwhile.",
                options.release
            ));
        }
        uid.clone_from(&release.metadata.uid);
        told.changes(&release, terminal)?;
        if let Some(end) = end(&release, options) {
            return Ok(end);
        }
        let fields = format!("metadata.name={}", options.release);
        let version = release.resource_version().unwrap_or_default();
        let watched = api.watch(&WatchParams::default().fields(&fields), &version).await;
        let mut events =
            std::pin::pin!(watched.map_err(|e| failed(&session.server, "Cannot watch the Release", &e))?);
        loop {
            match events.try_next().await {
                Ok(Some(WatchEvent::Added(release) | WatchEvent::Modified(release))) => {
                    told.changes(&release, terminal)?;
                    if let Some(end) = end(&release, options) {
                        return Ok(end);
                    }
                }
                Ok(Some(WatchEvent::Deleted(_))) => {
                    return Err(format!("Release {} was deleted meanwhile.", options.release));
                }
                Ok(Some(WatchEvent::Bookmark(_))) => {}
                // A watch ends now and then, and its version expires: the Release is read again.
                Ok(Some(WatchEvent::Error(_)) | None) => break,
                Err(error) => return Err(failed(&session.server, "The watch of the Release ended", &error)),
            }
        }
    }
}

/// Whether the wait is over. The worst environment decides, then the goal.
fn end(release: &Release, options: &Options) -> Option<End> {
    let status = release.status.as_ref()?;
    // A status of an older spec says nothing about this one.
    if status.observed_generation != release.metadata.generation {
        return None;
    }
    let refused = status
        .conditions
        .iter()
        .any(|c| c.type_ == "Accepted" && c.status == "False");
    if refused {
        return Some(End::Failed);
    }
    let wanted = |p: &&Promotion| options.environment.as_deref().is_none_or(|only| only == p.name);
    let promotions: Vec<&Promotion> = status.environments.iter().filter(wanted).collect();
    if promotions.is_empty() {
        return None;
    }
    if promotions.iter().all(|p| reached(p, options.goal)) {
        return Some(End::Reached);
    }
    let asked = |p: &&&Promotion| asks_people(release, p);
    if options.goal == Goal::Decision && promotions.iter().any(|p| asked(&p)) {
        return Some(End::Reached);
    }
    if promotions.iter().any(|p| ended(p)) {
        return Some(End::Failed);
    }
    if promotions.iter().any(|p| p.state.never_entered()) {
        return Some(End::NeverEnters);
    }
    // What comes before the environment blocks it, too.
    if status.environments.iter().any(ended) {
        return Some(End::Failed);
    }
    let blocked = status.environments.iter().any(|p| asks_people(release, p));
    (blocked && !options.for_people).then_some(End::Blocked)
}

/// It failed, was backed out, or is being backed out.
fn ended(p: &Promotion) -> bool {
    p.state.ended_badly() || p.state == State::BackingOut
}

fn reached(p: &Promotion, goal: Goal) -> bool {
    let entered = !p.state.before_entry() && !p.state.never_entered();
    match goal {
        Goal::Ready => entered || p.state == State::Queued,
        Goal::Entered => entered && !p.state.ended_badly(),
        Goal::Decision => false,
        Goal::Finished => p.state == State::Succeeded,
    }
}

/// Only people can go on: an approval, another Decision, a hold that they have to end, or a fix.
fn asks_people(release: &Release, p: &Promotion) -> bool {
    if p.state.needs_decision() || p.state.before_entry() && release.held_from(&p.name).is_some() {
        return true;
    }
    let waits = in_environment(release, p).waits_for;
    matches!(
        waits,
        Some(WaitsFor::Approval | WaitsFor::Decision | WaitsFor::Fix)
    )
}

/// What was said so far.
struct Told<'a> {
    options: &'a Options,
    lines: Vec<(String, State, String)>,
}

impl Told<'_> {
    /// Says what is new: a line for each environment that changed.
    fn changes(&mut self, release: &Release, terminal: &mut Terminal<'_>) -> Result<(), String> {
        for p in release.status.iter().flat_map(|s| &s.environments) {
            if self
                .options
                .environment
                .as_ref()
                .is_some_and(|only| *only != p.name)
            {
                continue;
            }
            let line = (p.name.clone(), p.state, p.summary());
            let known = self.lines.iter().position(|(name, _, _)| *name == p.name);
            match known {
                Some(at) if self.lines[at] == line => continue,
                Some(at) => self.lines[at] = line,
                None => self.lines.push(line),
            }
            self.say(
                Event {
                    time: jiff::Timestamp::now(),
                    environment: Some(p.name.clone()),
                    state: Some(p.state),
                    message: p.summary(),
                    end: None,
                },
                terminal,
            )?;
        }
        Ok(())
    }

    fn say(&self, event: Event, terminal: &mut Terminal<'_>) -> Result<(), String> {
        match self.options.output {
            Form::Json => {
                let line = serde_json::to_string(&event).map_err(|e| format!("Cannot print JSON: {e}"))?;
                terminal.print(&format!("{line}\n"))?;
                terminal.output.flush().or_else(crate::cli::output::ended)
            }
            Form::Text => {
                let state = event.state.map_or("", State::as_str);
                let line = format!("{} {state:16} {}", event.time.strftime("%H:%M:%S"), event.message);
                terminal.note(&line);
                Ok(())
            }
        }
    }

    fn end(&self, end: End, terminal: &mut Terminal<'_>) -> Result<(), String> {
        let name = &self.options.release;
        let message = match end {
            End::Reached => match self.options.goal {
                Goal::Ready => format!("{name} is ready."),
                Goal::Entered => format!("{name} has entered."),
                Goal::Decision => format!("{name} waits for people."),
                Goal::Finished => format!("{name} has Succeeded."),
            },
            End::Blocked => {
                format!("{name} waits for people. `kubectl signalbox explain {name}` says for whom.")
            }
            End::Failed => format!("{name} failed, or was backed out."),
            End::NeverEnters => format!("{name} never enters: it is superseded or withdrawn."),
            End::TimedOut => format!("{name}: the time is over."),
        };
        match self.options.output {
            Form::Json => self.say(
                Event {
                    time: jiff::Timestamp::now(),
                    environment: self.options.environment.clone(),
                    state: None,
                    message,
                    end: Some(end),
                },
                terminal,
            ),
            Form::Text => {
                terminal.note(&message);
                Ok(())
            }
        }
    }
}
