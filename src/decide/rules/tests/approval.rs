//! Approval: whose approval counts, for what and for how long; and I6 of docs/reliability.md, that nothing else counts.

use crate::decide::rules::tests::*;

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
    assert!(check.message.ends_with(&format!(". {why}.")), "{}", check.message);
}

#[test]
fn the_requester_never_approves_however_the_name_is_spelled() {
    for (requester, by, counts) in [
        ("Bob@Example.com", "bob@example.com", false),
        ("oidc:bob@example.com", "bob@example.com", false),
        ("bob@example.com", "oidc:BOB@example.com", false),
        (" bob@example.com", "bob@example.com", false),
        ("bob", "bobby", true),
        ("oidc:bob", "ldap:bob", true),
        ("system:serviceaccount:ci:bob", "bob", true),
        (
            "system:serviceaccount:ci:bob",
            "system:serviceaccount:cd:bob",
            true,
        ),
    ] {
        use crate::decide::trust::may_be_one_person;
        assert_eq!(!may_be_one_person(requester, by), counts, "{requester} and {by}");
        assert_eq!(!may_be_one_person(by, requester), counts, "{by} and {requester}");
    }
    let mut o = before_uat();
    Arc::make_mut(&mut o.release).spec.requested_by = "oidc:anna".into();
    let approval = board(&o, "anna");
    let check = one(&o.with_decisions(vec![approval]), "uat", "board");
    assert!(
        check.message.contains("the requester cannot approve"),
        "{}",
        check.message
    );
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
            "0 of 2 approvals by change-manager. Create a Decision for planHash {hash} with action Approve, subject board and \
             role change-manager."
        ),
    );
    let one_of_two = of(|o| vec![board(o, "anna"), board(o, "anna")]);
    assert!(
        one_of_two
            .message
            .starts_with("1 of 2 approvals by change-manager, given by anna. Create")
    );
    let both = of(|o| vec![board(o, "bert"), board(o, "anna")]);
    says(
        &both,
        Satisfied,
        "Satisfied",
        "Approved as change-manager by anna, bert.",
    );
    assert_eq!(both.until, Some(crate::api::time(morning() + minutes(24 * 60))));
}

#[test]
fn the_requester_never_counts() {
    let check = of(|o| vec![board(o, REQUESTER), board(o, "anna")]);
    discounted(
        &check,
        "Approve by rita@example.com does not count: the requester cannot approve",
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
        "Approve by anna does not count: a person can fill only one role, and anna already approved as tester",
    );
}

#[test]
fn names_that_may_be_one_persons_fill_one_role_and_count_once() {
    for (one, other) in [
        ("Anna@Example.com", "anna@example.com"),
        ("oidc:anna", "anna"),
        ("anna", "oidc:ANNA"),
    ] {
        let twice = of(|o| vec![board(o, one), board(o, other)]);
        assert_eq!(twice.state, Waiting);
        let (first, second) = if one < other { (one, other) } else { (other, one) };
        let said = format!("1 of 2 approvals by change-manager, given by {first} or {second}. Create");
        assert!(twice.message.starts_with(&said), "{}", twice.message);
        let two_roles = of(|o| {
            let tests = answer(o, "Approve", one, "tests", "tester", morning());
            vec![tests, board(o, other), board(o, "bert")]
        });
        discounted(
            &two_roles,
            &format!(
                "Approve by {other} does not count: a person can fill only one role, and {one} already approved as tester"
            ),
        );
    }
    // Two providers' names are two people's, unless a third name may be either of them.
    let two = |o: &Observed| vec![board(o, "oidc:anna"), board(o, "ldap:anna")];
    assert_eq!(of(two).state, Satisfied);
    for place in 0..3 {
        let check = of(|o| {
            let mut three = two(o);
            three.insert(place, board(o, "anna"));
            three
        });
        assert_eq!(check.state, Waiting, "{}", check.message);
    }
}

#[test]
fn the_role_that_somebody_fills_is_the_first_and_stays_it() {
    // Anna approves for the board, then for the tests without success, then for the board again.
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
        "Approved as change-manager by anna, bert.",
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
        "Approved as change-manager by anna, bert. Approve by anna does not count: its role is tester, but this gate requires change-manager.",
    );
}

#[test]
fn a_flood_takes_nothing_back_and_keeps_nobody_else_from_deciding() {
    let o = before_uat();
    let (second, minute) = (morning() + seconds(1), morning() + minutes(1));
    let mut decisions = vec![board(&o, "anna")];
    // A hundred of one second, older than what counts of mallory, then more.
    for number in 0..200 {
        let created = if number < 100 {
            morning() - seconds(60)
        } else {
            minute
        };
        let mut flood = board(&o, "mallory");
        flood.metadata.creation_timestamp = Some(crate::api::time(created));
        flood.metadata.uid = Some(format!("flood-{number:03}"));
        flood.spec.subject = Some("elsewhere".to_owned());
        decisions.push(flood);
    }
    let mut late = board(&o, "mallory");
    late.metadata.creation_timestamp = Some(crate::api::time(second));
    decisions.push(late);
    decisions.push(answer(&o, "Approve", "bert", "board", "change-manager", minute));
    let known = |decisions: &[Decision]| {
        let mut o = before_uat();
        o.know(decisions.iter().cloned().map(Arc::new));
        o
    };
    let flooded = known(&decisions);
    assert_eq!((flooded.decisions.len(), flooded.surplus.len()), (102, 101));
    says(
        &one(&flooded, "uat", "board"),
        Satisfied,
        "Satisfied",
        "Approved as change-manager by anna, bert. Further Decisions by mallory do not count: only the oldest 100 of one author \
         count for a Release.",
    );
    decisions.push(answer(&o, "Reject", "mallory", "board", "change-manager", minute));
    let rejected = one(&known(&decisions), "uat", "board");
    assert_eq!(rejected.reason, "Rejected", "{}", rejected.message);
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
        "Approve by anna does not count: its planHash is not that of the current plan",
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
        "carl rejected this plan. Change the plan: only a new plan can enter. Reason: too late in the year.",
    );
}

#[test]
fn a_rejection_outlives_its_release_and_the_policies() {
    let o = before_uat();
    let rejected = |created, release: &str| {
        let mut no = answer(&o, "Reject", "carl", "board", "change-manager", created);
        (no.spec.release, no.spec.reason) = (release.to_owned(), Some("too late in the year".to_owned()));
        one(
            &before_uat().with_decisions(vec![board(&o, "anna"), no, board(&o, "bert")]),
            "uat",
            "board",
        )
    };
    // The Release was created at eight.
    let last_week = at("2026-11-16T09:00:00Z");
    for (created, release, what) in [
        (last_week, o.name(), " before this Release was created"),
        (last_week, "other", " in Release other"),
        (morning(), "other", " in Release other"),
        (
            at("2025-12-01T09:00:00Z"),
            o.name(),
            " before this Release was created (the admission policy that verifies names is younger)",
        ),
    ] {
        says(
            &rejected(created, release),
            Failed,
            "Rejected",
            &format!(
                "carl rejected this plan{what}. Change the plan: only a new plan can enter. Reason: too late in the year."
            ),
        );
    }
    let mut another = answer(&o, "Reject", "carl", "board", "change-manager", last_week);
    another.spec.plan_hash = Some(hash(&o, "sit"));
    let check = one(&before_uat().with_decisions(vec![another]), "uat", "board");
    discounted(
        &check,
        "Reject by carl does not count: its planHash is not that of the current plan",
    );
}

#[test]
fn service_accounts_count_only_where_the_gate_says_so() {
    let robot = "system:serviceaccount:ci:robot";
    discounted(
        &of(|o| vec![board(o, robot)]),
        "Approve by system:serviceaccount:ci:robot does not count: this gate does not accept approvals by ServiceAccounts",
    );
    let o = before_uat();
    let decisions = vec![answer(&o, "Approve", robot, "tests", "tester", morning())];
    assert_eq!(one(&o.with_decisions(decisions), "uat", "tests").state, Satisfied);
}

#[test]
fn a_release_of_a_service_account_has_no_known_person_behind_it() {
    let requested_by = |requester: &str, gate: &str, role: &str| {
        let release = release_of(&json!({ "requestedBy": requester }));
        let o = observed_of(release)
            .with_promotions(vec![succeeded("sit", morning())])
            .with_environment(gated(), &[]);
        let approvals = ["anna", "bert"].map(|by| answer(&o, "Approve", by, gate, role, morning()));
        let before = one(&o, "uat", gate);
        let carl = answer(&o, "Reject", "carl", gate, role, morning());
        let rejected = o.clone().with_decisions(vec![carl]);
        assert_eq!(one(&rejected, "uat", gate).reason, "Rejected", "{requester}");
        (before, one(&o.with_decisions(approvals.into()), "uat", gate))
    };
    for robot in ["system:serviceaccount:ci:robot", "System:ServiceAccount:ci:robot"] {
        let sentence = format!(
            "No approval counts: spec.requestedBy is the ServiceAccount {robot}, so the person who requested the Release is not \
             known. Set spec.requestedBy to that person's name; this requires the verb request-for on releases."
        );
        let (before, after) = requested_by(robot, "board", "change-manager");
        says(&before, Unknown, "NotVouchedFor", &sentence);
        says(&after, Unknown, "NotVouchedFor", &sentence);
        let (before, after) = requested_by(robot, "tests", "tester");
        assert_eq!(
            (before.state, after.state),
            (Waiting, Satisfied),
            "this gate counts them"
        );
    }
    let (before, after) = requested_by("rita@example.com", "board", "change-manager");
    assert_eq!((before.state, after.state), (Waiting, Satisfied));
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
        "policy signalbox-decision is missing.",
    );
}

#[test]
fn a_decision_must_be_younger_than_the_policy_by_the_time_it_settles_in() {
    let o = before_uat();
    let at = |created| answer(&o, "Approve", "anna", "board", "change-manager", created);
    let policy = morning();
    let verified = |decision: Decision| {
        let mut o = before_uat().with_decisions(vec![decision]);
        o.trust = Trust::Verified {
            decisions_since: policy,
            requests_since: at_dawn(),
        };
        one(&o, "uat", "board")
    };
    assert!(verified(at(policy + seconds(60))).message.starts_with("1 of 2"));
    discounted(
        &verified(at(policy + seconds(59))),
        "Approve by anna does not count: it was created before, or less than 60 s after, the last change of the admission \
         policy or binding that verifies its author. Create it again",
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
    o.trust = Trust::Verified {
        decisions_since: at_dawn(),
        requests_since: at("2026-11-23T08:30:00Z"),
    };
    let sentence = "No approval counts: the Release was created before, or less than 60 s after, the last change of the admission policy \
                    or binding that verifies its requester. Create the Release again.";
    assert_eq!(one(&o, "uat", "board").message, sentence);
    o.decisions.clear();
    assert_eq!(
        one(&o, "uat", "board").message,
        sentence,
        "before an approval is given without effect"
    );
    o.trust = Trust::Verified {
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
