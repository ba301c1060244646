//! Whether manifests are valid, checked without a cluster: what the API server refuses, and what the operator would report.
//!
//! No rule is repeated here. Schemas and CEL come from the definitions, messages about a Release from `decide::accepted` and from the
//! checks, and messages about windows from the calendar. There is no client and no clock here.

mod date_time;
mod decisions;
mod environments;
mod finding;
mod linted;
mod policies;
mod releases;
mod schema;

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::{Decision, Environment, Release, ReleaseReview};
use crate::manifests::Manifests;
pub use finding::{Finding, Report, Severity};
use linted::{Lint, Typed};

/// Checks `manifests` as of `now`.
///
/// `known` are names of Environments that exist besides those in the manifests. A name that is not among them is an error, but only a
/// note if none are known and the manifests have fewer than two Environments.
#[must_use]
pub fn lint(manifests: &Manifests, known: &[String], now: Timestamp) -> Report {
    let mut linted = Lint::new(manifests, known, now);
    linted.forms();
    linted.doubles();
    linted.environments();
    linted.releases();
    linted.decisions();
    linted.report()
}

/// Objects of our kinds that fit their schema.
#[derive(Debug, Default)]
pub struct Forms {
    /// The Environments, in the order of the files.
    pub environments: Vec<Environment>,
    /// The Releases, in the order of the files.
    pub releases: Vec<Release>,
    /// The Decisions, in the order of the files.
    pub decisions: Vec<Decision>,
    /// The ReleaseReviews, in the order of the files.
    pub reviews: Vec<ReleaseReview>,
}

/// The objects in `manifests`, and why the API server would refuse some of them. Nothing else is checked.
#[must_use]
pub fn forms(manifests: &Manifests, now: Timestamp) -> (Forms, Vec<Finding>) {
    fn plain<K: Clone>(typed: Vec<Typed<'_, K>>) -> Vec<K> {
        let objects = typed.into_iter().map(|one| Arc::unwrap_or_clone(one.object));
        objects.collect()
    }
    let mut linted = Lint::new(manifests, &[], now);
    linted.forms();
    linted.doubles();
    let mut forms = Forms {
        environments: plain(std::mem::take(&mut linted.environments)),
        releases: plain(std::mem::take(&mut linted.releases)),
        decisions: plain(std::mem::take(&mut linted.decisions)),
        reviews: plain(std::mem::take(&mut linted.reviews)),
    };
    for release in &mut forms.releases {
        release.metadata.uid = None;
    }
    let mut findings = linted.report().findings;
    findings.retain(|finding| finding.severity == Severity::Error);
    (forms, findings)
}
