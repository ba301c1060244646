//! `signalbox init`: the first Environments, access and Release, written from what runs in namespaces.

use std::fmt::Debug;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::Environment;
use crate::cli::session::{Connection, Query, Session, list};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::remedy::PROGRAM;
use crate::view::starter::{File, Plan, Stage, starter};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The product
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// A stage and the namespace in which the product runs there, such as uat=payments-uat; repeated in order, the last one is
    /// production (default: you are asked)
    #[arg(long = "stage", value_name = "ENVIRONMENT=NAMESPACE", value_parser = stage)]
    stages: Vec<(String, String)>,
    /// The version that runs now, for the first Release
    #[arg(long, value_name = "VERSION", default_value = "1.0.0")]
    version: String,
    /// A user who approves for the last stage, and decides about releases that failed; may be repeated
    #[arg(long, value_name = "USER")]
    approver: Vec<String>,
    /// A group of such users; may be repeated
    #[arg(long, value_name = "GROUP")]
    approver_group: Vec<String>,
    /// The user who writes the post-implementation reviews: neither the requester nor an approver
    #[arg(long, value_name = "USER")]
    reviewer: Option<String>,
    /// The folder to write to. Files that exist are never overwritten
    #[arg(long, value_name = "PATH", default_value = "signalbox")]
    output: PathBuf,
    /// Namespace of the Releases (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

fn stage(text: &str) -> Result<(String, String), String> {
    match text.trim().split_once('=') {
        Some((environment, namespace)) if !environment.is_empty() && !namespace.is_empty() => {
            Ok((environment.to_owned(), namespace.to_owned()))
        }
        _ => Err("must be environment=namespace, such as uat=payments-uat".to_owned()),
    }
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }
}

/// Writes the files.
///
/// # Errors
/// A sentence: what cannot be read, why nothing can be written, or which file exists.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let named = if options.stages.is_empty() {
        asked(terminal)?
    } else {
        options.stages.clone()
    };
    let user = session.user().await?;
    free(session, &named, terminal).await?;
    let mut stages = Vec::new();
    for (environment, namespace) in named {
        terminal.note(&format!("Reading namespace {namespace}…"));
        let (objects, pods) = read(session, &namespace).await?;
        stages.push(Stage {
            environment,
            namespace,
            objects,
            pods,
        });
    }
    let plan = Plan {
        home: session.namespace.clone(),
        product: options.product.clone(),
        version: options.version.clone(),
        requester: user,
        approvers: options.approver.clone(),
        approver_groups: options.approver_group.clone(),
        reviewer: options.reviewer.clone(),
        stages,
    };
    let files = starter(&plan).map_err(|e| e.to_string())?;
    write(&options.output, &files)?;
    for file in &files {
        terminal.print(&format!("{}\n", options.output.join(file.name).display()))?;
    }
    let folder = options.output.display();
    terminal.note(&format!(
        "Read the files: their comments name what to decide. Then check and apply them:\n  {PROGRAM} lint -f {folder}\n  \
         kubectl apply -f {folder}/environments.yaml -f {folder}/access.yaml    # as an administrator\n  \
         kubectl create -f {folder}/release.yaml"
    ));
    Ok(0)
}

/// Whether the names of the stages are free: Environments belong to the whole cluster, and to apply the files would change them.
async fn free(
    session: &Session,
    stages: &[(String, String)],
    terminal: &mut Terminal<'_>,
) -> Result<(), String> {
    let environments = match list::<Environment>(session, &Query::default()).await {
        Ok(listed) => listed.items,
        Err(why) => {
            terminal.note(&format!(
                "note: Whether Environments of these names exist is not known. {why}"
            ));
            return Ok(());
        }
    };
    let taken = stages
        .iter()
        .find(|(name, _)| environments.iter().any(|e| e.name_any() == *name));
    match taken {
        None => Ok(()),
        Some((name, namespace)) => Err(format!(
            "Environment {name:?} exists already, and the whole cluster shares it: to apply the new one would change it. Have the existing one \
             lead to your namespace, or choose another name, such as --stage {}-{name}={namespace}.",
            session.namespace
        )),
    }
}

/// The stages, as the user types them.
fn asked(terminal: &mut Terminal<'_>) -> Result<Vec<(String, String)>, String> {
    let question = "Stages in order, each with its namespace, such as sit=payments-sit,uat=payments-uat,production=payments-prod:";
    let answer = terminal.answer(question, "Name the stages with --stage.")?;
    let stages = answer.split(',').map(stage).collect::<Result<Vec<_>, _>>();
    stages.map_err(|wrong| format!("Each stage {wrong}."))
}

/// The workloads and the configuration of a namespace, and its pods.
async fn read(session: &Session, namespace: &str) -> Result<(Vec<Value>, Vec<Value>), String> {
    let (deployments, stateful_sets, daemon_sets, cron_jobs, config_maps, pods) = tokio::join!(
        all::<Deployment>(session, namespace),
        all::<StatefulSet>(session, namespace),
        all::<DaemonSet>(session, namespace),
        all::<CronJob>(session, namespace),
        all::<ConfigMap>(session, namespace),
        all::<Pod>(session, namespace),
    );
    let objects = [
        deployments?,
        stateful_sets?,
        daemon_sets?,
        cron_jobs?,
        config_maps?,
    ];
    // Pods only help to name digests.
    Ok((objects.concat(), pods.unwrap_or_default()))
}

/// All of a kind, each with the kind that a list leaves out.
async fn all<K>(session: &Session, namespace: &str) -> Result<Vec<Value>, String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Serialize
        + Debug
        + Send
        + 'static,
{
    let query = Query {
        namespace: Some(namespace),
        ..Query::default()
    };
    let listed = list::<K>(session, &query).await?;
    let whole = listed.items.iter().map(|item| {
        let mut object = json!(item);
        object["apiVersion"] = json!(K::api_version(&()));
        object["kind"] = json!(K::kind(&()));
        object
    });
    Ok(whole.collect())
}

/// Writes all files, or none if one of them exists.
fn write(folder: &Path, files: &[File]) -> Result<(), String> {
    let at = |path: &Path, e: std::io::Error| format!("Cannot write {}: {e}.", path.display());
    std::fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
    let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(file.name)).collect();
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        return Err(format!(
            "{} exists, so nothing was written. Name another folder with --output, or remove the file.",
            there.display()
        ));
    }
    let mut written: Vec<&PathBuf> = Vec::new();
    for (path, file) in paths.iter().zip(files) {
        let created = std::fs::File::options().write(true).create_new(true).open(path);
        if created.is_ok() {
            written.push(path);
        }
        if let Err(error) = created.and_then(|mut created| created.write_all(file.text.as_bytes())) {
            // All files or none.
            for path in written {
                let _ = std::fs::remove_file(path);
            }
            return Err(at(path, error));
        }
    }
    Ok(())
}
