//! A Job to be created from its template, and whether an existing Job is that one.

use serde_json::{Map, Value, json};

use crate::decide::facts::Observed;
use crate::decide::owned;
use crate::domain::digest;

/// A finished Job is kept for at least a day, whatever its template says.
pub(crate) const KEPT_SECONDS: i64 = 24 * 3600;

/// The labels that the API server and its Job controller set on the pods of each Job, from its name and uid.
pub(crate) const OF_ONE_JOB: [&str; 4] = [
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];

/// A Job to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Name of the Environment.
    pub environment: String,
    /// The target namespace, in which the Job and its CronJob are.
    pub namespace: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// The gate, or `verification/` and the item.
    pub check: String,
    /// Name of the Job.
    pub name: String,
    /// The CronJob.
    pub template: String,
    /// The limit for `activeDeadlineSeconds` of the Job. A shorter one in the template stays.
    pub timeout_seconds: i64,
}

impl Start {
    /// The Job as it is sent.
    #[must_use]
    pub fn job(&self, o: &Observed, cron_job: &Value) -> Value {
        let template = cron_job
            .pointer("/spec/jobTemplate")
            .cloned()
            .unwrap_or_else(|| json!({}));
        let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
        if let Some(spec) = spec.as_object_mut() {
            // If a template removed its Jobs sooner, they would run again before their verdict is recorded.
            let kept = spec
                .get("ttlSecondsAfterFinished")
                .and_then(Value::as_i64)
                .unwrap_or(0);
            spec.insert(
                "ttlSecondsAfterFinished".to_owned(),
                json!(kept.max(KEPT_SECONDS)),
            );
            // The smaller of both: a Job that has timed out for Signalbox must not go on running.
            let own = spec.get("activeDeadlineSeconds").and_then(Value::as_i64);
            let deadline = own.map_or(self.timeout_seconds, |own| own.min(self.timeout_seconds));
            spec.insert("activeDeadlineSeconds".to_owned(), json!(deadline));
        }
        let copied = |field: &str| {
            template
                .pointer(&format!("/metadata/{field}"))
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        let (mut labels, annotations): (Map<_, _>, Map<_, _>) = (copied("labels"), copied("annotations"));
        for (key, value) in self.labels(o) {
            labels.insert(key, value);
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": labels, "annotations": annotations },
            "spec": spec,
        })
    }

    fn labels(&self, o: &Observed) -> impl Iterator<Item = (String, Value)> + use<> {
        let check = self.check.trim_start_matches("verification/");
        let labels = owned::labels(o.name(), &self.environment, self.attempt, check);
        labels.into_iter().map(|(key, value)| (key, value.into()))
    }

    /// Why the Job `found` is not the one that would be created. `made` is the API server's answer to such a Job of another
    /// name.
    #[must_use]
    pub fn forgery(&self, o: &Observed, found: &Value, made: &Value) -> Option<Forgery> {
        let label = |(key, value): (String, Value)| found["metadata"]["labels"].get(&key) == Some(&value);
        if !self.labels(o).all(label) {
            return Some(Forgery {
                why: "its labels are not those that Signalbox sets",
                may_be_ours: false,
            });
        }
        // The API server sets both times.
        let created = found["metadata"]["creationTimestamp"]
            .as_str()
            .and_then(|t| t.parse().ok());
        let release = o.release.metadata.creation_timestamp.as_ref().map(|t| t.0);
        if created
            .zip(release)
            .is_some_and(|(job, release): (jiff::Timestamp, _)| job < release)
        {
            return Some(Forgery {
                why: "it is older than the Release",
                may_be_ours: false,
            });
        }
        (of_any_job(found) != of_any_job(made)).then_some(Forgery {
            why: "its spec differs from its template",
            may_be_ours: true,
        })
    }
}

/// Why a Job does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgery {
    /// What differs, a clause.
    pub why: &'static str,
    /// Only its spec differs: a template that was edited since, or a webhook, has this effect on a Job of the operator.
    pub may_be_ours: bool,
}

/// The spec of a Job without what identifies this Job.
pub(crate) fn of_any_job(job: &Value) -> Value {
    let mut spec = job["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("selector");
    }
    if let Some(metadata) = spec
        .pointer_mut("/template/metadata")
        .and_then(Value::as_object_mut)
    {
        metadata.remove("creationTimestamp");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.retain(|key, _| !OF_ONE_JOB.contains(&key.as_str()));
        }
        metadata.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    }
    let empty = spec
        .pointer("/template/metadata")
        .and_then(Value::as_object)
        .is_none_or(Map::is_empty);
    if let Some(template) = spec
        .get_mut("template")
        .and_then(Value::as_object_mut)
        .filter(|_| empty)
    {
        template.remove("metadata");
    }
    spec
}

/// The digest of the template of a Job.
#[must_use]
pub fn template_digest(cron_job: &Value) -> String {
    let template = digest::canonical(&cron_job["spec"]["jobTemplate"]);
    format!("sha256:{}", digest::hex(&template, 64))
}
