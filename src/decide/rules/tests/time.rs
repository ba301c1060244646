//! What time resolves: soak, windows, the results of expressions, and Jobs, which come last.
//!
//! It is long because each of the four has an edge in time, and a test for each side of it.

use crate::api::Release;
use crate::api::release::JobRun;
use crate::decide::expressions::NoAnswer;
use crate::decide::facts::{OwnJob, RunningJob};
use crate::decide::job_start::Start;
use crate::decide::rules::tests::*;
use crate::decide::step::Effect;
use crate::decide::{jobs, plan};
use crate::domain::cel::Unanswered;

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
        "The release soaks in sit until 2026-11-24T09:00:00Z.",
    );
    assert_eq!(last.until, Some(crate::api::time(over)));
    let done = one_at(&o, "uat", "bake", over);
    says(
        &done,
        Satisfied,
        "Satisfied",
        "The release soaked in sit for 24h.",
    );
    assert_eq!(done.until, None);
}

#[test]
fn a_soak_waits_for_success_and_cannot_be_where_the_release_never_goes() {
    says(
        &one(&soaking("1h"), "uat", "bake"),
        Waiting,
        "Soaking",
        "The release must soak in sit for 1h first. It has not Succeeded there.",
    );
    let mut o = soaking("1h");
    Arc::make_mut(&mut o.release).spec.environments = vec!["uat".into()];
    says(
        &one(&o, "uat", "bake"),
        Failed,
        "SoakNotPossible",
        "The release must soak in sit for 1h first. Add sit to spec.environments.",
    );
}

fn named(version: &str, state: State, entered: Timestamp, finished: Option<Timestamp>) -> Arc<Release> {
    let mut other = sibling(version, "r2", &[("sit", state)]);
    let status = Arc::make_mut(&mut other).status.as_mut().expect("a status");
    status.environments[0].started_at = Some(crate::api::time(entered));
    status.environments[0].finished_at = finished.map(crate::api::time);
    other
}

#[test]
fn a_soak_counts_only_the_time_that_the_release_stands_there() {
    let later = |n: i64| morning() + minutes(n);
    let soaked = || soaking("1h").with_promotions(vec![succeeded("sit", morning())]);
    for (state, entered, finished, now, wanted) in [
        // Overtaken before the time was over, or after it.
        (State::Deploying, later(30), None, later(90), "SoakInterrupted"),
        (
            State::Succeeded,
            later(30),
            Some(later(31)),
            later(90),
            "SoakInterrupted",
        ),
        (
            State::Failed,
            later(30),
            Some(later(31)),
            later(90),
            "SoakInterrupted",
        ),
        (
            State::Succeeded,
            later(60),
            Some(later(61)),
            later(90),
            "Satisfied",
        ),
        // Never there, or no longer there: from then on it soaks again.
        (
            State::Superseded,
            later(30),
            Some(later(31)),
            later(60),
            "Satisfied",
        ),
        (State::BackedOut, later(30), Some(later(40)), later(90), "Soaking"),
        (
            State::BackedOut,
            later(30),
            Some(later(40)),
            later(100),
            "Satisfied",
        ),
    ] {
        let mut o = soaked();
        o.siblings = vec![named("2026.12.1", state, entered, finished)];
        let said = one_at(&o, "uat", "bake", now);
        assert_eq!(said.reason, wanted, "{state:?}: {}", said.message);
    }
    // NoDowngrade judges an older one that enters, not the soak.
    let mut o = soaked();
    o.siblings = vec![named("2026.1.1", State::Succeeded, later(30), Some(later(31)))];
    assert_eq!(one_at(&o, "uat", "bake", later(60)).reason, "Satisfied");
}

#[test]
fn an_upstream_that_is_soaked_is_held_by_the_soak_which_remembers() {
    use crate::decide::states::before_entry::upstream_done;
    let mut o = soaking("1h").with_promotions(vec![succeeded("sit", morning())]);
    o.altered.insert("sit".into(), changed_in_sit());
    let mut uat = o.environment("uat").expect("uat").clone();
    uat.spec.promotes_from = Some(serde_json::from_value(json!({ "environments": ["sit"] })).expect("a way"));
    assert_eq!(upstream_done(&o, &uat), Ok(()), "the soak holds it");
    uat.spec.gates.clear();
    let why = upstream_done(&o, &uat)
        .expect_err("nothing else holds it")
        .to_string();
    assert!(why.contains("runs as released again in sit"), "{why}");
}

#[test]
fn a_soak_that_somebody_disturbed_begins_anew() {
    let later = |n: i64| morning() + minutes(n);
    let mut o = soaking("1h").with_promotions(vec![
        succeeded("sit", morning()),
        promotion("uat", State::Waiting),
    ]);
    o.altered.insert("sit".into(), changed_in_sit());
    let disturbed = one_at(&o, "uat", "bake", later(30));
    says(
        &disturbed,
        Waiting,
        "SoakInterrupted",
        "The release no longer runs in sit: Deployment ledger in sit runs registry/x. Restore it there; the soak then starts again.",
    );
    let keep = |o: &mut Observed, check: &Check| {
        let status = Arc::make_mut(&mut o.release).status.as_mut().expect("a status");
        status.environments[1].checks = vec![check.clone()];
    };
    keep(&mut o, &disturbed);
    o.altered.clear();
    let again = one_at(&o, "uat", "bake", later(40));
    says(
        &again,
        Waiting,
        "Soaking",
        "The release soaks in sit again until 2026-11-23T10:40:00Z.",
    );
    keep(&mut o, &again);
    assert_eq!(one_at(&o, "uat", "bake", later(70)).reason, "Soaking");
    let done = one_at(&o, "uat", "bake", later(100));
    assert_eq!(done.reason, "Satisfied");
    // A release that no longer runs there blocks the gate, however long it had run there.
    keep(&mut o, &done);
    o.altered.insert("sit".into(), changed_in_sit());
    assert_eq!(one_at(&o, "uat", "bake", later(110)).reason, "SoakInterrupted");
}

#[test]
fn a_soak_that_began_anew_never_ends_before_it_has_begun_where_the_gate_looks_now() {
    let later = |n: i64| morning() + minutes(n);
    // A soak that was interrupted elsewhere counts again since before it Succeeded here: the gate's owner has changed the environment.
    let mut o = soaking("1h").with_promotions(vec![
        succeeded("sit", later(50)),
        promotion("uat", State::Waiting),
    ]);
    let mut check = one_at(&o, "uat", "bake", later(55));
    check.anew_since = Some(crate::api::time(morning()));
    let status = Arc::make_mut(&mut o.release).status.as_mut().expect("a status");
    status.environments[1].checks = vec![check];
    assert_eq!(one_at(&o, "uat", "bake", later(109)).reason, "Soaking");
    assert_eq!(one_at(&o, "uat", "bake", later(110)).reason, "Satisfied");
    // A shorter duration takes effect on a soak that counts again, too.
    let mut o = soaking("30m").with_promotions(vec![
        succeeded("sit", morning()),
        promotion("uat", State::Waiting),
    ]);
    let mut check = one_at(&o, "uat", "bake", later(10));
    check.anew_since = Some(crate::api::time(later(40)));
    let status = Arc::make_mut(&mut o.release).status.as_mut().expect("a status");
    status.environments[1].checks = vec![check];
    assert_eq!(one_at(&o, "uat", "bake", later(69)).reason, "Soaking");
    assert_eq!(one_at(&o, "uat", "bake", later(70)).reason, "Satisfied");
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
    says(&open, Satisfied, "Satisfied", "Open: w.");
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
        "Planned to start at 2026-11-23T10:00:00Z.",
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
    let mut told = |result: Option<Result<bool, NoAnswer>>| {
        let place = o.places.get_mut("sit").expect("sit");
        place.expressions = result.map(|r| ("rule".to_owned(), r)).into_iter().collect();
        one(&o, "sit", "rule")
    };
    says(
        &told(Some(Ok(true))),
        Satisfied,
        "Satisfied",
        "The expression `release.ok` is true.",
    );
    says(
        &told(Some(Ok(false))),
        Failed,
        "ExpressionFalse",
        "The expression is false for this release. Ask the environment's owner what it requires: `release.ok`.",
    );
    says(
        &told(Some(Err(Unanswered::Panicked("no such key".into()).into()))),
        Unknown,
        "ExpressionUnknown",
        "The expression has no result: the expression could not be evaluated: the evaluator failed: no such key. Ask the environment's owner to correct it: `release.ok`.",
    );
    says(
        &told(None),
        Unknown,
        "NotReadYet",
        "The expression `release.ok` has not been evaluated yet.",
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
        plan::job_name("seed", "r1", "sit", 1, "smoke", &hash(o, "sit"))
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
        &format!("Job {o_name} is running."),
    );
    let [
        Effect::StartJob(Start {
            template,
            timeout_seconds,
            check,
            ..
        }),
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
        "Job smoke-tests starts when all other checks are satisfied.",
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
        &format!("Job {job_name} did not finish within 10m. Check its pods."),
    );
    job(&mut o, JobState::Succeeded);
    says(
        &one(&o, "sit", "smoke"),
        Satisfied,
        "JobSucceeded",
        &format!("Job {job_name} succeeded."),
    );
    job(&mut o, JobState::Failed("exit 1".into()));
    says(
        &one(&o, "sit", "smoke"),
        Failed,
        "JobFailed",
        &format!("Job {job_name} failed: exit 1. Check its pods."),
    );
}

/// What is recorded of the one Job, and done.
fn of_job(o: &Observed) -> (Option<JobRun>, Vec<Effect>, Check) {
    let mut verdicts = all(o, "sit", morning());
    let check = verdicts.checks.pop().expect("smoke");
    (verdicts.runs.pop(), verdicts.actions, check)
}

fn own(name: &str, uid: &str, digest: Option<&str>) -> OwnJob {
    OwnJob {
        name: name.to_owned(),
        uid: uid.to_owned(),
        template_digest: digest.map(str::to_owned),
    }
}

/// With this Job recorded in status, and running.
fn with_run(o: Observed, run: JobRun) -> Observed {
    let mut waiting = crate::decide::order::listed(&o).remove(0);
    waiting.state = State::Waiting;
    waiting.checks = all(&o, "sit", morning()).checks;
    waiting.jobs = vec![run];
    o.with_promotions(vec![waiting])
}

#[test]
fn a_job_has_a_name_that_nobody_foresees_and_counts_by_its_uid() {
    let mut o = with_job();
    let (run, _, _) = of_job(&o);
    let run = run.expect("it is named first");
    assert_eq!(
        (run.check.as_str(), run.template.as_str()),
        ("smoke", "smoke-tests")
    );
    assert_eq!((&run.uid, &run.template_digest), (&None, &None));
    o.seed = "another".to_owned();
    assert_ne!(
        of_job(&o).0.expect("a name").name,
        run.name,
        "it depends on what is random"
    );
    // Once the name is recorded it stays, also after a crash, and the Job is created.
    let mut o = with_run(o, run.clone());
    let (again, actions, check) = of_job(&o);
    assert_eq!(again, None);
    assert!(
        matches!(&actions[..], [Effect::StartJob(Start { name, .. })] if *name == run.name),
        "{actions:?}"
    );
    assert_eq!(
        check.message,
        format!("Job payments-sit/{} is running.", run.name)
    );
    // Its uid and the digest of its template are recorded once it exists.
    job(
        &mut o,
        JobState::Running {
            started: Some(morning()),
        },
    );
    let place = o.places.get_mut("sit").expect("sit");
    place.own_jobs = [("smoke".to_owned(), own(&run.name, "j1", Some("sha256:a")))].into();
    let (made, actions, _) = of_job(&o);
    let made = made.expect("it is created");
    assert_eq!(
        (made.uid.as_deref(), made.template_digest.as_deref()),
        (Some("j1"), Some("sha256:a"))
    );
    assert_eq!(actions, []);
    // A process that no longer knows its digest changes nothing.
    let mut o = with_run(o, made.clone());
    let place = o.places.get_mut("sit").expect("sit");
    place.own_jobs = [("smoke".to_owned(), own(&run.name, "j1", None))].into();
    assert_eq!(of_job(&o).0, None);
}

#[test]
fn a_forged_job_is_named_and_another_name_is_taken() {
    let o = with_job();
    let mut run = of_job(&o).0.expect("a name");
    let mut o = with_run(o, run.clone());
    for (n, why) in ["its spec differs", "b", "c", "d", "e"].into_iter().enumerate() {
        job(
            &mut o,
            JobState::Forged {
                uid: format!("x{n}"),
                why,
                may_be_ours: false,
            },
        );
        let (other, _, check) = of_job(&o);
        let other = other.expect("another name");
        assert_ne!(other.name, run.name);
        assert_eq!(other.forged.last(), Some(&format!("{}: {why}", run.name)));
        says(
            &check,
            Waiting,
            "JobRunning",
            &format!(
                "Job payments-sit/{} is running. A Job that Signalbox did not create does not count: {}: {why}.",
                other.name, run.name
            ),
        );
        o = with_run(o, other.clone());
        run = other;
    }
    assert_eq!(run.forged.len(), 4, "the latest four");
    assert!(run.forged[0].ends_with(": b"), "{run:?}");
}

#[test]
fn a_job_that_may_be_ours_and_does_not_count_is_kept_to_be_stopped() {
    let o = with_job();
    let run = of_job(&o).0.expect("a name");
    let given_up = |may_be_ours: bool| {
        let mut o = with_run(o.clone(), run.clone());
        let place = o.places.get_mut("sit").expect("sit");
        place.jobs = [(
            "smoke".to_owned(),
            JobState::Forged {
                uid: "j1".into(),
                why: "its spec differs",
                may_be_ours,
            },
        )]
        .into();
        place.jobs_running = vec![RunningJob {
            check: "smoke".into(),
            name: run.name.clone(),
            uid: "j1".into(),
            other_plan: false,
        }];
        let other = of_job(&o).0.expect("another name");
        let mut p = crate::decide::order::listed(&o).remove(0);
        let place = o.places.get_mut("sit").expect("sit");
        jobs::record(&mut p, place, other.clone());
        assert_eq!(jobs::run(&p, "smoke"), Some(&other), "only the new one counts");
        (p, place.clone())
    };
    let (p, _) = given_up(false);
    assert_eq!(
        p.jobs.len(),
        1,
        "a Job of another user is left alone: {:?}",
        p.jobs
    );
    let (mut p, mut place) = given_up(true);
    let kept = |p: &Promotion| {
        let old = p.jobs.iter().find(|known| known.name == run.name);
        old.and_then(|old| old.uid.clone())
    };
    assert_eq!(kept(&p).as_deref(), Some("j1"), "{:?}", p.jobs);
    // It stays while it runs, and no longer.
    let counts = jobs::run(&p, "smoke").expect("a run").clone();
    jobs::record(&mut p, &place, counts.clone());
    assert_eq!((kept(&p).as_deref(), p.jobs.len()), (Some("j1"), 2));
    place.jobs_running.clear();
    jobs::record(&mut p, &place, counts);
    assert_eq!((kept(&p), p.jobs.len()), (None, 1));
}

#[test]
fn a_job_that_v0_1_0_has_started_goes_on_counting() {
    let o = with_job();
    let name = plan::job_name_before("r1", "sit", 1, "smoke", &hash(&o, "sit"));
    let mut o = o;
    job(
        &mut o,
        JobState::Running {
            started: Some(morning()),
        },
    );
    o.places.get_mut("sit").expect("sit").own_jobs = [("smoke".to_owned(), own(&name, "j0", None))].into();
    let (run, actions, check) = of_job(&o);
    let run = run.expect("it is written down now");
    assert_eq!(
        (run.name.as_str(), run.uid.as_deref()),
        (name.as_str(), Some("j0"))
    );
    assert_eq!(actions, []);
    says(
        &check,
        Waiting,
        "JobRunning",
        &format!("Job payments-sit/{name} is running."),
    );
}

#[test]
fn another_template_than_upstream_is_told() {
    let smoke = json!([{ "name": "smoke", "job": { "template": "smoke-tests" } }]);
    let o = observed().with_environment(with_gates(production(), smoke), &[]);
    let ran = |template: &str, digest: &str| JobRun {
        name: "signalbox-0".into(),
        check: "verification/any".into(),
        template: template.into(),
        plan: String::new(),
        uid: Some("j".into()),
        template_digest: Some(digest.into()),
        forged: vec![],
    };
    let upstream = |name: &str, jobs: Vec<JobRun>| Promotion {
        jobs,
        ..succeeded(name, morning())
    };
    let here = "sha256:bbbbbbbbbbbbbbbb";
    let said = |sit: Vec<JobRun>, uat: Vec<JobRun>| {
        let o = o
            .clone()
            .with_promotions(vec![upstream("sit", sit), upstream("uat", uat)]);
        let p = promotion_of("production");
        let run = JobRun {
            plan: crate::domain::digest::hex(&p.plan_hash, 16),
            ..ran("smoke-tests", here)
        };
        crate::decide::jobs::differs_from_upstream(&o, &p, &run)
    };
    assert_eq!(said(vec![], vec![]), None);
    assert_eq!(
        said(vec![ran("smoke-tests", here)], vec![ran("load", "sha256:a")]),
        None
    );
    let differs = |name: &str| {
        Some(format!(
            "Template smoke-tests differs from the one that ran in {name} (digest sha256:aaaaaaaaaaaa there, sha256:bbbbbbbbbbbb here)."
        ))
    };
    let other = || vec![ran("smoke-tests", "sha256:aaaaaaaaaaaaaaaa")];
    assert_eq!(
        said(other(), vec![]),
        differs("sit"),
        "upstream of what is upstream, too"
    );
    assert_eq!(said(other(), other()), differs("uat"), "the nearest");
}

#[test]
fn a_forgery_is_told_by_labels_age_and_every_field_of_its_spec() {
    let o = observed();
    let start = Start {
        environment: "sit".into(),
        namespace: "payments-sit".into(),
        attempt: 1,
        check: "verification/smoke".into(),
        name: "signalbox-1".into(),
        template: "smoke-tests".into(),
        timeout_seconds: 600,
    };
    let pod = json!({ "spec": { "containers": [{ "name": "probe", "image": "smoke:1" }], "restartPolicy": "Never" } });
    let cron = json!({ "spec": { "jobTemplate": { "spec": { "backoffLimit": 0, "template": pod } } } });
    // As the API server creates it: with a selector and labels by uid and name, and defaults.
    let made = |name: &str| {
        let start = Start {
            name: name.into(),
            ..start.clone()
        };
        let mut job = start.job(&o, &cron);
        job["metadata"]["creationTimestamp"] = json!("2026-11-23T09:00:00Z");
        job["spec"]["parallelism"] = json!(1);
        job["spec"]["selector"] =
            json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": format!("uid-of-{name}") } });
        job["spec"]["template"]["metadata"] = json!({ "creationTimestamp": null, "labels": {
            "job-name": name, "batch.kubernetes.io/job-name": name, "controller-uid": name, "batch.kubernetes.io/controller-uid": name,
        } });
        job
    };
    let tried = made("signalbox-1-tried");
    let judged = |change: &dyn Fn(&mut Value)| {
        let mut found = made("signalbox-1");
        change(&mut found);
        let forgery = start.forgery(&o, &found, &tried);
        if let Some(forgery) = forgery {
            let only_spec = forgery.why.contains("spec");
            assert_eq!(forgery.may_be_ours, only_spec, "{}", forgery.why);
        }
        forgery.map(|forgery| forgery.why)
    };
    assert_eq!(judged(&|_| ()), None, "our own, found after a crash");
    let labels = Some("its labels are not those that Signalbox sets");
    assert_eq!(
        judged(&|job| job["metadata"]["labels"]["signalbox.dev/release"] = json!("other")),
        labels
    );
    assert_eq!(judged(&|job| job["metadata"]["labels"] = Value::Null), labels);
    let old = Some("it is older than the Release");
    assert_eq!(
        judged(&|job| job["metadata"]["creationTimestamp"] = json!("2026-11-23T07:59:59Z")),
        old
    );
    let spec = Some("its spec differs from its template");
    for (pointer, value) in [
        ("/spec/template/spec/containers/0/command", json!(["true"])),
        ("/spec/template/spec/containers/0/image", json!("true:1")),
        ("/spec/template/metadata/labels/x", json!("y")),
        ("/spec/managedBy", json!("example.com/me")),
        ("/spec/backoffLimit", json!(9)),
        ("/spec/activeDeadlineSeconds", json!(5)),
    ] {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let change = |job: &mut Value| job.pointer_mut(parent).expect(parent)[key] = value.clone();
        assert_eq!(judged(&change), spec, "{pointer}");
    }
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
    let mut persisted = crate::decide::order::listed(&o).remove(0);
    persisted.checks = all(&o, "sit", morning()).checks;
    let latched = persisted.checks.last().cloned().expect("smoke");
    job(&mut o, JobState::Absent);
    let mut o = o.with_promotions(vec![persisted]);
    let later = all(&o, "sit", morning() + minutes(99));
    assert_eq!(later.checks.last(), Some(&latched), "since and all");
    assert_eq!(later.actions, []);

    Arc::make_mut(&mut o.release).spec.version = "2026.11.2".into();
    let again = all(&o, "sit", morning());
    assert_eq!(again.checks.last().map(|c| c.reason.as_str()), Some("JobRunning"));
    assert_eq!(again.actions.len(), 1, "another plan, another Job");
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

fn changed_in_sit() -> crate::decide::facts::Altered {
    crate::decide::facts::Altered {
        component: "ledger".into(),
        says: "Deployment ledger in sit runs registry/x".into(),
        by: None,
    }
}
