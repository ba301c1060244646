//! Whether the API server verified the author of a Decision or the requester of a Release.

use jiff::Timestamp;

use crate::api::{Action, Decision};
use crate::decide::facts::{Observed, Trust};
use crate::domain::text::clause;

/// Why this Decision cannot be trusted, if so: the API server did not verify its author. A clause without a full stop.
#[must_use]
pub fn distrust(o: &Observed, decision: &Decision) -> Option<String> {
    let Some(created) = decision.metadata.creation_timestamp.as_ref().map(|t| t.0) else {
        return Some("it has no creation time".to_owned());
    };
    match &o.trust {
        Trust::Broken(why) => Some(clause(why).to_owned()),
        // A Reject stays valid, even if the Release or the policy was created again since. A forged Reject could block one plan, and
        // no more than that.
        Trust::Verified { .. } if decision.spec.action == Action::Reject => None,
        Trust::Verified { .. } if unverified_author(o, decision) => Some(format!(
            "it was created before, or less than {} s after, the last change of the admission policy or binding that verifies its author. \
             Create it again",
            o.settings.policy_settle.as_secs()
        )),
        Trust::Verified { .. } => {
            let release = o.release.metadata.creation_timestamp.as_ref();
            if release.is_some_and(|release| created < release.0) {
                return Some("it is older than the Release".to_owned());
            }
            let counts_approvals = matches!(decision.spec.action, Action::Approve);
            counts_approvals.then(|| unverified_requester(o)).flatten()
        }
    }
}

/// Whether the author of this Decision is not verified, because the admission policy that does so is younger.
#[must_use]
pub fn unverified_author(o: &Observed, decision: &Decision) -> bool {
    let created = decision.metadata.creation_timestamp.as_ref();
    match &o.trust {
        Trust::Broken(_) => true,
        Trust::Verified { decisions_since, .. } => {
            created.is_none_or(|created| created.0 < settled(o, *decisions_since))
        }
    }
}

/// Why the requester of the Release is not verified, if so: an approver could be the requester. A clause without a full stop.
#[must_use]
pub fn unverified_requester(o: &Observed) -> Option<String> {
    let Trust::Verified { requests_since, .. } = &o.trust else {
        return None;
    };
    let release = o.release.metadata.creation_timestamp.as_ref();
    let release = release.map_or(Timestamp::MIN, |t| t.0);
    (release < settled(o, *requests_since)).then(|| {
        format!(
            "the Release was created before, or less than {} s after, the last change of the admission policy or binding that verifies its \
             requester. Create the Release again",
            o.settings.policy_settle.as_secs()
        )
    })
}

/// Whether two names may belong to one person. The author of a Decision is set by the API server, as `kubectl auth whoami` shows it. The
/// requester may be written by a pipeline, in other letter case, or with or without the prefix that the API server puts before the names
/// of an identity provider. If in doubt, it is one person: fewer approvals count.
#[must_use]
pub fn may_be_one_person(one: &str, two: &str) -> bool {
    let (one, two) = (one.trim().to_lowercase(), two.trim().to_lowercase());
    // Names of the cluster's own accounts have one spelling.
    let bare = |name: &str| {
        let foreign = name.rsplit_once(':').filter(|_| !name.starts_with("system:"));
        foreign.map(|(_, bare)| bare.to_owned())
    };
    one == two || bare(&one).is_some_and(|one| one == two) || bare(&two).is_some_and(|two| one == two)
}

/// When a policy that was written at `since` is certain to be in effect.
pub(crate) fn settled(o: &Observed, since: Timestamp) -> Timestamp {
    since
        .checked_add(o.settings.policy_settle)
        .unwrap_or(Timestamp::MAX)
}
