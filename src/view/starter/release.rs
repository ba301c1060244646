//! The first Release: it states what runs, and changes nothing.

use serde_json::json;

use crate::view::next_release::release_name;
use crate::view::starter::components::Found;
use crate::view::starter::page::Page;
use crate::view::starter::plan::{Plan, Unstartable};

/// The content of release.yaml.
pub(crate) fn text(plan: &Plan, found: &Found) -> Result<String, Unstartable> {
    let mut page = Page::default();
    page.comment(
        0,
        "The first Release of the product. Its components state what runs now, so it changes nothing. The next Release is a copy with another \
         version and other images.",
    );
    let name = release_name(&plan.product, &plan.version);
    page.yaml(
        0,
        &json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release", "metadata": { "name": name, "namespace": plan.home } }),
    )?;
    page.key(0, "spec");
    page.comment(2, "Within a namespace, a newer version of a product supersedes an older one. Versions are compared number by number.");
    page.yaml(2, &json!({ "product": plan.product }))?;
    page.yaml(2, &json!({ "version": plan.version }))?;
    page.comment(2, "The user who creates the Release.");
    page.yaml(2, &json!({ "requestedBy": plan.requester }))?;
    page.yaml(2, &json!({ "change": { "model": "Normal", "reason": "What runs now is released with Signalbox from here on." } }))?;
    page.comment(
        2,
        "The environments to which it is promoted. The order follows from their promotesFrom.",
    );
    let environments: Vec<&str> = plan
        .stages
        .iter()
        .map(|stage| stage.environment.as_str())
        .collect();
    page.yaml(2, &json!({ "environments": environments }))?;
    components(&mut page, found)?;
    page.comment(
        2,
        "Replace the URL with that of your plan. The plan is immutable once an environment has been entered.",
    );
    page.yaml(
        2,
        &json!({ "deploymentPlan": { "summary": "Nothing changes.", "owner": plan.requester, "expectedDuration": "5m",
                 "documentURL": "https://example.com/plans/first-release" } }),
    )?;
    page.comment(
        2,
        "Automatic: a failure is backed out immediately. OnDecision: the backout waits for a Decision.",
    );
    page.yaml(
        2,
        &json!({ "backoutPlan": { "summary": "Restore what ran before.", "owner": plan.requester, "strategy": "Restore",
                 "trigger": "Automatic", "maxDuration": "5m" } }),
    )?;
    if let Some(reviewer) = &plan.reviewer {
        page.yaml(2, &json!({ "review": { "reviewer": reviewer } }))?;
    }
    Ok(page.text())
}

fn components(page: &mut Page, found: &Found) -> Result<(), Unstartable> {
    page.comment(
        2,
        "What it changes, in order. A patch sets exactly the fields in it, and images sets the image of each container named. To restart the \
         pods of a component when its configuration changes, list the component of the ConfigMap in restartOn, too.",
    );
    if !found.left_out.is_empty() {
        page.comment(2, "These objects are not components:");
        for left in &found.left_out {
            page.comment(2, &format!("- {left}."));
        }
    }
    page.key(2, "components");
    for noted in &found.components {
        for note in &noted.notes {
            page.comment(2, note);
        }
        page.yaml(2, &[&noted.component])?;
    }
    Ok(())
}
