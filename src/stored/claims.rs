//! Claims, the Leases that lock target namespaces, as they are read and written.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::{LABEL_ATTEMPT, LABEL_ENVIRONMENT, LABEL_RELEASE, UNSETTLED};
use crate::decide::facts::{Claim, Holder};
use crate::decide::plan;

/// Annotation: the target namespace that the claim locks.
const TARGET: &str = "signalbox.dev/target-namespace";
/// Annotation: `namespace/name` of the holding Release.
const RELEASE: &str = "signalbox.dev/release-path";

/// `lease` as a claim, unless it is some other Lease.
#[must_use]
pub fn read(lease: &Lease) -> Option<Claim> {
    let name = lease.metadata.name.clone()?;
    if !name.starts_with("claim-") {
        return None;
    }
    let annotation = |key: &str| {
        lease
            .metadata
            .annotations
            .as_ref()
            .and_then(|a| a.get(key))
            .cloned()
    };
    let holder = lease
        .spec
        .as_ref()
        .and_then(|s| s.holder_identity.as_deref())
        .and_then(Holder::parse);
    Some(Claim {
        name,
        uid: lease.metadata.uid.clone().unwrap_or_default(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        namespace: annotation(TARGET).unwrap_or_default(),
        holder,
        release: annotation(RELEASE).unwrap_or_default(),
        unsettled: annotation(UNSETTLED).is_some(),
        holder_absent: false,
    })
}

/// The Lease that claims `namespace` for `holder` of Release `release` (`namespace/name`).
#[must_use]
pub fn write(namespace: &str, holder: &Holder, release: &str) -> Lease {
    let name = release.split_once('/').map_or(release, |(_, name)| name);
    Lease {
        metadata: ObjectMeta {
            name: Some(plan::claim_name(namespace)),
            labels: Some(BTreeMap::from([
                (LABEL_RELEASE.to_owned(), name.to_owned()),
                (LABEL_ENVIRONMENT.to_owned(), holder.environment.clone()),
                (LABEL_ATTEMPT.to_owned(), holder.attempt.to_string()),
            ])),
            annotations: Some(BTreeMap::from([
                (TARGET.to_owned(), namespace.to_owned()),
                (RELEASE.to_owned(), release.to_owned()),
            ])),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.identity()),
            ..LeaseSpec::default()
        }),
    }
}

/// Whether `known` is the same or a newer state of the same Lease than `other`.
#[must_use]
pub fn seen(known: &Claim, other: &Claim) -> bool {
    let number = |c: &Claim| c.resource_version.parse::<u64>().unwrap_or(0);
    known.uid == other.uid && number(known) >= number(other)
}
