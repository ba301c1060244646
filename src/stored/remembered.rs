//! Records of versions that Succeeded and whose Releases no longer exist: small ControllerRevisions, one for each product, line and
//! environment, beside the pre-states. Users read them with `kubectl describe`.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::json;

use crate::api::{LABEL_ENVIRONMENT, LABEL_RELEASE, LABEL_RELEASE_UID};
use crate::decide::facts::Remembered;
use crate::decide::plan;

const NAMESPACE: &str = "signalbox.dev/succeeded-namespace";
const PRODUCT: &str = "signalbox.dev/succeeded-product";
const LINE: &str = "signalbox.dev/succeeded-line";
const VERSION: &str = "signalbox.dev/succeeded-version";

/// The record in an object of the operator's namespace, unless it is a pre-state.
#[must_use]
pub fn read(metadata: &ObjectMeta) -> Option<Remembered> {
    let annotations = metadata.annotations.as_ref()?;
    let labels = metadata.labels.as_ref()?;
    Some(Remembered {
        name: metadata.name.clone()?,
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: annotations.get(NAMESPACE)?.clone(),
        product: annotations.get(PRODUCT)?.clone(),
        line: annotations.get(LINE)?.clone(),
        version: annotations.get(VERSION)?.clone(),
        environment: labels.get(LABEL_ENVIRONMENT)?.clone(),
        release: labels.get(LABEL_RELEASE)?.clone(),
    })
}

/// The object with the record; `release_uid` is the uid of the Release that is deleted.
#[must_use]
pub fn write(what: &Remembered, release_uid: &str) -> ControllerRevision {
    let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(plan::remembered_name(
                &what.namespace,
                &what.product,
                &what.line,
                &what.environment,
            )),
            labels: Some(owned(&[
                (LABEL_RELEASE, &what.release),
                (LABEL_RELEASE_UID, release_uid),
                (LABEL_ENVIRONMENT, &what.environment),
            ])),
            annotations: Some(owned(&[
                (NAMESPACE, &what.namespace),
                (PRODUCT, &what.product),
                (LINE, &what.line),
                (VERSION, &what.version),
            ])),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(json!({
            "remembers": format!(
                "Version {} of {}, line {}, of Release {}/{}, Succeeded in {}. No older version enters there.",
                what.version, what.product, what.line, what.namespace, what.release, what.environment
            ),
        }))),
        revision: 1,
    }
}
