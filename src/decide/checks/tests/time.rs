//! What time clears: soak, windows, expressions' last word, and Jobs, which are asked last.

use super::*;
use crate::decide::{Action, plan};

fn soaking(duration: &str) -> Observed {
    let gates = json!([{ "name": "bake", "soak": { "environment": "sit", "duration": duration } }]);
    observed().with_environment(with_gates(uat(), gates), &[])
}

#[test]
fn a_soak_is_half_open() {
    let o = soaking("24h").with_promotions(vec![succeeded("sit", morning())]);
    let over = at("2026-11-24T09:00:00Z");
    let last = one_at(&o, "uat", "bake", over - seconds(1));
    says(
        &last,
        Waiting,
        "Soaking",
        "stands in sit until 2026-11-24T09:00:00Z",
    );
    assert_eq!(last.until, Some(crate::api::time(over)));
    let done = one_at(&o, "uat", "bake", over);
    says(&done, Satisfied, "Satisfied", "stood in sit for 24h");
    assert_eq!(done.until, None);
}

#[test]
fn a_soak_waits_for_success_and_cannot_be_where_the_release_never_goes() {
    says(
        &one(&soaking("1h"), "uat", "bake"),
        Waiting,
        "Soaking",
        "must stand in sit for 1h first; it has not Succeeded there",
    );
    let mut o = soaking("1h");
    Arc::make_mut(&mut o.release).spec.environments = vec!["uat".into()];
    says(
        &one(&o, "uat", "bake"),
        Failed,
        "SoakNotPossible",
        "must stand in sit for 1h first: add sit to spec.environments",
    );
}

fn once(kind: WindowKind, from: &str, to: &str) -> Window {
    let when = When::Once {
        from: at(from),
        to: at(to),
    };
    Window {
        name: "w".into(),
        kind,
        when,
    }
}

#[test]
fn a_window_is_open_until_deployment_and_backout_no_longer_fit() {
    // 10 minutes to deploy and 15 to back out: the last instant is before 16:35.
    let window = once(WindowKind::Allow, "2026-11-23T12:00:00Z", "2026-11-23T17:00:00Z");
    let o = observed().with_environment(sit(), &[window]);
    let closed = one(&o, "sit", "WindowOpen");
    assert_eq!(
        (closed.state, closed.until),
        (Waiting, Some(crate::api::time(at("2026-11-23T12:00:00Z"))))
    );
    let open = one_at(&o, "sit", "WindowOpen", at("2026-11-23T12:00:00Z"));
    says(&open, Satisfied, "Satisfied", "open: w");
    assert_eq!(open.until, Some(crate::api::time(at("2026-11-23T16:35:00Z"))));
    let too_late = one_at(&o, "sit", "WindowOpen", at("2026-11-23T16:35:00Z"));
    let closes = Some(crate::api::time(at("2026-11-23T17:00:00Z")));
    assert_eq!(
        (too_late.state, too_late.until),
        (Waiting, closes),
        "it says something else then"
    );
}

#[test]
fn a_deny_window_wins_and_production_is_closed_by_default() {
    let deny = once(WindowKind::Deny, "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z");
    let o = observed().with_environment(sit(), &[deny]);
    let denied = one(&o, "sit", "WindowOpen");
    assert_eq!(
        (denied.state, denied.until),
        (Waiting, Some(crate::api::time(at("2026-11-24T00:00:00Z"))))
    );
    let bare = environment("production", json!({ "stage": "Production", "namespace": "x" }));
    let o = observed().with_environment(bare, &[]);
    assert_eq!(one(&o, "production", "WindowOpen").state, Waiting);
}

#[test]
fn a_planned_start_is_not_before_and_a_planned_end_holds_nothing() {
    let planned = |start: &str, end: &str| {
        observed_of(release_of(
            &json!({ "schedule": [{ "environment": "sit", "start": start, "end": end }] }),
        ))
    };
    let o = planned("2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z");
    let early = one(&o, "sit", "WindowOpen");
    says(
        &early,
        Waiting,
        "NotBefore",
        "planned to start at 2026-11-23T10:00:00Z",
    );
    assert_eq!(early.until, Some(crate::api::time(at("2026-11-23T10:00:00Z"))));
    for late in [
        "2026-11-23T10:00:00Z",
        "2026-11-23T11:00:00Z",
        "2026-12-01T00:00:00Z",
    ] {
        assert_eq!(
            one_at(&o, "sit", "WindowOpen", at(late)).state,
            Satisfied,
            "{late}"
        );
    }
}

#[test]
fn an_expression_that_is_no_boolean_is_never_go() {
    let gates = json!([{ "name": "rule", "expression": { "passWhen": "release.ok" } }]);
    let mut o = observed().with_environment(with_gates(sit(), gates), &[]);
    let mut told = |result: Option<Result<bool, String>>| {
        let place = o.places.get_mut("sit").expect("sit");
        place.expressions = result.map(|r| ("rule".to_owned(), r)).into_iter().collect();
        one(&o, "sit", "rule")
    };
    says(&told(Some(Ok(true))), Satisfied, "Satisfied", "holds: release.ok");
    says(
        &told(Some(Ok(false))),
        Failed,
        "ExpressionFalse",
        "does not hold: release.ok; ask the environment's owner",
    );
    says(
        &told(Some(Err("no such key".into()))),
        Unknown,
        "ExpressionUnknown",
        "could not be evaluated (no such key): release.ok; ask the environment's owner",
    );
    says(
        &told(None),
        Unknown,
        "NotReadYet",
        "has not been evaluated yet: release.ok",
    );
}

fn with_job() -> Observed {
    let gates = json!([
        { "name": "smoke", "job": { "template": "smoke-tests", "timeout": "10m" } },
        { "name": "rule", "expression": { "passWhen": "x" } },
    ]);
    let mut o = observed().with_environment(with_gates(sit(), gates), &[]);
    o.places.get_mut("sit").expect("sit").expressions = [("rule".to_owned(), Ok(true))].into();
    o
}

fn job(o: &mut Observed, state: JobState) {
    o.places.get_mut("sit").expect("sit").jobs = [("smoke".to_owned(), state)].into();
}

fn name(o: &Observed) -> String {
    format!(
        "payments-sit/{}",
        plan::job_name("r1", "sit", 1, "smoke", &hash(o, "sit"))
    )
}

#[test]
fn a_job_runs_only_once_everything_else_holds() {
    let mut o = with_job();
    let o_name = name(&o);
    let starting = all(&o, "sit", morning());
    assert_eq!(
        starting.checks.last().map(|c| c.name.as_str()),
        Some("smoke"),
        "probes are asked last"
    );
    says(
        starting.checks.last().expect("smoke"),
        Waiting,
        "JobRunning",
        &format!("job {o_name} runs"),
    );
    let [
        Action::StartJob {
            template,
            timeout_seconds,
            check,
            ..
        },
    ] = starting.actions.as_slice()
    else {
        panic!("{:?}", starting.actions)
    };
    assert_eq!(
        (template.as_str(), *timeout_seconds, check.as_str()),
        ("smoke-tests", 600, "smoke")
    );

    o.places.get_mut("sit").expect("sit").expressions = [("rule".to_owned(), Ok(false))].into();
    let held = all(&o, "sit", morning());
    says(
        held.checks.last().expect("smoke"),
        Waiting,
        "JobPending",
        "job smoke-tests runs once everything else holds",
    );
    assert_eq!(held.actions, []);
}

#[test]
fn a_job_ends_well_or_badly_or_not_in_time() {
    let mut o = with_job();
    let job_name = name(&o);
    job(
        &mut o,
        JobState::Running {
            started: Some(morning()),
        },
    );
    let running = one_at(&o, "sit", "smoke", morning() + minutes(10) - seconds(1));
    assert_eq!(
        (running.reason.as_str(), running.until),
        ("JobRunning", Some(crate::api::time(morning() + minutes(10))))
    );
    says(
        &one_at(&o, "sit", "smoke", morning() + minutes(10)),
        Failed,
        "JobTimedOut",
        &format!("job {job_name} did not end within 10m"),
    );
    job(&mut o, JobState::Succeeded);
    says(
        &one(&o, "sit", "smoke"),
        Satisfied,
        "JobSucceeded",
        &format!("job {job_name} succeeded"),
    );
    job(&mut o, JobState::Failed("exit 1".into()));
    says(
        &one(&o, "sit", "smoke"),
        Failed,
        "JobFailed",
        &format!("job {job_name} failed: exit 1"),
    );
}

#[test]
fn a_job_that_cannot_be_created_is_unknown_and_tried_again() {
    let mut o = with_job();
    let again_at = morning() + seconds(30);
    job(
        &mut o,
        JobState::Trouble(Trouble {
            reason: "X",
            message: "no CronJob smoke-tests".into(),
            again_at,
        }),
    );
    says(
        &one(&o, "sit", "smoke"),
        Unknown,
        "JobTrouble",
        "no CronJob smoke-tests",
    );
    assert_eq!(all(&o, "sit", again_at - seconds(1)).actions, []);
    assert_eq!(all(&o, "sit", again_at).actions.len(), 1);
}

#[test]
fn what_a_job_said_stands_though_it_is_gone_until_the_plan_changes() {
    let mut o = with_job();
    job(&mut o, JobState::Failed("exit 1".into()));
    let mut persisted = promotion::listed(&o).remove(0);
    persisted.checks = all(&o, "sit", morning()).checks;
    let latched = persisted.checks.last().cloned().expect("smoke");
    job(&mut o, JobState::Absent);
    let mut o = o.with_promotions(vec![persisted]);
    let later = all(&o, "sit", morning() + minutes(99));
    assert_eq!(later.checks.last(), Some(&latched), "since and all");
    assert_eq!(later.actions, []);

    Arc::make_mut(&mut o.release).spec.version = "2026.11.2".into();
    let anew = all(&o, "sit", morning());
    assert_eq!(anew.checks.last().map(|c| c.reason.as_str()), Some("JobRunning"));
    assert_eq!(anew.actions.len(), 1, "another plan, another Job");
}

#[test]
fn a_check_keeps_its_since_while_it_says_the_same() {
    let prior = persisted("x", None, false, Waiting, "R", "1 of 3".into(), None, morning());
    let later = morning() + minutes(1);
    let same = persisted(
        "x",
        Some(&prior),
        false,
        Waiting,
        "R",
        "2 of 3".into(),
        None,
        later,
    );
    let other = persisted(
        "x",
        Some(&prior),
        false,
        Waiting,
        "S",
        "2 of 3".into(),
        None,
        later,
    );
    assert_eq!(
        (same.since, other.since),
        (crate::api::time(morning()), crate::api::time(later))
    );
}
