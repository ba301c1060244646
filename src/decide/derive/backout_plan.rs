//! The backout plan as recorded in status.

use crate::api::release::{ArmedPlan, PlanState, Promotion};
use crate::decide::facts::Observed;

/// The backout plan as recorded in status: Documented, then Armed once a pre-state is captured.
#[must_use]
pub fn derive(o: &Observed, promotions: &[Promotion]) -> Option<ArmedPlan> {
    let plan = o.release.spec.backout_plan.as_ref()?;
    let armed = promotions.iter().any(|p| p.backout.is_some());
    Some(ArmedPlan {
        state: if armed {
            PlanState::Armed
        } else {
            PlanState::Documented
        },
        summary: plan.summary.clone(),
        strategy: plan.strategy,
        trigger: plan.trigger,
        document_url: plan.document_url.clone(),
        max_duration: plan.max_duration.clone(),
    })
}
