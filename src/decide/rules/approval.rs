//! Approval: enough distinct people, authorised and verified by the API server, approved exactly this plan.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::{Approval, Gate, ServiceAccounts};
use crate::api::{Action, Decision, reasons};
use crate::decide::decisions::too_many;
use crate::decide::facts::{Observed, Trust};
use crate::decide::rules::rule::{GateType, Tier, asks_nothing};
use crate::decide::rules::subject::{Subject, Verdict};
use crate::decide::trust::{distrust, may_be_one_person, unverified_author, unverified_requester};
use crate::domain::text::clause;

/// The type of gate.
pub(crate) const RULE: GateType = GateType {
    tier: Tier::People,
    is: |gate| gate.approval.is_some(),
    asks: asks_nothing,
    judge: check,
    asks_as_much,
    foreseen: false,
};

/// At least as many people of the same role, whose approvals are valid for no longer. RBAC decides who has the role, for each Environment.
fn asks_as_much(other: &Gate, gate: &Gate) -> bool {
    let approvals = other.approval.as_ref().zip(gate.approval.as_ref());
    approvals.is_some_and(|(other, gate)| {
        let as_short = match (&other.valid_for, &gate.valid_for) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(gate)) => other.get() <= gate.get(),
        };
        other.role == gate.role
            && other.minimum >= gate.minimum
            && as_short
            && (other.service_accounts == ServiceAccounts::Deny
                || gate.service_accounts == ServiceAccounts::Allow)
    })
}

fn check(s: &Subject<'_>) -> Verdict {
    let Some((gate, approval)) = s.gate.and_then(|g| Some((g, g.approval.as_ref()?))) else {
        return Verdict::unknown(reasons::APPROVALS_MISSING, "This gate has no approval settings.");
    };
    if let Trust::Broken(why) = &s.observed.trust {
        return Verdict::unknown(reasons::NOT_VOUCHED_FOR, format!("{}.", clause(why)));
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
                "{} by {} does not count: {why}.",
                decision.spec.action.as_str(),
                decision.spec.by
            )),
            None => tally.count(s.observed, decision, approval),
        }
    }
    let here = |d: &Decision| answers(d, s.environment_name(), &gate.name);
    tally.discounted.extend(too_many(s.observed, here));
    tally.verdict(s, approval)
}

fn answers(decision: &Decision, environment: &str, gate: &str) -> bool {
    decision.spec.environment == environment
        && decision.spec.subject.as_deref() == Some(gate)
        && matches!(decision.spec.action, Action::Approve | Action::Reject)
}

/// Why a Decision does not count, if so. A clause without a full stop.
pub(crate) fn doubt(s: &Subject<'_>, approval: &Approval, decision: &Decision) -> Option<String> {
    let by = &decision.spec.by;
    if let Some(why) = distrust(s.observed, decision) {
        return Some(why);
    }
    if decision.spec.role.as_deref() != Some(&approval.role) {
        return Some(format!(
            "its role is {}, but this gate requires {}",
            decision.spec.role.as_deref().unwrap_or("not set"),
            approval.role
        ));
    }
    let this_plan = decision.spec.plan_hash.as_deref() == Some(&s.promotion.plan_hash);
    if !this_plan {
        return Some("its planHash is not that of the current plan".to_owned());
    }
    if decision.spec.action == Action::Reject {
        return None;
    }
    if may_be_one_person(by, &s.observed.release.spec.requested_by) {
        return Some("the requester cannot approve".to_owned());
    }
    if is_service_account(by) && approval.service_accounts == ServiceAccounts::Deny {
        return Some("this gate does not accept approvals by ServiceAccounts".to_owned());
    }
    if let Some(why) = requested_by_nobody(s, approval) {
        return Some(why);
    }
    if let Some((filled_by, role)) = fills_another_role(s, decision) {
        return Some(format!(
            "a person can fill only one role, and {filled_by} already approved as {role}"
        ));
    }
    let expiry = expires(approval, decision)?;
    (s.now >= expiry).then(|| format!("it expired at {expiry}"))
}

fn is_service_account(name: &str) -> bool {
    name.trim().to_lowercase().starts_with("system:serviceaccount:")
}

/// Why the person who requested the Release is not known, if so: an approver may be able to act as that ServiceAccount.
fn requested_by_nobody(s: &Subject<'_>, approval: &Approval) -> Option<String> {
    let requester = &s.observed.release.spec.requested_by;
    let unknown = approval.service_accounts == ServiceAccounts::Deny && is_service_account(requester);
    unknown.then(|| {
        format!(
            "spec.requestedBy is the ServiceAccount {requester}, so the person who requested the Release is not known. Set \
             spec.requestedBy to that person's name; this requires the verb request-for on releases"
        )
    })
}

/// The name and the role with which this person already approved this plan, if the role is another one.
fn fills_another_role<'a>(s: &Subject<'a>, decision: &Decision) -> Option<(&'a str, &'a str)> {
    let earlier = s
        .observed
        .decisions
        .iter()
        .take_while(|d| d.metadata.uid != decision.metadata.uid);
    // Only an approval that a gate asks for fills a role: a mistyped role must not exclude its author.
    let asked_for = |d: &Decision| {
        s.setting.environment.spec.gates.iter().any(|g| {
            Some(&g.name) == d.spec.subject.as_ref()
                && g.approval.as_ref().map(|a| &a.role) == d.spec.role.as_ref()
        })
    };
    let mut filled = earlier.filter(|d| {
        d.spec.action == Action::Approve
            && may_be_one_person(&d.spec.by, &decision.spec.by)
            && d.spec.environment == decision.spec.environment
            && d.spec.plan_hash == decision.spec.plan_hash
            && asked_for(d)
            && distrust(s.observed, d).is_none()
    });
    // The first approval fills the role. A later one in another role did not count, and does not invalidate the first.
    let first = filled.next()?;
    let role = first.spec.role.as_deref()?;
    (Some(role) != decision.spec.role.as_deref()).then_some((first.spec.by.as_str(), role))
}

/// The origin of a Reject that was not given for this Release: a clause, or nothing.
fn given_before(o: &Observed, reject: &Decision) -> String {
    let created = reject.metadata.creation_timestamp.as_ref();
    let older = created < o.release.metadata.creation_timestamp.as_ref();
    let mut said = match reject.spec.release.as_str() {
        other if other != o.name() => format!(" in Release {other}"),
        _ if older => " before this Release was created".to_owned(),
        _ => String::new(),
    };
    if unverified_author(o, reject) {
        said.push_str(" (the admission policy that verifies names is younger)");
    }
    said
}

fn expires(approval: &Approval, decision: &Decision) -> Option<Timestamp> {
    let created = decision.metadata.creation_timestamp.as_ref()?;
    Some(created.0 + approval.valid_for.as_ref()?.get())
}

/// A person who approved.
struct Person {
    /// Every name that may belong to this person, in order.
    names: Vec<String>,
    /// When the latest approval expires.
    expires: Option<Timestamp>,
}

#[derive(Default)]
struct Tally {
    approved: Vec<Person>,
    rejected: Option<String>,
    rejects: Vec<Arc<Decision>>,
    discounted: Vec<String>,
}

impl Tally {
    fn count(&mut self, o: &Observed, decision: &Arc<Decision>, approval: &Approval) {
        let by = decision.spec.by.clone();
        if decision.spec.action == Action::Reject {
            let reason = decision.spec.reason.as_deref().map_or("none given", clause);
            let before = given_before(o, decision);
            self.rejected.get_or_insert(format!(
                "{by} rejected this plan{before}. Change the plan: only a new plan can enter. Reason: {reason}."
            ));
            self.rejects.push(Arc::clone(decision));
        } else {
            self.approves(by, expires(approval, decision));
        }
    }

    /// Names that may belong to one person count once, also two names that a third one shows to be the same person.
    fn approves(&mut self, by: String, expires: Option<Timestamp>) {
        let one = |person: &mut Person| person.names.iter().any(|name| may_be_one_person(name, &by));
        let same: Vec<Person> = self.approved.extract_if(.., one).collect();
        let expires = same.iter().map(|person| person.expires).chain([expires]).max();
        let mut names: Vec<String> = same.into_iter().flat_map(|person| person.names).collect();
        names.push(by);
        names.sort();
        names.dedup();
        self.approved.push(Person {
            names,
            expires: expires.flatten(),
        });
    }

    fn verdict(mut self, s: &Subject<'_>, approval: &Approval) -> Verdict {
        let discounted = if self.discounted.is_empty() {
            String::new()
        } else {
            format!(" {}", self.discounted.join(" "))
        };
        if let Some(rejected) = self.rejected {
            let sentence = format!("{rejected}{discounted}");
            return Verdict::failed(reasons::REJECTED, sentence).obeying(self.rejects);
        }
        self.approved.sort_by(|a, b| a.names.cmp(&b.names));
        let people: Vec<String> = self
            .approved
            .iter()
            .map(|person| person.names.join(" or "))
            .collect();
        let (have, need) = (
            self.approved.len(),
            usize::try_from(approval.minimum).unwrap_or(usize::MAX),
        );
        // The verdict changes when so many approvals have expired that too few are left.
        let mut expiries: Vec<Timestamp> = self.approved.iter().filter_map(|person| person.expires).collect();
        expiries.sort();
        if have >= need {
            let until = expiries.get(have - need).copied();
            return Verdict::satisfied(format!(
                "Approved as {} by {}.{discounted}",
                approval.role,
                people.join(", ")
            ))
            .until(until);
        }
        if let Some(why) = unverified_requester(s.observed).or_else(|| requested_by_nobody(s, approval)) {
            // Reported before an approver spends time on it.
            return Verdict::unknown(reasons::NOT_VOUCHED_FOR, format!("No approval counts: {why}."));
        }
        let so_far = if people.is_empty() {
            String::new()
        } else {
            format!(", given by {}", people.join(", "))
        };
        let sentence = format!(
            "{have} of {need} approvals by {}{so_far}. Create a Decision for planHash {} with action Approve, subject {} and role {}.{discounted}",
            approval.role,
            s.promotion.plan_hash,
            s.gate.map(|g| g.name.as_str()).unwrap_or_default(),
            approval.role
        );
        Verdict::waiting(reasons::APPROVALS_MISSING, sentence).until(expiries.first().copied())
    }
}
