//! Metadata of pre-states. They are large and rarely read, so only their metadata is watched. It names the Release and the
//! size of each.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::{LABEL_ENVIRONMENT, LABEL_RELEASE, LABEL_RELEASE_UID};
use crate::decide::facts::StoredPreState;

/// The Release's namespace, an annotation.
const NAMESPACE: &str = "signalbox.dev/release-namespace";
/// Bytes of the content as it is stored, an annotation.
const BYTES: &str = "signalbox.dev/bytes";

/// Reads the metadata of a pre-state. v0.1.0 wrote neither namespace nor size.
#[must_use]
pub fn read(metadata: &ObjectMeta) -> StoredPreState {
    let said = |all: &Option<BTreeMap<String, String>>, key: &str| {
        let said = all.as_ref().and_then(|all| all.get(key));
        said.cloned().unwrap_or_default()
    };
    StoredPreState {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: said(&metadata.annotations, NAMESPACE),
        release: said(&metadata.labels, LABEL_RELEASE),
        release_uid: said(&metadata.labels, LABEL_RELEASE_UID),
        environment: said(&metadata.labels, LABEL_ENVIRONMENT),
        bytes: said(&metadata.annotations, BYTES).parse().unwrap_or(0),
    }
}

/// The annotations of a pre-state.
#[must_use]
pub fn annotations(namespace: &str, bytes: usize) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAMESPACE.to_owned(), namespace.to_owned()),
        (BYTES.to_owned(), bytes.to_string()),
    ])
}
