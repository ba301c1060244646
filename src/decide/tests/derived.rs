//! What is derived from promotions: conditions, colour, review and forecast.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::release::{
    Backout, BackoutState, Check, CheckState, Colour, Decided, Promotion, ReviewState, ReviewStatus, State,
};
use crate::api::time;
use crate::decide::accepted::Accepted;
use crate::decide::decide;
use crate::decide::derive::{conditions, forecast, rag, review as pir};
use crate::decide::facts::Observed;
use crate::decide::fixtures::*;
use crate::decide::step::Step;
use crate::domain::calendar::{When, Window, WindowKind};
use crate::domain::text::cut;

const WORST_FIRST: [State; 12] = [
    State::Failed,
    State::AwaitingDecision,
    State::BackingOut,
    State::BackedOut,
    State::Deploying,
    State::Verifying,
    State::Observing,
    State::Queued,
    State::Waiting,
    State::Pending,
    State::Withdrawn,
    State::Superseded,
];

fn says(promotions: &[Promotion], kind: &str) -> (String, String) {
    let derived = conditions::derive(&observed(), promotions, &Accepted::default(), &[], morning());
    let found = derived.into_iter().find(|c| c.type_ == kind).expect(kind);
    (found.status, found.reason)
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn ready_says_the_worst_environments_state() {
    let over = [State::Withdrawn, State::Superseded, State::Succeeded];
    for (i, worse) in WORST_FIRST.iter().enumerate() {
        for better in WORST_FIRST[i..].iter().chain([&State::Succeeded]) {
            for two in [[*worse, *better], [*better, *worse]] {
                let promotions = [promotion("sit", two[0]), promotion("prod", two[1])];
                let finished = two.iter().all(|state| over.contains(state));
                let status = if finished { "True" } else { "False" };
                assert_eq!(
                    says(&promotions, "Ready"),
                    pair(status, worse.as_str()),
                    "{two:?}"
                );
            }
        }
    }
    let done = [succeeded("sit", morning()), succeeded("uat", morning())];
    assert_eq!(says(&done, "Ready"), pair("True", "Succeeded"));
}

#[test]
fn stalled_and_reconciling_hold_exactly_for_what_they_name() {
    for state in WORST_FIRST.into_iter().chain([State::Succeeded]) {
        use State::{AwaitingDecision, BackedOut, BackingOut, Deploying, Failed, Observing, Verifying};
        let stalled = matches!(state, Failed | BackedOut | AwaitingDecision);
        let working = matches!(state, Deploying | Verifying | Observing | BackingOut);
        let truth = |holds: bool| if holds { "True" } else { "False" };
        assert_eq!(
            says(&[promotion("sit", state)], "Stalled").0,
            truth(stalled),
            "{state:?}"
        );
        assert_eq!(
            says(&[promotion("sit", state)], "Reconciling").0,
            truth(working),
            "{state:?}"
        );
    }
}

/// One newer version has succeeded in uat: what that means for the Release in the state `uat` there, with nothing entered in
/// production behind it.
fn overtaken(uat: State) -> [(String, String); 2] {
    let promotions = [
        succeeded("sit", morning()),
        promotion("uat", uat),
        promotion("production", State::Pending),
    ];
    let mut o = observed().with_promotions(promotions.to_vec());
    o.siblings = vec![sibling("2026.11.2", "r2", &[("uat", State::Succeeded)])];
    ["Ready", "Stalled"].map(|kind| {
        let derived = conditions::derive(&o, &promotions, &Accepted::default(), &[], morning());
        let found = derived.into_iter().find(|c| c.type_ == kind).expect(kind);
        (found.status, found.reason)
    })
}

#[test]
fn what_a_newer_version_has_overtaken_is_over_and_nobody_has_to_act() {
    for state in [State::Superseded, State::BackedOut] {
        assert_eq!(
            overtaken(state),
            [pair("True", state.as_str()), pair("False", "Accepted")],
            "{state:?}"
        );
    }
    // Its target is not as released, until a Decision resolves it.
    for state in [State::Failed, State::AwaitingDecision] {
        assert_eq!(
            overtaken(state),
            [pair("False", state.as_str()), pair("True", state.as_str())],
            "{state:?}"
        );
    }
}

#[test]
fn a_backed_out_release_that_nobody_has_overtaken_is_not_over() {
    let promotions = [
        promotion("sit", State::BackedOut),
        promotion("uat", State::Pending),
    ];
    assert_eq!(says(&promotions, "Ready"), pair("False", "BackedOut"));
    assert_eq!(says(&promotions, "Stalled"), pair("True", "BackedOut"));
}

#[test]
fn what_waits_behind_an_environment_that_it_cannot_get_through_is_over_too() {
    let waits = |first| {
        [
            promotion("sit", first),
            promotion("uat", State::Pending),
            promotion("production", State::Pending),
        ]
    };
    assert_eq!(
        says(&waits(State::Superseded), "Ready"),
        pair("True", "Superseded")
    );
    assert_eq!(says(&waits(State::Waiting), "Ready"), pair("False", "Waiting"));
    // A second way in is still open.
    let any = json!({ "stage": "UAT", "namespace": "{namespace}-uat",
                      "promotesFrom": { "environments": ["sit", "qa"], "require": "Any" } });
    let o = observed().with_environment(environment("uat", any), &[]);
    let promotions = [
        promotion("sit", State::Superseded),
        promotion("qa", State::Deploying),
        promotion("uat", State::Pending),
    ];
    let ready = |promotions: &[Promotion]| {
        let derived = conditions::derive(&o, promotions, &Accepted::default(), &[], morning());
        let ready = derived.into_iter().find(|c| c.type_ == "Ready").expect("Ready");
        (ready.status, ready.reason)
    };
    assert_eq!(ready(&promotions), pair("False", "Deploying"));
    let closed = [
        promotion("sit", State::Superseded),
        promotion("qa", State::Withdrawn),
        promotion("uat", State::Pending),
    ];
    assert_eq!(ready(&closed), pair("True", "Withdrawn"));
}

#[test]
fn a_condition_moves_its_time_only_with_its_status() {
    let first = conditions::condition(&[], "Ready", false, "Waiting", "a".into(), Some(1), morning());
    let later = morning() + minutes(1);
    let was = [first.clone()];
    let same = conditions::condition(&was, "Ready", false, "Queued", "b".into(), Some(1), later);
    let other = conditions::condition(&was, "Ready", true, "Succeeded", "b".into(), Some(1), later);
    assert_eq!(same.last_transition_time, first.last_transition_time);
    assert_eq!(other.last_transition_time, time(later));
}

#[test]
fn a_message_is_cut_at_1024_bytes_on_a_characters_boundary() {
    assert_eq!(cut("a".repeat(1024)), "a".repeat(1024));
    assert_eq!(cut("a".repeat(1025)), format!("{}…", "a".repeat(1021)));
    assert_eq!(cut("é".repeat(512)), "é".repeat(512));
    let odd = cut(format!("a{}", "é".repeat(512)));
    assert_eq!(odd, format!("a{}…", "é".repeat(510)));
    let wide = cut("\u{1f600}".repeat(300));
    assert_eq!(wide, format!("{}…", "\u{1f600}".repeat(255)));
    for text in [odd, wide] {
        assert!(text.len() <= 1024);
    }
}

fn check(state: CheckState, advisory: bool) -> Check {
    Check {
        name: "smoke".into(),
        state,
        reason: "R".into(),
        message: "says so".into(),
        since: time(morning()),
        until: None,
        advisory,
        anew_since: None,
    }
}

fn not_required() -> ReviewStatus {
    pir::derive(&observed(), &[], None, morning()).0
}

fn colour(
    o: &Observed,
    promotions: &[Promotion],
    now: Timestamp,
) -> (Colour, Vec<String>, Option<Timestamp>) {
    let (rag, edge) = rag::derive(o, promotions, &not_required(), &Accepted::default(), now);
    (rag.colour, rag.reasons, edge)
}

fn waiting(checks: Vec<Check>) -> Promotion {
    Promotion {
        checks,
        ..promotion("sit", State::Waiting)
    }
}

#[test]
fn the_colour_is_the_worst_there_is_with_its_reasons() {
    let o = observed();
    let of = |promotions: &[Promotion]| {
        let (colour, reasons, _) = colour(&o, promotions, morning());
        (colour, reasons.join(" | "))
    };
    let nothing_yet = promotion("sit", State::Pending);
    assert_eq!(of(&[nothing_yet]), (Colour::Grey, String::new()));
    assert_eq!(of(&[waiting(vec![])]), (Colour::Green, "sit: Waiting.".into()));
    assert_eq!(
        of(&[waiting(vec![check(CheckState::Waiting, false)])]).0,
        Colour::Green
    );
    let unknown = waiting(vec![check(CheckState::Unknown, false)]);
    assert_eq!(
        of(std::slice::from_ref(&unknown)),
        (Colour::Amber, "sit: smoke: says so.".into())
    );
    let no = waiting(vec![check(CheckState::Failed, false)]);
    assert_eq!(of(&[unknown, no]), (Colour::Red, "sit: smoke: says so.".into()));
    assert_eq!(
        of(&[waiting(vec![check(CheckState::Failed, true)])]).0,
        Colour::Green,
        "advisory"
    );
    for state in [
        State::Failed,
        State::AwaitingDecision,
        State::BackingOut,
        State::BackedOut,
    ] {
        let mut p = promotion("sit", state);
        p.message = Some("because".into());
        assert_eq!(
            of(&[p]),
            (Colour::Red, format!("sit: {}: because.", state.as_str()))
        );
    }
}

#[test]
fn past_its_planned_end_a_release_is_red_from_that_very_instant() {
    let schedule = json!({ "schedule": [{ "environment": "sit", "end": "2026-11-23T10:00:00Z" }] });
    let o = observed_of(release_of(&schedule));
    let end = at("2026-11-23T10:00:00Z");
    let (before, _, edge) = colour(&o, &[waiting(vec![])], end - seconds(1));
    assert_eq!((before, edge), (Colour::Green, Some(end)));
    let (after, reasons, edge) = colour(&o, &[waiting(vec![])], end);
    assert_eq!((after, edge), (Colour::Red, None));
    assert_eq!(reasons, ["sit: The planned end 2026-11-23T10:00:00Z has passed."]);
    assert_eq!(
        colour(&o, &[succeeded("sit", end)], end + seconds(1)).0,
        Colour::Green
    );

    let mut late = waiting(vec![]);
    late.forecast =
        serde_json::from_value(json!({ "earliest": "2026-11-23T10:00:00Z", "because": "WindowOpen" })).ok();
    let (misses, reasons, _) = colour(&o, &[late], morning());
    assert_eq!(misses, Colour::Red);
    assert_eq!(
        reasons,
        ["sit: The planned end 2026-11-23T10:00:00Z will be missed, according to the forecast."]
    );
}

fn owed(o: &Observed, promotions: &[Promotion]) -> Vec<String> {
    pir::derive(o, promotions, None, morning()).0.required_because
}

fn known_product(over: &Value) -> Observed {
    let mut o = observed_of(release_of(over));
    o.siblings = vec![sibling("2026.8", "r0", &[("sit", State::Succeeded)])];
    o
}

fn entered(mut p: Promotion, planned_end: Option<&str>) -> Promotion {
    let entered =
        json!({ "generation": 1, "stage": "SIT", "targetNamespace": "x", "plannedEnd": planned_end });
    p.entered = Some(serde_json::from_value(entered).expect("entered"));
    p
}

#[test]
fn a_review_is_owed_for_what_went_wrong_and_for_the_first_release() {
    let o = known_product(&json!({}));
    let good = succeeded("sit", morning());
    assert_eq!(owed(&o, std::slice::from_ref(&good)), Vec::<String>::new());
    assert_eq!(owed(&observed(), std::slice::from_ref(&good)), ["FirstRelease"]);
    let always = known_product(&json!({ "review": { "required": "Always" } }));
    assert_eq!(
        owed(&always, std::slice::from_ref(&good)),
        Vec::<String>::new(),
        "nothing has entered"
    );
    assert_eq!(owed(&always, &[entered(good.clone(), None)]), ["Always"]);
    assert_eq!(owed(&o, &[promotion("sit", State::Failed)]), ["Failed"]);
    let mut backed_out = promotion("sit", State::BackedOut);
    backed_out.backout = Some(Box::new(Backout {
        state: BackoutState::Verified,
        pre_state: String::new(),
        trigger: None,
        by: None,
        reason: None,
        started_at: None,
        finished_at: None,
    }));
    assert_eq!(owed(&o, &[backed_out]), ["BackedOut"]);
    let mut accepted = good.clone();
    accepted.decided = Some(Box::new(Decided {
        name: "d".into(),
        uid: "d".into(),
        action: crate::api::Action::Accept,
        by: "olga".into(),
        reason: None,
    }));
    assert_eq!(owed(&o, &[accepted]), ["Accepted"]);
    assert_eq!(
        owed(&o, &[entered(good.clone(), Some("2026-11-23T08:59:59Z"))]),
        ["Overran"]
    );
    assert_eq!(
        owed(&o, &[entered(good.clone(), Some("2026-11-23T09:00:00Z"))]),
        Vec::<String>::new()
    );
    let mut drifted = good;
    drifted.components[0].drift = Some("ConfigMap ledger".into());
    assert_eq!(owed(&o, &[drifted]), ["Drift"]);
}

#[test]
fn a_review_goes_from_pending_to_closed_and_is_overdue_at_its_very_instant() {
    let mut o = observed();
    let done = [succeeded("sit", morning())];
    let due = morning() + minutes(120 * 60);
    let state = |o: &Observed, now| {
        let (review, edge) = pir::derive(o, &done, None, now);
        (review.state, review.overdue, review.due_at.map(|t| t.0), edge)
    };
    assert_eq!(
        state(&o, due - seconds(1)),
        (ReviewState::Pending, false, Some(due), Some(due))
    );
    assert_eq!(state(&o, due), (ReviewState::Pending, true, Some(due), None));
    let under_way = [succeeded("sit", morning()), promotion("uat", State::Waiting)];
    assert_eq!(
        pir::derive(&o, &under_way, None, due).0.due_at,
        None,
        "it counts from the last end"
    );

    let mut write = |over: Value| {
        o.reviews = vec![std::sync::Arc::new(review("carol", over))];
        state(&o, due)
    };
    assert_eq!(write(json!({})).0, ReviewState::InProgress);
    let no_owner = json!({ "outcome": "Successful", "actions": [{ "title": "fix" }] });
    assert_eq!(write(no_owner).0, ReviewState::InProgress);
    let open = json!({ "outcome": "Successful", "actions": [{ "title": "fix", "owner": "olga" }] });
    assert_eq!(write(open), (ReviewState::Completed, false, Some(due), None));
    let closed =
        json!({ "outcome": "Successful", "actions": [{ "title": "fix", "owner": "olga", "done": true }] });
    assert_eq!(write(closed).0, ReviewState::Closed);
}

#[test]
fn the_reviewer_is_neither_requester_nor_approver() {
    let mut o = observed();
    let done = [succeeded("sit", morning())];
    o.reviews = vec![std::sync::Arc::new(review(
        REQUESTER,
        json!({ "outcome": "Successful" }),
    ))];
    let (first, _) = pir::derive(&o, &done, None, morning());
    assert_eq!(first.state, ReviewState::Pending);
    assert_eq!(
        first.message.as_deref(),
        Some("The review by rita@example.com does not count: rita@example.com requested this release.")
    );
    let approval = decision(
        "Approve",
        "anna",
        "uat",
        morning(),
        json!({ "subject": "b", "role": "r", "planHash": "h" }),
    );
    o = o.with_decisions(vec![approval]);
    o.reviews.push(std::sync::Arc::new(review(
        "anna",
        json!({ "outcome": "Successful" }),
    )));
    o.reviews.push(std::sync::Arc::new(review(
        "carol",
        json!({ "outcome": "Unsuccessful" }),
    )));
    let (second, _) = pir::derive(&o, &done, None, morning());
    assert_eq!(second.state, ReviewState::Closed);
    assert_eq!(second.outcome, Some(crate::api::review::Outcome::Unsuccessful));
    assert_eq!(
        second.message.as_deref(),
        Some(
            "The review by rita@example.com does not count: rita@example.com requested this release. The review by anna does not count: anna approved this release."
        )
    );
}

#[test]
fn what_a_review_is_owed_for_stays_though_a_retry_mends_it() {
    let o = known_product(&json!({}));
    let (failed, _) = pir::derive(&o, &[promotion("sit", State::Failed)], None, morning());
    let (fixed, _) = pir::derive(&o, &[succeeded("sit", morning())], Some(&failed), morning());
    assert_eq!(fixed.required_because, ["Failed"]);
}

fn forecast_of(o: &Observed, environment: &str) -> Option<(Option<Timestamp>, String)> {
    let blank = promotion(environment, State::Waiting);
    let found = forecast::of(&crate::decide::rules::subject::Subject {
        observed: o,
        setting: &o.environments[environment],
        promotion: &blank,
        place: &o.places[environment],
        now: morning(),
        gate: None,
        prior: None,
        probing: false,
    });
    found.map(|f| (f.earliest.map(|t| t.0), f.because))
}

fn allow(from: &str, to: &str) -> Window {
    let when = When::Once {
        from: at(from),
        to: at(to),
    };
    Window {
        name: "evening".into(),
        kind: WindowKind::Allow,
        when,
    }
}

#[test]
fn the_forecast_is_the_latest_of_what_time_binds_and_names_it() {
    let soaked = |windows: &[Window]| {
        let mut uat = uat();
        let gates = json!([{ "name": "bake", "soak": { "environment": "sit", "duration": "2h" } }]);
        uat.spec.gates = serde_json::from_value(gates).expect("gates");
        let schedule = json!({ "schedule": [{ "environment": "uat", "start": "2026-11-23T10:00:00Z" }] });
        observed_of(release_of(&schedule))
            .with_promotions(vec![succeeded("sit", morning())])
            .with_environment(uat, windows)
    };
    assert_eq!(
        forecast_of(&observed(), "uat"),
        None,
        "nothing time-bound holds it back"
    );
    assert_eq!(
        forecast_of(&soaked(&[]), "uat"),
        Some((Some(at("2026-11-23T11:00:00Z")), "bake".into()))
    );
    let evening = allow("2026-11-23T18:00:00Z", "2026-11-23T20:00:00Z");
    assert_eq!(
        forecast_of(&soaked(&[evening]), "uat"),
        Some((Some(at("2026-11-23T18:00:00Z")), "WindowOpen".into()))
    );
    let too_short = allow("2026-11-23T18:00:00Z", "2026-11-23T18:25:00Z");
    assert_eq!(
        forecast_of(&soaked(&[too_short]), "uat"),
        Some((None, "WindowOpen: no opening is forecast".into()))
    );
}

#[test]
fn a_status_of_a_newer_operator_is_only_reported_on() {
    let mut o = observed().with_promotions(vec![promotion("sit", State::Waiting)]);
    let release = std::sync::Arc::make_mut(&mut o.release);
    release.status.as_mut().expect("status").state_version = Some(crate::api::release::STATE_VERSION + 1);
    assert!(matches!(decide(&o, morning()), Step::Wait(w) if w.until.is_none()));
}

#[test]
fn decisions_are_adopted_once() {
    let mut orphan = decision(
        "Approve",
        "anna",
        "uat",
        morning(),
        json!({ "subject": "b", "role": "r", "planHash": "h" }),
    );
    orphan.metadata.owner_references = None;
    let mut walk = super::walk::Walk::of(release());
    walk.run();
    walk.written();
    walk.decides(orphan);
    walk.step();
    assert_eq!(walk.written().len(), 1);
}

#[test]
fn a_reject_is_not_owned_by_its_release() {
    let reject = |owned: bool| {
        let over = json!({ "subject": "b", "role": "r", "planHash": "h" });
        let mut reject = decision("Reject", "anna", "uat", morning(), over);
        if !owned {
            reject.metadata.owner_references = None;
        }
        reject
    };
    for (owned, writes) in [(true, vec!["disown reject-anna-uat-1795424400"]), (false, vec![])] {
        let mut walk = super::walk::Walk::of(release());
        walk.run();
        walk.written();
        walk.decides(reject(owned));
        walk.step();
        assert_eq!(walk.written(), writes);
    }
}
