//! `signalbox wait`: follows a Release for a pipeline, until it is where the pipeline wants it, or cannot get there.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;
use futures::{StreamExt, TryStreamExt};
use jiff::SignedDuration;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde::Serialize;

use crate::api::environment::{Environment, Require};
use crate::api::release::{CheckState, Promotion, State};
use crate::api::{Decision, GoDuration, Release};
use crate::cli::session::{Connection, Listed, Pause, Place, Query, Session, get, list};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::explain::{WaitsFor, in_environment};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The Release
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
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
    #[command(flatten)]
    place: Place,
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
        self.place.parts()
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
        namespace: &session.namespace,
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
    let environments = list::<Environment>(session, &Query::default()).await;
    // With some of them, what an environment needs would not be known.
    let environments = environments.and_then(Listed::whole).ok();
    let (mut uid, mut pause) = (None, Pause::default());
    loop {
        let release = match api.get(&options.release).await {
            Ok(release) => release,
            // The Release was there: the API server may only be restarting.
            Err(error) if uid.is_some() && passing(&error) => {
                terminal.note("The API server does not answer. Trying again.");
                pause.next().await;
                continue;
            }
            Err(_) => get(session, &api, &options.release, &place).await?,
        };
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
        let version = release.resource_version().unwrap_or_default();
        let mut latest = release;
        let fields = format!("metadata.name={}", options.release);
        let parameters = WatchParams::default().fields(&fields);
        let watched = api.watch(&parameters, &version).await;
        pause.begins();
        let mut events = watched.ok().map(StreamExt::boxed);
        loop {
            told.changes(&latest, terminal)?;
            let found = end(&latest, options, environments.as_deref());
            let unread = match found {
                Some(End::Blocked | End::Failed) => undecided(session, &latest).await,
                Some(end) => return Ok(end),
                None => false,
            };
            if let Some(end) = found.filter(|_| !unread) {
                return Ok(end);
            }
            let Some(events) = &mut events else { break };
            // A watch ends after five minutes at most. One that is silent for longer has lost its connection.
            let patience = Duration::from_secs(if unread { 2 } else { 330 });
            match tokio::time::timeout(patience, events.try_next()).await {
                Ok(Ok(Some(WatchEvent::Added(release) | WatchEvent::Modified(release)))) => latest = release,
                Ok(Ok(Some(WatchEvent::Deleted(_)))) => {
                    return Err(format!("Release {} was deleted meanwhile.", options.release));
                }
                Ok(Ok(Some(WatchEvent::Bookmark(_)))) => {}
                Err(_) if unread => {}
                // The watch ended, its version expired, or the connection was lost: the Release is read again.
                Ok(Ok(Some(WatchEvent::Error(_)) | None) | Err(_)) | Err(_) => break,
            }
        }
        pause.next().await;
    }
}

/// Whether the same request may succeed later.
fn passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::Auth(_) => false,
        _ => true,
    }
}

/// How long the operator may take to act on a Decision.
const DECIDED_LATELY: SignedDuration = SignedDuration::from_secs(30);

/// Whether a Decision on this plan or attempt was created a moment ago that status does not show yet.
async fn undecided(session: &Session, release: &Release) -> bool {
    let query = Query {
        namespace: Some(&session.namespace),
        fields: format!("spec.release={}", release.name_any()),
        ..Query::default()
    };
    let Ok(decisions) = list::<Decision>(session, &query).await else {
        return false;
    };
    decisions.items.iter().any(|decision| {
        let Some(p) = release.promotion(&decision.spec.environment) else {
            return false;
        };
        let created = decision.creation_timestamp().map(|t| t.0);
        let lately = created.is_some_and(|at| jiff::Timestamp::now().duration_since(at) < DECIDED_LATELY);
        let uid = decision.metadata.uid.as_ref();
        let obeyed =
            p.decided.as_ref().map(|d| &d.uid) == uid || uid.is_some_and(|uid| p.obeyed.contains(uid));
        let spec = &decision.spec;
        // Approvals count until the entry.
        let answers = p.state.before_entry() && spec.plan_hash.as_ref() == Some(&p.plan_hash);
        let of_now = spec.attempt == Some(p.attempt) || answers;
        lately && !obeyed && of_now
    })
}

/// The environments whose success `name` needs: those from which it promotes, if it needs all of them, and theirs.
fn needed(name: &str, environments: &[Environment], found: &mut BTreeSet<String>) {
    let environment = environments.iter().find(|e| e.name_any() == name);
    let Some(from) = environment.and_then(|e| e.spec.promotes_from.as_ref()) else {
        return;
    };
    if from.require == Require::All || from.environments.len() == 1 {
        for before in &from.environments {
            if found.insert(before.clone()) {
                needed(before, environments, found);
            }
        }
    }
}

/// Whether the wait is over. The worst of the environments that matter decides, then the goal.
fn end(release: &Release, options: &Options, environments: Option<&[Environment]>) -> Option<End> {
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
    let mut before = BTreeSet::new();
    match environments {
        Some(environments) => promotions
            .iter()
            .for_each(|p| needed(&p.name, environments, &mut before)),
        // Without the Environments, whatever comes before in promotion order may be needed.
        None => {
            let last = status
                .environments
                .iter()
                .rposition(|p| wanted(&p))
                .unwrap_or_default();
            before.extend(status.environments.iter().take(last).map(|p| p.name.clone()));
        }
    }
    let matters = |p: &&Promotion| wanted(p) || before.contains(&p.name);
    let matter: Vec<&Promotion> = status.environments.iter().filter(matters).collect();
    let asked = matter.iter().any(|p| asks_people(release, p));
    if options.goal == Goal::Decision && (asked || promotions.iter().all(|p| p.state == State::Succeeded)) {
        return Some(End::Reached);
    }
    if matter.iter().any(|p| ended(p)) {
        return Some(End::Failed);
    }
    if matter.iter().any(|p| p.state.never_entered()) {
        return Some(End::NeverEnters);
    }
    (asked && !options.for_people).then_some(End::Blocked)
}

/// It failed, was backed out, or is being backed out.
fn ended(p: &Promotion) -> bool {
    p.state.ended_badly() || p.state == State::BackingOut
}

fn reached(p: &Promotion, goal: Goal) -> bool {
    let entered = !p.state.before_entry() && !p.state.never_entered();
    match goal {
        Goal::Ready => entered && !p.state.ended_badly() || p.state == State::Queued,
        Goal::Entered => entered && !p.state.ended_badly(),
        Goal::Decision => false,
        Goal::Finished => p.state == State::Succeeded,
    }
}

/// Only people can go on: an approval, another Decision, a hold that they have to end, or a fix. What could not be evaluated yet asks no one.
fn asks_people(release: &Release, p: &Promotion) -> bool {
    if p.state.needs_decision() || p.state.before_entry() && release.held_from(&p.name).is_some() {
        return true;
    }
    if p.held_by().any(|check| check.state == CheckState::Unknown) {
        return false;
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
    namespace: &'a str,
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
            End::Blocked => format!(
                "{name} waits for people. `kubectl signalbox explain {name} -n {}` says for whom.",
                self.namespace
            ),
            End::Failed => format!("{name} failed, or was backed out."),
            End::NeverEnters => format!("{name} never enters: it is superseded or withdrawn."),
            End::TimedOut => format!("{name} is not there yet, and --timeout is over."),
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
