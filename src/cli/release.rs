//! `signalbox release`: the next Release of a product, made from the last one.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::api::{Environment, Release};
use crate::cli::session::{Connection, FIELD_MANAGER, Place, Query, Session, failed, list};
use crate::cli::terminal::{Exit, Terminal};
use crate::domain::patches::pinned;
use crate::view::next_release::{Choice, Running, Wanted, manifest, next};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The product
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// The version of the new Release
    #[arg(value_name = "VERSION")]
    version: String,
    /// An image that changes, such as ledger=registry.example.com/ledger@sha256:…; component/container=image if the component has several.
    /// The digest of a tag is taken from what runs. May be repeated
    #[arg(long = "image", value_name = "COMPONENT=IMAGE")]
    images: Vec<Choice>,
    /// The Release that is copied (default: the one with the highest version)
    #[arg(long, value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    from: Option<String>,
    /// The release line (default: the only one of the product)
    #[arg(long, value_name = "NAME")]
    line: Option<String>,
    /// The reference of the change record, such as CHG0031337
    #[arg(long, value_name = "REFERENCE")]
    change: Option<String>,
    /// Why: the reason of the change
    #[arg(short = 'm', long = "message", value_name = "REASON")]
    reason: Option<String>,
    /// The summary of its deployment plan (default: that of the Release that is copied)
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
    /// The document of its deployment plan (default: that of the Release that is copied)
    #[arg(long, value_name = "URL")]
    document: Option<String>,
    /// The person who requests it, if that is not you: this needs the verb request-for
    #[arg(long, value_name = "USER")]
    requested_by: Option<String>,
    /// Create it, instead of printing its manifest
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    place: Place,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.place.parts()
    }
}

/// Prints the manifest of the new Release, or creates it.
///
/// # Errors
/// A sentence: what does not fit the Releases, or why the API server refuses.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let query = Query {
        namespace: Some(&session.namespace),
        ..Query::default()
    };
    let (releases, user) = tokio::join!(list::<Release>(session, &query), session.user());
    // The highest version may be among those that cannot be read.
    let (releases, user) = (releases?.whole()?, user?);
    let cut = |choice: &&Choice| choice.image.contains('@') && !pinned(&choice.image);
    if let Some(choice) = options.images.iter().find(cut) {
        return Err(format!(
            "Image {:?} of component {} is not complete: its digest must be sha256: and 64 hexadecimal digits.",
            choice.image, choice.component
        ));
    }
    let running = if options.images.iter().all(|choice| pinned(&choice.image)) {
        Running::default()
    } else {
        running(session, &releases, &options.product, terminal).await?
    };
    let wanted = Wanted {
        product: &options.product,
        version: &options.version,
        line: options.line.as_deref(),
        from: options.from.as_deref(),
        images: &options.images,
        reference: options.change.as_deref(),
        reason: options.reason.as_deref(),
        user: options.requested_by.as_deref().unwrap_or(&user),
    };
    let mut release = next(&releases, &wanted, &running).map_err(|e| e.to_string())?;
    planned(&mut release, options, terminal);
    if !options.create {
        terminal.print(&manifest(&release).map_err(|e| e.to_string())?)?;
        return Ok(0);
    }
    let api: Api<Release> = Api::namespaced(session.client.clone(), &session.namespace);
    let parameters = PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let created = api.create(&parameters, &release).await;
    let created = created.map_err(|e| failed(&session.server, "The API server refuses the Release", &e))?;
    terminal.print(&format!("release.signalbox.dev/{} created\n", created.name_any()))?;
    Ok(0)
}

/// Sets what the options say about the plan, and says what is copied: people sign it.
fn planned(release: &mut Release, options: &Options, terminal: &mut Terminal<'_>) {
    if options.images.is_empty() {
        terminal.note("note: No image changes: name those that do with --image.");
    }
    let Some(plan) = release.spec.deployment_plan.as_deref_mut() else {
        return;
    };
    if options.summary.is_none() {
        let summary = plan.summary.as_deref().unwrap_or("none");
        terminal.note(&format!("note: The plans are copied. Summary of the deployment plan: {summary} Change it with --summary and --document."));
    }
    plan.summary = options.summary.clone().or(plan.summary.take());
    plan.document_url = options.document.clone().or(plan.document_url.take());
}

/// The images of the pods in the target namespaces of the product, as far as the user may list them.
async fn running(
    session: &Session,
    releases: &[Release],
    product: &str,
    terminal: &mut Terminal<'_>,
) -> Result<Running, String> {
    let environments = list::<Environment>(session, &Query::default()).await?.items;
    let listed: BTreeSet<&str> = releases
        .iter()
        .filter(|release| release.spec.product == product)
        .flat_map(|release| release.spec.environments.iter().map(String::as_str))
        .collect();
    let of_product = environments
        .iter()
        .filter(|e| listed.contains(e.name_any().as_str()));
    let namespaces: BTreeSet<String> = of_product
        .map(|e| e.spec.target_namespace(&session.namespace))
        .collect();
    let mut pods = Vec::new();
    for namespace in &namespaces {
        let query = Query {
            namespace: Some(namespace),
            ..Query::default()
        };
        match list::<Pod>(session, &query).await {
            Ok(listed) => pods.extend(listed.items.iter().map(|pod| json!(pod))),
            Err(refused) => terminal.note(&format!("note: Images of {namespace} are not known. {refused}")),
        }
    }
    Ok(Running::of(&pods))
}
