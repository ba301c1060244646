//! The rights of users and of the deployer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::ACCEPT;
use crate::api::environment::Stage as Kind;
use crate::view::starter::environments::ROLE;
use crate::view::starter::page::Page;
use crate::view::starter::plan::{Plan, Unstartable};

/// The ServiceAccount as which Signalbox writes in a target namespace. It is the chart's default.
const DEPLOYER: &str = "signalbox-deployer";
const RBAC: &str = "rbac.authorization.k8s.io";

/// The content of access.yaml.
pub(crate) fn text(plan: &Plan) -> Result<String, Unstartable> {
    let mut page = Page::default();
    page.comment(
        0,
        "Rights of users and of the deployer. All of it is RBAC. The Roles are in the namespace of the Releases, so they apply only to the \
         releases of this team.",
    );
    let all: Vec<&str> = plan
        .stages
        .iter()
        .map(|stage| stage.environment.as_str())
        .collect();
    page.comment(
        0,
        "The requester writes Releases, and can list these environments in them.",
    );
    let requester = [user(&plan.requester)];
    let rules = json!([
        rule(
            "releases",
            &["get", "list", "watch", "create", "update", "patch", "delete"]
        ),
        json!({ "apiGroups": ["signalbox.dev"], "resources": ["decisions", "releasereviews"], "verbs": ["get", "list", "watch"] }),
        json!({ "apiGroups": ["signalbox.dev"], "resources": ["environments"], "resourceNames": all, "verbs": ["promote"] }),
    ]);
    page.yaml(0, &role("delivery", &plan.home, &rules))?;
    page.next();
    page.yaml(0, &binding("delivery", &plan.home, &requester))?;
    approvers(&mut page, plan, &all)?;
    reviewer(&mut page, plan)?;
    viewers(&mut page, plan)?;
    deployers(&mut page, plan)?;
    Ok(page.text())
}

/// The subjects who approve and decide.
fn board(plan: &Plan) -> Vec<Value> {
    let users = plan.approvers.iter().map(|name| user(name));
    let groups = plan.approver_groups.iter();
    let groups = groups.map(|name| json!({ "apiGroup": RBAC, "kind": "Group", "name": name }));
    users.chain(groups).collect()
}

fn approvers(page: &mut Page, plan: &Plan, all: &[&str]) -> Result<(), Unstartable> {
    let production = plan.kinds().filter(|(_, kind)| *kind == Kind::Production);
    let production: Vec<&str> = production.map(|(stage, _)| stage.environment.as_str()).collect();
    let (read, write) = (["get", "list", "watch"], ["get", "list", "watch", "create"]);
    if !production.is_empty() {
        page.next();
        page.comment(0, "The release board approves and rejects for production.");
        let rules = json!([
            { "apiGroups": ["signalbox.dev"], "resources": [format!("environments/{ROLE}")], "resourceNames": production, "verbs": ["approve"] },
            { "apiGroups": ["signalbox.dev"], "resources": ["releases", "releasereviews"], "verbs": read },
            rule("decisions", &write),
        ]);
        page.yaml(0, &role(ROLE, &plan.home, &rules))?;
        bound(page, plan, ROLE)?;
    }
    page.next();
    page.comment(0, "Release managers decide about releases that failed.");
    let rules = json!([
        { "apiGroups": ["signalbox.dev"], "resources": ["environments"], "resourceNames": all,
          "verbs": ["backout", "accept", "abandon", "retry"] },
        { "apiGroups": ["signalbox.dev"], "resources": ["releases", "releasereviews"], "verbs": read },
        rule("decisions", &write),
    ]);
    page.yaml(0, &role("release-manager", &plan.home, &rules))?;
    bound(page, plan, "release-manager")
}

/// A review by the requester or an approver does not count.
fn reviewer(page: &mut Page, plan: &Plan) -> Result<(), Unstartable> {
    page.next();
    page.comment(
        0,
        "The reviewer writes the post-implementation reviews. The first Release of a product needs one. A review by its requester or by an \
         approver does not count.",
    );
    let rules = json!([
        rule("releases", &["get", "list", "watch", "review"]),
        rule("decisions", &["get", "list", "watch"]),
        rule(
            "releasereviews",
            &["get", "list", "watch", "create", "update", "patch"]
        ),
    ]);
    page.yaml(0, &role("release-reviewer", &plan.home, &rules))?;
    page.next();
    match &plan.reviewer {
        Some(name) => page.yaml(0, &binding("release-reviewer", &plan.home, &[user(name)]))?,
        None => {
            page.comment(0, "No reviewer was named. Name a third person:");
            page.example(
                0,
                &binding("release-reviewer", &plan.home, &[user("carol@example.com")]),
            )?;
        }
    }
    Ok(())
}

/// The binding of a role to the approvers, or an example of one.
fn bound(page: &mut Page, plan: &Plan, name: &str) -> Result<(), Unstartable> {
    let subjects = board(plan);
    page.next();
    if subjects.is_empty() {
        page.comment(
            0,
            "No approvers were named. Name at least one user who is not the requester:",
        );
        page.example(0, &binding(name, &plan.home, &[user("bob@example.com")]))?;
    } else {
        page.yaml(0, &binding(name, &plan.home, &subjects))?;
    }
    Ok(())
}

/// Environments are cluster-scoped, and so need a ClusterRoleBinding.
fn viewers(page: &mut Page, plan: &Plan) -> Result<(), Unstartable> {
    let name = format!("{}-environment-viewer", plan.home);
    page.next();
    page.comment(
        0,
        "All of them can read environments, which are cluster-scoped and so need a ClusterRoleBinding.",
    );
    page.yaml(
        0,
        &json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": { "name": name },
                 "rules": [rule("environments", &["get", "list", "watch"])] }),
    )?;
    page.next();
    let reviewer = plan.reviewer.iter().map(|name| user(name));
    let subjects: Vec<Value> = [user(&plan.requester)]
        .into_iter()
        .chain(board(plan))
        .chain(reviewer)
        .collect();
    page.yaml(
        0,
        &json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": name },
                 "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": name },
                 "subjects": subjects }),
    )?;
    for (index, namespace) in targets(plan).into_iter().enumerate() {
        page.next();
        if index == 0 {
            page.comment(
                0,
                "All of them can read what runs in the target namespaces, but no Secrets: kubectl signalbox diff and approve show what a \
                 release would change there.",
            );
        }
        page.yaml(
            0,
            &json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
                     "metadata": { "name": format!("{}-viewer", plan.home), "namespace": namespace },
                     "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": "view" }, "subjects": subjects }),
        )?;
    }
    Ok(())
}

/// The target namespaces, each once, in the order of the stages.
fn targets(plan: &Plan) -> Vec<&str> {
    let mut namespaces: Vec<&str> = plan.stages.iter().map(|stage| stage.namespace.as_str()).collect();
    let mut seen = BTreeSet::new();
    namespaces.retain(|namespace| seen.insert(*namespace));
    namespaces
}

fn deployers(page: &mut Page, plan: &Plan) -> Result<(), Unstartable> {
    for (index, namespace) in targets(plan).into_iter().enumerate() {
        let here = plan.stages.iter().filter(|stage| stage.namespace == namespace);
        let accepts: Vec<String> = here
            .map(|stage| format!("{}/{}", plan.home, stage.environment))
            .collect();
        page.next();
        if index == 0 {
            page.comment(
                0,
                "The deployer: the only ServiceAccount as which Signalbox writes in a target namespace. Its rights limit what any Release can do \
                 there. The chart creates the same objects for the namespaces in its value deployer.namespaces: use one or the other.",
            );
        }
        page.comment(
            0,
            "The annotation is the consent of the namespace: it lists the Release namespaces and Environments that it accepts.",
        );
        page.yaml(
            0,
            &json!({ "apiVersion": "v1", "kind": "ServiceAccount",
                     "metadata": { "name": DEPLOYER, "namespace": namespace, "annotations": { ACCEPT: accepts.join(",") } },
                     "automountServiceAccountToken": false }),
        )?;
        page.next();
        page.comment(0, "The default allowedKinds of an Environment. delete: a backout deletes objects that did not exist before.");
        page.comment(
            0,
            "Gates and verifications run Jobs that are created from suspended CronJobs.",
        );
        let change = ["get", "create", "patch", "delete"];
        let rules = json!([
            { "apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"], "verbs": change },
            { "apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": change },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": change },
            { "apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "delete"] },
        ]);
        page.yaml(0, &role(DEPLOYER, namespace, &rules))?;
        page.next();
        let deployer = [json!({ "kind": "ServiceAccount", "name": DEPLOYER, "namespace": namespace })];
        page.yaml(0, &binding(DEPLOYER, namespace, &deployer))?;
    }
    Ok(())
}

fn user(name: &str) -> Value {
    json!({ "apiGroup": RBAC, "kind": "User", "name": name })
}

fn rule(resource: &str, verbs: &[&str]) -> Value {
    json!({ "apiGroups": ["signalbox.dev"], "resources": [resource], "verbs": verbs })
}

fn role(name: &str, namespace: &str, rules: &Value) -> Value {
    json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": { "name": name, "namespace": namespace }, "rules": rules })
}

fn binding(name: &str, namespace: &str, subjects: &[Value]) -> Value {
    json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": { "name": name, "namespace": namespace },
            "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": name }, "subjects": subjects })
}
