//! `status --mine`: the Releases that wait for the user who asks.

use std::collections::BTreeMap;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
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
pub(super) async fn mine(
    session: &Session,
    releases: Vec<Release>,
    now: Timestamp,
) -> Result<Vec<Release>, String> {
    let user = session.user().await?;
    let environments: Listed<Environment> = list(session, &Query::default()).await?;
    let environments: BTreeMap<String, Environment> = environments
        .items
        .into_iter()
        .map(|e| (e.name_any(), e))
        .collect();
    let mut rights: BTreeMap<Right, bool> = BTreeMap::new();
    for release in &releases {
        for ask in asked(release, &user, &environments) {
            rights.entry(ask.right).or_insert(false);
        }
    }
    let answers = futures::stream::iter(rights.keys().cloned().map(|right| async move {
        let may = session.may(&right).await;
        may.map(|may| (right, may))
    }));
    let answers: Vec<Result<(Right, bool), String>> = answers.buffer_unordered(AT_ONCE).collect().await;
    let rights: BTreeMap<Right, bool> = answers.into_iter().collect::<Result<_, _>>()?;
    let lawful = |release: &Release| {
        let asked = asked(release, &user, &environments).into_iter();
        asked
            .filter(|ask| rights.get(&ask.right) == Some(&true))
            .collect::<Vec<_>>()
    };
    let mut open: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for release in releases.iter().filter(|r| !theirs(r, &user)) {
        if lawful(release).iter().any(|ask| ask.approval.is_some()) {
            let namespace = release.namespace().unwrap_or_default();
            open.entry(namespace).or_default().push(release.name_any());
        }
    }
    let approvals = approvals(session, &open, &user).await?;
    let signed = |ask: &Ask| {
        let given = ask.approval.as_ref().and_then(|approval| approvals.get(approval));
        given.is_some_and(|given| ask.valid_for.is_none_or(|valid| *given + valid > now))
    };
    let waits = |release: &Release| theirs(release, &user) || lawful(release).iter().any(|ask| !signed(ask));
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

/// The namespace, the Release, the environment, the plan and the gate of an approval.
type Approval = (String, String, String, String, String);

/// Something that the user could do about a Release now.
struct Ask {
    right: Right,
    /// The approval that is asked for. Absent for other Decisions.
    approval: Option<Approval>,
    /// How long such an approval counts. Absent: without limit.
    valid_for: Option<SignedDuration>,
}

/// What the user could do about the Release now, with which rights.
fn asked(release: &Release, user: &str, environments: &BTreeMap<String, Environment>) -> Vec<Ask> {
    let namespace = release.namespace().unwrap_or_default();
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    let overtaken = promotions.clone().any(|p| p.state.never_entered());
    let mut asks = Vec::new();
    for p in promotions {
        let right = |verb: &str, role: &str| Right {
            verb: verb.to_owned(),
            resource: "environments".to_owned(),
            subresource: role.to_owned(),
            namespace: namespace.clone(),
            name: p.name.clone(),
        };
        let act = |action: Action| Ask {
            right: right(remedy::verb(action), ""),
            approval: None,
            valid_for: None,
        };
        let requester = may_be_one_person(user, &release.spec.requested_by);
        for check in p.held_by() {
            match check.reason.as_str() {
                reasons::APPROVALS_MISSING if !requester => {
                    let gates = environments.get(&p.name).map(|e| &e.spec.gates);
                    let gate = gates.into_iter().flatten().find(|gate| gate.name == check.name);
                    asks.extend(gate.and_then(|gate| gate.approval.as_ref()).map(|approval| Ask {
                        right: right("approve", &approval.role),
                        approval: Some((
                            namespace.clone(),
                            release.name_any(),
                            p.name.clone(),
                            p.plan_hash.clone(),
                            check.name.clone(),
                        )),
                        valid_for: approval.valid_for.as_ref().map(|valid| valid.get()),
                    }));
                }
                reasons::TARGET_UNHEALTHY | reasons::UNSETTLED => asks.push(act(Action::Accept)),
                reasons::JOB_FAILED | reasons::JOB_TIMED_OUT => asks.push(act(Action::Retry)),
                _ => {}
            }
        }
        // What was backed out and overtaken is finished.
        if p.state.is_stuck() && (!overtaken || p.state.needs_decision()) {
            asks.extend(remedy::decisions(p).iter().map(|action| act(*action)));
        }
    }
    asks
}

/// What the user has approved in these namespaces: one list each, of all Decisions if it has several of the Releases.
async fn approvals(
    session: &Session,
    releases: &BTreeMap<String, Vec<String>>,
    user: &str,
) -> Result<BTreeMap<Approval, Timestamp>, String> {
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
    let mut approvals = BTreeMap::new();
    for listed in lists {
        for decision in listed?.items {
            let namespace = decision.namespace().unwrap_or_default();
            let given = decision.creation_timestamp().map_or(Timestamp::MIN, |t| t.0);
            let spec = decision.spec;
            if spec.action == Action::Approve && spec.by == user {
                let (plan, gate) = (
                    spec.plan_hash.unwrap_or_default(),
                    spec.subject.unwrap_or_default(),
                );
                let approval = (namespace, spec.release, spec.environment, plan, gate);
                let latest = approvals.entry(approval).or_insert(given);
                *latest = given.max(*latest);
            }
        }
    }
    Ok(approvals)
}
