//! `approve`, `reject`, `retry`, `back-out`, `accept` and `abandon`: one Decision of the user, after they have seen what it is about.

mod subject;

use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};

use crate::api::decision::DecisionSpec;
use crate::api::environment::Environment;
use crate::api::release::Promotion;
use crate::api::{Action, Decision};
use crate::cli::session::{Connection, FIELD_MANAGER, Place, Session, failed, get};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::remedy;
use crate::view::timeline::visible;
use subject::Subject;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The Release
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    release: String,
    /// The Environment
    #[arg(value_name = "ENVIRONMENT", add = crate::cli::completion::environments())]
    environment: String,
    #[command(flatten)]
    common: Common,
}

/// The options of `approve` and `reject`.
#[derive(clap::Args)]
pub(crate) struct GateOptions {
    #[command(flatten)]
    options: Options,
    /// The approval gate (default: the one that waits and in whose role you may approve)
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// The role in which you approve (default: the one that the gate asks for)
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Refuse if the plan is not the one with this hash, which you have read before
    #[arg(long, value_name = "HASH")]
    plan_hash: Option<String>,
}

#[derive(clap::Args)]
struct Common {
    /// Why: it stands in the Decision
    #[arg(short = 'm', long = "message", value_name = "REASON")]
    reason: Option<String>,
    /// Do not ask: what is shown is confirmed already
    #[arg(short, long)]
    yes: bool,
    /// Show what would be decided, and let the API server check it, but create nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.common.place.parts()
    }
}

impl GateOptions {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.options.connection()
    }
}

/// Approves or rejects at a gate.
///
/// # Errors
/// A sentence: what does not exist, which choice is missing, or why the API server refuses.
pub(crate) async fn answer(
    session: &Session,
    action: Action,
    options: &GateOptions,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let subject = Subject::read(session, &options.options.release, &options.options.environment).await?;
    let p = subject.promotion()?;
    if let Some(read) = &options.plan_hash
        && *read != p.plan_hash
    {
        return Err(format!(
            "The plan of {} for {} is not the one that you have read: its hash is {}, not {read}. Read it again before you decide.",
            subject.named(),
            p.name,
            p.plan_hash
        ));
    }
    let (gate, role) = subject::gate(
        session,
        &subject,
        p,
        action,
        options.gate.as_deref(),
        options.role.as_deref(),
    )
    .await?;
    let spec = DecisionSpec {
        subject: Some(gate),
        role: Some(role),
        plan_hash: Some(p.plan_hash.clone()),
        ..blank(&subject, p, action, &options.options)
    };
    decide(session, &subject, spec, &options.options, terminal).await
}

/// Acts on a promotion.
///
/// # Errors
/// A sentence: what does not exist, in which state the action is not valid, or why the API server refuses.
pub(crate) async fn act(
    session: &Session,
    action: Action,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let subject = Subject::read(session, &options.release, &options.environment).await?;
    let p = subject.promotion()?;
    let accepted = subject::acts_on(&subject, p, action)?;
    let spec = DecisionSpec {
        subject: accepted.map(str::to_owned),
        attempt: Some(p.attempt),
        ..blank(&subject, p, action, options)
    };
    decide(session, &subject, spec, options, terminal).await
}

fn blank(subject: &Subject, p: &Promotion, action: Action, options: &Options) -> DecisionSpec {
    DecisionSpec {
        release: subject.release.name_any(),
        environment: p.name.clone(),
        action,
        subject: None,
        role: None,
        by: subject.user.clone(),
        plan_hash: None,
        attempt: None,
        reason: options.common.reason.clone(),
    }
}

/// Asks the API server, then the user, and creates the Decision.
async fn decide(
    session: &Session,
    subject: &Subject,
    spec: DecisionSpec,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let api: Api<Decision> = Api::namespaced(session.client.clone(), &session.namespace);
    let decision = Decision {
        metadata: ObjectMeta {
            generate_name: Some(generated(&spec)),
            ..ObjectMeta::default()
        },
        spec,
    };
    let create = |dry_run: bool| PostParams {
        dry_run,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let what = format!("The API server refuses this {}", decision.spec.action.as_str());
    let refused = |e: &kube::Error| failed(&session.server, &what, e);
    // Its admission policies answer before anybody is asked.
    api.create(&create(true), &decision)
        .await
        .map_err(|e| refused(&e))?;
    let shown = subject.shown(session, &decision.spec, terminal).await?;
    terminal.print(&shown)?;
    if options.common.dry_run {
        terminal.note("Nothing was created (--dry-run).");
        return Ok(0);
    }
    if !options.common.yes {
        let question = question(&decision.spec);
        if !terminal.confirmed(&question)? {
            terminal.note("Nothing was created.");
            return Ok(1);
        }
    }
    subject.unchanged(session).await?;
    let created = api
        .create(&create(false), &decision)
        .await
        .map_err(|e| refused(&e))?;
    terminal.print(&format!(
        "decision.signalbox.dev/{} created\n",
        created.name_any()
    ))?;
    Ok(0)
}

fn question(spec: &DecisionSpec) -> String {
    let action = match spec.action {
        Action::Approve => "Approve",
        Action::Reject => "Reject",
        Action::BackOut => "Back out",
        Action::Accept => "Accept",
        Action::Abandon => "Abandon",
        Action::Retry => "Retry",
    };
    let as_role = spec
        .role
        .as_deref()
        .map_or_else(String::new, |role| format!(" as {role}"));
    visible(&format!(
        "{action} {} in {}{as_role}, as {}?",
        spec.release, spec.environment, spec.by
    ))
    .into_owned()
}

/// The start of a name that the API server completes: at most 58 characters of the 63 that it may have there.
fn generated(spec: &DecisionSpec) -> String {
    let end = format!("-{}-{}-", spec.environment, remedy::word(spec.action));
    let room = 200usize.saturating_sub(end.len());
    let name: String = spec.release.chars().take(room).collect();
    format!("{}{end}", name.trim_end_matches(['-', '.']))
}

/// The Environment, if the user may read it.
async fn environment(session: &Session, name: &str) -> Option<Environment> {
    let api: Api<Environment> = Api::all(session.client.clone());
    get(session, &api, name, "").await.ok()
}
