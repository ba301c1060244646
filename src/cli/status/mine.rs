//! `status --mine`: the Releases that wait for the user who asks.

use std::collections::BTreeMap;

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
    let mut mine = Vec::new();
    for release in releases {
        let allowed = asked(&release, &user, &environments)
            .iter()
            .any(|right| rights.get(right) == Some(&true));
        let waits = theirs(&release, &user) || allowed && !signed(session, &release, &user).await?;
        if waits {
            mine.push(release);
        }
    }
    Ok(mine)
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
        if p.state.is_stuck() && (!overtaken || p.state.needs_decision()) {
            let actions = remedy::decisions(p).iter();
            rights.extend(actions.map(|action| right(remedy::verb(*action), "")));
        }
    }
    rights
}

/// Whether the user has already approved what waits for approvals, and nothing else waits for them.
async fn signed(session: &Session, release: &Release, user: &str) -> Result<bool, String> {
    let promotions: Vec<&Promotion> = release.status.iter().flat_map(|s| &s.environments).collect();
    if promotions.iter().any(|p| p.state.is_stuck()) {
        return Ok(false);
    }
    let namespace = release.namespace().unwrap_or_default();
    let query = Query {
        namespace: Some(&namespace),
        fields: format!("spec.release={}", release.name_any()),
        ..Query::default()
    };
    let decisions: Listed<Decision> = list(session, &query).await?;
    let waiting = promotions
        .iter()
        .filter(|p| p.held_by().any(|c| c.reason == reasons::APPROVALS_MISSING));
    let mut all = true;
    for p in waiting {
        all &= decisions.items.iter().any(|d| {
            d.spec.action == Action::Approve
                && d.spec.by == user
                && d.spec.plan_hash.as_deref() == Some(&p.plan_hash)
        });
    }
    Ok(all)
}
