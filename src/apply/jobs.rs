//! Jobs of gates and verification: created from a suspended CronJob of the target namespace, as its deployer, once.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::reasons;
use crate::apply::{Applier, Progress};
use crate::cache::memory::{Memory, Retried};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Mode, Object, Requests, Targets};
use crate::decide::facts::Observed;
use crate::decide::job_start::Start;
use crate::domain::text::clause;

impl<C: Requests> Applier<'_, C> {
    pub(super) async fn start_job(
        &self,
        o: &Observed,
        start: Start,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, RequestError> {
        let key = format!("{}/{}", start.environment, start.check);
        match self.try_start(o, &start).await {
            Ok((job, digest)) => {
                if remember_made(memory, &key, &job, digest) {
                    tracing::info!(
                        environment = start.environment,
                        attempt = start.attempt,
                        step = "job",
                        job = start.name,
                        "Job started."
                    );
                }
                self.wrote(|index| index.put_job(&start.namespace, &start.name, Arc::new(job).into()));
                Ok(Progress::Again)
            }
            Err(message) => {
                let trouble = Retried::after(memory.jobs.get(&key), reasons::JOB_TROUBLE, message, now);
                memory.jobs.insert(key, trouble);
                Ok(Progress::Again)
            }
        }
    }

    /// Tried once: a Job that cannot be stopped does not block the backout, and its own deadline ends it.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn stop_job(
        &self,
        o: &Observed,
        environment: &str,
        namespace: &str,
        attempt: i64,
        name: &str,
        uid: &str,
        memory: &mut Memory,
    ) {
        let deployer = self.deployer(namespace, o, environment, attempt);
        let object = Object {
            api_version: "batch/v1",
            kind: "Job",
            name,
        };
        match deployer.delete(object, uid).await {
            Ok(()) | Err(RequestError::NotFound | RequestError::Conflict(_)) => {
                tracing::info!(
                    environment,
                    attempt,
                    step = "stop-job",
                    job = name,
                    "Job stopped."
                );
            }
            Err(trouble) => {
                tracing::warn!(environment, attempt, step = "stop-job", job = name, %trouble, "Job not stopped.");
            }
        }
        memory.jobs_stopped.insert(uid.to_owned());
    }

    /// The Job, and the digest of its template if it was created just now.
    async fn try_start(&self, o: &Observed, start: &Start) -> Result<(Value, Option<String>), String> {
        let deployer = self.deployer(&start.namespace, o, &start.environment, start.attempt);
        let template = Object {
            api_version: "batch/v1",
            kind: "CronJob",
            name: &start.template,
        };
        let place = format!("CronJob {} in {}", start.template, start.namespace);
        let cron_job = match deployer.get(template).await {
            Ok(cron_job) => cron_job,
            Err(RequestError::NotFound) => {
                return Err(format!(
                    "{place} does not exist. Create it, suspended, as the template of the Job."
                ));
            }
            Err(trouble) => {
                return Err(format!(
                    "{place} could not be read by the deployer: {}.",
                    clause(&trouble.to_string())
                ));
            }
        };
        if cron_job.pointer("/spec/suspend").and_then(Value::as_bool) != Some(true) {
            return Err(format!(
                "{place} is not suspended. Set spec.suspend to true: it is only a template."
            ));
        }
        let job = start.job(o, &cron_job);
        let object = Object {
            api_version: "batch/v1",
            kind: "Job",
            name: &start.name,
        };
        self.term.holds().map_err(|over| {
            format!(
                "Job {} in {} is not created yet: {}.",
                start.name,
                start.namespace,
                clause(&over.to_string())
            )
        })?;
        match deployer.create(object, &job, Mode::Real).await {
            Ok(job) => Ok((job, Some(crate::decide::job_start::template_digest(&cron_job)))),
            // Created before a crash, or by another user: the next reconcile finds out.
            Err(RequestError::AlreadyExists) => match deployer.get(object).await {
                Ok(job) => Ok((job, None)),
                Err(trouble) => Err(format!(
                    "Job {} could not be read: {}.",
                    start.name,
                    clause(&trouble.to_string())
                )),
            },
            Err(trouble) => Err(format!(
                "Job {} in {} could not be created by the deployer: {}.",
                start.name,
                start.namespace,
                clause(&trouble.to_string())
            )),
        }
    }
}

/// Whether `job` was created just now: then the digest of its template is known. A Job that existed already does not clear the error:
/// its creator is still unverified, and the pauses between the tries keep growing.
fn remember_made(memory: &mut Memory, key: &str, job: &Value, digest: Option<String>) -> bool {
    let Some(digest) = digest else {
        return false;
    };
    if let Some(uid) = job.pointer("/metadata/uid").and_then(Value::as_str) {
        memory.jobs_made.insert(uid.to_owned(), digest);
    }
    memory.jobs.remove(key);
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::fixtures::{morning, seconds};

    #[test]
    fn a_job_that_was_there_already_ends_no_trouble() {
        let key = "sit/smoke";
        let job = json!({ "metadata": { "uid": "j1" } });
        let retried = |memory: &Memory| {
            Retried::after(
                memory.jobs.get(key),
                reasons::JOB_TROUBLE,
                "quota".to_owned(),
                morning(),
            )
        };
        let mut memory = Memory::default();
        for pause in [5, 10, 20] {
            let trouble = retried(&memory);
            assert_eq!(trouble.trouble.again_at, morning() + seconds(pause), "it grows");
            memory.jobs.insert(key.to_owned(), trouble);
            assert!(
                !remember_made(&mut memory, key, &job, None),
                "it is not reported as started"
            );
        }
        assert!(memory.jobs_made.is_empty());
        assert!(remember_made(&mut memory, key, &job, Some("sha256:a".to_owned())));
        assert_eq!(memory.jobs_made.get("j1").map(String::as_str), Some("sha256:a"));
        assert!(memory.jobs.is_empty());
    }
}
