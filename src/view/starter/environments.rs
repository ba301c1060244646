//! An Environment for each stage.

use serde_json::{Value, json};

use crate::api::environment::Stage as Kind;
use crate::view::starter::components::Found;
use crate::view::starter::page::Page;
use crate::view::starter::plan::{Plan, Unstartable};

/// The role whose members approve for production.
pub(crate) const ROLE: &str = "release-board";

/// The content of environments.yaml.
pub(crate) fn text(plan: &Plan, found: &Found) -> Result<String, Unstartable> {
    let mut page = Page::default();
    page.comment(
        0,
        "The environments to which Releases are promoted, and the conditions for entering them. Environments are cluster-scoped: a cluster \
         administrator creates them, and the owner of each stage decides about its conditions.",
    );
    let mut before: Option<&str> = None;
    for (stage, kind) in plan.kinds() {
        if before.is_some() {
            page.next();
        }
        page.yaml(
            0,
            &json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": { "name": stage.environment } }),
        )?;
        page.key(0, "spec");
        page.comment(
            2,
            "Development, SIT, NFT, UAT, PreProduction or Production. The stage sets the default enforcement of the controls.",
        );
        page.yaml(2, &json!({ "stage": kind }))?;
        page.comment(
            2,
            "Contact in messages about problems that only the owner of the environment can fix.",
        );
        page.example(
            2,
            &json!({ "owner": { "team": "platform", "contact": "#platform" } }),
        )?;
        namespace(&mut page, &plan.home, &stage.namespace)?;
        if found.unpinned.contains(&stage.environment) && kind >= Kind::Uat {
            page.comment(
                2,
                "Images that run now are not pinned by digest. Remove this control once a Release has pinned them: the default of the stage is \
                 that every image must be pinned.",
            );
            page.yaml(
                2,
                &json!({ "controls": [{ "name": "DigestPinned", "enforcement": "Advisory" }] }),
            )?;
        }
        gates(&mut page, kind, before)?;
        after_entry(&mut page, kind)?;
        before = Some(&stage.environment);
    }
    Ok(page.text())
}

fn namespace(page: &mut Page, home: &str, target: &str) -> Result<(), Unstartable> {
    page.comment(2, "The target namespace.");
    page.yaml(2, &json!({ "namespace": target }))?;
    if let Some((start, end)) = target.split_once(home)
        && !(start.is_empty() && end.is_empty())
    {
        page.comment(
            2,
            "To share this Environment with other teams, whose namespaces are named in the same way:",
        );
        page.example(2, &json!({ "namespace": format!("{start}{{namespace}}{end}") }))?;
    }
    page.comment(
        2,
        "The namespaces whose Releases may enter. Kubernetes sets this label on every namespace.",
    );
    page.yaml(
        2,
        &json!({ "releaseNamespaces": { "matchLabels": { "kubernetes.io/metadata.name": home } } }),
    )?;
    Ok(())
}

/// The conditions before the entry.
fn gates(page: &mut Page, kind: Kind, before: Option<&str>) -> Result<(), Unstartable> {
    match before {
        Some(before) => {
            page.comment(
                2,
                "Only Releases that Succeeded there enter, and only with the same images (control SameArtifact).",
            );
            page.yaml(2, &json!({ "promotesFrom": { "environments": [before] } }))?;
        }
        None => page.comment(2, "No promotesFrom: releases start here."),
    }
    let soak = |duration: &str| {
        before.map(
            |before| json!([{ "name": "soak", "soak": { "environment": before, "duration": duration } }]),
        )
    };
    if kind != Kind::Production {
        if let Some(soak) = soak("1h") {
            page.comment(2, "To let a release run there for a while first:");
            page.example(2, &json!({ "gates": soak }))?;
        }
        return Ok(());
    }
    page.key(2, "gates");
    if let Some(soak) = soak("1h") {
        page.comment(
            2,
            "The release must have run in the environment before for this time.",
        );
        page.yaml(2, &soak)?;
    }
    page.comment(
        2,
        "One member of the release board must approve this plan. Members are set by RBAC (access.yaml): they have the verb approve on \
         environments/release-board. An approval by the requester of the release never counts.",
    );
    let board = json!([{ "name": "board", "approval": { "role": ROLE, "minimum": 1, "validFor": "72h" } }]);
    page.yaml(2, &board)?;
    Ok(())
}

/// Verification, observation and windows.
fn after_entry(page: &mut Page, kind: Kind) -> Result<(), Unstartable> {
    if kind >= Kind::Uat {
        page.comment(2, "To run a Job, created from a suspended CronJob in the target namespace, when the workloads are ready:");
        let smoke: Value = json!([{ "name": "smoke", "job": { "template": "smoke-test", "timeout": "5m" } }]);
        page.example(2, &json!({ "verification": smoke }))?;
        page.comment(2, "All components must stay healthy for this time.");
        page.yaml(2, &json!({ "observation": "5m" }))?;
    }
    if kind == Kind::Production {
        page.comment(
            2,
            "Without an Allow window, a production environment is closed by default. This one is open. To open it at certain times only, \
             remove this line and use windows:",
        );
        page.yaml(2, &json!({ "defaultWindow": "Open" }))?;
        let windows = json!({ "windows": [
            { "name": "tuesdays", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London" },
            { "name": "year-end", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2027-01-04T00:00:00Z" },
        ] });
        page.example(2, &windows)?;
    }
    Ok(())
}
