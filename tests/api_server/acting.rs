//! Common parts of scenarios: short observation, templates of Jobs, Decisions, the content of targets.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::environment::{EnvironmentSpec, Verification, Window};
use signalbox::api::release::{Check, Promotion, State};
use signalbox::api::{Action, GoDuration, Release};

use crate::kit::{Stage, audit_log, decision, wait_until};

/// Longer than any test here takes.
pub const LONG: Duration = Duration::from_secs(60);
/// Never becomes ready.
pub const UNREADY: &str = "registry.example.com/ledger-unready@sha256:3333333333333333333333333333333333333333333333333333333333333333";
/// Ready after five seconds.
pub const SLOW: &str = "registry.example.com/ledger-slow@sha256:4444444444444444444444444444444444444444444444444444444444444444";
/// All components must stay healthy this many seconds.
pub fn observed(seconds: i64) -> impl FnOnce(&mut EnvironmentSpec) + Send + 'static {
    move |spec| spec.observation = Some(GoDuration::from_secs(seconds))
}

pub fn window(value: Value) -> Window {
    serde_json::from_value(value).expect("a window")
}

pub fn verification(value: Value) -> Verification {
    serde_json::from_value(value).expect("a verification")
}

/// The promotion of `release` into `sit`, `uat` or another environment.
pub fn promotion<'a>(stage: &Stage, release: &'a Release, short: &str) -> &'a Promotion {
    let environment = stage.environment(short);
    release
        .promotion(&environment)
        .unwrap_or_else(|| panic!("no promotion into {environment}"))
}

pub fn states(stage: &Stage, release: &Release, shorts: &[&str]) -> Vec<State> {
    shorts
        .iter()
        .map(|s| promotion(stage, release, s).state)
        .collect()
}

pub fn check<'a>(promotion: &'a Promotion, name: &str) -> Option<&'a Check> {
    promotion.checks.iter().find(|c| c.name == name)
}

pub fn started(stage: &Stage, release: &Release, short: &str) -> Timestamp {
    let promotion = promotion(stage, release, short);
    promotion.started_at.as_ref().expect("it has entered").0
}

pub fn finished(stage: &Stage, release: &Release, short: &str) -> Timestamp {
    let promotion = promotion(stage, release, short);
    promotion.finished_at.as_ref().expect("it is finished").0
}

/// The lines of the audit log, including rotated files; none if the cluster has no audit log.
pub fn audited() -> Vec<String> {
    let Some(log) = audit_log() else {
        return vec![];
    };
    let folder = log.parent().expect("a folder");
    let entries = std::fs::read_dir(folder).expect("it can be listed");
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("audit") && name.ends_with(".log")
        })
        .collect();
    // audit-<time>.log sorts before audit.log.
    files.sort();
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    files
        .into_iter()
        .flat_map(|path| read(path).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

impl Stage {
    /// Waits until this is true for the promotion into `short`, and returns the Release.
    pub async fn until(
        &self,
        release: &str,
        short: &str,
        holds: impl Fn(&Promotion) -> bool + Send,
    ) -> Release {
        let environment = self.environment(short);
        wait_until(&self.api::<Release>(), release, LONG, move |release| {
            release.promotion(&environment).is_some_and(&holds)
        })
        .await
    }

    /// Waits until the check `name` of the promotion into `short` has this reason, and returns the Release.
    pub async fn until_check(&self, release: &str, short: &str, name: &str, reason: &str) -> Check {
        let release = self
            .until(release, short, |p| {
                check(p, name).is_some_and(|c| c.reason == reason)
            })
            .await;
        check(promotion(self, &release, short), name)
            .expect("it has existed")
            .clone()
    }

    /// Grants `person` the verb, and creates the Decision for the attempt in status.
    pub async fn decide(&self, person: &str, action: Action, release: &str, short: &str) {
        let verb = action.as_str().to_lowercase();
        let environment = self.environment(short);
        self.entitle(person, &verb, "environments").await;
        let now = self.api::<Release>().get(release).await.unwrap();
        let decision = decision(action, release, &environment)
            .by(person)
            .attempt(promotion(self, &now, short).attempt)
            .because("seen on the dashboard")
            .build();
        self.create_as(person, &decision).await.expect("entitled");
    }

    /// Grants the verb, unless it is granted already.
    pub async fn entitle(&self, person: &str, verb: &str, resource: &str) {
        use k8s_openapi::api::authorization::v1::SubjectAccessReview;
        let (plain, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review: SubjectAccessReview = serde_json::from_value(json!({
            "metadata": {},
            "spec": {
                "user": crate::kit::user_name(person),
                "resourceAttributes": {
                    "group": "signalbox.dev", "namespace": self.namespace(),
                    "verb": verb, "resource": plain, "subresource": subresource, "name": "",
                },
            },
        }))
        .unwrap();
        let asked = kube::Api::<SubjectAccessReview>::all(self.client())
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        if !asked.status.is_some_and(|s| s.allowed) {
            self.grant(person, verb, resource, "").await;
        }
    }

    /// The image of the ledger.
    pub async fn image(&self, short: &str) -> String {
        let ledger = self.in_target::<Deployment>(short).get("ledger").await.unwrap();
        let pod = ledger.spec.unwrap().template.spec.unwrap();
        pod.containers[0].image.clone().unwrap_or_default()
    }

    /// The keys and values of a ConfigMap.
    pub async fn data(&self, short: &str, name: &str) -> Value {
        let map = self.in_target::<ConfigMap>(short).get(name).await.unwrap();
        json!(map.data.unwrap_or_default())
    }

    /// A change by another writer, with the name of a field manager.
    pub async fn meddle<K>(&self, short: &str, name: &str, manager: &str, patch: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.in_target::<K>(short)
            .patch(name, &parameters, &Patch::Strategic(patch))
            .await
            .expect("the admin is allowed to");
    }
}
