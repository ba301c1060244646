//! Jobs of gates and verification: which of the existing ones the operator created, and their results.

use std::cell::LazyCell;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::environment::JobTemplate;
use crate::api::reasons;
use crate::api::release::{Promotion, State};
use crate::cache::memory::{Memory, Retried};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Mode, Object, Requests, Targets};
use crate::decide::facts::{JobState, Observed, OwnJob, Place, RunningJob};
use crate::decide::job_start::{self, Forgery, Start};
use crate::decide::{jobs, plan};
use crate::domain::text::clause;
use crate::observe::observer::Observer;

/// Who created a Job.
enum Maker {
    /// The operator, from the template of this digest.
    Signalbox(String),
    /// Another user, as far as can be verified.
    Other(Forgery),
    /// It no longer exists.
    Gone,
}

impl<C: Requests> Observer<C> {
    /// Jobs of this promotion that run, for the current plan and for earlier ones.
    pub(crate) fn jobs_running(
        &self,
        o: &Observed,
        p: &Promotion,
        namespace: &str,
        memory: &Memory,
    ) -> Vec<RunningJob> {
        let known = p.jobs.iter().map(|run| {
            let current = jobs::run(p, &run.check).is_some_and(|current| current.name == run.name);
            (run.check.clone(), run.name.clone(), run.uid.clone(), !current)
        });
        let before = left_before(o, p)
            .into_iter()
            .map(|(check, name, other_plan)| (check, name, None, other_plan));
        let index = self.index();
        let mut running = Vec::new();
        for (check, name, uid, other_plan) in known.chain(before) {
            let Some(kept) = index.job(namespace, &name) else {
                continue;
            };
            let job = kept.object();
            let going = job.pointer("/metadata/deletionTimestamp").is_some();
            let runs = matches!(said(&job), JobState::Running { .. }) && !going;
            let ours = uid.is_none_or(|uid| uid == kept.uid);
            if runs && ours && !memory.jobs_stopped.contains(&kept.uid) {
                running.push(RunningJob {
                    check,
                    name,
                    uid: kept.uid.clone(),
                    other_plan,
                });
            }
        }
        running
    }

    /// The result of the Job of `check`, and which Job it is.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn job(
        &self,
        o: &Observed,
        p: &Promotion,
        check: &str,
        template: &JobTemplate,
        namespace: &str,
        place: &mut Place,
        memory: &mut Memory,
        now: Timestamp,
    ) {
        if has_said(p, check) {
            return;
        }
        let run = jobs::run(p, check);
        let name = match run {
            Some(run) => run.name.clone(),
            None if is_of_before(p, check) => name_before(o, p, check),
            None => return,
        };
        let found = self
            .index()
            .job(namespace, &name)
            .map(|kept| (kept.uid.clone(), kept.object()));
        let key = format!("{}/{check}", p.name);
        let trouble = memory
            .jobs
            .get(&key)
            .map(|retried| JobState::Trouble(retried.trouble.clone()));
        let Some((uid, job)) = found else {
            place
                .jobs
                .insert(check.to_owned(), trouble.unwrap_or(JobState::Absent));
            return;
        };
        let mut own = OwnJob {
            name,
            uid,
            template_digest: None,
        };
        let on_status = run.is_none_or(|run| run.uid.as_ref() == Some(&own.uid));
        if !on_status {
            let made = memory.jobs_made.get(&own.uid).cloned();
            own.template_digest = made;
        }
        if !on_status && own.template_digest.is_none() {
            if let Some(waits @ JobState::Trouble(tried)) = &trouble
                && now < tried.again_at
            {
                place.jobs.insert(check.to_owned(), waits.clone());
                return;
            }
            let start = Start {
                environment: p.name.clone(),
                namespace: namespace.to_owned(),
                attempt: p.attempt,
                check: check.to_owned(),
                name: own.name.clone(),
                template: template.template.clone(),
                timeout_seconds: template.timeout.get().as_secs(),
            };
            match self.proved(o, &start, &own.uid, memory, now).await {
                Ok(digest) => own.template_digest = Some(digest),
                Err(state) => {
                    place.jobs.insert(check.to_owned(), state);
                    return;
                }
            }
        }
        if on_status {
            memory.jobs_made.remove(&own.uid);
        }
        place.jobs.insert(check.to_owned(), said(&job));
        place.own_jobs.insert(check.to_owned(), own);
    }

    /// The digest of the template that the Job `uid` was created from, which is cached; or, if it cannot be verified that the
    /// operator created it, the state that this Job counts as.
    async fn proved(
        &self,
        o: &Observed,
        start: &Start,
        uid: &str,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<String, JobState> {
        let key = format!("{}/{}", start.environment, start.check);
        match self.maker(o, start).await {
            Ok(Maker::Signalbox(digest)) => {
                memory.jobs_made.insert(uid.to_owned(), digest.clone());
                memory.jobs.remove(&key);
                Ok(digest)
            }
            Ok(Maker::Other(forgery)) => Err(JobState::Forged {
                uid: uid.to_owned(),
                why: forgery.why,
                may_be_ours: forgery.may_be_ours,
            }),
            Ok(Maker::Gone) => Err(JobState::Absent),
            Err(message) => {
                let retried = Retried::after(memory.jobs.get(&key), reasons::JOB_TROUBLE, message, now);
                let trouble = retried.trouble.clone();
                memory.jobs.insert(key, retried);
                Err(JobState::Trouble(trouble))
            }
        }
    }

    /// Who created the existing Job of this name. It is compared with a dry run, under another name, of the Job that would be
    /// created now. Needed after a crash between the creation and the write of its uid to status, or if another user created it first.
    async fn maker(&self, o: &Observed, start: &Start) -> Result<Maker, String> {
        let deployer = self.deployer(
            &start.namespace,
            &o.release_path(),
            &start.environment,
            start.attempt,
        );
        let object = |kind: &'static str, name| Object {
            api_version: "batch/v1",
            kind,
            name,
        };
        let unread = |what: &str, name: &str, trouble: RequestError| {
            format!(
                "Job {} in {} exists, but its creator cannot be verified: {what} {name} failed: {}.",
                start.name,
                start.namespace,
                clause(&trouble.to_string())
            )
        };
        let found = match deployer.get(object("Job", &start.name)).await {
            Ok(found) => found,
            Err(RequestError::NotFound) => return Ok(Maker::Gone),
            Err(trouble) => return Err(unread("reading Job", &start.name, trouble)),
        };
        let cron_job = deployer
            .get(object("CronJob", &start.template))
            .await
            .map_err(|trouble| unread("reading CronJob", &start.template, trouble))?;
        let tried = Start {
            name: format!("{}-tried", start.name),
            ..start.clone()
        };
        let made = deployer
            .create(object("Job", &tried.name), &tried.job(o, &cron_job), Mode::DryRun)
            .await
            .map_err(|trouble| unread("a dry run of Job", &tried.name, trouble))?;
        Ok(match start.forgery(o, &found, &made) {
            Some(forgery) => Maker::Other(forgery),
            None => Maker::Signalbox(job_start::template_digest(&cron_job)),
        })
    }
}

/// Whether its verdict is latched: no existing Job changes it any more.
fn has_said(p: &Promotion, check: &str) -> bool {
    match check.strip_prefix("verification/") {
        Some(item) => p.verification.iter().any(|c| c.name == item),
        None => p
            .checks
            .iter()
            .any(|c| c.name == check && jobs::VERDICTS.contains(&c.reason.as_str())),
    }
}

/// Jobs that v0.1.0 may have left running: the check, the name, and whether it was for another plan. Such a Job counts only while the
/// promotion waits for it ([`is_of_before`]), but it is stopped in every state. v0.1.0 wrote no names to status; the current operator does.
fn left_before(o: &Observed, p: &Promotion) -> Vec<(String, String, bool)> {
    let begun = p.checks.iter().filter(|c| jobs::is_said(c));
    let begun = begun.map(|c| c.name.clone());
    let items = p.entered.iter().flat_map(|e| &e.verification);
    let items = items
        .filter(|i| i.job.is_some() && (p.state == State::Verifying || p.deployed_at.is_some()))
        .map(|i| format!("verification/{}", i.name));
    let unnamed = begun.chain(items).filter(|check| jobs::run(p, check).is_none());
    let mut left: Vec<_> = unnamed
        .map(|check| {
            let name = name_before(o, p, &check);
            (check, name, false)
        })
        .collect();
    if p.state.before_entry()
        && o.release.spec.source.is_some()
        && let Some(environment) = o.environment(&p.name)
    {
        // Its plan hash did not cover `source`. The results of its gates were dropped with that plan, so status does not mention their Jobs.
        let gates = environment.spec.gates.iter().filter(|g| g.job.is_some());
        let namespace = environment.spec.target_namespace(o.namespace());
        let plan =
            LazyCell::new(|| plan::hash_without_source(&o.release, &p.name, Some(&namespace), p.attempt));
        left.extend(gates.map(|gate| {
            let name = plan::job_name_before(o.uid(), &p.name, p.attempt, &gate.name, &plan);
            (gate.name.clone(), name, *plan != p.plan_hash)
        }));
    }
    left
}

/// Whether v0.1.0 may have started the Job of `check`: status says that it runs or that the promotion verifies, and has no name of it.
fn is_of_before(p: &Promotion, check: &str) -> bool {
    let waits = match check.strip_prefix("verification/") {
        Some(_) => p.state == State::Verifying,
        None => p
            .checks
            .iter()
            .any(|c| c.name == check && c.reason == reasons::JOB_RUNNING),
    };
    waits && jobs::run(p, check).is_none()
}

fn name_before(o: &Observed, p: &Promotion, check: &str) -> String {
    plan::job_name_before(o.uid(), &p.name, p.attempt, check, &p.plan_hash)
}

/// The state of a Job, from its status.
fn said(job: &Arc<Value>) -> JobState {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    let holds = |kind: &str| {
        conditions
            .into_iter()
            .flatten()
            .find(|c| c["type"] == kind && c["status"] == "True")
    };
    if holds("Complete").is_some() {
        return JobState::Succeeded;
    }
    if let Some(failed) = holds("Failed") {
        let reason = failed["reason"].as_str().unwrap_or(reasons::FAILED);
        let message = failed["message"].as_str().unwrap_or_default();
        return JobState::Failed(format!("{reason}: {}", clause(message)));
    }
    let created = job.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    JobState::Running {
        started: created.and_then(|t| t.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::fixtures::{observed, observed_of, promotion, release_of, sit, with_gates};

    fn entered(state: State, deployed: bool) -> Promotion {
        let entered = json!({ "generation": 1, "stage": "SIT", "targetNamespace": "payments-sit", "verification": [
            { "name": "smoke", "job": { "template": "t" } },
            { "name": "load", "job": { "template": "t" } },
            { "name": "rule", "expression": { "passWhen": "true" } },
        ] });
        Promotion {
            plan_hash: "h".to_owned(),
            entered: Some(serde_json::from_value(entered).expect("what entered")),
            deployed_at: deployed.then(|| crate::api::time(crate::decide::fixtures::morning())),
            ..promotion("sit", state)
        }
    }

    #[test]
    fn verification_jobs_that_v0_1_0_left_are_found_in_every_state() {
        let o = observed();
        let items = |p: &Promotion| -> Vec<String> {
            let left = left_before(&o, p).into_iter();
            left.map(|(check, name, other_plan)| {
                let before = plan::job_name_before(o.uid(), "sit", 1, &check, "h");
                assert_eq!((name, other_plan), (before, false));
                check
            })
            .collect()
        };
        let both = ["verification/smoke", "verification/load"];
        for state in [
            State::Verifying,
            State::BackingOut,
            State::AwaitingDecision,
            State::Failed,
        ] {
            let mut p = entered(state, true);
            assert_eq!(items(&p), both, "{state:?}");
            // The current operator names them in the write that starts them.
            p.jobs = vec![jobs::named(&o, &p, both[0], "t")];
            assert_eq!(items(&p), both[1..], "{state:?}");
            p.jobs.push(jobs::named(&o, &p, both[1], "t"));
            assert_eq!(items(&p), [""; 0], "{state:?}");
        }
        for state in [State::Deploying, State::BackingOut] {
            assert_eq!(
                items(&entered(state, false)),
                [""; 0],
                "never verified: {state:?}"
            );
        }
    }

    #[test]
    fn gate_jobs_that_v0_1_0_left_are_found_also_where_source_changed_the_plan() {
        let said = |reason: &str| {
            let check = json!({ "name": "smoke", "state": "Waiting", "reason": reason, "message": "", "since": "2026-11-23T08:00:00Z" });
            Promotion {
                checks: vec![serde_json::from_value(check).expect("a check")],
                plan_hash: "h".to_owned(),
                ..promotion("sit", State::Waiting)
            }
        };
        let gates = json!([{ "name": "smoke", "job": { "template": "t" } }]);
        let o = observed().with_environment(with_gates(sit(), gates.clone()), &[]);
        let name = |o: &Observed, hash: &str| plan::job_name_before(o.uid(), "sit", 1, "smoke", hash);
        for reason in ["JobRunning", "JobTimedOut"] {
            let left = left_before(&o, &said(reason));
            assert_eq!(left, [("smoke".to_owned(), name(&o, "h"), false)], "{reason}");
        }
        assert_eq!(left_before(&o, &said("JobPending")), []);
        let mut named = said("JobTimedOut");
        named.jobs = vec![jobs::named(&o, &named, "smoke", "t")];
        assert_eq!(left_before(&o, &named), [], "today's");

        // The plan has another hash now, and the result of the Job was dropped with the old one.
        let source = json!({ "source": { "revision": "4f2a" } });
        let o = observed_of(release_of(&source)).with_environment(with_gates(sit(), gates), &[]);
        let hash = plan::hash_without_source(&o.release, "sit", Some("payments-sit"), 1);
        let waiting = promotion("sit", State::Waiting);
        assert_eq!(
            left_before(&o, &waiting),
            [("smoke".to_owned(), name(&o, &hash), true)]
        );
        assert_eq!(left_before(&o, &entered(State::Deploying, false)), []);
    }

    #[test]
    fn only_what_v0_1_0_could_have_written_leads_to_the_name_that_it_gave() {
        let said = |reason: &str| json!({ "name": "smoke", "state": "Waiting", "reason": reason, "message": "", "since": "2026-11-23T08:00:00Z" });
        let waiting = |reason: &str| Promotion {
            checks: vec![serde_json::from_value(said(reason)).expect("a check")],
            ..promotion("sit", State::Waiting)
        };
        assert!(is_of_before(&waiting("JobRunning"), "smoke"));
        assert!(!is_of_before(&waiting("JobRunning"), "load"));
        for reason in ["JobPending", "JobTrouble", "JobSucceeded"] {
            assert!(!is_of_before(&waiting(reason), "smoke"), "{reason}");
        }
        assert!(is_of_before(
            &promotion("sit", State::Verifying),
            "verification/smoke"
        ));
        assert!(!is_of_before(
            &promotion("sit", State::Deploying),
            "verification/smoke"
        ));
        // The current operator names the Job in the same write that says that it runs.
        let run = json!({ "name": "signalbox-1", "check": "smoke", "template": "t", "plan": crate::domain::digest::hex("", 16) });
        let today = Promotion {
            jobs: vec![serde_json::from_value(run).expect("a run")],
            ..waiting("JobRunning")
        };
        assert!(!is_of_before(&today, "smoke"));
    }
}
