//! What a Release changes on its targets, as the user may see it: read live, and by a dry run where the user may patch.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::api::release::{Component, Target};
use crate::api::{Environment, Release};
use crate::cli::session::{FIELD_MANAGER, Session, failed};
use crate::decide::licence::How;
use crate::view::differences::{Computation, Difference, difference};

/// What a Release changes in one environment.
pub(crate) struct Changes {
    /// One for each component, in the order of the Release.
    pub differences: Vec<Difference>,
    /// What could not be read or asked, and what that means for the differences: sentences.
    pub notes: Vec<String>,
    /// Whether a target could not be read at all.
    pub partial: bool,
    /// Whether the API server would refuse a change.
    pub refused: bool,
}

/// The namespace that the Release changes there: the one with which it entered, else that of the Environment.
///
/// # Errors
/// A sentence: the Environment cannot be read, and the Release has not entered it.
pub(crate) fn namespace(
    release: &Release,
    environment: Option<&Environment>,
    name: &str,
) -> Result<String, String> {
    let entered = release.promotion(name).and_then(|p| p.entered.as_ref());
    if let Some(entered) = entered {
        return Ok(entered.target_namespace.clone());
    }
    let home = release.namespace().unwrap_or_default();
    environment
        .map(|environment| environment.spec.target_namespace(&home))
        .ok_or_else(|| {
            format!("You may not read the Environment {name}, so its target namespace is not known.")
        })
}

/// What the Release changes in `namespace`.
///
/// # Errors
/// A sentence: the cluster does not answer, or a component does not fit its target.
pub(crate) async fn changes(
    session: &Session,
    release: &Release,
    environment: &str,
    namespace: &str,
    show_values: bool,
) -> Result<Changes, String> {
    let mut found = Changes {
        differences: Vec::new(),
        notes: Vec::new(),
        partial: false,
        refused: false,
    };
    let components = &release.spec.components;
    let reads = components
        .iter()
        .map(|component| live(session, &component.target, namespace));
    let lives = futures::future::join_all(reads).await;
    let mut computation = Computation::new(release, environment);
    let mut asks = true;
    for (component, live) in components.iter().zip(lives) {
        let live = match live? {
            Ok(live) => live,
            Err(refused) => {
                found.partial = true;
                found.notes.push(refused);
                continue;
            }
        };
        let result = result(
            session,
            &mut computation,
            component,
            live.as_ref(),
            namespace,
            &mut asks,
            &mut found,
        )
        .await?;
        let difference = difference(namespace, &component.target, live.as_ref(), &result, show_values);
        found
            .differences
            .push(difference.map_err(|e| format!("{} cannot be shown as YAML: {e}.", component.target))?);
    }
    Ok(found)
}

/// The target as it would run.
async fn result(
    session: &Session,
    computation: &mut Computation<'_>,
    component: &Component,
    live: Option<&Value>,
    namespace: &str,
    asks: &mut bool,
    found: &mut Changes,
) -> Result<Value, String> {
    let misfit =
        |e: &dyn std::fmt::Display| format!("Component {} does not fit its target: {e}.", component.name);
    let request = computation.request(component, live).map_err(|e| misfit(&e))?;
    if *asks {
        match dry_run(session, &component.target, namespace, &request).await {
            Ok(answer) => return Ok(computation.answered(component, live, &request, answer)),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                *asks = false;
                found.notes.push(format!(
                    "You may not patch targets in {namespace}, so the difference is computed without the API server's defaults and admission."
                ));
            }
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                let said = failed(
                    &session.server,
                    &format!("The API server would refuse {}", component.target),
                    &kube::Error::Api(status),
                );
                found.refused = true;
                found.notes.push(said);
            }
            Err(error) => return Err(failed(&session.server, "A dry run failed", &error)),
        }
    }
    computation.computed(component, live).map_err(|e| misfit(&e))
}

/// The live object. The inner error is a refusal, which leaves out one target.
async fn live(
    session: &Session,
    target: &Target,
    namespace: &str,
) -> Result<Result<Option<Value>, String>, String> {
    let api = api(session, target, namespace);
    match api.get_opt(&target.name).await {
        Ok(object) => Ok(Ok(object.map(|object| json!(object)))),
        Err(error @ kube::Error::Api(_)) => Ok(Err(failed(
            &session.server,
            &format!("{target} in namespace {namespace} is not shown"),
            &error,
        ))),
        Err(error) => Err(failed(
            &session.server,
            &format!("Cannot read {target} in namespace {namespace}"),
            &error,
        )),
    }
}

/// The answer of the API server to a change that is not made.
async fn dry_run(session: &Session, target: &Target, namespace: &str, request: &How) -> kube::Result<Value> {
    let api = api(session, target, namespace);
    let object = match request {
        How::Patch { patch, .. } => {
            let parameters = PatchParams {
                dry_run: true,
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            // Only the difference is of interest: the workload's controller may have written in between.
            let mut patch = patch.clone();
            if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("resourceVersion");
            }
            api.patch(&target.name, &parameters, &Patch::Strategic(patch))
                .await?
        }
        How::Create { object } => {
            let parameters = PostParams {
                dry_run: true,
                field_manager: Some(FIELD_MANAGER.to_owned()),
            };
            let object: DynamicObject =
                serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
            api.create(&parameters, &object).await?
        }
        How::Restore { .. } | How::Delete { .. } | How::GiveBack { .. } => api.get(&target.name).await?,
    };
    Ok(json!(object))
}

fn api(session: &Session, target: &Target, namespace: &str) -> Api<DynamicObject> {
    let (group, version) = target
        .api_version
        .split_once('/')
        .unwrap_or(("", &target.api_version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &target.kind));
    Api::namespaced_with(session.client.clone(), namespace, &kind)
}
