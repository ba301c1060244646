//! Job: a Job created from a suspended CronJob of the target namespace succeeds. Its verdict is stored in status, because a TTL
//! may remove the Job. Its name is recorded in status before it is created, and its uid after: no other Job counts.

use jiff::Timestamp;

use crate::api::environment::{Gate, JobTemplate};
use crate::api::reasons;
use crate::api::release::{Check, CheckState, JobRun, Promotion};
use crate::decide::ask::Ask;
use crate::decide::facts::{JobState, Observed, Place};
use crate::decide::job_start::Start;
use crate::decide::jobs;
use crate::decide::rules::rule::{GateType, Tier};
use crate::decide::rules::subject::{Subject, Verdict};
use crate::decide::step::Effect;
use crate::domain::text::clause;

/// The type of gate.
pub(crate) const RULE: GateType = GateType {
    tier: Tier::Probe,
    is: |gate| gate.job.is_some(),
    asks,
    judge: check,
    asks_as_much,
    foreseen: false,
};

fn asks(gate: &Gate) -> Option<Ask> {
    gate.job.as_ref().map(|template| ask(&gate.name, template))
}

/// Asks for the result of the Job of `check`: a gate, or `verification/` and an item.
pub(crate) fn ask(check: &str, template: &JobTemplate) -> Ask {
    Ask::Job {
        check: check.to_owned(),
        template: template.clone(),
    }
}

fn asks_as_much(other: &Gate, gate: &Gate) -> bool {
    let jobs = other.job.as_ref().zip(gate.job.as_ref());
    jobs.is_some_and(|(other, gate)| other.template == gate.template)
}

fn check(s: &Subject<'_>) -> Verdict {
    let Some((gate, template)) = s.gate.and_then(|g| Some((g, g.job.as_ref()?))) else {
        return Verdict::unknown(reasons::JOB_TROUBLE, "This gate has no job.");
    };
    let namespace = s.target_namespace();
    if !s.probing && s.prior.is_none_or(|p| p.reason == reasons::JOB_PENDING) {
        return Verdict::waiting(
            reasons::JOB_PENDING,
            format!(
                "Job {} starts when all other checks are satisfied.",
                template.template
            ),
        );
    }
    verdict(
        s.observed,
        s.promotion,
        s.place,
        &namespace,
        &gate.name,
        template,
        s.prior,
        s.now,
    )
}

/// The verdict on one Job, of a gate or of verification.
#[allow(clippy::too_many_arguments)]
pub(crate) fn verdict(
    observed: &Observed,
    promotion: &Promotion,
    place: &Place,
    namespace: &str,
    name: &str,
    template: &JobTemplate,
    prior: Option<&Check>,
    now: Timestamp,
) -> Verdict {
    // The verdict of a Job on this plan is final.
    if let Some(prior) = prior
        && let Some(reason) = jobs::VERDICTS.into_iter().find(|reason| prior.reason == *reason)
    {
        return Verdict::new(prior.state, reason, prior.message.clone());
    }
    let state = place.jobs.get(name).unwrap_or(&JobState::Absent);
    let known = jobs::run(promotion, name);
    let run = known.cloned();
    let mut run = run.unwrap_or_else(|| jobs::named(observed, promotion, name, &template.template));
    if run.uid.is_none() {
        // The gate may name another template by now.
        run.template.clone_from(&template.template);
    }
    let run = match (state, place.own_jobs.get(name)) {
        (JobState::Forged { uid, why, .. }, _) => jobs::another(observed, promotion, &run, uid, why),
        (_, Some(own)) => jobs::made(
            &JobRun {
                name: own.name.clone(),
                ..run
            },
            own,
        ),
        _ => run,
    };
    let told = [
        jobs::differs_from_upstream(observed, promotion, &run),
        run.forged
            .last()
            .map(|forged| format!("A Job that Signalbox did not create does not count: {forged}.")),
    ];
    let verdict = judged(promotion, namespace, template, state, &run, name, now);
    let verdict = told.into_iter().fold(verdict, Verdict::besides);
    let news = known != Some(&run);
    verdict.recording(news.then_some(run))
}

fn judged(
    promotion: &Promotion,
    namespace: &str,
    template: &JobTemplate,
    state: &JobState,
    run: &JobRun,
    name: &str,
    now: Timestamp,
) -> Verdict {
    let job = &run.name;
    let start = || {
        Effect::StartJob(Start {
            environment: promotion.name.clone(),
            namespace: namespace.to_owned(),
            attempt: promotion.attempt,
            check: name.to_owned(),
            name: job.clone(),
            template: template.template.clone(),
            timeout_seconds: template.timeout.get().as_secs(),
        })
    };
    match state {
        JobState::Absent | JobState::Forged { .. } => {
            // A Job that was started and is gone without a verdict must run again.
            Verdict::waiting(reasons::JOB_RUNNING, format!("Job {namespace}/{job} is running."))
                .doing(start())
        }
        JobState::Running { started } => {
            let deadline = started.map(|s| s + template.timeout.get());
            if deadline.is_some_and(|d| now >= d) {
                let sentence = format!(
                    "Job {namespace}/{job} did not finish within {}. Check its pods.",
                    template.timeout
                );
                return Verdict::failed(reasons::JOB_TIMED_OUT, sentence);
            }
            let runs = format!("Job {namespace}/{job} is running.");
            Verdict::waiting(reasons::JOB_RUNNING, runs).until(deadline)
        }
        JobState::Succeeded => Verdict::new(
            CheckState::Satisfied,
            reasons::JOB_SUCCEEDED,
            format!("Job {namespace}/{job} succeeded."),
        ),
        JobState::Failed(why) => Verdict::failed(
            reasons::JOB_FAILED,
            format!("Job {namespace}/{job} failed: {}. Check its pods.", clause(why)),
        ),
        JobState::Trouble(trouble) => {
            let verdict = Verdict::unknown(reasons::JOB_TROUBLE, trouble.message.clone());
            if now >= trouble.again_at {
                verdict.doing(start())
            } else {
                verdict
            }
        }
    }
}
