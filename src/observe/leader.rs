//! The name of the Lease that decides which operator process leads, and what it says.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

/// Its name, in the operator's namespace.
pub const LEASE: &str = "signalbox";

/// Whether `lease` is the leader's Lease and not a claim.
#[must_use]
pub fn is(lease: &Lease) -> bool {
    lease.metadata.name.as_deref() == Some(LEASE)
}

/// Who holds it. Clients that release a Lease remove the field or set it to the empty text.
#[must_use]
pub fn holder(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}
