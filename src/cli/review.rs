//! `signalbox review`: the post-implementation review, prefilled, written in the user's editor and submitted as them.

mod editor;
mod form;

use std::path::PathBuf;

use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::api::release::{ReviewState, ReviewStatus};
use crate::api::review::ReleaseReviewSpec;
use crate::api::{Action, Release, ReleaseReview};
use crate::cli::format::{self, Format};
use crate::cli::session::{
    Connection, FIELD_MANAGER, Listed, Place, Query, Session, decisions, failed, get, list,
};
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::terminal::{Exit, Terminal};
use crate::cli::times::second;
use crate::decide::trust::may_be_one_person;
use editor::Edited;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Sub>,
    /// The Release to review
    #[arg(value_name = "RELEASE", required = true, value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    release: Option<String>,
    /// Submit this file instead of opening an editor; - for standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    filename: Option<PathBuf>,
    /// Print the prefilled form, and submit nothing
    #[arg(long, conflicts_with = "filename")]
    print: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Subcommand)]
enum Sub {
    /// List the Releases with a review that is open, and when it is due
    List(ListOptions),
}

#[derive(clap::Args)]
struct ListOptions {
    /// Only reviews that are overdue
    #[arg(long)]
    overdue: bool,
    /// The Releases of every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Output format
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Format,
    /// Print no header
    #[arg(long)]
    no_headers: bool,
    #[command(flatten)]
    place: Place,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        let place = match &self.command {
            Some(Sub::List(options)) => &options.place,
            None => &self.place,
        };
        place.parts()
    }
}

/// Lists reviews, or writes one.
///
/// # Errors
/// A sentence: the Release does not exist, the text is not a review, or the API server refuses.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    match (&options.command, &options.release) {
        (Some(Sub::List(options)), _) => overview(session, options, terminal).await,
        (None, Some(release)) => write(session, release, options, terminal).await,
        (None, None) => Err("Name the Release to review.".to_owned()),
    }
}

async fn overview(
    session: &Session,
    options: &ListOptions,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let query = Query {
        namespace: (!options.all_namespaces).then_some(session.namespace.as_str()),
        ..Query::default()
    };
    let listed: Listed<Release> = list(session, &query).await?;
    let mut open: Vec<(&Release, &ReviewStatus)> = Vec::new();
    for release in &listed.items {
        let review = release.status.as_ref().and_then(|s| s.review.as_deref());
        let Some(review) = review else { continue };
        let finished = matches!(review.state, ReviewState::NotRequired | ReviewState::Closed);
        if !finished && (review.overdue || !options.overdue) {
            open.push((release, review));
        }
    }
    // What is due first comes first, and what is not due yet last.
    open.sort_by_key(|(_, review)| (review.due_at.is_none(), review.due_at.clone()));
    let text = match options.output {
        Format::Json => format::json(&entries(&open))?,
        Format::Yaml => format::yaml(&entries(&open))?,
        Format::Name => {
            let names = open
                .iter()
                .map(|(release, _)| format!("release.signalbox.dev/{}\n", release.name_any()));
            names.collect()
        }
        Format::Table | Format::Wide => {
            if open.is_empty() {
                terminal.note("No review is open.");
            }
            let mut table = Table::new([
                "NAMESPACE",
                "RELEASE",
                "REVIEW",
                "DUE",
                "REVIEWER",
                "OPEN ACTIONS",
                "WHY",
            ]);
            for (release, review) in &open {
                let due = review
                    .due_at
                    .as_ref()
                    .map_or_else(String::new, |due| second(due.0));
                let actions = review.open_actions.map_or_else(String::new, |n| n.to_string());
                table.row(vec![
                    release.namespace().unwrap_or_default().into(),
                    release.name_any().into(),
                    review.state.as_str().into(),
                    Cell::toned(due, if review.overdue { Tone::Bad } else { Tone::Plain }),
                    release.spec.review.reviewer.clone().unwrap_or_default().into(),
                    actions.into(),
                    review.required_because.join(", ").into(),
                ]);
            }
            if open.is_empty() {
                String::new()
            } else {
                table.text(terminal.paint(), !options.no_headers, 0)
            }
        }
    };
    terminal.print(&text)?;
    let unread = listed.notes();
    unread.iter().for_each(|note| terminal.note(note));
    Ok(if unread.is_empty() { 0 } else { 2 })
}

/// An open review, for programs.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    namespace: String,
    release: String,
    reviewer: Option<&'a str>,
    #[serde(flatten)]
    review: &'a ReviewStatus,
}

fn entries<'a>(open: &[(&'a Release, &'a ReviewStatus)]) -> Vec<Entry<'a>> {
    let entry = |(release, review): &(&'a Release, &'a ReviewStatus)| Entry {
        namespace: release.namespace().unwrap_or_default(),
        release: release.name_any(),
        reviewer: release.spec.review.reviewer.as_deref(),
        review,
    };
    open.iter().map(entry).collect()
}

async fn write(
    session: &Session,
    name: &str,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    let release = get(
        session,
        &api,
        name,
        &format!(" in namespace {}", session.namespace),
    )
    .await?;
    let user = session.user().await?;
    let standing = standing(session, name).await?;
    if let Some(other) = standing.as_ref().filter(|review| review.spec.reviewer != user) {
        return Err(format!(
            "Release {name} is reviewed by {} already (ReleaseReview {}). Only they can change that review.",
            other.spec.reviewer,
            other.name_any()
        ));
    }
    let decisions = decisions(session, name).await.unwrap_or_else(|why| {
        terminal.note(&format!("note: Decisions are not shown. {why}"));
        vec![]
    });
    let approved = decisions
        .iter()
        .find(|d| d.spec.action == Action::Approve && may_be_one_person(&d.spec.by, &user));
    if may_be_one_person(&user, &release.spec.requested_by) {
        return Err(format!(
            "You requested Release {name}, so your review would not count. Another person writes it."
        ));
    }
    if let Some(approved) = approved {
        return Err(format!(
            "You approved Release {name} in {}, so your review would not count. Another person writes it.",
            approved.spec.environment
        ));
    }
    let form = form::prefilled(&release, &decisions, standing.as_ref(), &user);
    if options.print {
        terminal.print(&form)?;
        return Ok(0);
    }
    let read = |text: &str| form::read(text, name, &user);
    if let Some(path) = &options.filename {
        let spec = read(&file(path, terminal)?)?;
        return submit(session, standing.as_ref(), spec, terminal).await;
    }
    match editor::edit(&form, &read, terminal)? {
        Edited::Done(spec, text) => {
            let submitted = submit(session, standing.as_ref(), spec, terminal).await;
            submitted.map_err(|why| editor::kept(text, &why))
        }
        Edited::Nothing => {
            terminal.note("Nothing was changed, so nothing was submitted.");
            Ok(1)
        }
    }
}

/// The review that counts: the oldest one.
async fn standing(session: &Session, release: &str) -> Result<Option<ReleaseReview>, String> {
    let query = Query {
        namespace: Some(&session.namespace),
        ..Query::default()
    };
    let reviews = list::<ReleaseReview>(session, &query).await?.whole()?;
    let mut reviews: Vec<ReleaseReview> = reviews
        .into_iter()
        .filter(|r| r.spec.release == release)
        .collect();
    reviews.sort_by_key(|r| (r.metadata.creation_timestamp.clone(), r.metadata.uid.clone()));
    Ok(reviews.into_iter().next())
}

fn file(path: &std::path::Path, terminal: &mut Terminal<'_>) -> Result<String, String> {
    let mut text = String::new();
    if path == std::path::Path::new("-") {
        let read = terminal.input.read_to_string(&mut text);
        return read
            .map(|_| text)
            .map_err(|e| format!("Cannot read standard input: {e}."));
    }
    std::fs::read_to_string(path).map_err(|e| format!("Cannot read {}: {e}.", path.display()))
}

async fn submit(
    session: &Session,
    standing: Option<&ReleaseReview>,
    spec: ReleaseReviewSpec,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let api: Api<ReleaseReview> = Api::namespaced(session.client.clone(), &session.namespace);
    let refused = |e: kube::Error| failed(&session.server, "The API server refuses the review", &e);
    let (review, word) = match standing {
        Some(before) => {
            // A merge patch would keep fields that the new text leaves out, so each one is stated.
            let spec = json!({
                "release": spec.release, "reviewer": spec.reviewer, "outcome": spec.outcome, "rootCause": spec.root_cause,
                "lessons": spec.lessons, "actions": spec.actions,
            });
            let patch = json!({
                "metadata": { "uid": before.metadata.uid, "resourceVersion": before.metadata.resource_version },
                "spec": spec,
            });
            let parameters = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patched = api
                .patch(&before.name_any(), &parameters, &Patch::Merge(patch))
                .await;
            (patched.map_err(refused)?, "changed")
        }
        None => {
            let parameters = PostParams {
                dry_run: false,
                field_manager: Some(FIELD_MANAGER.to_owned()),
            };
            let review = ReleaseReview {
                metadata: ObjectMeta {
                    generate_name: Some(format!("{}-review-", spec.release)),
                    ..ObjectMeta::default()
                },
                spec,
            };
            (
                api.create(&parameters, &review).await.map_err(refused)?,
                "created",
            )
        }
    };
    terminal.print(&format!(
        "releasereview.signalbox.dev/{} {word}\n",
        review.name_any()
    ))?;
    Ok(0)
}
