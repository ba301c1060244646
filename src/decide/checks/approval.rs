//! Approval: enough distinct people, entitled and vouched for by the API server, approved this very plan.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Subject, Verdict};
use crate::api::environment::{Approval, ServiceAccounts};
use crate::api::{Action, Decision, reasons};
use crate::decide::decisions::{distrust, unvouched_requester};
use crate::decide::facts::Trust;
use crate::mutation::{self, Mutation};

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let Some((gate, approval)) = s.gate.and_then(|g| Some((g, g.approval.as_ref()?))) else {
        return Verdict::unknown(reasons::APPROVALS_MISSING, "this gate does not say who approves");
    };
    if let Trust::Broken(why) = &s.observed.trust {
        return Verdict::unknown(reasons::NOT_VOUCHED_FOR, format!("no Decision counts: {why}"));
    }
    let mut tally = Tally::default();
    for decision in s
        .observed
        .decisions
        .iter()
        .filter(|d| answers(d, s.environment_name(), &gate.name))
    {
        match doubt(s, approval, decision) {
            Some(why) => tally.discounted.push(format!(
                "{} by {} does not count: {why}",
                decision.spec.action.as_str(),
                decision.spec.by
            )),
            None => tally.count(decision, approval),
        }
    }
    tally.verdict(s, approval)
}

fn answers(decision: &Decision, environment: &str, gate: &str) -> bool {
    decision.spec.environment == environment
        && decision.spec.subject.as_deref() == Some(gate)
        && matches!(decision.spec.action, Action::Approve | Action::Reject)
}

/// Why a Decision does not count, if so.
pub(crate) fn doubt(s: &Subject<'_>, approval: &Approval, decision: &Decision) -> Option<String> {
    let by = &decision.spec.by;
    if let Some(why) = distrust(s.observed, decision) {
        return Some(why);
    }
    if decision.spec.role.as_deref() != Some(&approval.role) {
        return Some(format!(
            "it was given as {}, not as {}",
            decision.spec.role.as_deref().unwrap_or("nobody"),
            approval.role
        ));
    }
    let this_plan = decision.spec.plan_hash.as_deref() == Some(&s.promotion.plan_hash);
    if !this_plan && !mutation::is(Mutation::OldHashCounts) {
        return Some("it was given for another plan than the one that stands now".to_owned());
    }
    if decision.spec.action == Action::Reject {
        return None;
    }
    if *by == s.observed.release.spec.requested_by && !mutation::is(Mutation::RequesterApproves) {
        return Some("the requester never approves".to_owned());
    }
    if by.starts_with("system:serviceaccount:") && approval.service_accounts == ServiceAccounts::Deny {
        return Some("service accounts do not count here".to_owned());
    }
    if let Some(role) = fills_another_role(s, decision) {
        return Some(format!(
            "one person fills one role, and {by} already approved as {role}"
        ));
    }
    let expiry = expires(approval, decision)?;
    (s.now >= expiry).then(|| format!("it expired at {expiry}"))
}

/// The role in which this person already approved this plan, if it is another one.
fn fills_another_role(s: &Subject<'_>, decision: &Decision) -> Option<String> {
    let earlier = s
        .observed
        .decisions
        .iter()
        .take_while(|d| d.metadata.uid != decision.metadata.uid);
    // Only an approval that some gate asks for fills a role: a mistyped one must not shut its author out.
    let asked_for = |d: &Decision| {
        s.setting.environment.spec.gates.iter().any(|g| {
            Some(&g.name) == d.spec.subject.as_ref()
                && g.approval.as_ref().map(|a| &a.role) == d.spec.role.as_ref()
        })
    };
    let mut filled = earlier.filter(|d| {
        d.spec.action == Action::Approve
            && d.spec.by == decision.spec.by
            && d.spec.environment == decision.spec.environment
            && d.spec.plan_hash == decision.spec.plan_hash
            && asked_for(d)
            && distrust(s.observed, d).is_none()
    });
    // The first one fills it; one in another role after it did not count, and does not count against it either.
    filled
        .next()
        .and_then(|d| d.spec.role.clone())
        .filter(|role| Some(role) != decision.spec.role.as_ref())
}

fn expires(approval: &Approval, decision: &Decision) -> Option<Timestamp> {
    let created = decision.metadata.creation_timestamp.as_ref()?;
    Some(created.0 + approval.valid_for.as_ref()?.get())
}

#[derive(Default)]
struct Tally {
    /// By person: when that person's latest approval expires.
    approved: BTreeMap<String, Option<Timestamp>>,
    rejected: Option<String>,
    discounted: Vec<String>,
}

impl Tally {
    fn count(&mut self, decision: &Decision, approval: &Approval) {
        let mut by = decision.spec.by.clone();
        if mutation::is(Mutation::OnePersonTwice) {
            by.push_str(decision.metadata.uid.as_deref().unwrap_or_default());
        }
        if decision.spec.action == Action::Reject && mutation::is(Mutation::RejectIgnored) {
            return;
        }
        if decision.spec.action == Action::Reject {
            let reason = decision.spec.reason.as_deref().unwrap_or("without a reason");
            self.rejected
                .get_or_insert(format!("{by} rejected this plan: {reason}"));
        } else {
            self.approved.insert(by, expires(approval, decision));
        }
    }

    fn verdict(self, s: &Subject<'_>, approval: &Approval) -> Verdict {
        let discounted = if self.discounted.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.discounted.join("; "))
        };
        if let Some(rejected) = self.rejected {
            let sentence = format!("{rejected}; only a new plan can go in{discounted}");
            return Verdict::failed(reasons::REJECTED, sentence);
        }
        let people: Vec<&str> = self.approved.keys().map(String::as_str).collect();
        let (have, need) = (
            self.approved.len(),
            usize::try_from(approval.minimum).unwrap_or(usize::MAX),
        );
        // The verdict changes when so many have expired that too few are left.
        let mut expiries: Vec<Timestamp> = self.approved.values().flatten().copied().collect();
        expiries.sort();
        if have >= need {
            let until = expiries.get(have - need).copied();
            return Verdict::satisfied(format!(
                "approved as {} by {}{discounted}",
                approval.role,
                people.join(", ")
            ))
            .until(until);
        }
        if let Some(why) = unvouched_requester(s.observed) {
            // Before anybody goes to the trouble of approving.
            return Verdict::unknown(reasons::NOT_VOUCHED_FOR, format!("no approval counts: {why}"));
        }
        let so_far = if people.is_empty() {
            String::new()
        } else {
            format!(", given by {}", people.join(", "))
        };
        let sentence = format!(
            "{have} of {need} approvals by {}{so_far}: create a Decision with action Approve, subject {}, role {} and planHash {}{discounted}",
            approval.role,
            s.gate.map(|g| g.name.as_str()).unwrap_or_default(),
            approval.role,
            s.promotion.plan_hash
        );
        Verdict::waiting(reasons::APPROVALS_MISSING, sentence).until(expiries.first().copied())
    }
}
