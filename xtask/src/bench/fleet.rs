//! What is promoted: products in namespaces of their own, each with a Deployment in each of three target namespaces.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_deployment_completed;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox::api::{Decision, Environment, Release};

use crate::control_plane::{ControlPlane, username};

/// The label of Releases that belong together.
pub const WAVE: &str = "bench.signalbox.dev/wave";
pub const THROUGH: [&str; 3] = ["bench-sit", "bench-uat", "bench-production"];
pub const WINDOW: [&str; 1] = ["bench-window"];
const APPROVAL: &str = "bench-approval";
const DEPLOYER: &str = "signalbox-deployer";
const APPROVER: &str = "bob";
/// How long a Deployment may take to run.
const TO_RUN: Duration = Duration::from_secs(120);
/// Concurrent requests: enough to keep an API server on two cores busy.
const AT_ONCE: usize = 16;

/// A Release, and the namespace that it enters first.
pub struct Name {
    pub namespace: String,
    pub name: String,
    pub first_target: String,
}

/// All products.
pub struct Fleet {
    client: Client,
    approver: Client,
    size: usize,
}

impl Fleet {
    pub fn new(cluster: &ControlPlane, size: usize) -> Result<Self> {
        Ok(Self {
            client: cluster.client(),
            approver: cluster.person(APPROVER)?,
            size,
        })
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Namespaces, deployers, Deployments and the three environments.
    pub async fn build(&self) -> Result<()> {
        self.cluster_wide(json!({
            "metadata": { "name": "bench-deployer" },
            "rules": [
                { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch", "delete"] },
                { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch", "delete"] },
                { "apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["get", "list"] },
                { "apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "delete"] },
            ],
        }), Api::<ClusterRole>::all(self.client.clone())).await?;
        let targets = (0..self.size).flat_map(|index| {
            ["sit", "uat", "prod"]
                .map(|stage| (format!("bench-{index:04}"), format!("bench-{index:04}-{stage}")))
        });
        self.at_once(targets.clone(), async |(team, target)| {
            if target.ends_with("-sit") {
                self.namespace(&team).await?;
            }
            self.target(&target).await
        })
        .await?;
        self.running(targets.map(|(_, target)| target)).await?;
        self.environment(
            "bench-sit",
            json!({ "stage": "SIT", "namespace": "{namespace}-sit" }),
        )
        .await?;
        self.environment(
            "bench-uat",
            json!({ "stage": "UAT", "namespace": "{namespace}-uat", "promotesFrom": { "environments": ["bench-sit"] } }),
        )
        .await?;
        self.environment(
            "bench-production",
            json!({
                "stage": "Production", "namespace": "{namespace}-prod", "defaultWindow": "Open",
                "promotesFrom": { "environments": ["bench-uat"] },
            }),
        )
        .await
    }

    /// One Release per product.
    pub async fn release(&self, wave: &str, environments: &[&str]) -> Result<()> {
        self.at_once(self.names(wave), async |name| {
            let components = json!([{
                "name": "app",
                "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
                "images": [{ "container": "app", "image": image(wave) }],
            }]);
            self.create_release(&name, wave, environments, components).await
        })
        .await
    }

    /// The Releases of a wave.
    pub fn names(&self, wave: &str) -> Vec<Name> {
        let each = (0..self.size).map(|index| Name {
            namespace: format!("bench-{index:04}"),
            name: format!("app-{wave}"),
            first_target: format!("bench-{index:04}-sit"),
        });
        each.collect()
    }

    /// An environment whose window is far away.
    pub async fn close_window(&self) -> Result<()> {
        let spec = json!({ "stage": "SIT", "namespace": "{namespace}-sit", "windows": [window(Timestamp::now() + SignedDuration::from_hours(1))] });
        self.environment(WINDOW[0], spec).await
    }

    /// Makes the window open in a while, and returns when.
    pub async fn open_window(&self) -> Result<Timestamp> {
        let opens = Timestamp::from_second(Timestamp::now().as_second() + 15)?;
        Api::<Environment>::all(self.client.clone())
            .patch(
                WINDOW[0],
                &PatchParams::default(),
                &Patch::Merge(json!({ "spec": { "windows": [window(opens)] } })),
            )
            .await?;
        Ok(opens)
    }

    /// Products whose promotion needs an approval, has a second component and is verified by a Job.
    pub async fn build_approvals(&self, count: usize) -> Result<()> {
        self.cluster_wide(
            json!({
                "metadata": { "name": "bench-approver" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": username(APPROVER) }],
            }),
            Api::<ClusterRoleBinding>::all(self.client.clone()),
        )
        .await?;
        self.at_once(0..count, async |index| {
            let target = format!("bench-a{index:02}-target");
            self.namespace(&format!("bench-a{index:02}")).await?;
            self.target(&target).await?;
            let config = json!({ "metadata": { "name": "config" }, "data": { "feature": "off" } });
            self.within::<ConfigMap>(&target, config).await?;
            let job = json!({
                "metadata": { "name": "smoke" },
                "spec": { "schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": { "spec": { "backoffLimit": 0, "template": {
                    "spec": { "restartPolicy": "Never", "containers": [{ "name": "smoke", "image": image("smoke") }] },
                } } } },
            });
            self.within::<CronJob>(&target, job).await
        })
        .await?;
        self.running((0..count).map(|index| format!("bench-a{index:02}-target")))
            .await?;
        self.environment(
            APPROVAL,
            json!({
                "stage": "UAT", "namespace": "{namespace}-target",
                "gates": [{ "name": "board", "approval": { "role": "board", "minimum": 1 } }],
                "verification": [{ "name": "smoke", "job": { "template": "smoke" } }],
            }),
        )
        .await
    }

    /// Their Releases.
    pub async fn release_approvals(&self, count: usize) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        for index in 0..count {
            let name = Name {
                namespace: format!("bench-a{index:02}"),
                name: "app".to_owned(),
                first_target: format!("bench-a{index:02}-target"),
            };
            let components = json!([
                {
                    "name": "config",
                    "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "config" },
                    "patch": { "data": { "feature": "on" } },
                },
                {
                    "name": "app",
                    "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
                    "images": [{ "container": "app", "image": image("1") }],
                    "after": ["config"],
                },
            ]);
            self.create_release(&name, "approval", &[APPROVAL], components)
                .await?;
            names.push(name);
        }
        Ok(names)
    }

    /// Approves a plan as a user other than the requester.
    pub async fn approve(&self, release: &Name, hash: &str) -> Result<()> {
        let decision = json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Decision",
            "metadata": { "name": "approved", "namespace": release.namespace },
            "spec": {
                "release": release.name, "environment": APPROVAL, "action": "Approve", "subject": "board", "role": "board",
                "by": username(APPROVER), "planHash": hash,
            },
        });
        let decision: Decision = serde_json::from_value(decision)?;
        Api::namespaced(self.approver.clone(), &release.namespace)
            .create(&PostParams::default(), &decision)
            .await
            .context("the approval was refused")?;
        Ok(())
    }

    async fn create_release(
        &self,
        name: &Name,
        wave: &str,
        environments: &[&str],
        components: Value,
    ) -> Result<()> {
        let version = if wave == "2" { "2.0.0" } else { "1.0.0" };
        let release: Release = serde_json::from_value(json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
            "metadata": { "name": name.name, "namespace": name.namespace, "labels": { WAVE: wave } },
            "spec": {
                "product": "app", "version": version, "requestedBy": "admin",
                "change": { "model": "Normal", "reference": "CHG1", "reason": "measured" },
                "environments": environments,
                "components": components,
                "deploymentPlan": { "summary": "One image.", "documentURL": "https://example.com/plan", "owner": "admin", "expectedDuration": "1m" },
                "backoutPlan": { "summary": "Put back.", "documentURL": "https://example.com/backout", "owner": "admin", "maxDuration": "1m" },
            },
        }))?;
        Api::namespaced(self.client.clone(), &name.namespace)
            .create(&PostParams::default(), &release)
            .await
            .with_context(|| format!("the Release in {} was refused", name.namespace))?;
        Ok(())
    }

    async fn environment(&self, name: &str, spec: Value) -> Result<()> {
        let environment = json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": { "name": name }, "spec": spec });
        self.cluster_wide(environment, Api::<Environment>::all(self.client.clone()))
            .await
    }

    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({ "metadata": { "name": name } });
        self.cluster_wide(namespace, Api::<Namespace>::all(self.client.clone()))
            .await
    }

    /// A target namespace with its deployer and a Deployment of one replica.
    async fn target(&self, name: &str) -> Result<()> {
        self.namespace(name).await?;
        self.within::<ServiceAccount>(
            name,
            json!({ "metadata": { "name": DEPLOYER, "annotations": { "signalbox.dev/accept": "*" } } }),
        )
        .await?;
        let binding = json!({
            "metadata": { "name": DEPLOYER },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench-deployer" },
            "subjects": [{ "kind": "ServiceAccount", "name": DEPLOYER, "namespace": name }],
        });
        self.within::<RoleBinding>(name, binding).await?;
        let deployment = json!({
            "metadata": { "name": "app" },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "app": "app" } },
                "template": {
                    "metadata": { "labels": { "app": "app" } },
                    "spec": { "containers": [{ "name": "app", "image": image("0") }] },
                },
            },
        });
        self.within::<Deployment>(name, deployment).await
    }

    /// Waits until the workloads in `namespaces` run: a release would also wait for them, and write that.
    async fn running(&self, namespaces: impl Iterator<Item = String>) -> Result<()> {
        self.at_once(namespaces, async |namespace| {
            let api = Api::<Deployment>::namespaced(self.client.clone(), &namespace);
            let runs = await_condition(api, "app", is_deployment_completed());
            tokio::time::timeout(TO_RUN, runs)
                .await
                .with_context(|| format!("the Deployment in {namespace} does not become ready"))??;
            Ok(())
        })
        .await
    }

    async fn within<K>(&self, namespace: &str, object: Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        self.cluster_wide(object, Api::<K>::namespaced(self.client.clone(), namespace))
            .await
    }

    async fn cluster_wide<K>(&self, object: Value, api: Api<K>) -> Result<()>
    where
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object)?;
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    async fn at_once<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        each: impl AsyncFn(T) -> Result<()>,
    ) -> Result<()> {
        stream::iter(items)
            .map(|item| each(item))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }
}

/// From an instant on, for a day.
fn window(from: Timestamp) -> Value {
    json!({ "name": "once", "kind": "Allow", "from": from, "to": from + SignedDuration::from_hours(24) })
}

/// An image with a unique digest.
fn image(of: &str) -> String {
    let digit = of.bytes().fold(0_u8, u8::wrapping_add);
    format!(
        "registry.example.com/app@sha256:{}",
        format!("{digit:02x}").repeat(32)
    )
}
