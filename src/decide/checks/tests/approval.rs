//! Approval: who counts, for what, for how long; and I6, that nothing else ever does.

use super::*;

fn gated() -> Environment {
    with_gates(
        uat(),
        json!([
            { "name": "board", "approval": { "role": "change-manager", "minimum": 2, "validFor": "24h" } },
            { "name": "tests", "approval": { "role": "tester", "serviceAccounts": "Allow" } },
        ]),
    )
}

fn before_uat() -> Observed {
    observed()
        .with_promotions(vec![succeeded("sit", morning())])
        .with_environment(gated(), &[])
}

fn answer(o: &Observed, action: &str, by: &str, gate: &str, role: &str, created: Timestamp) -> Decision {
    let over = json!({ "subject": gate, "role": role, "planHash": hash(o, "uat") });
    decision(action, by, "uat", created, over)
}

fn board(o: &Observed, by: &str) -> Decision {
    answer(o, "Approve", by, "board", "change-manager", morning())
}

/// What the gate `board` says of these.
fn of(decide: impl FnOnce(&Observed) -> Vec<Decision>) -> Check {
    let o = before_uat();
    let decisions = decide(&o);
    one(&o.with_decisions(decisions), "uat", "board")
}

#[track_caller]
fn discounted(check: &Check, why: &str) {
    assert_eq!(
        (check.state, check.reason.as_str()),
        (Waiting, "ApprovalsMissing")
    );
    assert!(check.message.ends_with(&format!("({why})")), "{}", check.message);
}

#[test]
fn two_people_are_asked_for_and_told_what_to_create() {
    let o = before_uat();
    let hash = hash(&o, "uat");
    says(
        &of(|_| vec![]),
        Waiting,
        "ApprovalsMissing",
        &format!(
            "0 of 2 approvals by change-manager: create a Decision with action Approve, subject board, \
             role change-manager and planHash {hash}"
        ),
    );
    let one_of_two = of(|o| vec![board(o, "anna"), board(o, "anna")]);
    assert!(
        one_of_two
            .message
            .starts_with("1 of 2 approvals by change-manager, given by anna: create")
    );
    let both = of(|o| vec![board(o, "bert"), board(o, "anna")]);
    says(
        &both,
        Satisfied,
        "Satisfied",
        "approved as change-manager by anna, bert",
    );
    assert_eq!(both.until, Some(crate::api::time(morning() + minutes(24 * 60))));
}

#[test]
fn the_requester_never_counts() {
    let check = of(|o| vec![board(o, REQUESTER), board(o, "anna")]);
    discounted(
        &check,
        "Approve by rita@example.com does not count: the requester never approves",
    );
}

#[test]
fn one_person_fills_one_role() {
    let check = of(|o| {
        vec![
            answer(o, "Approve", "anna", "tests", "tester", morning()),
            board(o, "anna"),
            board(o, "bert"),
        ]
    });
    discounted(
        &check,
        "Approve by anna does not count: one person fills one role, and anna already approved as tester",
    );
}

#[test]
fn the_role_that_somebody_fills_is_the_first_and_stays_it() {
    // Anna approves for the board, then for the tests in vain, then for the board again.
    let check = of(|o| {
        vec![
            board(o, "anna"),
            answer(o, "Approve", "anna", "tests", "tester", morning() + seconds(1)),
            answer(
                o,
                "Approve",
                "anna",
                "board",
                "change-manager",
                morning() + seconds(2),
            ),
            board(o, "bert"),
        ]
    });
    says(
        &check,
        Satisfied,
        "Satisfied",
        "approved as change-manager by anna, bert",
    );
}

#[test]
fn a_mistyped_role_does_not_shut_its_author_out() {
    let check = of(|o| {
        vec![
            answer(o, "Approve", "anna", "board", "tester", morning()),
            answer(
                o,
                "Approve",
                "anna",
                "board",
                "change-manager",
                morning() + seconds(1),
            ),
            board(o, "bert"),
        ]
    });
    says(
        &check,
        Satisfied,
        "Satisfied",
        "approved as change-manager by anna, bert (Approve by anna does not count: it was given as tester, not as change-manager)",
    );
}

#[test]
fn an_approval_expires_at_its_very_instant() {
    let o = before_uat();
    let decisions = vec![
        board(&o, "anna"),
        answer(
            &o,
            "Approve",
            "bert",
            "board",
            "change-manager",
            morning() + seconds(10),
        ),
    ];
    let o = o.with_decisions(decisions);
    let expiry = morning() + minutes(24 * 60);
    let last = one_at(&o, "uat", "board", expiry - seconds(1));
    assert_eq!(
        (last.state, last.until),
        (Satisfied, Some(crate::api::time(expiry)))
    );
    let over = one_at(&o, "uat", "board", expiry);
    discounted(
        &over,
        "Approve by anna does not count: it expired at 2026-11-24T09:00:00Z",
    );
    assert_eq!(over.until, Some(crate::api::time(expiry + seconds(10))));
}

#[test]
fn an_approval_of_another_plan_is_void() {
    let o = before_uat();
    let old = board(&o, "anna");
    let over = json!({ "backoutPlan": { "summary": "another", "owner": "o" } });
    let changed = observed_of(release_of(&over))
        .with_promotions(vec![succeeded("sit", morning())])
        .with_environment(gated(), &[])
        .with_decisions(vec![old]);
    discounted(
        &one(&changed, "uat", "board"),
        "Approve by anna does not count: it was given for another plan than the one that stands now",
    );
}

#[test]
fn a_rejection_is_final_for_that_plan_whoever_approves() {
    let check = of(|o| {
        let mut no = answer(o, "Reject", "carl", "board", "change-manager", morning());
        no.spec.reason = Some("too late in the year".into());
        vec![board(o, "anna"), no, board(o, "bert")]
    });
    says(
        &check,
        Failed,
        "Rejected",
        "carl rejected this plan: too late in the year; only a new plan can go in",
    );
}

#[test]
fn service_accounts_count_only_where_the_gate_says_so() {
    let robot = "system:serviceaccount:ci:robot";
    discounted(
        &of(|o| vec![board(o, robot)]),
        "Approve by system:serviceaccount:ci:robot does not count: service accounts do not count here",
    );
    let o = before_uat();
    let decisions = vec![answer(&o, "Approve", robot, "tests", "tester", morning())];
    assert_eq!(one(&o.with_decisions(decisions), "uat", "tests").state, Satisfied);
}

#[test]
fn what_admission_does_not_vouch_for_is_unknown() {
    let mut o = before_uat();
    let decisions = vec![board(&o, "anna"), board(&o, "bert")];
    o = o.with_decisions(decisions);
    o.trust = Trust::Broken("policy signalbox-decision is missing".into());
    says(
        &one(&o, "uat", "board"),
        Unknown,
        "NotVouchedFor",
        "no Decision counts: policy signalbox-decision is missing",
    );
}

#[test]
fn a_decision_must_be_younger_than_the_policy_by_the_time_it_settles_in() {
    let o = before_uat();
    let at = |created| answer(&o, "Approve", "anna", "board", "change-manager", created);
    let policy = morning();
    let vouched = |decision: Decision| {
        let mut o = before_uat().with_decisions(vec![decision]);
        o.trust = Trust::Vouched {
            decisions_since: policy,
            requests_since: at_dawn(),
        };
        one(&o, "uat", "board")
    };
    assert!(vouched(at(policy + seconds(60))).message.starts_with("1 of 2"));
    discounted(
        &vouched(at(policy + seconds(59))),
        "Approve by anna does not count: it is not at least 60 s younger than the admission policy that vouches for \
         its author; create it again",
    );
}

fn at_dawn() -> Timestamp {
    at("2026-11-23T06:00:00Z")
}

#[test]
fn nobody_approves_what_was_requested_by_nobody_knows_whom() {
    let o = before_uat();
    let decisions = vec![board(&o, "anna")];
    let mut o = o.with_decisions(decisions);
    o.trust = Trust::Vouched {
        decisions_since: at_dawn(),
        requests_since: at("2026-11-23T08:30:00Z"),
    };
    let sentence = "no approval counts: the Release is not at least 60 s younger than the admission policy that vouches for \
                    its requester; create the Release again";
    assert_eq!(one(&o, "uat", "board").message, sentence);
    o.decisions.clear();
    assert_eq!(
        one(&o, "uat", "board").message,
        sentence,
        "before anybody approves in vain"
    );
    o.trust = Trust::Vouched {
        decisions_since: at_dawn(),
        requests_since: at("2026-11-23T07:59:00Z"),
    };
    assert!(
        one(&o, "uat", "board").message.starts_with("0 of 2"),
        "created at eight, 60 s after"
    );
}

#[test]
fn a_decision_older_than_the_release_or_for_another_environment_or_gate_does_not_count() {
    discounted(
        &of(|o| {
            vec![answer(
                o,
                "Approve",
                "anna",
                "board",
                "change-manager",
                at("2026-11-23T07:59:59Z"),
            )]
        }),
        "Approve by anna does not count: it is older than the Release",
    );
    let elsewhere = of(|o| {
        let mut other = board(o, "anna");
        other.spec.environment = "production".into();
        vec![other, answer(o, "Approve", "bert", "tests", "tester", morning())]
    });
    assert!(
        elsewhere.message.starts_with("0 of 2 approvals"),
        "{}",
        elsewhere.message
    );
}
