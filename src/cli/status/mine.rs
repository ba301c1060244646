//! `status --mine`: the Releases that wait for the user who asks.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use kube::ResourceExt;

use crate::api::environment::Environment;
use crate::api::reasons;
use crate::api::release::{Promotion, ReviewState};
use crate::api::{Action, Decision, Release};
use crate::cli::session::{Listed, Query, Right, Session, list};
use crate::decide::trust::may_be_one_person;
use crate::view::remedy;

/// Questions about rights that are asked at once.
const AT_ONCE: usize = 16;

/// Those of `releases` that wait for the user.
///
/// # Errors
/// A sentence: the API server does not say who the user is, or what they may do.
pub(super) async fn mine(session: &Session, releases: Vec<Release>) -> Result<Vec<Release>, String> {
    let user = session.user().await?;
    let environments: Listed<Environment> = list(session, &Query::default()).await?;
    let environments: BTreeMap<String, Environment> = environments
        .items
        .into_iter()
        .map(|e| (e.name_any(), e))
        .collect();
    let mut rights: BTreeMap<Right, bool> = BTreeMap::new();
    for release in &releases {
        for right in asked(release, &user, &environments) {
            rights.entry(right).or_insert(false);
        }
    }
    let answers = futures::stream::iter(rights.keys().cloned().map(|right| async move {
        let may = session.may(&right).await;
        may.map(|may| (right, may))
    }));
    let answers: Vec<Result<(Right, bool), String>> = answers.buffer_unordered(AT_ONCE).collect().await;
    let rights: BTreeMap<Right, bool> = answers.into_iter().collect::<Result<_, _>>()?;
    let allowed = |release: &Release| {
        let asked = asked(release, &user, &environments);
        asked.iter().any(|right| rights.get(right) == Some(&true))
    };
    let mut unsigned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for release in releases.iter().filter(|r| !theirs(r, &user) && allowed(r)) {
        let namespace = release.namespace().unwrap_or_default();
        unsigned.entry(namespace).or_default().push(release.name_any());
    }
    let approvals = approvals(session, &unsigned, &user).await?;
    let waits =
        |release: &Release| theirs(release, &user) || allowed(release) && !signed(release, &approvals);
    Ok(releases.into_iter().filter(waits).collect())
}

/// It waits for its requester to correct it, or for its reviewer.
fn theirs(release: &Release, user: &str) -> bool {
    let requester = release.spec.requested_by == user;
    let status = release.status.as_ref();
    let refused = status.into_iter().flat_map(|s| &s.conditions);
    let refused = refused
        .into_iter()
        .any(|c| c.type_ == "Accepted" && c.status == "False");
    let reviewer = release.spec.review.reviewer.as_deref() == Some(user);
    let review = status.and_then(|s| s.review.as_deref());
    let review = review.is_some_and(|r| {
        matches!(r.state, ReviewState::Pending | ReviewState::InProgress) && r.due_at.is_some()
    });
    let promotions = || status.into_iter().flat_map(|s| &s.environments);
    let blocks = |p: &Promotion| {
        p.held_by().any(|check| {
            let held = crate::view::explain::Held::from(check);
            let remedy = remedy::of(release, None, p, &crate::view::explain::Block::Check(held));
            remedy.who == release.spec.requested_by
        })
    };
    requester && (refused || promotions().any(blocks)) || reviewer && review
}

/// The rights with which the user could act on the Release now.
fn asked(release: &Release, user: &str, environments: &BTreeMap<String, Environment>) -> Vec<Right> {
    let namespace = release.namespace().unwrap_or_default();
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    let overtaken = promotions.clone().any(|p| p.state.never_entered());
    let mut rights = Vec::new();
    for p in promotions {
        let right = |verb: &str, role: &str| Right {
            verb: verb.to_owned(),
            resource: "environments".to_owned(),
            subresource: role.to_owned(),
            namespace: namespace.clone(),
            name: p.name.clone(),
        };
        let requester = may_be_one_person(user, &release.spec.requested_by);
        let missing = p
            .held_by()
            .filter(|c| c.reason == reasons::APPROVALS_MISSING && !requester);
        for check in missing {
            let role = remedy::role(environments.get(&p.name), &check.name);
            rights.extend(role.map(|role| right("approve", role)));
        }
        // What was backed out and overtaken is finished.
        if p.state.is_stuck() && !(overtaken && !p.state.needs_decision()) {
            let actions = remedy::decisions(p).iter();
            rights.extend(actions.map(|action| right(remedy::verb(*action), "")));
        }
    }
    rights
}

/// The namespace, the Release, the environment and the plan of an approval.
type Approval = (String, String, String, String);

/// What the user has approved in these namespaces: one list each, of all Decisions if it has several of the Releases.
async fn approvals(
    session: &Session,
    releases: &BTreeMap<String, Vec<String>>,
    user: &str,
) -> Result<BTreeSet<Approval>, String> {
    let lists = futures::stream::iter(releases.iter().map(|(namespace, names)| async move {
        let fields = match names.as_slice() {
            [name] => format!("spec.release={name}"),
            _ => String::new(),
        };
        let query = Query {
            namespace: Some(namespace),
            fields,
            ..Query::default()
        };
        list::<Decision>(session, &query).await
    }));
    let lists: Vec<Result<Listed<Decision>, String>> = lists.buffer_unordered(AT_ONCE).collect().await;
    let mut approvals = BTreeSet::new();
    for listed in lists {
        for decision in listed?.items {
            let namespace = decision.namespace().unwrap_or_default();
            let spec = decision.spec;
            if spec.action == Action::Approve && spec.by == user {
                let plan = spec.plan_hash.unwrap_or_default();
                approvals.insert((namespace, spec.release, spec.environment, plan));
            }
        }
    }
    Ok(approvals)
}

/// Whether the user has already approved what waits for approvals, and nothing else waits for them.
fn signed(release: &Release, approvals: &BTreeSet<Approval>) -> bool {
    let promotions = || release.status.iter().flat_map(|s| &s.environments);
    let approved = |p: &Promotion| {
        let namespace = release.namespace().unwrap_or_default();
        approvals.contains(&(namespace, release.name_any(), p.name.clone(), p.plan_hash.clone()))
    };
    let waiting = |p: &&Promotion| p.held_by().any(|c| c.reason == reasons::APPROVALS_MISSING);
    promotions().all(|p| !p.state.is_stuck()) && promotions().filter(waiting).all(approved)
}
