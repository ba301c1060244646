//! Whether the API server vouched for who wrote a Decision or a Release.

use jiff::Timestamp;

use crate::api::{Action as Act, Decision};
use crate::decide::facts::{Observed, Trust};

/// Why this Decision cannot be trusted, if so: the API server did not vouch for its author.
#[must_use]
pub fn distrust(o: &Observed, decision: &Decision) -> Option<String> {
    let Some(created) = decision.metadata.creation_timestamp.as_ref().map(|t| t.0) else {
        return Some("it has no creation time".to_owned());
    };
    match &o.trust {
        Trust::Broken(why) => Some(why.clone()),
        // What was rejected stays rejected, whatever has been created again since, Release or policy. A forged one could keep
        // one plan out, and no more than that.
        Trust::Vouched { .. } if decision.spec.action == Act::Reject => None,
        Trust::Vouched { .. } if unvouched_author(o, decision) => Some(format!(
            "it is not at least {} s younger than the admission policy that vouches for its author; create it again",
            o.settings.policy_settle.as_secs()
        )),
        Trust::Vouched { .. } => {
            let release = o.release.metadata.creation_timestamp.as_ref();
            if release.is_some_and(|release| created < release.0) {
                return Some("it is older than the Release".to_owned());
            }
            let counts_approvals = matches!(decision.spec.action, Act::Approve);
            counts_approvals.then(|| unvouched_requester(o)).flatten()
        }
    }
}

/// Whether nobody vouches for the author of this Decision, because the policy that would is younger.
#[must_use]
pub fn unvouched_author(o: &Observed, decision: &Decision) -> bool {
    let created = decision.metadata.creation_timestamp.as_ref();
    match &o.trust {
        Trust::Broken(_) => true,
        Trust::Vouched { decisions_since, .. } => {
            created.is_none_or(|created| created.0 < settled(o, *decisions_since))
        }
    }
}

/// Why nobody knows who asked for the Release, if so: among those who approve there could be the one who did.
#[must_use]
pub fn unvouched_requester(o: &Observed) -> Option<String> {
    let Trust::Vouched { requests_since, .. } = &o.trust else {
        return None;
    };
    let release = o.release.metadata.creation_timestamp.as_ref();
    let release = release.map_or(Timestamp::MIN, |t| t.0);
    (release < settled(o, *requests_since)).then(|| {
        format!(
            "the Release is not at least {} s younger than the admission policy that vouches for its requester; create the Release again",
            o.settings.policy_settle.as_secs()
        )
    })
}

/// Whether two names may be one person's. A Decision's is the API server's, as `kubectl auth whoami` shows it; who requested
/// may have been written down by a pipeline, in other cases or with or without the prefix that the API server puts before
/// the names of an identity provider. Where in doubt it is one person: fewer approvals count.
#[must_use]
pub fn may_be_one_person(one: &str, two: &str) -> bool {
    let (one, two) = (one.trim().to_lowercase(), two.trim().to_lowercase());
    // Names of the cluster's own have one spelling.
    let bare = |name: &str| {
        let foreign = name.rsplit_once(':').filter(|_| !name.starts_with("system:"));
        foreign.map(|(_, bare)| bare.to_owned())
    };
    one == two || bare(&one).is_some_and(|one| one == two) || bare(&two).is_some_and(|two| one == two)
}

/// When a policy that was written at `since` surely takes effect.
pub(crate) fn settled(o: &Observed, since: Timestamp) -> Timestamp {
    since
        .checked_add(o.settings.policy_settle)
        .unwrap_or(Timestamp::MAX)
}
