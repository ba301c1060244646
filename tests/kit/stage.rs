//! The part of the cluster for one test: a namespace for Releases, three environments with a target in each, and the rights of
//! users. Stages share no objects, so tests can run side by side.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::IntoFuture;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox::api::release::State;
use signalbox::api::{ACCEPT, Decision, Environment, EnvironmentSpec, Kind, Release};

use super::build::{IMAGE_BEFORE, ReleaseBuilder, release};
use super::cluster::{User, admin, as_operator, as_person, operator_namespace, user_name};
use super::operator::SCOPE_LABEL;
use super::wait::{gone, state_of, wait_until};

/// Long enough for a busy machine. A test that passes never waits that long.
const LONG: Duration = Duration::from_secs(60);
const DEPLOYER: &str = "signalbox-deployer";

type Change = Box<dyn FnOnce(&mut EnvironmentSpec) + Send>;

/// A builder for a stage; `.await` creates it.
pub struct StageBuilder {
    name: String,
    environments: Vec<(&'static str, Value)>,
    changes: BTreeMap<&'static str, Vec<Change>>,
    home: Option<String>,
    empty: bool,
}

/// A stage. End a test with [`Stage::finish`]. The stage of a failed test stays for inspection.
pub struct Stage {
    name: String,
    client: Client,
    environments: Vec<&'static str>,
    home: Option<String>,
    finished: bool,
}

impl StageBuilder {
    /// Changes `sit`, `uat` or `prod` before it is created.
    #[must_use]
    pub fn with(
        mut self,
        environment: &'static str,
        change: impl FnOnce(&mut EnvironmentSpec) + Send + 'static,
    ) -> Self {
        self.changes
            .entry(environment)
            .or_default()
            .push(Box::new(change));
        self
    }

    /// Adds an environment, for instance `nft` from `sit`.
    #[must_use]
    pub fn also(mut self, short: &'static str, stage: &str, from: &[&str]) -> Self {
        let from: Vec<_> = from
            .iter()
            .map(|before| format!("{}-{before}", self.name))
            .collect();
        let spec =
            json!({ "stage": stage, "promotesFrom": { "environments": from }, "defaultWindow": "Open" });
        self.environments.push((short, spec));
        self
    }

    /// The name of the stage, with which the names of its environments begin. A soak gate needs it, for instance.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Only these of `sit`, `uat` and `prod`, the first ones.
    #[must_use]
    pub fn only(mut self, environments: &[&str]) -> Self {
        self.environments
            .retain(|(short, _)| environments.contains(short));
        self
    }

    /// For its own operator, which watches nothing else: see [`super::Scope`].
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.home = Some(format!("{}-home", self.name));
        self
    }

    /// For the operator of that stage.
    #[must_use]
    pub fn beside(mut self, other: &Stage) -> Self {
        self.home.clone_from(&other.home);
        self
    }

    /// No workload in its targets yet, because images must be real there.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// Without environments, only with the namespace for Releases.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.environments.clear();
        self
    }
}

impl IntoFuture for StageBuilder {
    type Output = Stage;
    type IntoFuture = Pin<Box<dyn Future<Output = Stage> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(set(self))
    }
}

impl Stage {
    /// Environments `sit`, `uat` and `prod`, each after the one before it, always open, without gates.
    #[expect(clippy::new_ret_no_self, reason = "awaiting the builder gives the stage")]
    #[must_use]
    pub fn new(name: &str) -> StageBuilder {
        let name = format!("{name}-{:05x}", RandomState::new().hash_one(name) & 0xf_ffff);
        let from = |before: &str| json!({ "environments": [format!("{name}-{before}")] });
        let environments = vec![
            ("sit", json!({ "stage": "SIT" })),
            ("uat", json!({ "stage": "UAT", "promotesFrom": from("sit") })),
            (
                "prod",
                json!({ "stage": "Production", "promotesFrom": from("uat"), "defaultWindow": "Open" }),
            ),
        ];
        StageBuilder {
            name,
            environments,
            changes: BTreeMap::new(),
            home: None,
            empty: false,
        }
    }

    /// The namespace in which its operator stores claims and pre-states.
    #[must_use]
    pub fn home(&self) -> String {
        self.home.clone().unwrap_or_else(operator_namespace)
    }

    /// The namespaces that its own operator must watch.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let targets = self.environments.iter().map(|short| self.target(short));
        targets.chain([self.name.clone()]).collect()
    }

    /// The namespace of its Releases and Decisions.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.name
    }

    /// The full name of the Environment `sit`, `uat` or `prod`.
    #[must_use]
    pub fn environment(&self, short: &str) -> String {
        format!("{}-{short}", self.name)
    }

    /// The namespace that the Environment `sit`, `uat` or `prod` changes.
    #[must_use]
    pub fn target(&self, short: &str) -> String {
        self.environment(short)
    }

    /// The admin's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Objects in the namespace of the Releases, as the admin.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// Objects in the target namespace of `sit`, `uat` or `prod`, as the admin.
    #[must_use]
    pub fn in_target<K>(&self, short: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.target(short))
    }

    /// A Release with an `into` that accepts the short names of this stage.
    #[must_use]
    pub fn release(&self, version: &str) -> ReleaseBuilder {
        release(version).on_stage(&self.name)
    }

    /// Creates a Release or Decision as `person`. The API server may refuse it.
    ///
    /// # Errors
    /// The error of the API server.
    pub async fn create_as<K>(&self, person: &str, object: &K) -> kube::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        Api::namespaced(as_person(person).await, &self.name)
            .create(&PostParams::default(), object)
            .await
    }

    /// Creates a Release as alice and returns its name.
    pub async fn submit(&self, release: ReleaseBuilder) -> String {
        let release = release.build();
        let created = self.create_as("alice", &release).await;
        created.expect("alice may").metadata.name.unwrap_or_default()
    }

    /// Creates a Release in alice's name as the admin, who needs no grant for environments that do not exist.
    pub async fn submit_as_admin(&self, release: ReleaseBuilder) -> String {
        let created = self.api().create(&PostParams::default(), &release.build()).await;
        created
            .expect("the admin is allowed to")
            .metadata
            .name
            .unwrap_or_default()
    }

    /// Merges `change` into a Release as the admin.
    pub async fn merge(&self, release: &str, change: Value) -> Release {
        let patched = self
            .api()
            .patch(release, &PatchParams::default(), &Patch::Merge(change))
            .await;
        patched.expect("the admin is allowed to")
    }

    /// Waits until the promotion into `sit`, `uat` or `prod` is in `state`, and returns the Release.
    pub async fn reaches(&self, release: &str, short: &str, state: State) -> Release {
        let environment = self.environment(short);
        wait_until(&self.api::<Release>(), release, LONG, |release| {
            state_of(release, &environment) == Some(state)
        })
        .await
    }

    /// Grants `person` the verb `verb` on `resource` (for instance `environments/board`), named `name` or, if that is empty, any, in the
    /// namespace of the Releases. Returns when the grant has taken effect.
    pub async fn grant(&self, person: &str, verb: &str, resource: &str, name: &str) {
        let role = format!("{person}-{:08x}", RandomState::new().hash_one(verb) & 0xffff_ffff);
        let mut rule = json!({ "apiGroups": ["signalbox.dev"], "resources": [resource], "verbs": [verb] });
        if !name.is_empty() {
            rule["resourceNames"] = json!([name]);
        }
        let subject =
            json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user_name(person) });
        bind(&self.client, &self.name, &role, json!([rule]), subject).await;
        self.until_allowed(person, verb, resource, name).await;
    }

    /// Binds a ClusterRole in the namespace of the Releases. Returns when the API server allows `user` the verb `verb` on
    /// `resource`.
    pub async fn bind(&self, role: &str, user: &User, verb: &str, resource: &str) {
        self.bind_named(role, user, verb, resource, "").await;
    }

    /// The same, for the object named `name`.
    pub async fn bind_named(&self, role: &str, user: &User, verb: &str, resource: &str, name: &str) {
        let binding = json!({
            "metadata": { "generateName": "bound-" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [user.subject],
        });
        create::<RoleBinding>(&self.api(), binding).await;
        self.until_user_may(user, verb, resource, name).await;
    }

    /// Binds a ClusterRole in the whole cluster and returns the name of the binding, which the stage does not delete. Returns when the API
    /// server allows `user` the verb `verb` on the `resource` named `name` or, if that is empty, on any.
    pub async fn bind_everywhere(
        &self,
        role: &str,
        user: &User,
        verb: &str,
        resource: &str,
        name: &str,
    ) -> String {
        let binding = format!(
            "{}-{:08x}",
            self.name,
            RandomState::new().hash_one(role) & 0xffff_ffff
        );
        let object = json!({
            "metadata": { "name": binding },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [user.subject],
        });
        create::<ClusterRoleBinding>(&Api::all(self.client()), object).await;
        self.until_user_may(user, verb, resource, name).await;
        binding
    }

    async fn until_allowed(&self, person: &str, verb: &str, resource: &str, name: &str) {
        let user = User::of("developers", &user_name(person));
        self.until_user_may(&user, verb, resource, name).await;
    }

    /// The authorizer follows bindings a moment later. There is no event for that, so this asks again.
    async fn until_user_may(&self, user: &User, verb: &str, resource: &str, name: &str) {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review: SubjectAccessReview = serde_json::from_value(json!({
            "metadata": {},
            "spec": {
                "user": user.name,
                "groups": user.groups,
                "resourceAttributes": {
                    "group": "signalbox.dev", "namespace": self.name,
                    "verb": verb, "resource": resource, "subresource": subresource, "name": name,
                },
            },
        }))
        .unwrap();
        let reviews: Api<SubjectAccessReview> = Api::all(self.client());
        let allowed = async {
            while !reviews
                .create(&PostParams::default(), &review)
                .await
                .expect("the admin is allowed to ask")
                .status
                .is_some_and(|status| status.allowed)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, allowed)
            .await
            .unwrap_or_else(|_| panic!("{} was granted {verb} on {resource}, without effect", user.name));
    }

    /// Waits for the plan hash in the Release's status and returns it.
    pub async fn plan_hash(&self, release: &str, short: &str) -> String {
        let environment = self.environment(short);
        let hash = |release: &Release| {
            let promotion = release.promotion(&environment)?;
            (!promotion.plan_hash.is_empty()).then(|| promotion.plan_hash.clone())
        };
        let api = self.api::<Release>();
        let release = wait_until(&api, release, LONG, |release| hash(release).is_some()).await;
        hash(&release).unwrap_or_default()
    }

    /// Creates a suspended CronJob in a target: the template of gates and verifications.
    pub async fn template(&self, short: &str, name: &str, image: &str) {
        create::<CronJob>(
            &self.in_target(short),
            json!({
                "metadata": { "name": name },
                "spec": {
                    "suspend": true,
                    "schedule": "0 0 1 1 *",
                    "jobTemplate": { "spec": { "backoffLimit": 0, "template": { "spec": {
                        "restartPolicy": "Never",
                        "containers": [{ "name": "probe", "image": image }],
                    } } } },
                },
            }),
        )
        .await;
    }

    /// Decisions on this stage, as the admin.
    #[must_use]
    pub fn decisions(&self) -> Api<Decision> {
        self.api()
    }

    /// Writes a status as the operator does, of a version on which the running operator does not act.
    ///
    /// # Errors
    /// The error of the API server.
    pub async fn forge_status(&self, release: &str, mut status: Value) -> kube::Result<Release> {
        status["stateVersion"] = json!(99);
        let releases: Api<Release> = Api::namespaced(as_operator().await, &self.name);
        let patch = Patch::Merge(json!({ "status": status }));
        releases
            .patch_status(release, &PatchParams::default(), &patch)
            .await
    }

    /// Deletes a Release with a forged status. The operator does not change it and does not remove its own finalizer.
    pub async fn forget(&self, release: &str) {
        let releases = self.api::<Release>();
        delete(&releases, release).await;
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        match releases.patch(release, &PatchParams::default(), &patch).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{release} cannot be deleted: {error}"),
        }
        gone(&releases, release, LONG).await;
    }

    /// Leaves everything for inspection.
    pub fn left(mut self) {
        eprintln!(
            "The stage is left as it is: namespaces and environments {}*",
            self.name
        );
        self.finished = true;
    }

    /// Deletes everything, Releases first, so that the operator can still release their claims.
    pub async fn finish(mut self) {
        let releases = self.api::<Release>();
        for release in releases.list(&ListParams::default()).await.unwrap() {
            let name = release.metadata.name.unwrap_or_default();
            delete(&releases, &name).await;
            gone(&releases, &name, LONG).await;
        }
        let environments: Api<Environment> = Api::all(self.client());
        for short in &self.environments {
            let name = self.environment(short);
            delete(&environments, &name).await;
            gone(&environments, &name, LONG).await;
        }
        let namespaces: Api<Namespace> = Api::all(self.client());
        for short in &self.environments {
            delete(&namespaces, &self.target(short)).await;
        }
        delete(&namespaces, &self.name).await;
        if let Some(home) = &self.home {
            delete(&namespaces, home).await;
        }
        self.finished = true;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "The stage is left as it is: namespaces and environments {}*",
                self.name
            );
        } else {
            assert!(self.finished, "end the test with stage.finish().await");
        }
    }
}

async fn delete<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + DeserializeOwned,
{
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("{name} cannot be deleted: {error}"),
    }
}

async fn create<K>(api: &Api<K>, value: Value)
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(value).expect("an object of this kind");
    api.create(&PostParams::default(), &object)
        .await
        .expect("the admin is allowed to create it");
}

async fn bind(client: &Client, namespace: &str, name: &str, rules: Value, subject: Value) {
    let metadata = json!({ "name": name });
    create::<Role>(
        &Api::namespaced(client.clone(), namespace),
        json!({ "metadata": metadata, "rules": rules }),
    )
    .await;
    create::<RoleBinding>(
        &Api::namespaced(client.clone(), namespace),
        json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [subject],
        }),
    )
    .await;
}

async fn set(builder: StageBuilder) -> Stage {
    let StageBuilder {
        name,
        environments,
        mut changes,
        home,
        empty,
    } = builder;
    let client = admin().await;
    create_namespace(&client, &name).await;
    if let Some(home) = &home
        && *home == format!("{name}-home")
    {
        create_home(&client, home).await;
    }
    // All users can create everything here. The admission policies decide what they can have.
    let developers =
        json!({ "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "developers" });
    let namespaced = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Environment);
    let ask = json!([{
        "apiGroups": ["signalbox.dev"],
        "resources": namespaced.map(Kind::plural).collect::<Vec<_>>(),
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    }]);
    bind(&client, &name, "developers", ask, developers).await;

    let stage = Stage {
        environments: environments.iter().map(|(short, _)| *short).collect(),
        name,
        client,
        home,
        finished: false,
    };
    for (short, mut spec) in environments {
        let target = stage.target(short);
        create_target(&stage.client, &target, &stage.name).await;
        if !empty {
            create_ledger(&stage.client, &target).await;
        }
        spec["namespace"] = format!("{{namespace}}-{short}").into();
        // Not those of another stage, which would have the same targets.
        spec["releaseNamespaces"] = json!({ "matchLabels": { "kubernetes.io/metadata.name": stage.name } });
        let mut spec: EnvironmentSpec = serde_json::from_value(spec).expect("an Environment's spec");
        for change in changes.remove(short).unwrap_or_default() {
            change(&mut spec);
        }
        let mut environment = Environment::new(&stage.environment(short), spec);
        if let Some(home) = &stage.home {
            let label = (SCOPE_LABEL.to_owned(), home.clone());
            environment.metadata.labels = Some(BTreeMap::from([label]));
        }
        Api::<Environment>::all(stage.client())
            .create(&PostParams::default(), &environment)
            .await
            .expect("the Environment is valid");
    }
    assert!(changes.is_empty(), "there is no environment {:?}", changes.keys());
    for short in &stage.environments {
        let name = stage.environment(short);
        stage.grant("alice", "promote", "environments", &name).await;
    }
    stage.until_allowed("alice", "create", "releases", "").await;
    stage
}

/// Another namespace for claims, pre-states and leadership, with the rights that the chart grants in its own namespace.
async fn create_home(client: &Client, home: &str) {
    create_namespace(client, home).await;
    let chart: Api<Role> = Api::namespaced(client.clone(), &operator_namespace());
    let role = chart.get("signalbox").await.expect("the chart's Role is there");
    let account = json!({ "kind": "ServiceAccount", "name": "signalbox", "namespace": operator_namespace() });
    bind(client, home, "signalbox", json!(role.rules), account).await;
}

async fn create_namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    create(&namespaces, json!({ "metadata": { "name": name } })).await;
}

/// A target namespace: the deployer with the rights of the chart, which accepts only Releases of `accepted`.
async fn create_target(client: &Client, namespace: &str, accepted: &str) {
    create_namespace(client, namespace).await;
    create::<ServiceAccount>(
        &Api::namespaced(client.clone(), namespace),
        json!({ "metadata": { "name": DEPLOYER, "annotations": { (ACCEPT): accepted } } }),
    )
    .await;
    let all = ["get", "create", "patch", "delete"];
    let rules = json!([
        { "apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"], "verbs": all },
        { "apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": all },
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": all },
        { "apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "delete"] },
    ]);
    let deployer = json!({ "kind": "ServiceAccount", "name": DEPLOYER, "namespace": namespace });
    bind(client, namespace, DEPLOYER, rules, deployer).await;
}

/// The ledger with its configuration, running.
async fn create_ledger(client: &Client, namespace: &str) {
    create::<ConfigMap>(
        &Api::namespaced(client.clone(), namespace),
        json!({ "metadata": { "name": "ledger-config" }, "data": { "FEATURE_X": "off", "OLD_KEY": "old" } }),
    )
    .await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    create(
        &deployments,
        json!({
            "metadata": { "name": "ledger" },
            "spec": {
                "replicas": 2,
                "selector": { "matchLabels": { "app": "ledger" } },
                "template": {
                    "metadata": { "labels": { "app": "ledger" } },
                    "spec": { "containers": [{ "name": "ledger", "image": IMAGE_BEFORE }] },
                },
            },
        }),
    )
    .await;
    wait_until(&deployments, "ledger", LONG, |deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.available_replicas) == Some(2)
    })
    .await;
}
