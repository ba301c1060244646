//! The notes as data.

use crate::api::release::{Component, State};
use crate::api::{Decision, Release, ReleaseReview};
use crate::domain::version::Version;
use crate::view::history::approvals;
use crate::view::notes::changes::{Changed, differences};

/// What people read about one Release after it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Notes<'a> {
    /// The Release.
    pub release: &'a Release,
    /// The newest older version of the product and line that Succeeded in an environment. Absent if there is none.
    pub previous: Option<&'a Release>,
    /// In the order of the spec.
    pub components: Vec<Changed<'a>>,
    /// Components of the previous Release whose targets this one does not change.
    pub gone: Vec<&'a Component>,
    /// The Decisions that approve the present plan, by environment and time.
    pub approvals: Vec<(&'a str, &'a Decision)>,
    /// The review that counts: the oldest one.
    pub review: Option<&'a ReleaseReview>,
}

/// The notes of `release`. `others` may contain any Releases, and `release` itself.
#[must_use]
pub fn notes<'a>(
    release: &'a Release,
    others: &'a [Release],
    decisions: &'a [Decision],
    reviews: &'a [ReleaseReview],
) -> Notes<'a> {
    let previous = previous(release, others);
    let earlier = |component: &Component| {
        let mut components = previous
            .into_iter()
            .flat_map(|previous| &previous.spec.components);
        components.find(|other| other.target == component.target)
    };
    let components = release.spec.components.iter().map(|component| {
        let earlier = earlier(component);
        Changed {
            component,
            is_new: previous.is_some() && earlier.is_none(),
            differences: differences(component, earlier),
        }
    });
    let ours = |component: &&Component| {
        let mut components = release.spec.components.iter();
        components.any(|other| other.target == component.target)
    };
    let before = previous
        .into_iter()
        .flat_map(|previous| &previous.spec.components);
    let promotions = release.status.iter().flat_map(|status| &status.environments);
    Notes {
        release,
        previous,
        components: components.collect(),
        gone: before.filter(|component| !ours(component)).collect(),
        approvals: promotions
            .flat_map(|promotion| {
                let mut all: Vec<&Decision> = approvals(decisions, release, promotion).collect();
                all.sort_by_key(|decision| decision.metadata.creation_timestamp.clone());
                all.into_iter()
                    .map(|decision| (promotion.name.as_str(), decision))
            })
            .collect(),
        review: crate::view::history::oldest_review(reviews, release),
    }
}

fn previous<'a>(release: &Release, others: &'a [Release]) -> Option<&'a Release> {
    let ours: Version = release.spec.version.parse().ok()?;
    let of_the_line = others.iter().filter(|other| {
        let (spec, promotions) = (&other.spec, other.status.iter().flat_map(|s| &s.environments));
        other.metadata.namespace == release.metadata.namespace
            && (&spec.product, &spec.line) == (&release.spec.product, &release.spec.line)
            && promotions.into_iter().any(|p| p.state == State::Succeeded)
    });
    let versions = of_the_line.filter_map(|other| Some((other.spec.version.parse::<Version>().ok()?, other)));
    let older = versions.filter(|(version, _)| *version < ours);
    older
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, other)| other)
}
