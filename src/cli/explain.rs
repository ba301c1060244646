//! `signalbox explain`: every check of a Release, its evidence, since when, who can clear it, and the command that does.

mod people;

use std::collections::BTreeMap;

use kube::{Api, ResourceExt};
use serde::Serialize;

use crate::api::environment::Environment;
use crate::api::reasons;
use crate::api::release::{BackoutState, Check, CheckState, ComponentState, Promotion};
use crate::api::{Decision, Release};
use crate::cli::format::{self, Format};
use crate::cli::output::{Paint, wrapped};
use crate::cli::session::{Connection, Place, Session, decisions, get};
use crate::cli::status::tone;
use crate::cli::table::Tone;
use crate::cli::terminal::{Exit, NARROWEST, PROSE, Terminal};
use crate::cli::times::{age, second};
use crate::view::explain::{Block, Explanation, Held, InEnvironment, explain, signature};
use crate::view::remedy::{self, Remedy};
use crate::view::timeline::visible;
use people::People;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The Release
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    release: String,
    /// Only this Environment (default: all that the Release lists)
    #[arg(value_name = "ENVIRONMENT", add = crate::cli::completion::environments())]
    environment: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.place.parts()
    }
}

/// What programs read: the explanation, and with it every check and who clears it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    release: Explanation<'a>,
    checks: Vec<InPlace<'a>>,
}

#[derive(Serialize)]
struct InPlace<'a> {
    environment: &'a str,
    #[serde(flatten)]
    check: &'a Check,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<Remedy>,
}

/// Prints the explanation.
///
/// # Errors
/// A sentence: the Release does not exist, or does not list the environment, or cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    let place = format!(" in namespace {}", session.namespace);
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
    let wanted = |name: &str| options.environment.as_deref().is_none_or(|only| only == name);
    let mut explained = explain(&release);
    explained.environments.retain(|e| wanted(e.environment));
    let (environments, decisions, people) = tokio::join!(
        environments(session, &release),
        decisions(session, &options.release),
        People::of(session, &release)
    );
    let promotions = || {
        release
            .status
            .iter()
            .flat_map(|s| &s.environments)
            .filter(|p| wanted(&p.name))
    };
    let text = match options.output {
        Format::Json | Format::Yaml => {
            let checks = promotions().flat_map(|p| {
                let environment = environments.get(&p.name);
                let release = &release;
                p.checks.iter().map(move |check| InPlace {
                    environment: &p.name,
                    check,
                    remedy: check
                        .blocks()
                        .then(|| remedy::of(release, environment, p, &Block::Check(Held::from(check)))),
                })
            });
            let checks = checks.collect();
            let report = Report {
                release: explained,
                checks,
            };
            if options.output == Format::Json {
                format::json(&report)?
            } else {
                format::yaml(&report)?
            }
        }
        Format::Name => format!("release.signalbox.dev/{}\n", release.name_any()),
        Format::Table | Format::Wide => {
            let page = Page {
                release: &release,
                environments: &environments,
                people: &people,
                decisions: decisions.as_ref().map_or(&[], Vec::as_slice),
                paint: terminal.paint(),
                width: terminal.width.unwrap_or(PROSE).max(NARROWEST),
                now: terminal.now,
            };
            page.text(&explained)
        }
    };
    terminal.print(&text)?;
    if let Err(why) = decisions {
        terminal.note(&format!("note: Decisions are not shown. {why}"));
    }
    Ok(0)
}

/// The Environments that the Release lists, if the user may read them.
async fn environments(session: &Session, release: &Release) -> BTreeMap<String, Environment> {
    let mut found = BTreeMap::new();
    let api: Api<Environment> = Api::all(session.client.clone());
    let reads = release
        .spec
        .environments
        .iter()
        .map(|name| get(session, &api, name, ""));
    for environment in futures::future::join_all(reads).await.into_iter().flatten() {
        found.insert(environment.name_any(), environment);
    }
    found
}

/// A Release on paper.
struct Page<'a> {
    release: &'a Release,
    environments: &'a BTreeMap<String, Environment>,
    people: &'a People,
    decisions: &'a [Decision],
    paint: Paint,
    width: usize,
    now: jiff::Timestamp,
}

impl Page<'_> {
    fn text(&self, explained: &Explanation<'_>) -> String {
        let mut text = String::new();
        let title = format!(
            "{}/{}: {} {}, requested by {}",
            explained.namespace, explained.name, explained.product, explained.version, explained.requested_by
        );
        text.push_str(&format!("{}\n", self.paint.bold(&visible(&title))));
        if let Some(refused) = explained.refused {
            self.line(&mut text, 0, Tone::Bad, &format!("Not accepted: {refused}"));
        }
        if let Some(rag) = explained.rag {
            let reasons = if rag.reasons.is_empty() {
                String::new()
            } else {
                format!(": {}", rag.reasons.join(" "))
            };
            self.line(&mut text, 0, Tone::Plain, &format!("{:?}{reasons}", rag.colour));
        }
        if let Some(hold) = explained.hold {
            let reason = hold.reason.as_deref().unwrap_or("no reason given");
            self.line(&mut text, 0, Tone::Busy, &format!("Held: {reason}"));
        }
        if explained.environments.is_empty() && explained.refused.is_none() {
            self.line(
                &mut text,
                0,
                Tone::Busy,
                "The operator has not reconciled it yet. Is it running?",
            );
        }
        for environment in &explained.environments {
            if let Some(p) = self.release.promotion(environment.environment) {
                text.push('\n');
                self.environment(&mut text, environment, p);
            }
        }
        if let Some(review) = explained.review {
            let due = review
                .due_at
                .as_ref()
                .map_or_else(String::new, |due| format!(", due {}", second(due.0)));
            let overdue = if review.overdue { ", overdue" } else { "" };
            text.push('\n');
            self.line(
                &mut text,
                0,
                Tone::Plain,
                &format!("Review: {}{due}{overdue}", review.state.as_str()),
            );
        }
        text
    }

    fn line(&self, text: &mut String, indent: usize, tone: Tone, sentence: &str) {
        let mut plain = String::new();
        wrapped(&mut plain, indent, self.width, sentence);
        if tone == Tone::Plain {
            text.push_str(&plain);
            return;
        }
        for line in plain.lines() {
            text.push_str(&tone.paint(self.paint, line));
            text.push('\n');
        }
    }

    fn environment(&self, text: &mut String, here: &InEnvironment<'_>, p: &Promotion) {
        let since = here.since.map_or_else(String::new, |since| {
            format!(", since {} ({})", second(since), age(since, self.now))
        });
        let state = tone(here.state).paint(self.paint, here.state.as_str());
        text.push_str(&format!(
            "{}: {state}, attempt {}{since}\n",
            self.paint.bold(&visible(here.environment)),
            here.attempt
        ));
        if let Some(earliest) = here.earliest {
            self.line(
                text,
                2,
                Tone::Plain,
                &format!("Earliest entry, if only time is missing: {}", second(earliest)),
            );
        }
        if let Some(says) = &here.says {
            self.line(text, 2, Tone::Plain, says);
        }
        if let Some(remedy) = remedy::of_state(self.release, p) {
            self.remedy(text, 2, &remedy);
            self.deciders(text, p);
        }
        for check in &p.checks {
            self.check(text, check, p, true);
        }
        for check in &p.verification {
            self.check(text, check, p, false);
        }
        for block in here
            .blocks
            .iter()
            .filter(|block| !matches!(block, Block::Check(_)))
        {
            self.line(text, 2, Tone::Busy, &block.to_string());
            if let Block::Component {
                message: Some(message),
                ..
            } = block
            {
                self.line(text, 4, Tone::Plain, message);
            }
        }
        self.components(text, p);
        self.decided(text, p);
    }

    fn check(&self, text: &mut String, check: &Check, p: &Promotion, before_entry: bool) {
        let (word, tone) = match check.state {
            CheckState::Satisfied => ("ok", Tone::Good),
            CheckState::Waiting => ("waits", Tone::Busy),
            CheckState::Failed => ("failed", Tone::Bad),
            CheckState::Unknown => ("unknown", Tone::Bad),
        };
        let advisory = if check.advisory { ", only reported" } else { "" };
        text.push_str(&format!(
            "  {} {} ({}{advisory}, since {})\n",
            tone.paint(self.paint, &format!("{word:7}")),
            self.paint.bold(&visible(&check.name)),
            visible(&check.reason),
            second(check.since.0)
        ));
        self.line(text, 10, Tone::Plain, &check.message);
        if let Some(until) = &check.until {
            self.line(text, 10, Tone::Plain, &format!("Until {}.", second(until.0)));
        }
        if before_entry && p.state.before_entry() && check.blocks() {
            let environment = self.environments.get(&p.name);
            let remedy = remedy::of(self.release, environment, p, &Block::Check(Held::from(check)));
            self.remedy(text, 10, &remedy);
            if check.reason == reasons::APPROVALS_MISSING
                && let Some(role) = remedy::role(environment, &check.name)
                && let Some(people) = self.people.approving(role, &p.name)
            {
                self.line(
                    text,
                    10,
                    Tone::Plain,
                    &format!("Who may: {}.", or_no_one(&people)),
                );
            }
        }
    }

    fn remedy(&self, text: &mut String, indent: usize, remedy: &Remedy) {
        if !remedy.who.is_empty() {
            self.line(text, indent, Tone::Plain, &format!("Cleared by {}.", remedy.who));
        }
        if !remedy.advice.is_empty() {
            self.line(
                text,
                indent,
                Tone::Plain,
                &format!("What to do: {}.", remedy.advice.replace('`', "")),
            );
        }
        for command in &remedy.commands {
            // One line, so that it can be copied.
            text.push_str(&format!("{:indent$}$ {}\n", "", visible(command)));
        }
    }

    /// Who may decide on a promotion that is stuck.
    fn deciders(&self, text: &mut String, p: &Promotion) {
        let actions = remedy::decisions(p).iter().filter(|_| p.state.is_stuck());
        let able = actions.map(|action| (remedy::word(*action), self.people.deciding(*action, &p.name)));
        let able: Vec<String> = able
            .filter_map(|(word, people)| Some(format!("{word}: {}", or_no_one(&people?))))
            .collect();
        if !able.is_empty() {
            self.line(text, 2, Tone::Plain, &format!("Who may: {}.", able.join("; ")));
        }
    }

    fn components(&self, text: &mut String, p: &Promotion) {
        for component in &p.components {
            let tone = match component.state {
                ComponentState::Ready | ComponentState::Restored => Tone::Good,
                ComponentState::Failed => Tone::Bad,
                ComponentState::Pending => Tone::Faint,
                ComponentState::Progressing => Tone::Busy,
            };
            let images = match (&component.from, &component.to) {
                (Some(from), Some(to)) if from != to => format!(": {from} → {to}"),
                (_, Some(to)) => format!(": {to}"),
                _ => String::new(),
            };
            self.line(
                text,
                2,
                tone,
                &format!("{} {:?}{images}", component.name, component.state),
            );
            let said = [&component.message, &component.drift];
            for sentence in said.into_iter().flatten() {
                self.line(text, 4, Tone::Plain, sentence);
            }
        }
        if let Some(backout) = &p.backout {
            let (word, tone) = match backout.state {
                BackoutState::Armed => ("armed: the state before is stored", Tone::Plain),
                BackoutState::InProgress => ("in progress", Tone::Busy),
                BackoutState::Verified => ("complete, and compared with the state before", Tone::Good),
                BackoutState::Failed => ("failed", Tone::Bad),
            };
            let by = backout
                .by
                .as_deref()
                .map_or_else(String::new, |by| format!(", by {by}"));
            self.line(text, 2, tone, &format!("Backout {word}{by}"));
        }
    }

    fn decided(&self, text: &mut String, p: &Promotion) {
        for decision in self.decisions.iter().filter(|d| d.spec.environment == p.name) {
            let spec = &decision.spec;
            let created = decision.metadata.creation_timestamp.as_ref();
            let at = created.map_or_else(String::new, |t| second(t.0));
            let other = spec.plan_hash.as_ref().is_some_and(|hash| *hash != p.plan_hash);
            let other = if other { ", for another plan" } else { "" };
            self.line(text, 2, Tone::Faint, &format!("{at} {}{other}", signature(spec)));
        }
    }
}

fn or_no_one(people: &[String]) -> String {
    if people.is_empty() {
        "no one".to_owned()
    } else {
        people.join(", ")
    }
}
