//! The Jobs of gates and verification: their names and templates, and which of them count. A Job whose verdict is no longer needed is
//! stopped: if it went on running after a backout, it could write to what was restored.

use std::collections::BTreeSet;

use crate::api::reasons;
use crate::api::release::{Check, JobRun, Promotion, State};
use crate::decide::facts::{JobState, Observed, OwnJob, Place};
use crate::decide::step::Effect;
use crate::decide::{licence, plan};
use crate::domain::digest;

/// The final verdicts of a Job.
pub const VERDICTS: [&str; 3] = [
    reasons::JOB_SUCCEEDED,
    reasons::JOB_FAILED,
    reasons::JOB_TIMED_OUT,
];

/// How many Jobs status records.
const MOST_RUNS: usize = 64;

/// How many forged Jobs each of them names.
const MOST_FORGED: usize = 4;

/// What status records of the Job of `check`, for the current plan.
#[must_use]
pub fn run<'a>(p: &'a Promotion, check: &str) -> Option<&'a JobRun> {
    p.jobs.iter().find(|run| run.check == check && is_of_plan(p, run))
}

fn is_of_plan(p: &Promotion, run: &JobRun) -> bool {
    run.plan == plan_of(p)
}

fn plan_of(p: &Promotion) -> String {
    digest::hex(&p.plan_hash, 16)
}

/// A Job to be created, under a name that no one knows yet.
pub(crate) fn named(o: &Observed, p: &Promotion, check: &str, template: &str) -> JobRun {
    JobRun {
        name: plan::job_name(&o.seed, o.uid(), &p.name, p.attempt, check, &p.plan_hash),
        check: check.to_owned(),
        template: template.to_owned(),
        plan: plan_of(p),
        uid: None,
        template_digest: None,
        forged: vec![],
    }
}

/// The Job to be created instead, because another user created one of that name.
pub(crate) fn another(o: &Observed, p: &Promotion, run: &JobRun, uid: &str, why: &str) -> JobRun {
    let seed = format!("{}/{uid}", o.seed);
    let mut forged = run.forged.clone();
    forged.push(format!("{}: {why}", run.name));
    forged.drain(..forged.len().saturating_sub(MOST_FORGED));
    JobRun {
        name: plan::job_name(&seed, o.uid(), &p.name, p.attempt, &run.check, &p.plan_hash),
        uid: None,
        template_digest: None,
        forged,
        ..run.clone()
    }
}

/// `run`, with the Job that was created for it.
pub(crate) fn made(run: &JobRun, own: &OwnJob) -> JobRun {
    let same = run.uid.as_ref() == Some(&own.uid);
    JobRun {
        uid: Some(own.uid.clone()),
        template_digest: own
            .template_digest
            .clone()
            .or_else(|| run.template_digest.clone().filter(|_| same)),
        ..run.clone()
    }
}

/// Records it. A Job for another plan stays recorded while it runs, so that it is stopped; so does a Job of this check that `run`
/// replaces, for no plan. A Job that another user created is left alone.
pub(crate) fn record(p: &mut Promotion, place: &Place, run: JobRun) {
    let plan = plan_of(p);
    let runs = |run: &JobRun| place.jobs_running.iter().any(|job| job.name == run.name);
    p.jobs
        .retain(|known| known.check != run.check || known.plan != plan && runs(known));
    let others = |uid: &str| match place.jobs.get(&run.check) {
        Some(JobState::Forged {
            uid: forged,
            may_be_ours,
            ..
        }) => forged == uid && !may_be_ours,
        _ => false,
    };
    let mut added: Vec<JobRun> = place
        .jobs_running
        .iter()
        .filter(|job| job.check == run.check && job.name != run.name && !others(&job.uid))
        .filter(|job| p.jobs.iter().all(|known| known.name != job.name))
        .map(|job| JobRun {
            name: job.name.clone(),
            plan: String::new(),
            uid: Some(job.uid.clone()),
            template_digest: None,
            forged: vec![],
            ..run.clone()
        })
        .collect();
    added.push(run);
    for run in added {
        if p.jobs.len() >= MOST_RUNS
            && let Some(old) = p.jobs.iter().position(|known| known.plan != plan)
        {
            p.jobs.remove(old);
        }
        p.jobs.push(run);
    }
}

/// Jobs for other plans are finished and deleted.
pub(crate) fn forget_others(p: &mut Promotion) {
    let plan = plan_of(p);
    p.jobs.retain(|run| run.plan == plan);
}

/// A complete message if the template that ran is not the one of that name that ran upstream. It is reported and blocks nothing: a template
/// names hosts and versions of its namespace and may differ, and a corrected one must not need a new version of the product.
pub(crate) fn differs_from_upstream(o: &Observed, p: &Promotion, run: &JobRun) -> Option<String> {
    let here = run.template_digest.as_deref()?;
    let there = |name: &str| {
        let ran = o.release.promotion(name)?.jobs.iter();
        ran.filter(|other| other.template == run.template)
            .filter_map(|other| other.template_digest.as_deref())
            .find(|digest| *digest != here)
    };
    let upstream = upstream_of(o, &p.name);
    let (name, there) = upstream.iter().find_map(|name| Some((name, there(name)?)))?;
    Some(format!(
        "Template {} differs from the one that ran in {name} (digest {} there, {} here).",
        run.template,
        short(there),
        short(here)
    ))
}

fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).unwrap_or(digest)
}

/// Everything that `environment` promotes from, nearest first.
fn upstream_of(o: &Observed, environment: &str) -> Vec<String> {
    let (mut seen, mut ordered) = (BTreeSet::from([environment.to_owned()]), vec![]);
    let mut next = vec![environment.to_owned()];
    while !next.is_empty() {
        let from = next
            .iter()
            .filter_map(|name| o.environment(name)?.spec.promotes_from.as_ref());
        let names: Vec<String> = from.flat_map(|from| from.environments.iter().cloned()).collect();
        next = names
            .into_iter()
            .filter(|name| seen.insert(name.clone()))
            .collect();
        ordered.extend(next.iter().cloned());
    }
    ordered
}

/// Whether a check has the verdict of a Job for this plan, or says that it is running: it is valid until the plan changes.
pub(crate) fn is_said(check: &Check) -> bool {
    reasons::is_of_job(&check.reason) && check.reason != reasons::JOB_PENDING
}

/// The Jobs to stop before anything is restored.
pub(crate) fn stop_first(o: &Observed, p: &Promotion, place: &Place) -> Option<Vec<Effect>> {
    let actions = stop(o, p, place);
    (!actions.is_empty()).then_some(actions)
}

/// Jobs of all promotions whose verdict is no longer needed. A backout stops its own Jobs before it begins.
pub(crate) fn unwanted(o: &Observed) -> Vec<Effect> {
    let promotions = o.release.status.iter().flat_map(|s| &s.environments);
    let stopped = promotions
        .filter(|p| p.state != State::BackingOut)
        .filter_map(|p| Some(stop(o, p, licence::place(o, p)?)));
    stopped.flatten().collect()
}

fn stop(o: &Observed, p: &Promotion, place: &Place) -> Vec<Effect> {
    let namespace = match (&p.entered, o.environment(&p.name)) {
        (Some(entered), _) => entered.target_namespace.clone(),
        (None, Some(environment)) => environment.spec.target_namespace(o.namespace()),
        (None, None) => return vec![],
    };
    let unwanted = place
        .jobs_running
        .iter()
        .filter(|job| job.other_plan || !waited_for(p, &job.check));
    unwanted
        .map(|job| Effect::StopJob {
            environment: p.name.clone(),
            namespace: namespace.clone(),
            attempt: p.attempt,
            name: job.name.clone(),
            uid: job.uid.clone(),
        })
        .collect()
}

/// Whether the verdict of this check is still needed.
fn waited_for(p: &Promotion, check: &str) -> bool {
    match check.strip_prefix("verification/") {
        Some(item) => p.state == State::Verifying && !p.verification.iter().any(|c| c.name == item),
        None => {
            let mut checks = p.checks.iter();
            p.state.before_entry() && !checks.any(|c| c.name == check && c.reason == reasons::JOB_TIMED_OUT)
        }
    }
}
