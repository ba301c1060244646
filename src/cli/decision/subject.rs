//! What a Decision is about: read once, shown, and compared again before it is signed.

use std::fmt::Write as _;

use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::api::decision::{DecisionSpec, ENVIRONMENT_AVAILABLE};
use crate::api::environment::{Environment, Gate};
use crate::api::reasons;
use crate::api::release::Promotion;
use crate::api::{Action, Decision, Release};
use crate::cli::output::{Paint, wrapped};
use crate::cli::session::{Right, Session, decisions, get};
use crate::cli::terminal::{NARROWEST, PROSE, Terminal};
use crate::cli::{diff, targets};
use crate::decide::trust::may_be_one_person;
use crate::domain::patches::overlay;
use crate::domain::paths;
use crate::view::differences::shows_secrets;
use crate::view::explain::{Block, in_environment, signature};
use crate::view::remedy;
use crate::view::timeline::visible;

/// A Release in one environment, and who asks.
pub(super) struct Subject {
    /// As it was read.
    pub release: Release,
    /// The user name that the API server has authenticated.
    pub user: String,
    environment_name: String,
    environment: Option<Environment>,
    decisions: Vec<Decision>,
}

impl Subject {
    /// Reads the Release, its Decisions and the Environment.
    ///
    /// # Errors
    /// A sentence: the Release does not exist or does not list the environment, or cannot be read.
    pub async fn read(session: &Session, release: &str, environment: &str) -> Result<Self, String> {
        let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
        let place = format!(" in namespace {}", session.namespace);
        let (release, user) = tokio::join!(get(session, &api, release, &place), session.user());
        let (release, user) = (release?, user?);
        let name = release.name_any();
        let (decisions, read) = tokio::join!(
            decisions(session, &name),
            super::environment(session, environment)
        );
        Ok(Self {
            release,
            user,
            environment_name: environment.to_owned(),
            environment: read,
            decisions: decisions?,
        })
    }

    /// `Release namespace/name`.
    pub fn named(&self) -> String {
        let namespace = self.release.namespace().unwrap_or_default();
        format!("Release {namespace}/{}", self.release.name_any())
    }

    /// The promotion into the environment.
    ///
    /// # Errors
    /// A sentence: the Release does not list the environment, or the operator has not seen it yet.
    pub fn promotion(&self) -> Result<&Promotion, String> {
        let name = &self.environment_name;
        let read = self
            .release
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        if let Some(p) = self.release.promotion(name) {
            // The hash of the plan comes from status: what is shown must be what it was made of.
            if read != self.release.metadata.generation {
                return Err(format!(
                    "The operator has not read the latest change of {} yet: status describes generation {}, and the spec is of generation {}. \
                     Try again in a moment. If this persists, check that the operator runs.",
                    self.named(),
                    read.unwrap_or_default(),
                    self.release.metadata.generation.unwrap_or_default()
                ));
            }
            return Ok(p);
        }
        let listed = &self.release.spec.environments;
        if listed.contains(name) {
            return Err(format!(
                "The status of {} does not show {name} yet: the operator has not reconciled it. Is it running?",
                self.named()
            ));
        }
        Err(format!(
            "{} does not list {name}. It lists {}.",
            self.named(),
            listed.join(", ")
        ))
    }

    /// What the user is about to sign.
    ///
    /// # Errors
    /// A sentence: something that has to be shown cannot be read.
    pub async fn shown(
        &self,
        session: &Session,
        spec: &DecisionSpec,
        terminal: &Terminal<'_>,
    ) -> Result<String, String> {
        let p = self.promotion()?;
        let paint = terminal.paint();
        let width = terminal.width.unwrap_or(PROSE).max(NARROWEST);
        let mut text = String::new();
        let mut line = |sentence: &str| wrapped(&mut text, 0, width, sentence);
        let release = &self.release.spec;
        line(&format!(
            "{}: {} {}, requested by {}",
            self.named(),
            release.product,
            release.version,
            release.requested_by
        ));
        let change = [
            release.change.reference.as_deref(),
            release.change.reason.as_deref(),
        ];
        let change: Vec<&str> = change.into_iter().flatten().collect();
        if !change.is_empty() {
            line(&format!("Change: {}", change.join(": ")));
        }
        line(&format!(
            "{}: {}, attempt {}",
            p.name,
            p.state.as_str(),
            p.attempt
        ));
        if let Some(hash) = &spec.plan_hash {
            line(&format!("Plan: {hash}"));
        }
        match spec.action {
            Action::Approve | Action::Reject => {
                self.changes(session, p, paint, width, &mut text).await;
                self.plans(width, &mut text);
                self.checks(p, paint, width, &mut text);
                self.signatures(p, width, &mut text);
            }
            Action::Retry => {
                heading(&mut text, paint, "What happens");
                let next = format!(
                    "Attempt {} begins. All checks are evaluated again, and approvals are needed again.",
                    p.attempt + 1
                );
                wrapped(&mut text, 2, width, &next);
                self.changes(session, p, paint, width, &mut text).await;
                self.checks(p, paint, width, &mut text);
            }
            Action::BackOut => self.restored(p, paint, width, &mut text),
            Action::Accept | Action::Abandon => {
                heading(&mut text, paint, "What happens");
                wrapped(&mut text, 2, width, outcome(spec.action, p));
                self.checks(p, paint, width, &mut text);
            }
        }
        text.push('\n');
        Ok(text)
    }

    /// What would change, against what runs; where the user may not read that, what the Release states.
    async fn changes(&self, session: &Session, p: &Promotion, paint: Paint, width: usize, text: &mut String) {
        let namespace = targets::namespace(&self.release, self.environment.as_ref(), &p.name);
        let found = match namespace {
            Ok(namespace) => targets::changes(session, &self.release, &p.name, &namespace, false).await,
            Err(why) => Err(why),
        };
        heading(text, paint, "What changes");
        let begin = text.len();
        match found {
            Ok(found) if !found.partial => {
                let mut same = Vec::new();
                for difference in &found.differences {
                    if difference.changed {
                        text.push_str(&diff::coloured(&difference.text, paint));
                    } else {
                        same.push(difference.target.as_str());
                    }
                }
                if !same.is_empty() {
                    wrapped(
                        text,
                        2,
                        width,
                        &format!("Nothing changes on {}.", same.join(", ")),
                    );
                }
                for note in &found.notes {
                    wrapped(text, 2, width, note);
                }
            }
            Ok(found) => {
                self.stated(p, width, text);
                for note in &found.notes {
                    wrapped(text, 2, width, note);
                }
            }
            Err(why) => {
                self.stated(p, width, text);
                wrapped(text, 2, width, &why);
            }
        }
        let shown = text[begin..].to_owned();
        self.hidden(&shown, p, width, text);
    }

    /// Where something is hidden, how it can be read: it is signed, too.
    fn hidden(&self, shown: &str, p: &Promotion, width: usize, text: &mut String) {
        if shown.contains("***") {
            let namespace = self.release.namespace().unwrap_or_default();
            let said = format!(
                "Values that look secret are hidden (***), but you sign them, too. To read them: {} diff {} {} -n {namespace} --show-values",
                remedy::PROGRAM,
                self.release.name_any(),
                p.name
            );
            wrapped(text, 2, width, &said);
        }
    }

    /// What the Release states, and the images that the Environment's inventory has.
    fn stated(&self, p: &Promotion, width: usize, text: &mut String) {
        let home = self.release.namespace().unwrap_or_default();
        let status = self.environment.as_ref().and_then(|e| e.status.as_ref());
        for component in &self.release.spec.components {
            wrapped(
                text,
                2,
                width,
                &format!("{}: {}", component.name, component.target),
            );
            let inventory = status.into_iter().flat_map(|s| &s.inventory);
            let runs = inventory
                .into_iter()
                .find(|item| item.namespace == home && item.component == component.name);
            if let Some(runs) = runs.and_then(|item| item.image.as_deref()) {
                wrapped(text, 4, width, &format!("runs: {runs}"));
            }
            for image in &component.images {
                wrapped(
                    text,
                    4,
                    width,
                    &format!("{} becomes {}", image.container, image.image),
                );
            }
            let patch = overlay(component.patch.as_ref(), component.override_for(&p.name));
            for (path, value) in patch.iter().flat_map(leaves) {
                let key = path.rsplit('/').next().unwrap_or_default();
                let value = if shows_secrets(key, &value) {
                    "***".to_owned()
                } else {
                    value.to_string()
                };
                wrapped(text, 4, width, &format!("{path} becomes {value}"));
            }
            for path in &component.remove {
                wrapped(text, 4, width, &format!("{path} is removed"));
            }
        }
    }

    /// What a backout restores. The values are stored where only the operator reads them; images stand in status, too.
    fn restored(&self, p: &Promotion, paint: Paint, width: usize, text: &mut String) {
        heading(text, paint, "What is restored");
        for component in &self.release.spec.components {
            wrapped(
                text,
                2,
                width,
                &format!("{}: {}", component.name, component.target),
            );
            let there = p.components.iter().find(|c| c.name == component.name);
            let images = there.and_then(|c| c.from.as_ref().zip(c.to.as_ref()));
            if let Some((from, to)) = images.filter(|(from, to)| from != to) {
                wrapped(text, 4, width, &format!("runs: {to}"));
                wrapped(text, 4, width, &format!("becomes: {from}"));
            }
        }
        wrapped(
            text,
            2,
            width,
            "Every field that this release changed gets back the value that was captured before it entered, and is compared with it.",
        );
        let irreversible = self
            .release
            .spec
            .backout_plan
            .as_deref()
            .is_some_and(|plan| !plan.data_reversible);
        if irreversible {
            wrapped(
                text,
                2,
                width,
                "Its data cannot be restored: backoutPlan.dataReversible is false.",
            );
        }
    }

    /// Everything of both plans that the hash covers.
    fn plans(&self, width: usize, text: &mut String) {
        let spec = &self.release.spec;
        let source = spec.source.as_ref();
        let source = [
            ("revision", source.and_then(|s| s.revision.clone())),
            ("notes", source.and_then(|s| s.notes_url.clone())),
        ];
        text.push('\n');
        said(text, width, "Source", &source);
        for component in &spec.components {
            let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
            let order = [
                ("after", listed(&component.after)),
                ("restarted with", listed(&component.restart_on)),
                ("ready within", Some(component.ready_within.to_string())),
            ];
            said(text, width, &format!("Component {}", component.name), &order);
        }
        match spec.deployment_plan.as_deref() {
            None => wrapped(text, 0, width, "Deployment plan: none."),
            Some(plan) => {
                let parts = [
                    ("summary", plan.summary.clone()),
                    ("document", plan.document_url.clone()),
                    ("owner", plan.owner.clone()),
                    ("expected to take", Some(plan.expected_duration.to_string())),
                ];
                said(text, width, "Deployment plan", &parts);
            }
        }
        match spec.backout_plan.as_deref() {
            None => wrapped(
                text,
                0,
                width,
                "Backout plan: none. If it fails, it waits for a Decision.",
            ),
            Some(plan) => {
                let parts = [
                    ("summary", plan.summary.clone()),
                    ("document", plan.document_url.clone()),
                    ("owner", plan.owner.clone()),
                    ("strategy", Some(format!("{:?}", plan.strategy))),
                    ("trigger", Some(format!("{:?}", plan.trigger))),
                    ("at most", Some(plan.max_duration.to_string())),
                ];
                said(text, width, "Backout plan", &parts);
                if !plan.data_reversible {
                    wrapped(
                        text,
                        2,
                        width,
                        "Its data cannot be restored, so it never starts by itself.",
                    );
                }
            }
        }
    }

    fn checks(&self, p: &Promotion, paint: Paint, width: usize, text: &mut String) {
        let here = in_environment(&self.release, p);
        if here.blocks.is_empty() {
            return;
        }
        heading(text, paint, "Not satisfied");
        for block in &here.blocks {
            wrapped(text, 2, width, &block.to_string());
        }
    }

    fn signatures(&self, p: &Promotion, width: usize, text: &mut String) {
        let signed = self.decisions.iter().filter(|d| {
            let spec = &d.spec;
            spec.environment == p.name
                && (spec.plan_hash.as_deref() == Some(&p.plan_hash) || spec.attempt == Some(p.attempt))
        });
        let mut lines = signed.map(|d| signature(&d.spec)).peekable();
        text.push('\n');
        if lines.peek().is_none() {
            text.push_str("No one has signed this plan yet.\n");
        }
        for line in lines {
            wrapped(text, 0, width, &line);
        }
    }

    /// Whether the Release is still what was shown.
    ///
    /// # Errors
    /// A sentence: it was changed or deleted meanwhile.
    pub async fn unchanged(&self, session: &Session) -> Result<(), String> {
        let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
        let place = format!(" in namespace {} any more", session.namespace);
        let now = get(session, &api, &self.release.name_any(), &place).await?;
        let (before, name) = (self.promotion()?, &self.environment_name);
        let same = now.metadata.uid == self.release.metadata.uid
            && now.promotion(name).is_some_and(|p| {
                (&p.plan_hash, p.attempt, p.state) == (&before.plan_hash, before.attempt, before.state)
            })
            && now.metadata.generation == self.release.metadata.generation;
        if same {
            return Ok(());
        }
        Err(format!(
            "{} changed while you read it, so nothing was created. Read it again, and decide again.",
            self.named()
        ))
    }
}

/// What a Decision without a change of targets leads to.
fn outcome(action: Action, p: &Promotion) -> &'static str {
    match action {
        Action::Accept if p.state.before_entry() => "The release may enter with its targets as they are now.",
        Action::Accept => "The promotion counts as Succeeded. Its targets stay as they are now.",
        _ => {
            "The promotion ends as Failed. Its targets stay as they are now, and no other release enters until there is a Decision."
        }
    }
}

/// A heading, and below it the parts that are stated.
fn said(text: &mut String, width: usize, title: &str, parts: &[(&str, Option<String>)]) {
    let stated = parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}: {value}")));
    let stated: Vec<String> = stated.collect();
    if !stated.is_empty() {
        wrapped(text, 0, width, &format!("{title}:"));
        for part in stated {
            wrapped(text, 2, width, &part);
        }
    }
}

/// The values that a patch states, by their paths.
fn leaves(patch: &Value) -> Vec<(String, Value)> {
    fn below(at: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| below(&paths::below(at, key), value, found)),
            Value::Array(elements) if elements.iter().any(|e| e.is_object() || e.is_array()) => {
                let places = elements.iter().enumerate();
                places.for_each(|(place, element)| {
                    below(&paths::below(at, &place.to_string()), element, found)
                });
            }
            value => found.push((at.to_owned(), value.clone())),
        }
    }
    let mut found = Vec::new();
    below("", patch, &mut found);
    found
}

fn heading(text: &mut String, paint: Paint, title: &str) {
    let _ = writeln!(text, "\n{}", paint.bold(title));
}

/// The gate that the user answers, and the role in which they do.
///
/// # Errors
/// A sentence: which gates there are, or why the answer would not count.
pub(super) async fn gate(
    session: &Session,
    subject: &Subject,
    p: &Promotion,
    action: Action,
    gate: Option<&str>,
    role: Option<&str>,
) -> Result<(String, String), String> {
    if !p.state.before_entry() {
        return Err(format!(
            "{} has entered {} already ({}): {} has no effect there any more.",
            subject.named(),
            p.name,
            p.state.as_str(),
            action.as_str()
        ));
    }
    let requester = &subject.release.spec.requested_by;
    if action == Action::Approve && may_be_one_person(&subject.user, requester) {
        let same = if subject.user == *requester {
            "you"
        } else {
            requester
        };
        return Err(format!(
            "{} was requested by {same}, and you are {}: the requester's approval never counts.",
            subject.named(),
            subject.user
        ));
    }
    let Some(environment) = &subject.environment else {
        return match (gate, role) {
            (Some(gate), Some(role)) => Ok((gate.to_owned(), role.to_owned())),
            _ => Err(format!(
                "You may not read the Environment {}: name --gate and --role.",
                p.name
            )),
        };
    };
    let gates: Vec<&Gate> = environment
        .spec
        .gates
        .iter()
        .filter(|g| g.approval.is_some())
        .collect();
    let chosen = match gate {
        Some(name) => gates
            .iter()
            .find(|g| g.name == name)
            .copied()
            .ok_or_else(|| format!("{} has no approval gate {name:?}. {}", p.name, choice(&gates)))?,
        None => only(session, subject, p, &gates).await?,
    };
    let wanted = chosen
        .approval
        .as_ref()
        .map(|a| a.role.as_str())
        .unwrap_or_default();
    if let Some(role) = role
        && role != wanted
    {
        return Err(format!(
            "The gate {} of {} asks for the role {wanted}, not {role}.",
            chosen.name, p.name
        ));
    }
    let signed = subject.decisions.iter().any(|d| {
        d.spec.action == action
            && d.spec.by == subject.user
            && d.spec.subject.as_deref() == Some(&chosen.name)
            && d.spec.plan_hash.as_deref() == Some(&p.plan_hash)
    });
    if signed && action == Action::Reject {
        return Err(format!("You have rejected this plan at {} already.", chosen.name));
    }
    Ok((chosen.name.clone(), wanted.to_owned()))
}

fn choice(gates: &[&Gate]) -> String {
    if gates.is_empty() {
        return "It has none.".to_owned();
    }
    let names: Vec<String> = gates
        .iter()
        .map(|g| {
            format!(
                "{} (role {})",
                g.name,
                g.approval.as_ref().map_or("", |a| a.role.as_str())
            )
        })
        .collect();
    format!("It has {}.", names.join(", "))
}

/// The one gate that waits and in whose role the user may answer.
async fn only<'a>(
    session: &Session,
    subject: &Subject,
    p: &Promotion,
    gates: &[&'a Gate],
) -> Result<&'a Gate, String> {
    let missing = |g: &&&Gate| {
        p.checks
            .iter()
            .any(|c| c.name == g.name && c.reason == reasons::APPROVALS_MISSING)
    };
    let waiting: Vec<&Gate> = gates.iter().filter(missing).copied().collect();
    // All of them, if none waits: the last approval may have expired, or a Reject stands against them.
    let candidates = if waiting.is_empty() {
        gates.to_vec()
    } else {
        waiting
    };
    if candidates.is_empty() {
        return Err(format!(
            "{} has no approval gate: there is nothing to approve or reject.",
            p.name
        ));
    }
    let mut lawful = Vec::new();
    for gate in &candidates {
        let right = Right {
            verb: remedy::verb(Action::Approve).to_owned(),
            resource: "environments".to_owned(),
            subresource: gate
                .approval
                .as_ref()
                .map_or_else(String::new, |a| a.role.clone()),
            namespace: subject.release.namespace().unwrap_or_default(),
            name: p.name.clone(),
        };
        if session.may(&right).await? {
            lawful.push(*gate);
        }
    }
    match lawful.as_slice() {
        [one] => Ok(*one),
        [] if candidates.len() == 1 => Ok(candidates[0]),
        [] => Err(format!(
            "You have no right to approve at any gate of {}. {}",
            p.name,
            choice(&candidates)
        )),
        several => Err(format!("Name the gate with --gate. {}", choice(several))),
    }
}

/// The subject of an action on a promotion: that of an Accept before the entry.
///
/// # Errors
/// A sentence: the action is not valid in this state.
pub(super) fn acts_on(
    subject: &Subject,
    p: &Promotion,
    action: Action,
) -> Result<Option<&'static str>, String> {
    let here = in_environment(&subject.release, p);
    let reason = |wanted: &str| {
        here.blocks
            .iter()
            .any(|block| matches!(block, Block::Check(held) if held.check.reason == wanted))
    };
    if p.state.before_entry() {
        return match action {
            Action::Accept if reason(reasons::TARGET_UNHEALTHY) => Ok(Some(ENVIRONMENT_AVAILABLE)),
            Action::Accept if reason(reasons::UNSETTLED) => Ok(None),
            Action::Retry if reason(reasons::JOB_FAILED) || reason(reasons::JOB_TIMED_OUT) => Ok(None),
            _ => Err(not_valid(subject, p, action)),
        };
    }
    if remedy::decisions(p).contains(&action) {
        Ok(None)
    } else {
        Err(not_valid(subject, p, action))
    }
}

fn not_valid(subject: &Subject, p: &Promotion, action: Action) -> String {
    let lawful: Vec<&str> = remedy::decisions(p)
        .iter()
        .map(|action| remedy::word(*action))
        .collect();
    let instead = if lawful.is_empty() {
        "Nothing has to be decided there.".to_owned()
    } else {
        format!("Possible: {}.", lawful.join(", "))
    };
    visible(&format!(
        "{} is not valid for {} in {}, which is {}. {instead}",
        action.as_str(),
        subject.named(),
        p.name,
        p.state.as_str()
    ))
    .into_owned()
}
