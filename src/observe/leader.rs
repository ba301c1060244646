//! The Lease by which operators agree who leads, as it is read.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

/// Its name, in the operator's namespace.
pub const LEASE: &str = "signalbox";

/// Whether `lease` is the leader's, and no claim.
#[must_use]
pub fn is(lease: &Lease) -> bool {
    lease.metadata.name.as_deref() == Some(LEASE)
}

/// Who holds it. Some clear the field when they give a Lease back, some the text.
#[must_use]
pub fn holder(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}
