//! What is asked, and in which order.

use serde_json::json;

use crate::api::release::{Promotion, State};
use crate::decide::ask::{Ask, Moment};
use crate::decide::facts::{NamespaceState, Observed, Place};
use crate::decide::fixtures::{observed, promotion, sit, with_gates};
use crate::decide::{plan, states};

fn gated() -> Observed {
    let gates = json!([
        { "name": "board", "approval": { "role": "board" } },
        { "name": "smoke", "job": { "template": "smoke" } },
        { "name": "rule", "expression": { "passWhen": "true" } },
        { "name": "soak", "soak": { "environment": "sit", "duration": "1h" } },
    ]);
    observed().with_environment(with_gates(sit(), gates), &[])
}

fn place() -> Place {
    Place {
        namespace: NamespaceState::Present,
        ..Place::default()
    }
}

fn asked(o: &Observed, p: &Promotion, moment: Moment) -> Vec<Ask> {
    let now = crate::decide::fixtures::morning();
    states::asks(o, p, &place(), moment, now)
}

fn names(asks: &[Ask]) -> Vec<String> {
    let name = |ask: &Ask| {
        let text = format!("{ask:?}");
        let end = text.find([' ', '{']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    asks.iter().map(name).collect()
}

#[test]
fn about_to_enter_all_that_could_be_stale_is_read_live_and_the_release_last() {
    let (o, p) = (gated(), promotion("sit", State::Waiting));
    let asks = asked(&o, &p, Moment::Entering);
    let order = [
        "Holder",
        "Claim",
        "Environment",
        "Newer",
        "Decisions",
        "LivePreState",
        "Inspection(Entering)",
        "Job",
        "Expression",
        "RunningJobs",
        "Release",
    ];
    assert_eq!(names(&asks), order);
    let live: Vec<Ask> = asks.into_iter().filter(Ask::is_live).collect();
    let name = plan::pre_state_name(o.uid(), "sit", p.attempt);
    assert_eq!(live[4], Ask::LivePreState { name });
    assert_eq!(live.len(), 7);
    assert_eq!(live.last(), Some(&Ask::Release));
}

#[test]
fn nothing_is_read_live_in_every_pass_of_what_waits() {
    for state in [State::Pending, State::Waiting, State::Queued] {
        let asks = asked(&gated(), &promotion("sit", state), Moment::Waiting);
        let order = [
            "Holder",
            "Inspection(Waiting)",
            "Job",
            "Expression",
            "RunningJobs",
        ];
        assert_eq!(names(&asks), order, "{state:?}");
        assert!(!asks.iter().any(Ask::is_live), "{state:?}");
    }
}

#[test]
fn an_environment_that_was_changed_changes_only_what_is_asked_after_it() {
    let p = promotion("sit", State::Waiting);
    let before = asked(&gated(), &p, Moment::Entering);
    let other = observed().with_environment(sit(), &[]);
    let after = asked(&other, &p, Moment::Entering);
    let read = before.iter().position(Ask::leads_to_others).expect("it is read");
    assert_eq!(before[..=read], after[..=read]);
    assert!(before.contains(&Ask::Decisions) && !after.contains(&Ask::Decisions));
}

#[test]
fn what_has_entered_asks_about_its_claim_its_pre_state_its_targets_and_its_verification() {
    let entered = json!({ "generation": 1, "stage": "SIT", "targetNamespace": "payments-sit", "verification": [
        { "name": "smoke", "job": { "template": "t" } },
        { "name": "rule", "expression": { "passWhen": "true" } },
    ] });
    let always = ["OwnClaim", "PreState", "Targets", "RunningJobs"];
    for state in [
        State::Deploying,
        State::Observing,
        State::BackingOut,
        State::Verifying,
    ] {
        let p = Promotion {
            entered: Some(serde_json::from_value(entered.clone()).expect("what entered")),
            ..promotion("sit", state)
        };
        let asks = asked(&observed(), &p, Moment::Waiting);
        assert_eq!(names(&asks[..4]), always, "{state:?}");
        let checks: Vec<&str> = asks[4..]
            .iter()
            .map(|ask| match ask {
                Ask::Job { check, .. } | Ask::Expression { check, .. } => check.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        let verifies: &[&str] = match state {
            State::Verifying => &["verification/smoke", "verification/rule"],
            _ => &[],
        };
        assert_eq!(checks, verifies, "{state:?}");
        assert_eq!(
            states::looks_at(&observed(), &p, true).as_deref(),
            Some("payments-sit")
        );
    }
    for state in [
        State::BackedOut,
        State::Failed,
        State::Superseded,
        State::Withdrawn,
        State::Succeeded,
    ] {
        assert_eq!(
            states::looks_at(&observed(), &promotion("sit", state), true),
            None,
            "{state:?}"
        );
    }
}
