//! `signalbox version`: the versions of this command, of the operator and of the definitions.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use serde::Serialize;

use crate::api::{GROUP, Kind};
use crate::cli::format;
use crate::cli::session::{Connection, Query, Session, get, list};
use crate::cli::terminal::{Exit, Terminal};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The operator's own namespace
    #[arg(
        long,
        env = "SIGNALBOX_NAMESPACE",
        default_value = "signalbox-system",
        value_name = "NAME"
    )]
    operator_namespace: String,
    /// Output format
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Form,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Options {
    /// The connection of the flags; no namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, None)
    }
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    /// Versions of the operators that run, by their images; or why they are not known.
    operator: Result<Vec<String>, String>,
    /// Versions of the API that the cluster serves; or why they are not known.
    definitions: Result<Vec<String>, String>,
}

/// Prints the versions. What cannot be read is said, and the exit status is then 2.
///
/// # Errors
/// A sentence: the output cannot be written.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let (operator, definitions) = tokio::join!(
        operator(session, &options.operator_namespace),
        definitions(session)
    );
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        operator,
        definitions,
    };
    let known = versions.operator.is_ok() && versions.definitions.is_ok();
    let text = match options.output {
        Form::Json => format::json(&versions)?,
        Form::Text => {
            let said = |of: &Result<Vec<String>, String>| match of {
                Ok(names) => names.join(", "),
                Err(why) => format!("not known. {why}"),
            };
            let text = format!(
                "Client: {}\nOperator: {}\nDefinitions: {}\n",
                versions.client,
                said(&versions.operator),
                said(&versions.definitions)
            );
            text.lines()
                .map(|line| format!("{}\n", crate::view::timeline::visible(line)))
                .collect()
        }
    };
    terminal.print(&text)?;
    Ok(if known { 0 } else { 2 })
}

/// The Deployments that the chart installed: the version in their label, and their images.
async fn operator(session: &Session, namespace: &str) -> Result<Vec<String>, String> {
    let query = Query {
        namespace: Some(namespace),
        labels: "app.kubernetes.io/name=signalbox",
        ..Query::default()
    };
    let found = list::<Deployment>(session, &query).await?.items;
    if found.is_empty() {
        return Err(format!(
            "Namespace {namespace} has no Deployment of the chart. Name another one with --operator-namespace."
        ));
    }
    let version = |deployment: &Deployment| {
        let label = deployment
            .labels()
            .get("app.kubernetes.io/version")
            .cloned()
            .unwrap_or_else(|| "?".to_owned());
        let pods = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref());
        let images = pods
            .into_iter()
            .flat_map(|pod| &pod.containers)
            .filter_map(|container| container.image.clone());
        format!("{label} ({})", images.collect::<Vec<_>>().join(", "))
    };
    Ok(found.iter().map(version).collect())
}

/// The versions of the Release definition that the cluster serves.
async fn definitions(session: &Session) -> Result<Vec<String>, String> {
    let api: Api<CustomResourceDefinition> = Api::all(session.client.clone());
    let name = format!("{}.{GROUP}", Kind::Release.plural());
    let found = get(session, &api, &name, "").await?;
    let served = found.spec.versions.iter().filter(|version| version.served);
    Ok(served.map(|version| version.name.clone()).collect())
}
