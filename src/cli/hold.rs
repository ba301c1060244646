//! `hold`, `unhold` and `withdraw`: nothing more of a Release enters.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::api::Release;
use crate::api::release::Hold;
use crate::cli::session::{Connection, FIELD_MANAGER, Place, Session, failed, get};
use crate::cli::terminal::{Exit, Terminal};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The Release
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    release: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Let the API server check the change, but change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// The options of `hold`.
#[derive(clap::Args)]
pub(crate) struct HoldOptions {
    #[command(flatten)]
    options: Options,
    /// Why: it stands in the Release
    #[arg(short = 'm', long = "message", value_name = "REASON")]
    reason: Option<String>,
    /// Hold it only from this Environment; may be repeated
    #[arg(long, value_name = "NAME", add = crate::cli::completion::environments())]
    environment: Vec<String>,
}

/// The options of `withdraw`.
#[derive(clap::Args)]
pub(crate) struct WithdrawOptions {
    #[command(flatten)]
    options: Options,
    /// Why: it stands in the Release
    #[arg(short = 'm', long = "message", value_name = "REASON")]
    reason: Option<String>,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.place.parts()
    }
}

impl HoldOptions {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.options.connection()
    }
}

impl WithdrawOptions {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.options.connection()
    }
}

/// Holds the Release from all environments that it has not entered, or from those that are named.
///
/// # Errors
/// A sentence: the Release does not exist or does not list an environment, or the API server refuses.
pub(crate) async fn hold(
    session: &Session,
    options: &HoldOptions,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let release = read(session, &options.options.release).await?;
    for name in &options.environment {
        if !release.spec.environments.contains(name) {
            return Err(format!(
                "Release {} does not list {name}. It lists {}.",
                release.name_any(),
                release.spec.environments.join(", ")
            ));
        }
    }
    let hold = joined(release.spec.hold.as_ref(), options);
    if release.spec.hold.as_ref() == Some(&hold) {
        terminal.print(&format!(
            "release.signalbox.dev/{} is held already\n",
            release.name_any()
        ))?;
        return Ok(0);
    }
    // A merge patch keeps fields that it does not name: each one is stated.
    let environments = (!hold.environments.is_empty()).then_some(&hold.environments);
    let change = json!({ "reason": hold.reason, "environments": environments });
    let places = if hold.environments.is_empty() {
        "any environment that it has not entered".to_owned()
    } else {
        hold.environments.join(", ")
    };
    let question = format!("Hold {}: it will not enter {places}?", release.name_any());
    change_spec(
        session,
        &release,
        &json!({ "hold": change }),
        &question,
        "held",
        &options.options,
        terminal,
    )
    .await
}

/// The hold that is asked for together with the one that stands: a hold never frees an environment, and keeps its reason unless there is
/// a new one.
fn joined(standing: Option<&Hold>, options: &HoldOptions) -> Hold {
    let mut environments = options.environment.clone();
    if let Some(standing) = standing {
        let everywhere = standing.environments.is_empty() || environments.is_empty();
        environments.extend(standing.environments.iter().cloned());
        environments.sort();
        environments.dedup();
        if everywhere {
            environments.clear();
        }
    }
    let before = standing.and_then(|hold| hold.reason.clone());
    Hold {
        reason: options.reason.clone().or(before),
        environments,
    }
}

/// Ends the hold.
///
/// # Errors
/// A sentence: the Release does not exist, or the API server refuses.
pub(crate) async fn unhold(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let release = read(session, &options.release).await?;
    if release.spec.hold.is_none() {
        terminal.print(&format!(
            "release.signalbox.dev/{} is not held\n",
            release.name_any()
        ))?;
        return Ok(0);
    }
    let question = format!("End the hold of {}?", release.name_any());
    change_spec(
        session,
        &release,
        &json!({ "hold": null }),
        &question,
        "not held any more",
        options,
        terminal,
    )
    .await
}

/// Withdraws the Release, for good.
///
/// # Errors
/// A sentence: the Release does not exist, or the API server refuses.
pub(crate) async fn withdraw(
    session: &Session,
    options: &WithdrawOptions,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let release = read(session, &options.options.release).await?;
    if release.spec.withdrawn.is_some() {
        terminal.print(&format!(
            "release.signalbox.dev/{} is withdrawn already\n",
            release.name_any()
        ))?;
        return Ok(0);
    }
    let change = json!({ "withdrawn": { "reason": options.reason } });
    let question = format!(
        "Withdraw {}: it never enters an environment again, and this cannot be undone. What was promoted stays. Withdraw it?",
        release.name_any()
    );
    change_spec(
        session,
        &release,
        &change,
        &question,
        "withdrawn",
        &options.options,
        terminal,
    )
    .await
}

async fn read(session: &Session, name: &str) -> Result<Release, String> {
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    get(
        session,
        &api,
        name,
        &format!(" in namespace {}", session.namespace),
    )
    .await
}

async fn change_spec(
    session: &Session,
    release: &Release,
    spec: &Value,
    question: &str,
    done: &str,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    let name = release.name_any();
    // With the uid the change fails if the Release was deleted and created again.
    let patch = Patch::Merge(json!({ "metadata": { "uid": release.metadata.uid }, "spec": spec }));
    let parameters = |dry_run: bool| PatchParams {
        dry_run,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let refused = |e: kube::Error| match &e {
        kube::Error::Api(status) if status.code == 409 => {
            format!(
                "Release {name} changed meanwhile, so nothing was changed. Look at it again, and try again."
            )
        }
        _ => failed(&session.server, "The API server refuses the change", &e),
    };
    api.patch(&name, &parameters(true), &patch)
        .await
        .map_err(refused)?;
    if options.dry_run {
        terminal.note("Nothing was changed (--dry-run).");
        return Ok(0);
    }
    if !options.yes && !terminal.confirmed(question)? {
        terminal.note("Nothing was changed.");
        return Ok(1);
    }
    let changed = || {
        format!("Release {name} changed meanwhile, so nothing was changed. Look at it again, and try again.")
    };
    for _ in 0..TRIES {
        // The status is written all the time while a release goes on: only a new spec is another Release than the one that was read.
        let now = read(session, &name).await?;
        if now.metadata.generation != release.metadata.generation || now.metadata.uid != release.metadata.uid
        {
            return Err(changed());
        }
        // Two holds at the same time would each be joined with the same earlier one, and one of them would be lost.
        let metadata =
            json!({ "uid": release.metadata.uid, "resourceVersion": now.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": metadata, "spec": spec }));
        match api.patch(&name, &parameters(false), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(refused(error)),
            Ok(_) => {
                terminal.print(&format!("release.signalbox.dev/{name} {done}\n"))?;
                return Ok(0);
            }
        }
    }
    Err(changed())
}

/// How often a change is tried while only the status is written in between.
const TRIES: usize = 5;
