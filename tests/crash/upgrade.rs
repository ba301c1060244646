//! v0.1.0 and the current operator alternate during one promotion, and during one backout: each continues the work of the other. The
//! CRDs are the current ones all the time: helm installs them before it starts the new operator, and they stay when the old one
//! returns.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox::api::release::State;
use signalbox::api::{Action, Decision, Environment, Release, ReleaseReview};

use crate::end::{self, End, Start, differences};
use crate::history::{Effects, History};
use crate::kit::{
    IMAGE, Ledger, Operator, Process, Scope, Stage, Version, Write, admin, approval_gate, decision,
    operator_user, wait_until,
};
use crate::play::{CLUSTER, LONG, NEVER_READY, READY_LATE, SILENCE, Scenario, clean, of};
use crate::processes::leads;

/// The rights of the chart of v0.1.0 in addition to the current ones: it renewed its Lease by a patch.
const OLD_RIGHTS: &str = "signalbox-v0.1.0";

/// An operator of that version, with the rights of its chart.
async fn operator(version: Version, folder: &Path) -> Process {
    if version == Version::Before {
        grant_old_rights().await;
    } else {
        withdraw_old_rights().await;
    }
    Process::of(version, "crash-0", folder).await
}

async fn grant_old_rights() {
    let ours = ["releases", "environments", "decisions", "releasereviews"];
    let finalizers = ["releases/finalizers", "environments/finalizers"];
    let rules = json!([
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["patch"] },
        { "apiGroups": ["signalbox.dev"], "resources": ours, "verbs": ["get", "update"] },
        { "apiGroups": ["signalbox.dev"], "resources": finalizers, "verbs": ["update"] },
    ]);
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({ "name": OLD_RIGHTS });
    let role = json!({ "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": rules });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": OLD_RIGHTS },
        "subjects": [{ "apiGroup": group, "kind": "User", "name": operator_user() }],
    });
    let patch = PatchParams::apply("tests").force();
    let roles: Api<ClusterRole> = Api::all(admin().await);
    roles
        .patch(OLD_RIGHTS, &patch, &Patch::Apply(role))
        .await
        .unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin().await);
    let binding = Patch::Apply(binding);
    bindings.patch(OLD_RIGHTS, &patch, &binding).await.unwrap();
}

async fn withdraw_old_rights() {
    let bindings: Api<ClusterRoleBinding> = Api::all(admin().await);
    match bindings.delete(OLD_RIGHTS, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        answer => drop(answer.unwrap()),
    }
}

const WAY: [&str; 3] = ["sit", "uat", "prod"];

/// The effects on one environment.
struct Followed {
    start: Start,
    history: History,
}

/// Config after ledger, which takes five seconds, in each of three environments.
struct Promotion {
    stage: Stage,
    release: String,
    followed: Vec<Followed>,
}

impl Promotion {
    async fn begin(operator: &Process) -> Self {
        let stage = Stage::new("upgrade").await;
        leads(operator).await;
        let mut followed = vec![];
        for short in WAY {
            followed.push(Followed {
                start: end::start_in(&stage, short).await,
                history: History::of(&stage, short).await,
            });
        }
        let data = json!({ "FEATURE_X": "on", "NEW_KEY": "new" });
        let release = stage.release("2").into(&WAY).image("ledger", READY_LATE);
        let release = release.config("config", "ledger-config", data).after(&["ledger"]);
        let release = stage.submit(release).await;
        Self {
            stage,
            release,
            followed,
        }
    }

    /// When everything is finished: the end and the effects in each environment, and the violations.
    async fn over(self, operator: Process) -> (Vec<(End, Effects)>, Vec<String>) {
        let (stage, release) = (self.stage, self.release);
        wait_until(&stage.api::<Release>(), &release, LONG, |release| {
            release.promotion(&stage.environment("prod")).map(|p| p.state) == Some(State::Succeeded)
        })
        .await;
        // Claims are deleted last, and Environments are written two seconds after the changes that they show.
        let leases: Api<Lease> = Api::namespaced(stage.client(), &stage.home());
        for short in WAY {
            let ours = ListParams::default()
                .labels(&format!("signalbox.dev/environment={}", stage.environment(short)));
            let gone = async {
                while !leases.list(&ours).await.unwrap().items.is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(LONG, gone)
                .await
                .expect("the claim is released");
            let environments: Api<Environment> = Api::all(stage.client());
            wait_until(&environments, &stage.environment(short), LONG, |environment| {
                let status = environment.status.as_ref();
                status.is_some_and(|status| status.occupants.is_empty() && !status.inventory.is_empty())
            })
            .await;
        }
        let (mut ends, mut unlawful) = (vec![], vec![]);
        for Followed { start, history } in self.followed {
            let end = end::read(&stage, &release, &start).await;
            let (wrong, effects) = history.judged().await;
            unlawful.extend(wrong);
            ends.push((end, effects));
        }
        stage.finish().await;
        assert!(operator.terminated().await.success());
        (ends, unlawful)
    }
}

#[tokio::test]
async fn old_new_and_old_take_turns_at_one_promotion() {
    let _alone = CLUSTER.write().await;
    let folder = tempfile::tempdir().unwrap();
    let operator = async |version| operator(version, folder.path()).await;

    let now = operator(Version::Now).await;
    let clean = Promotion::begin(&now).await;
    let (clean, unlawful) = clean.over(now).await;
    assert_eq!(unlawful, Vec::<String>::new());

    let mut old = operator(Version::Before).await;
    let promotion = Promotion::begin(&old).await;
    let stage = &promotion.stage;
    let ledgers: Api<Deployment> = stage.in_target("uat");
    wait_until(&ledgers, "ledger", LONG, |l| l.metadata.generation == Some(2)).await;
    old.kill();
    let mut new = operator(Version::Now).await;
    let configs: Api<ConfigMap> = stage.in_target("uat");
    let has_come = |config: &ConfigMap| config.data.as_ref().is_some_and(|d| d.contains_key("NEW_KEY"));
    wait_until(&configs, "ledger-config", LONG, has_come).await;
    new.kill();
    let old = operator(Version::Before).await;
    let (ends, mut wrong) = promotion.over(old).await;
    withdraw_old_rights().await;
    for ((short, clean), (end, effects)) in WAY.iter().zip(&clean).zip(&ends) {
        let differences = differences(&clean.0, end).into_iter().filter(|d| of_both(d));
        wrong.extend(differences.map(|d| format!("{short}: {d}")));
        if effects != &clean.1 {
            wrong.push(format!("{short}: {effects:?} instead of {:?}", clean.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether both versions write it in the same way. Their messages have different texts. v0.1.0 captures neither the health of a target
/// nor the owners of its fields, so it restores no ownership. Its Environments are never Stalled.
fn of_both(difference: &str) -> bool {
    let newer = [
        "/was/",
        "/ours/",
        "/readyPods",
        "/drift",
        "config's changes",
        "environment/conditions/Stalled/",
    ];
    let path = difference.split_once(": ").map_or(difference, |(path, _)| path);
    let ends = ["/message", "/notCounted", "/backout/reason"];
    let text = path.contains("/rag/reasons/") || ends.iter().any(|end| path.ends_with(end));
    !text && !newer.iter().any(|part| difference.contains(part))
}

async fn turns_at_a_backout(first: Version, second: Version) {
    let scenario = Scenario::Backout;
    let clean = {
        let _side_by_side = CLUSTER.read().await;
        clean(scenario).await
    };
    let _alone = CLUSTER.write().await;
    let folder = tempfile::tempdir().unwrap();
    let stage = scenario.shared_stage().await;
    let start = end::start(&stage).await;
    let history = History::begin(&stage).await;
    let mut one = operator(first, folder.path()).await;
    leads(&one).await;
    let release = stage.submit(scenario.release(&stage)).await;
    // The ledger is restored first. The config is still changed.
    let ledgers: Api<Deployment> = stage.in_target("sit");
    wait_until(&ledgers, "ledger", LONG, |l| l.metadata.generation == Some(3)).await;
    one.kill();
    let other = operator(second, folder.path()).await;
    stage.reaches(&release, "sit", State::BackedOut).await;
    let same = async {
        while end::read(&stage, &release, &start).await != clean.end {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), same).await;
    let mut wrong = differences(&clean.end, &end::read(&stage, &release, &start).await);
    wrong.retain(|d| of_both(d));
    let (unlawful, effects) = history.judged().await;
    wrong.extend(unlawful);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(effects, clean.effects);
    stage.finish().await;
    assert!(other.terminated().await.success());
    withdraw_old_rights().await;
}

#[tokio::test]
async fn the_old_one_begins_a_backout_and_the_new_one_ends_it() {
    turns_at_a_backout(Version::Before, Version::Now).await;
}

#[tokio::test]
async fn the_new_one_begins_a_backout_and_the_old_one_ends_it() {
    turns_at_a_backout(Version::Now, Version::Before).await;
}

/// In the middle of Deploying, with a status of a future version.
#[tokio::test]
async fn what_a_newer_version_has_begun_is_left_alone() {
    let _side_by_side = CLUSTER.read().await;
    let stage = Stage::new("newer").only(&["sit"]).alone().await;
    let release = stage
        .submit(stage.release("2").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let environment = stage.environment("sit");
    let of_tomorrow =
        json!({ "name": environment, "state": "Deploying", "attempt": 1, "planHash": "v9:none" });
    stage
        .forge_status(&release, json!({ "environments": [of_tomorrow] }))
        .await
        .unwrap();
    let before = stage.api::<Release>().get(&release).await.unwrap();
    let operator = Operator::start(&Scope::of([&stage]), None).await;
    operator.faults.silent(SILENCE).await;
    let writes = operator.faults.writes();
    // There has been no leader in its own home namespace yet.
    let mut promotion = of(Ledger::Promotion, &writes);
    promotion.retain(|write| write.body["metadata"]["name"] != "signalbox");
    let what: Vec<String> = promotion.iter().map(Write::what).collect();
    assert_eq!(what, Vec::<String>::new());
    assert!(
        !of(Ledger::Environment, &writes).is_empty(),
        "it has reconciled nothing"
    );
    let after = stage.api::<Release>().get(&release).await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
    stage.forget(&release).await;
    stage.finish().await;
    operator.killed().await;
}

/// All objects of a Release in one state, as v0.1.0 has left them.
async fn kept(stage: &Stage, called: &str) {
    async fn all<K>(api: Api<K>, labels: &str) -> Vec<Value>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
    {
        let list = api.list(&ListParams::default().labels(labels)).await.unwrap();
        let plain = |mut object: K| {
            object.meta_mut().managed_fields = None;
            let mut value = json!(object);
            value["apiVersion"] = K::api_version(&()).into();
            value["kind"] = K::kind(&()).into();
            value
        };
        list.items.into_iter().map(plain).collect()
    }
    fn target<K>(stage: &Stage) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        stage.in_target("sit")
    }
    let name = stage.environment("sit");
    let ours = format!("signalbox.dev/environment={name}");
    let mut objects = all(stage.api::<Release>(), "").await;
    let environments = all(Api::<Environment>::all(stage.client()), "").await;
    objects.extend(
        environments
            .into_iter()
            .filter(|e| e["metadata"]["name"] == name.as_str()),
    );
    objects.extend(all(stage.api::<Decision>(), "").await);
    objects.extend(all(stage.api::<ReleaseReview>(), "").await);
    objects.extend(all(target::<Deployment>(stage), "").await);
    let configs = all(target::<ConfigMap>(stage), "").await;
    objects.extend(
        configs
            .into_iter()
            .filter(|c| c["metadata"]["name"] == "ledger-config"),
    );
    let home = stage.home();
    objects.extend(
        all(
            Api::<ControllerRevision>::namespaced(stage.client(), &home),
            &ours,
        )
        .await,
    );
    objects.extend(all(Api::<Lease>::namespaced(stage.client(), &home), &ours).await);
    let texts = objects
        .iter()
        .map(|object| serde_yaml_ng::to_string(object).unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0.1.0");
    std::fs::create_dir_all(&folder).unwrap();
    let text = texts.collect::<Vec<_>>().join("---\n");
    std::fs::write(folder.join(format!("{called}.yaml")), text).unwrap();
}

/// `cargo xtask test -- --ignored v0_1_0_leaves` writes `tests/fixtures/v0.1.0`, which src/decide/tests/upgrade.rs reads.
#[tokio::test]
#[ignore = "it writes fixtures"]
async fn what_v0_1_0_leaves_is_kept() {
    let _alone = CLUSTER.write().await;
    let folder = tempfile::tempdir().unwrap();
    let old = operator(Version::Before, folder.path()).await;
    leads(&old).await;
    let config = json!({ "FEATURE_X": "on", "NEW_KEY": "new" });

    // Two approvals are required, and one exists.
    let stage = Stage::new("waiting")
        .only(&["sit"])
        .with("sit", |spec| spec.gates.push(approval_gate("board", "board", 2)))
        .await;
    let environment = stage.environment("sit");
    stage
        .grant("bob", "approve", "environments/board", &environment)
        .await;
    let release = stage
        .submit(stage.release("2").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let hash = stage.plan_hash(&release, "sit").await;
    let yes = decision(Action::Approve, &release, &environment).named("board-says-yes");
    stage
        .create_as("bob", &yes.at_gate("board", "board", &hash).build())
        .await
        .unwrap();
    wait_until(&stage.api::<Release>(), &release, LONG, |release| {
        release
            .promotion(&environment)
            .is_some_and(|p| json!(p).to_string().contains("bob"))
    })
    .await;
    kept(&stage, "waiting").await;
    stage.finish().await;

    for (called, image, within, trigger, state) in [
        ("deploying", NEVER_READY, "10m", "Automatic", State::Deploying),
        (
            "awaiting-decision",
            NEVER_READY,
            "2s",
            "OnDecision",
            State::AwaitingDecision,
        ),
        ("backed-out", NEVER_READY, "2s", "Automatic", State::BackedOut),
        ("succeeded", IMAGE, "10m", "Automatic", State::Succeeded),
    ] {
        let stage = Stage::new(called).only(&["sit"]).await;
        let release = stage.release("2").into(&["sit"]).backout(trigger);
        let release = release.with("/spec/review", json!({ "required": "Always" }));
        let release = release.config("config", "ledger-config", config.clone());
        let release = release
            .image("ledger", image)
            .after(&["config"])
            .ready_within(within);
        let release = stage.submit(release).await;
        stage.reaches(&release, "sit", state).await;
        if state == State::Deploying {
            let ledgers: Api<Deployment> = stage.in_target("sit");
            wait_until(&ledgers, "ledger", LONG, |l| {
                let seen = l.status.as_ref().and_then(|s| s.observed_generation);
                seen == Some(2)
            })
            .await;
        }
        if state == State::Succeeded {
            let review: ReleaseReview = serde_json::from_value(json!({
                "apiVersion": "signalbox.dev/v1alpha1", "kind": "ReleaseReview", "metadata": { "name": "review" },
                "spec": { "release": release, "reviewer": crate::kit::user_name("bob") },
            }))
            .unwrap();
            stage.grant("bob", "review", "releases", "").await;
            stage.create_as::<ReleaseReview>("bob", &review).await.unwrap();
            wait_until(&stage.api::<Release>(), &release, LONG, |release| {
                json!(release.status)["review"]["state"] == "InProgress"
            })
            .await;
        }
        // Its last write is that of the Environment.
        let environments: Api<Environment> = Api::all(stage.client());
        let was = environments.get(&stage.environment("sit")).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(4), async {
            wait_until(&environments, &stage.environment("sit"), LONG, |e| {
                e.resource_version() != was.resource_version()
            })
            .await
        })
        .await;
        kept(&stage, called).await;
        stage.left();
    }
    assert!(old.terminated().await.success());
}
