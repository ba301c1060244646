//! Job: a Job made from a suspended CronJob of the target namespace ends well. Its verdict is latched on status,
//! because a TTL may remove the Job.

use jiff::Timestamp;

use super::{Subject, Verdict};
use crate::api::environment::JobTemplate;
use crate::api::reasons;
use crate::api::release::{Check, CheckState, Promotion};
use crate::decide::facts::{JobState, Observed, Place};
use crate::decide::{Action, plan};
use crate::mutation::{self, Mutation};

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let Some((gate, template)) = s.gate.and_then(|g| Some((g, g.job.as_ref()?))) else {
        return Verdict::unknown(reasons::JOB_TROUBLE, "this gate has no job");
    };
    let namespace = s.target_namespace();
    if !s.probing && s.prior.is_none_or(|p| p.reason == reasons::JOB_PENDING) {
        return Verdict::waiting(
            reasons::JOB_PENDING,
            format!("job {} runs once everything else holds", template.template),
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
    // Latched: what a Job once said for this plan stands.
    if let Some(prior) = prior {
        for reason in [
            reasons::JOB_SUCCEEDED,
            reasons::JOB_FAILED,
            reasons::JOB_TIMED_OUT,
        ] {
            if prior.reason == reason {
                return Verdict::new(prior.state, reason, prior.message.clone());
            }
        }
    }
    let job = plan::job_name(
        observed.uid(),
        &promotion.name,
        promotion.attempt,
        name,
        &promotion.plan_hash,
    );
    let started_as = |job: String| Action::StartJob {
        environment: promotion.name.clone(),
        namespace: namespace.to_owned(),
        attempt: promotion.attempt,
        check: name.to_owned(),
        name: job,
        template: template.template.clone(),
        timeout_seconds: template.timeout.get().as_secs(),
    };
    let start = || started_as(job.clone());
    match place.jobs.get(name).unwrap_or(&JobState::Absent) {
        JobState::Absent => {
            // A Job that has been started and is gone without a verdict has to run again.
            Verdict::waiting(reasons::JOB_RUNNING, format!("job {namespace}/{job} runs")).doing(start())
        }
        JobState::Running { started } => {
            let deadline = started.map(|s| s + template.timeout.get());
            if deadline.is_some_and(|d| now >= d) {
                let sentence = format!("job {namespace}/{job} did not end within {}", template.timeout);
                return Verdict::failed(reasons::JOB_TIMED_OUT, sentence);
            }
            let runs = format!("job {namespace}/{job} runs");
            if mutation::is(Mutation::JobTwice) {
                let again = started_as(format!("{job}-again"));
                return Verdict::waiting(reasons::JOB_RUNNING, runs).doing(again);
            }
            Verdict::waiting(reasons::JOB_RUNNING, runs).until(deadline)
        }
        JobState::Succeeded => Verdict::new(
            CheckState::Satisfied,
            reasons::JOB_SUCCEEDED,
            format!("job {namespace}/{job} succeeded"),
        ),
        JobState::Failed(why) => Verdict::failed(
            reasons::JOB_FAILED,
            format!("job {namespace}/{job} failed: {why}"),
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
