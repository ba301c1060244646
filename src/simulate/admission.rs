//! The definitions' own rules, evaluated as the API server does: they are written once, in `api`.

use std::collections::HashMap;
use std::sync::OnceLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde::Serialize;
use serde_json::Value;

use super::Error;
use crate::api::crds;

/// By kind.
fn schemas() -> &'static HashMap<String, CompiledSchema> {
    static SCHEMAS: OnceLock<HashMap<String, CompiledSchema>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        crds()
            .into_iter()
            .filter_map(|mut crd| {
                let schema = crd.spec.versions.remove(0).schema?.open_api_v3_schema?;
                let schema = serde_json::to_value(schema).ok()?;
                Some((crd.spec.names.kind, compile_schema(&schema)))
            })
            .collect()
    })
}

/// Whether `object` may be created, or take the place of `before`.
pub(super) fn admit<K: Serialize>(
    kind: &'static str,
    object: &K,
    before: Option<&K>,
    metadata: &ObjectMeta,
) -> Result<(), Error> {
    let refused = |why: String| Error::Refused {
        kind,
        name: metadata.name.clone().unwrap_or_default(),
        why,
    };
    let value = |object: &K| serde_json::to_value(object).map_err(|e| refused(e.to_string()));
    let object = value(object)?;
    let before: Option<Value> = before.map(value).transpose()?;
    let Some(schema) = schemas().get(kind) else {
        return Ok(());
    };
    Validator::new()
        .validate_compiled(schema, &object, before.as_ref())
        .map_err(|errors| {
            let sentences: Vec<String> = errors.as_slice().iter().map(|e| e.message.clone()).collect();
            refused(sentences.join("; "))
        })
}
