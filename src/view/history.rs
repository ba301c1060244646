//! What ran where, from when to when, by which Release, who decided it, and how it ended.
//!
//! It is read from objects that exist. Not known are: earlier attempts, because a Retry overwrites them in the status; Releases that
//! were deleted; and Decisions and ReleaseReviews that were deleted.

use jiff::Timestamp;
use serde::Serialize;

use crate::api::release::{BackoutState, Promotion, State};
use crate::api::review::Outcome;
use crate::api::{Action, Decision, Release, ReleaseReview, Time};
use crate::view::layout::{columns, line};

const WIDTH: usize = 100;
const HEADER: [&str; 13] = [
    "ENVIRONMENT",
    "PRODUCT",
    "VERSION",
    "RELEASE",
    "ATTEMPT",
    "ENTERED",
    "RUNNING FROM",
    "UNTIL",
    "STATE",
    "DECIDED BY",
    "REQUESTED BY",
    "CHANGE",
    "REVIEW",
];

/// Which rows of a history are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Only of this product.
    pub product: Option<&'a str>,
    /// Only in this Environment.
    pub environment: Option<&'a str>,
    /// Only what was in progress or running at or after this time.
    pub since: Option<Timestamp>,
}

/// What ran, the latest entry first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    /// One for each promotion that has entered.
    pub rows: Vec<Row>,
}

/// The latest attempt of a promotion.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Name of the Environment.
    pub environment: String,
    /// `spec.product` of the Release.
    pub product: String,
    /// `spec.line` of the Release.
    pub line: String,
    /// `spec.version` of the Release.
    pub version: String,
    /// Namespace of the Release.
    pub namespace: String,
    /// Name of the Release.
    pub release: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// When the attempt entered (UTC).
    pub entered: Timestamp,
    /// When all components were ready (UTC). Absent if they never were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_from: Option<Timestamp>,
    /// When it was backed out, or another version of the product and line Succeeded there (UTC). Absent while it runs, or if it never
    /// ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The state of the promotion: if it has finished, how it ended.
    pub state: State,
    /// When it finished (UTC). Absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// The approvals of its plan, and the Decision that the operator acted on last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<DecidedBy>,
    /// `spec.requestedBy` of the Release, the user who requests it.
    pub requested_by: String,
    /// `spec.change.reference` of the Release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The review of the Release that counts. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Reviewed>,
}

/// A user, and what the user decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DecidedBy {
    /// The user.
    pub by: String,
    /// What the user decided.
    #[serde(serialize_with = "word")]
    pub action: &'static str,
    /// The role in which the user approved. Absent for other actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A reviewer, and the verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reviewed {
    /// The user who writes the review.
    pub by: String,
    /// The verdict. Absent if there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

fn word<S: serde::Serializer>(word: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word)
}

/// What ran, as far as these objects show it.
#[must_use]
pub fn history(
    releases: &[Release],
    decisions: &[Decision],
    reviews: &[ReleaseReview],
    filter: &Filter<'_>,
) -> History {
    let promotions = releases.iter().flat_map(|release| {
        let status = release.status.iter();
        status
            .flat_map(|s| &s.environments)
            .map(move |promotion| (release, promotion))
    });
    let mut rows: Vec<Row> = promotions
        .filter(|(release, promotion)| {
            filter
                .product
                .is_none_or(|product| release.spec.product == product)
                && filter.environment.is_none_or(|name| promotion.name == name)
        })
        .filter_map(|(release, promotion)| {
            let mut row = row(release, promotion)?;
            row.until = row
                .running_from
                .and_then(|from| until(releases, release, promotion, from));
            row.decided_by = decided_by(decisions, release, promotion);
            row.review = oldest_review(reviews, release).map(|review| Reviewed {
                by: review.spec.reviewer.clone(),
                outcome: review.spec.outcome,
            });
            Some(row)
        })
        .filter(|row| {
            filter
                .since
                .is_none_or(|since| row.last().is_none_or(|last| last >= since))
        })
        .collect();
    rows.sort_by(|a, b| {
        let names = |row: &Row| {
            (
                row.environment.clone(),
                row.namespace.clone(),
                row.release.clone(),
            )
        };
        b.entered.cmp(&a.entered).then_with(|| names(a).cmp(&names(b)))
    });
    History { rows }
}

fn instant(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

fn row(release: &Release, promotion: &Promotion) -> Option<Row> {
    let spec = &release.spec;
    let ready = instant(promotion.deployed_at.as_ref());
    let succeeded = promotion.state == State::Succeeded;
    let finished = instant(promotion.finished_at.as_ref());
    Some(Row {
        environment: promotion.name.clone(),
        product: spec.product.clone(),
        line: spec.line.clone(),
        version: spec.version.clone(),
        namespace: release.metadata.namespace.clone().unwrap_or_default(),
        release: release.metadata.name.clone().unwrap_or_default(),
        attempt: promotion.attempt,
        entered: instant(promotion.started_at.as_ref())?,
        running_from: ready.or(finished.filter(|_| succeeded)),
        until: None,
        state: promotion.state,
        finished,
        decided_by: Vec::new(),
        requested_by: spec.requested_by.clone(),
        change: spec.change.reference.clone(),
        review: None,
    })
}

impl Row {
    /// The last time at which it was in progress or running. Absent if it still is.
    fn last(&self) -> Option<Timestamp> {
        match self.running_from {
            Some(_) => self.until,
            None => self.finished,
        }
    }
}

/// When it was backed out, or replaced by another version.
fn until(
    releases: &[Release],
    release: &Release,
    promotion: &Promotion,
    from: Timestamp,
) -> Option<Timestamp> {
    let backout = promotion.backout.as_ref();
    let backed_out = backout
        .filter(|backout| backout.state == BackoutState::Verified)
        .and_then(|backout| instant(backout.finished_at.as_ref()));
    let (ours, metadata) = (&release.spec, &release.metadata);
    let others = releases.iter().filter(|other| {
        let spec = &other.spec;
        other.metadata.namespace == metadata.namespace
            && (&spec.product, &spec.line) == (&ours.product, &ours.line)
            && spec.version != ours.version
    });
    let succeeded = others
        .filter_map(|other| other.promotion(&promotion.name))
        .filter(|there| there.state == State::Succeeded)
        .filter_map(|there| instant(there.finished_at.as_ref()));
    let replaced = succeeded.filter(|at| *at > from).min();
    crate::domain::time::earliest(backed_out, replaced)
}

/// The Decisions that approve the present plan of this promotion. Whether the operator counts them is not judged.
pub(crate) fn approvals<'a>(
    decisions: &'a [Decision],
    release: &Release,
    promotion: &Promotion,
) -> impl Iterator<Item = &'a Decision> {
    let metadata = &release.metadata;
    decisions.iter().filter(move |decision| {
        let spec = &decision.spec;
        decision.metadata.namespace == metadata.namespace
            && Some(&spec.release) == metadata.name.as_ref()
            && spec.environment == promotion.name
            && spec.action == Action::Approve
            && spec
                .plan_hash
                .as_ref()
                .is_some_and(|hash| *hash == promotion.plan_hash)
    })
}

fn decided_by(decisions: &[Decision], release: &Release, promotion: &Promotion) -> Vec<DecidedBy> {
    let mut found: Vec<DecidedBy> = approvals(decisions, release, promotion)
        .map(|decision| DecidedBy {
            by: decision.spec.by.clone(),
            action: decision.spec.action.as_str(),
            role: decision.spec.role.clone(),
        })
        .collect();
    found.sort();
    found.dedup();
    found.extend(promotion.decided.iter().map(|decided| DecidedBy {
        by: decided.by.clone(),
        action: decided.action.as_str(),
        role: None,
    }));
    found
}

/// If a Release has several reviews, the oldest counts.
pub(crate) fn oldest_review<'a>(
    reviews: &'a [ReleaseReview],
    release: &Release,
) -> Option<&'a ReleaseReview> {
    let of = reviews.iter().filter(|review| {
        review.metadata.namespace == release.metadata.namespace
            && Some(&review.spec.release) == release.metadata.name.as_ref()
    });
    of.min_by_key(|review| {
        let metadata = &review.metadata;
        (metadata.creation_timestamp.clone(), metadata.name.clone())
    })
}

/// The history as a table.
#[must_use]
pub fn text(history: &History) -> String {
    let mut text = String::new();
    if history.rows.is_empty() {
        line(&mut text, WIDTH, 0, "No promotion that has entered is recorded.");
    } else {
        let mut lines = vec![HEADER.map(str::to_owned)];
        lines.extend(history.rows.iter().map(cells));
        columns(&mut text, &lines);
    }
    text.push('\n');
    line(
        &mut text,
        WIDTH,
        0,
        "Times are in UTC. Earlier attempts that a Retry has overwritten, and objects that were deleted, are not recorded.",
    );
    text
}

fn cells(row: &Row) -> [String; 13] {
    let moment =
        |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    let decided: Vec<String> = row.decided_by.iter().map(ToString::to_string).collect();
    let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or("-".to_owned());
    [
        row.environment.clone(),
        row.product.clone(),
        row.version.clone(),
        format!("{}/{}", row.namespace, row.release),
        row.attempt.to_string(),
        moment(Some(row.entered)),
        moment(row.running_from),
        moment(row.until),
        row.state.as_str().to_owned(),
        or_none(Some(decided.join(", "))),
        row.requested_by.clone(),
        or_none(row.change.clone()),
        or_none(row.review.as_ref().map(ToString::to_string)),
    ]
}

impl std::fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.role {
            Some(role) => write!(f, "{} ({} as {role})", self.by, self.action),
            None => write!(f, "{} ({})", self.by, self.action),
        }
    }
}

impl std::fmt::Display for Reviewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.outcome {
            Some(outcome) => write!(f, "{outcome:?} by {}", self.by),
            None => write!(f, "open, by {}", self.by),
        }
    }
}

#[cfg(test)]
mod tests;
