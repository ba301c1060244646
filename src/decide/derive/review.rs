//! The post-implementation review: whether and why it is required, when it is due, and its progress. All derived.

use jiff::Timestamp;

use crate::api::release::{
    BackoutState, ComponentStatus, Promotion, ReviewRequired, ReviewState, ReviewStatus, State,
};
use crate::api::{Action, ReleaseReview, time};
use crate::decide::facts::Observed;
use crate::decide::occupancy;
use crate::decide::trust::may_be_one_person;
use crate::domain::text::cut;

/// The current review, and when time alone changes it.
#[must_use]
pub fn derive(
    o: &Observed,
    promotions: &[Promotion],
    was: Option<&ReviewStatus>,
    now: Timestamp,
) -> (ReviewStatus, Option<Timestamp>) {
    let mut because: Vec<String> = was.map(|w| w.required_because.clone()).unwrap_or_default();
    for reason in owed_because(o, promotions) {
        if !because.iter().any(|b| b == reason) {
            because.push(reason.to_owned());
        }
    }
    let plan = &o.release.spec.review;
    let over = !promotions.is_empty() && promotions.iter().all(|p| p.state.has_ended());
    let last_end = promotions
        .iter()
        .filter_map(|p| p.finished_at.as_ref())
        .map(|t| t.0)
        .max();
    let due = last_end
        .filter(|_| over && !because.is_empty())
        .map(|end| end + plan.due_within.get());

    let (review, message) = counting(o);
    let open_actions = review.map(|r| r.spec.actions.iter().filter(|a| !a.done).count());
    let state = if because.is_empty() {
        ReviewState::NotRequired
    } else {
        match review {
            None => ReviewState::Pending,
            Some(r) if !complete(r) => ReviewState::InProgress,
            Some(_) if open_actions == Some(0) && over => ReviewState::Closed,
            Some(_) => ReviewState::Completed,
        }
    };
    let done = matches!(
        state,
        ReviewState::Completed | ReviewState::Closed | ReviewState::NotRequired
    );
    let overdue = !done && due.is_some_and(|d| now >= d);
    let edge = due.filter(|_| !done && !overdue);
    let status = ReviewStatus {
        state,
        due_at: due.map(time),
        overdue,
        required_because: because,
        outcome: review.and_then(|r| r.spec.outcome),
        open_actions: open_actions.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        message: message.map(cut),
    };
    (status, edge)
}

/// Why a review is required, one word each.
fn owed_because(o: &Observed, promotions: &[Promotion]) -> Vec<&'static str> {
    let any = |test: &dyn Fn(&Promotion) -> bool| promotions.iter().any(test);
    let first_of_product = !o.siblings.iter().any(|s| {
        s.status
            .iter()
            .flat_map(|s| &s.environments)
            .any(|p| p.state == State::Succeeded)
    });
    // Asked once, when the first environment succeeds: siblings may be deleted later.
    let was = o.release.status.iter().flat_map(|s| &s.environments);
    let first_of_product = first_of_product && !was.into_iter().any(|p| p.state == State::Succeeded);
    let entered = any(&|p| p.entered.is_some());
    [
        (
            "Always",
            o.release.spec.review.required == ReviewRequired::Always && entered,
        ),
        (
            "BackedOut",
            any(&|p| p.backout.as_ref().is_some_and(|b| b.state != BackoutState::Armed)),
        ),
        ("Failed", any(&|p| p.state == State::Failed)),
        (
            "Accepted",
            any(&|p| p.decided.as_ref().is_some_and(|d| d.action == Action::Accept)),
        ),
        ("Overran", any(&overran)),
        ("OccupiedTooLong", any(&|p| occupancy::was_too_long(o, p))),
        (
            "Drift",
            any(&|p| p.components.iter().any(ComponentStatus::drifted)),
        ),
        (
            "FirstRelease",
            first_of_product && any(&|p| p.state == State::Succeeded),
        ),
    ]
    .into_iter()
    .filter_map(|(reason, owed)| owed.then_some(reason))
    .collect()
}

fn overran(p: &Promotion) -> bool {
    let planned = p.entered.as_ref().and_then(|e| e.planned_end.as_ref());
    matches!((planned, &p.finished_at), (Some(planned), Some(end)) if end.0 > planned.0)
}

/// The review that counts: the oldest whose reviewer neither requested nor approved. And sentences that say why older ones
/// do not.
fn counting(o: &Observed) -> (Option<&ReleaseReview>, Option<String>) {
    let mut ignored: Vec<String> = Vec::new();
    let said = |ignored: Vec<String>| (!ignored.is_empty()).then(|| ignored.join(" "));
    for review in &o.reviews {
        let reviewer = &review.spec.reviewer;
        let approved = o
            .decisions
            .iter()
            .any(|d| d.spec.action == Action::Approve && may_be_one_person(&d.spec.by, reviewer));
        if may_be_one_person(reviewer, &o.release.spec.requested_by) || approved {
            let role = if approved { "approved" } else { "requested" };
            ignored.push(format!(
                "The review by {reviewer} does not count: {reviewer} {role} this release."
            ));
        } else {
            return (Some(review), said(ignored));
        }
    }
    (None, said(ignored))
}

/// Completed requires an outcome, and an owner for every action.
fn complete(review: &ReleaseReview) -> bool {
    review.spec.outcome.is_some() && review.spec.actions.iter().all(|a| a.owner.is_some())
}
