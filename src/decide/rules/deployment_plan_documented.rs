//! DeploymentPlanDocumented: summary, owner and documentURL are set.

use crate::api::environment::ControlName;
use crate::api::{reasons, release};
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::DeploymentPlanDocumented,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let plan = s.observed.release.spec.deployment_plan.as_ref();
    let given = |field: fn(&release::DeploymentPlan) -> &Option<String>| {
        plan.and_then(|p| field(p).as_deref())
            .is_some_and(|text| !text.trim().is_empty())
    };
    let missing: Vec<&str> = [
        ("summary", given(|p| &p.summary)),
        ("owner", given(|p| &p.owner)),
        ("documentURL", given(|p| &p.document_url)),
    ]
    .into_iter()
    .filter_map(|(name, given)| (!given).then_some(name))
    .collect();
    if missing.is_empty() {
        Verdict::satisfied("The deployment plan has summary, owner and document.")
    } else {
        Verdict::failed(
            reasons::PLAN_INCOMPLETE,
            format!("spec.deploymentPlan must set {}.", missing.join(", ")),
        )
    }
}
