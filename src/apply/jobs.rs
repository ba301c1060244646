//! Jobs of gates and verification: made from a suspended CronJob of the target namespace, as its deployer, once.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Applier, Progress};
use crate::api::reasons;
use crate::cluster::Trouble;
use crate::cluster::deployer::{Mode, Object};
use crate::cluster::requests::{Requests, Targets};
use crate::decide::deploying;
use crate::decide::facts::Observed;
use crate::observe::memory::{Memory, Retried};

/// A finished Job is kept for a day where its template does not say otherwise.
const KEPT_SECONDS: i64 = 24 * 3600;

/// A Job to be made.
pub(super) struct Start {
    pub environment: String,
    pub namespace: String,
    pub attempt: i64,
    pub check: String,
    pub name: String,
    pub template: String,
    pub timeout_seconds: i64,
}

impl<C: Requests> Applier<'_, C> {
    pub(super) async fn start_job(
        &self,
        o: &Observed,
        start: Start,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, Trouble> {
        let key = format!("{}/{}", start.environment, start.check);
        match self.try_start(o, &start).await {
            Ok(job) => {
                tracing::info!(
                    environment = start.environment,
                    attempt = start.attempt,
                    step = "job",
                    job = start.name,
                    "job started"
                );
                memory.jobs.remove(&key);
                if let Some(job) = job {
                    self.wrote(|index| index.put_job(&start.namespace, &start.name, Arc::new(job).into()));
                }
                Ok(Progress::Again)
            }
            Err(message) => {
                let trouble = Retried::after(memory.jobs.get(&key), reasons::JOB_TROUBLE, message, now);
                memory.jobs.insert(key, trouble);
                Ok(Progress::Again)
            }
        }
    }

    async fn try_start(&self, o: &Observed, start: &Start) -> Result<Option<Value>, String> {
        let deployer = self.observer.deployer(
            &start.namespace,
            &o.release_path(),
            &start.environment,
            start.attempt,
        );
        let template = Object {
            api_version: "batch/v1",
            kind: "CronJob",
            name: &start.template,
        };
        let place = format!("CronJob {} in {}", start.template, start.namespace);
        let cron_job = match deployer.get(template).await {
            Ok(cron_job) => cron_job,
            Err(Trouble::NotFound) => {
                return Err(format!(
                    "{place} does not exist: create it, suspended, as the template"
                ));
            }
            Err(trouble) => return Err(format!("the deployer could not read {place}: {trouble}")),
        };
        if cron_job.pointer("/spec/suspend").and_then(Value::as_bool) != Some(true) {
            return Err(format!(
                "{place} is not suspended: set spec.suspend, it is only a template"
            ));
        }
        let job = job_from(&cron_job, o, start);
        let object = Object {
            api_version: "batch/v1",
            kind: "Job",
            name: &start.name,
        };
        self.term.holds().map_err(|over| over.to_string())?;
        match deployer.create(object, &job, Mode::Real).await {
            Ok(job) => Ok(Some(job)),
            // Made before a crash: the watch shows it.
            Err(Trouble::AlreadyExists) => match deployer.get(object).await {
                Ok(job) => Ok(Some(job)),
                Err(trouble) => Err(format!("Job {} could not be read: {trouble}", start.name)),
            },
            Err(trouble) => Err(format!(
                "the deployer could not create Job {} in {}: {trouble}",
                start.name, start.namespace
            )),
        }
    }
}

fn job_from(cron_job: &Value, o: &Observed, start: &Start) -> Value {
    let template = cron_job
        .pointer("/spec/jobTemplate")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(spec) = spec.as_object_mut() {
        // A template that removes its Jobs sooner would have them run again before their verdict is written down.
        let kept = spec
            .get("ttlSecondsAfterFinished")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        spec.insert(
            "ttlSecondsAfterFinished".to_owned(),
            json!(kept.max(KEPT_SECONDS)),
        );
        spec.entry("activeDeadlineSeconds")
            .or_insert(json!(start.timeout_seconds));
    }
    let copied = |field: &str| {
        template
            .pointer(&format!("/metadata/{field}"))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (mut labels, annotations): (Map<_, _>, Map<_, _>) = (copied("labels"), copied("annotations"));
    let check = start.check.trim_start_matches("verification/");
    for (key, value) in deploying::labels(o, &start.environment, start.attempt, check) {
        labels.insert(key, value.into());
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": start.name, "namespace": start.namespace, "labels": labels, "annotations": annotations },
        "spec": spec,
    })
}
