//! The validation rules of the CRDs, evaluated as the API server does. They are written once, in `api`.

use std::collections::HashMap;
use std::sync::OnceLock;

use kube::Resource;
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde::Serialize;
use serde_json::Value;

use crate::api::crds;
use crate::world::error::Error;

/// By the name of the kind.
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

/// Checks whether `object` may be created, or replace `before`.
///
/// # Errors
/// [`Error::Refused`] with the messages of the broken rules.
pub(crate) fn admit<K>(object: &K, before: Option<&K>) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let kind = K::kind(&());
    let refused = |why: String| Error::Refused {
        kind: kind.to_string(),
        name: object.meta().name.clone().unwrap_or_default(),
        why,
    };
    let value = |object: &K| serde_json::to_value(object).map_err(|e| refused(e.to_string()));
    let stated = value(object)?;
    let before: Option<Value> = before.map(value).transpose()?;
    let Some(schema) = schemas().get(&*kind) else {
        return Ok(());
    };
    Validator::new()
        .validate_compiled(schema, &stated, before.as_ref())
        .map_err(|errors| {
            let sentences: Vec<String> = errors.as_slice().iter().map(|e| e.message.clone()).collect();
            refused(sentences.join("; "))
        })
}
