//! The pure core: the observed facts go in, one [`Step`] comes out. No client, no clock, no randomness.
//!
//! Read top to bottom: [`decide`] defines the order, [`states`] how one promotion moves through its states, [`rules`] which checks must
//! be satisfied before it enters, [`derive`] the rest of status. The files beside them, by what they are about:
//!
//! - what goes in and comes out: `facts`, `ask` (what has to be read), `step` (the three forms), `moves` (from one state to the next)
//! - the Release: `accepted` (is its spec valid), `plan` (what an approval is bound to), `order`, `newer` (versions)
//! - Decisions: `decisions` (which count), `trust` (who is verified), `obeying` (what they do), `occupancy` (when none comes)
//! - targets: `licence` (who may change them), `holdings` (claim and pre-state), `prestate`, `owned`, `standing` (as captured, as applied, or
//!   changed by others), `drift`, `health`, `telling` (what a component says)
//! - Jobs and expressions: `jobs`, `job_start`, `expressions`
//! - target namespaces: `consent`, `shared_targets`

pub mod accepted;
pub mod ask;
pub mod consent;
pub mod decisions;
pub mod derive;
pub mod drift;
pub mod expressions;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod health;
pub mod holdings;
pub mod job_start;
pub mod jobs;
pub mod licence;
pub mod moves;
pub mod newer;
pub mod obeying;
pub mod occupancy;
pub mod order;
pub mod owned;
pub mod plan;
pub mod prestate;
pub mod rules;
pub mod shared_targets;
pub mod standing;
pub mod states;
pub mod step;
mod telling;
#[cfg(test)]
mod tests;
pub mod trust;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::release::{Promotion, STATE_VERSION};
use crate::api::{RELEASE_FINALIZER, ReleaseStatus};
use crate::decide::facts::Observed;
use crate::decide::step::{Announcement, Effect, Move, Step, Transition, Wait};
use crate::domain::time::earliest;

/// The type of [`decide`]. It is passed to a reconcile, so that tests can pass one that breaks a rule.
pub type Decide = fn(&Observed, Timestamp) -> Step;

/// The decision of a reconcile: at most one Transition for the whole object, else the union of Acts, else the
/// earliest Wait, so that a waiting environment never hides an acting one.
#[must_use]
pub fn decide(observed: &Observed, now: Timestamp) -> Step {
    let release = &observed.release;
    if release
        .status
        .as_ref()
        .and_then(|s| s.state_version)
        .is_some_and(|v| v > STATE_VERSION)
    {
        return Step::Wait(Wait { until: None });
    }
    let going = release.metadata.deletion_timestamp.is_some();
    let has_finalizer = release
        .metadata
        .finalizers
        .as_ref()
        .is_some_and(|f| f.iter().any(|f| f == RELEASE_FINALIZER));
    if going && !has_finalizer {
        return Step::Wait(Wait { until: None });
    }
    if !has_finalizer {
        return Step::Act(vec![Effect::AddFinalizer]);
    }

    let verdict = accepted::judge(observed);
    let mut outcome = Outcome::default();
    for promotion in order::listed(observed) {
        let next = if going {
            states::deletion::step(observed, &promotion, now)
        } else {
            states::step(observed, &promotion, &verdict, now)
        };
        outcome.take(promotion, next);
    }
    outcome.finish(observed, &verdict, going, now)
}

/// What all promotions of a Release want together.
#[derive(Default)]
struct Outcome {
    promotions: Vec<Promotion>,
    announcements: Vec<Announcement>,
    actions: Vec<Effect>,
    until: Option<Timestamp>,
}

impl Outcome {
    fn take(&mut self, was: Promotion, next: Move) {
        match next {
            Move::To(promotion, announcements) => {
                self.promotions.push(*promotion);
                self.announcements.extend(announcements);
            }
            Move::Do(actions) => {
                self.promotions.push(was);
                self.actions.extend(actions);
            }
            Move::Rest(until) => {
                self.promotions.push(was);
                self.until = earliest(self.until, until);
            }
        }
    }

    fn finish(
        mut self,
        observed: &Observed,
        accepted: &accepted::Accepted,
        going: bool,
        now: Timestamp,
    ) -> Step {
        let nothing = ReleaseStatus::default();
        let was = observed.release.status.as_ref().unwrap_or(&nothing);
        let (review, review_edge) =
            derive::review::derive(observed, &self.promotions, was.review.as_deref(), now);
        let (rag, rag_edge) = derive::rag::derive(observed, &self.promotions, &review, accepted, now);
        let status = ReleaseStatus {
            observed_generation: observed.release.metadata.generation,
            state_version: Some(STATE_VERSION),
            furthest: order::furthest(observed, &self.promotions),
            rag: Some(rag),
            backout_plan: derive::backout_plan::derive(observed, &self.promotions).map(Box::new),
            review: Some(Box::new(review)),
            conditions: derive::conditions::derive(
                observed,
                &self.promotions,
                accepted,
                &was.conditions,
                now,
            ),
            environments: self.promotions,
        };
        if status != *was && !only_reworded(was, &status) {
            return Step::Transition(Box::new(Transition {
                status,
                announcements: self.announcements,
            }));
        }
        self.actions.extend(holdings::strays(observed));
        self.actions.extend(jobs::unwanted(observed));
        self.actions.extend(decisions::adoptions(observed));
        if going && self.actions.is_empty() {
            self.actions.extend(states::deletion::let_go(observed));
        }
        self.actions.extend(holdings::obsolete_pre_states(observed));
        if !self.actions.is_empty() {
            return Step::Act(self.actions);
        }
        let until = [review_edge, rag_edge].into_iter().fold(self.until, earliest);
        Step::Wait(Wait { until })
    }
}

/// Whether `is` says the same as `was` in other words, of a Release that is valid and at rest. After an upgrade with other texts, there would
/// be a write for each Release that has ever finished. What is wrong with one that is not valid may change without anything else.
fn only_reworded(was: &ReleaseStatus, is: &ReleaseStatus) -> bool {
    let accepted = |c: &Condition| c.type_ == "Accepted" && c.status == "True";
    let at_rest = is.environments.iter().all(|p| p.state.is_over()) && is.conditions.iter().any(accepted);
    let conditions = |status: &ReleaseStatus| -> Vec<Condition> {
        let conditions = status.conditions.iter().cloned();
        let worded = |condition| Condition {
            message: String::new(),
            ..condition
        };
        conditions.map(worded).collect()
    };
    let rag = |status: &ReleaseStatus| status.rag.as_ref().map(|rag| (rag.colour, rag.reasons.len()));
    let worded = ReleaseStatus {
        conditions: was.conditions.clone(),
        rag: was.rag.clone(),
        ..is.clone()
    };
    at_rest && worded == *was && conditions(is) == conditions(was) && rag(is) == rag(was)
}
