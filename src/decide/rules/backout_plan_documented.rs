//! BackoutPlanDocumented: summary and owner are set; strategy and maxDuration have defaults once there is a plan.

use crate::api::environment::ControlName;
use crate::api::reasons;
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::BackoutPlanDocumented,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let Some(plan) = &s.observed.release.spec.backout_plan else {
        let sentence = "spec.backoutPlan must set summary and owner.";
        return Verdict::failed(reasons::PLAN_INCOMPLETE, sentence);
    };
    let given = |text: &Option<String>| text.as_deref().is_some_and(|t| !t.trim().is_empty());
    let missing: Vec<&str> = [("summary", given(&plan.summary)), ("owner", given(&plan.owner))]
        .into_iter()
        .filter_map(|(name, given)| (!given).then_some(name))
        .collect();
    if missing.is_empty() {
        let sentence = format!(
            "The backout plan is complete: {:?}, {:?}, within {}.",
            plan.strategy, plan.trigger, plan.max_duration
        );
        Verdict::satisfied(sentence)
    } else {
        Verdict::failed(
            reasons::PLAN_INCOMPLETE,
            format!("spec.backoutPlan must set {}.", missing.join(" and ")),
        )
    }
}
