//! The small world of the histories: one product on its way through two or three environments.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::api::environment::Then;
use crate::api::{Decision, DecisionSpec, Environment, Release};
use crate::decide::facts::Settings;
use crate::decide::fixtures::{DIGEST, REQUESTER, minutes, morning};
use crate::observe::trust::Expected;
use crate::world::{Admission, Reloader, Script, World};

pub(crate) const HOME: &str = "payments";
pub(crate) const ENVIRONMENTS: [&str; 3] = ["sit", "uat", "production"];

/// The layout of the pipeline.
#[derive(Clone, Copy)]
pub(crate) struct Pipeline {
    /// Two or three.
    pub environments: usize,
    /// Approvals that the last environment asks for.
    pub approvals: i64,
    pub job: bool,
    pub soak: bool,
    pub verification: bool,
    pub observation: bool,
    /// The last environment is closed for the first hour.
    pub closed: bool,
    /// UAT has the namespace of SIT.
    pub shared: bool,
    pub automatic: bool,
    /// Whether images are compared with those that succeeded upstream.
    pub same_artifact: bool,
    /// What kind of workload is released.
    pub workload: &'static str,
    /// Admission that changes every write.
    pub admission: Option<Admission>,
    /// A reloader that restarts workloads once their ConfigMap has changed.
    pub reloader: Option<Reloader>,
    /// The operator may delete pods for which a StatefulSet waits.
    pub deletes_pods: bool,
    /// What follows if a release occupies an environment for twice twenty minutes without a Decision.
    pub max_occupancy: Option<Then>,
}

/// The kinds that are released.
pub(crate) const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

impl Pipeline {
    pub(crate) const PLAIN: Self = Self {
        environments: 3,
        approvals: 0,
        job: false,
        soak: false,
        verification: false,
        observation: false,
        closed: false,
        shared: false,
        automatic: true,
        same_artifact: true,
        workload: "Deployment",
        admission: None,
        reloader: None,
        deletes_pods: false,
        max_occupancy: None,
    };
}

fn settings() -> Settings {
    Settings {
        operator_namespace: "signalbox".to_owned(),
        watch_namespaces: vec![],
        deployer: "signalbox-deployer".to_owned(),
        require_consent: false,
        health_grace: minutes(2),
        inconclusive_after: minutes(30),
        policy_settle: minutes(1),
        pre_state_limit: 64 << 20,
    }
}

fn policies() -> Expected {
    static POLICIES: OnceLock<Expected> = OnceLock::new();
    let read =
        || Expected::new("system:serviceaccount:signalbox:signalbox", "signalbox-deployer").expect("YAML");
    POLICIES.get_or_init(read).clone()
}

fn environment(pipeline: &Pipeline, name: &str) -> Environment {
    let last = name == ENVIRONMENTS[pipeline.environments - 1];
    let namespace = match name {
        "uat" if pipeline.shared => "payments-sit".to_owned(),
        name => format!("payments-{name}"),
    };
    let mut spec = json!({
        "stage": if name == "sit" { "SIT" } else { "UAT" },
        "namespace": namespace, "releaseNamespaces": {},
    });
    if let Some(upstream) = ENVIRONMENTS.iter().take_while(|e| **e != name).last() {
        spec["promotesFrom"] = json!({ "environments": [upstream] });
    }
    if !pipeline.same_artifact {
        spec["controls"] = json!([{ "name": "SameArtifact", "enforcement": "Off" }]);
    }
    if pipeline.deletes_pods {
        spec["backout"] = json!({ "deleteStuckPods": "Allow" });
    }
    if let Some(then) = pipeline.max_occupancy {
        spec["maxOccupancy"] = json!({ "after": "20m", "then": then });
    }
    if last {
        let mut gates = Vec::new();
        if pipeline.approvals > 0 {
            gates.push(
                json!({ "name": "board", "approval": { "role": "board", "minimum": pipeline.approvals } }),
            );
        }
        if pipeline.soak {
            gates.push(json!({ "name": "soak", "soak": { "environment": "sit", "duration": "5m" } }));
        }
        if pipeline.job {
            gates.push(json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "5m" } }));
        }
        spec["gates"] = json!(gates);
        if pipeline.verification {
            spec["verification"] =
                json!([{ "name": "probe", "job": { "template": "smoke", "timeout": "5m" } }]);
        }
        if pipeline.observation {
            spec["observation"] = json!("10m");
        }
        if pipeline.closed {
            spec["windows"] = json!([{ "name": "early", "kind": "Deny",
                                       "from": "2026-11-23T09:00:00Z", "to": "2026-11-23T10:00:00Z" }]);
        }
    }
    let metadata = json!({ "name": name });
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": metadata, "spec": spec,
    }))
    .expect("an environment")
}

pub(crate) fn release_name(number: usize) -> String {
    format!("v{number}")
}

fn image(number: usize) -> String {
    let digest = &DIGEST[..DIGEST.len() - 1];
    format!("registry/ledger:{number}@{digest}{number}")
}

pub(crate) fn release(pipeline: &Pipeline, number: usize) -> Release {
    let config = json!({ "name": "config", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger" },
                         "patch": { "data": { "limit": number.to_string() } } });
    let ledger = json!({ "name": "ledger", "target": { "apiVersion": "apps/v1", "kind": pipeline.workload, "name": "ledger" },
                         "images": [{ "container": "app", "image": image(number) }], "after": ["config"],
                         "patch": { "spec": { "template": { "spec": { "containers": [
                             { "name": "app", "env": [{ "name": "RELEASE", "value": number.to_string() }] }] } } } } });
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
        "metadata": { "name": release_name(number), "namespace": HOME },
        "spec": {
            "product": "payments", "version": format!("1.{number}"), "requestedBy": REQUESTER, "change": {},
            "environments": ENVIRONMENTS[..pipeline.environments],
            "components": [config, ledger],
            "backoutPlan": { "summary": "put back", "owner": "olga", "documentURL": "https://wiki/backout",
                             "trigger": if pipeline.automatic { "Automatic" } else { "OnDecision" } },
        },
    }))
    .expect("a release")
}

fn targets(pipeline: &Pipeline) -> [Value; 3] {
    [
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ledger" },
                "data": { "limit": "0", "other": "x" } }),
        json!({ "apiVersion": "apps/v1", "kind": pipeline.workload, "metadata": { "name": "ledger" },
                "spec": { "replicas": 2, "template": { "spec": { "containers": [
                    { "name": "app", "image": image(0), "env": [{ "name": "LEVEL", "value": "info" }] }] } } } }),
        json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "smoke" },
                "spec": { "suspend": true, "jobTemplate": { "spec": {} } } }),
    ]
}

/// Everything except the Releases.
pub(crate) fn world(pipeline: &Pipeline, script: Script, interleaved: bool) -> World {
    let mut world = World::among(morning(), script, settings(), policies(), interleaved);
    world.add_namespace(HOME, [].into());
    let mut namespaces = std::collections::BTreeSet::new();
    for name in &ENVIRONMENTS[..pipeline.environments] {
        let environment = environment(pipeline, name);
        namespaces.insert(environment.spec.namespace.clone());
        world.put_environment_unasked(environment);
    }
    for namespace in namespaces {
        world.add_namespace(&namespace, [].into());
        for target in targets(pipeline) {
            world.add_target(&namespace, target);
        }
        let mut objects = world.objects();
        let neighbours = &mut objects.neighbours;
        neighbours
            .admission
            .extend(pipeline.admission.map(|a| (namespace.clone(), a)));
        neighbours
            .reloaders
            .extend(pipeline.reloader.map(|r| (namespace.clone(), r)));
    }
    world
}

impl World {
    /// Objects that are known to be valid need not be validated ten thousand times.
    fn put_environment_unasked(&mut self, mut environment: Environment) {
        let mut objects = self.objects();
        objects.born(&mut environment.metadata);
        objects.keep_environment(environment);
    }

    pub(crate) fn put_release_unasked(&mut self, mut release: Release) {
        let mut objects = self.objects();
        objects.born(&mut release.metadata);
        objects.keep_release(release);
    }

    pub(crate) fn decide_unasked(&mut self, spec: Value) {
        let spec: DecisionSpec = serde_json::from_value(spec).expect("a spec");
        let mut objects = self.objects();
        let serial = objects.next_serial();
        let mut decision = Decision::new(&format!("decision-{serial}"), spec);
        decision.metadata.namespace = Some(HOME.to_owned());
        objects.born(&mut decision.metadata);
        objects.decided(decision);
    }

    pub(crate) fn known(&self, number: usize) -> Option<Arc<Release>> {
        self.release(HOME, &release_name(number)).ok()
    }
}
