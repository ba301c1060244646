//! The real binary, stopped with real signals at the worst moments, and two of them in parallel.

use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use signalbox::api::release::State;
use signalbox::api::{Environment, Release};
use tokio::sync::RwLockWriteGuard;

use crate::end::{self, End, Start, differences};
use crate::kit::{Process, Stage, admin, operator_namespace, state_of, wait_until};
use crate::play::{CLUSTER, LONG, Scenario, clean};

/// The end of the clean run, and the cluster for an operator that watches all of it.
async fn alone(scenario: Scenario) -> (&'static End, RwLockWriteGuard<'static, ()>) {
    let end = {
        let _side_by_side = CLUSTER.read().await;
        &clean(scenario).await.end
    };
    (end, CLUSTER.write().await)
}

async fn leases() -> Api<Lease> {
    Api::namespaced(admin().await, &operator_namespace())
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

pub async fn leads(process: &Process) -> Lease {
    wait_until(&leases().await, "signalbox", LONG, |lease| {
        holder(lease) == process.identity
    })
    .await
}

/// Returns when the leader has renewed its Lease again.
async fn renewed() {
    let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
    let before = renewed(&leases().await.get("signalbox").await.unwrap());
    wait_until(&leases().await, "signalbox", LONG, |lease| {
        renewed(lease) > before
    })
    .await;
}

/// Waits until everything is as in `clean`.
async fn ends_as(clean: &End, scenario: Scenario, stage: &Stage, release: &str, start: &Start) {
    let environment = stage.environment("sit");
    wait_until(&stage.api::<Release>(), release, LONG, |release| {
        state_of(release, &environment) == scenario.ends_in().map(|(state, _)| state)
    })
    .await;
    let same = async {
        // Reading several kinds of objects takes some time.
        while end::read(stage, release, start).await != *clean {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), same).await.is_err() {
        let end = end::read(stage, release, start).await;
        assert_eq!(differences(clean, &end), Vec::<String>::new());
    }
}

/// Kills the process at `moment`, starts another one, and compares the end.
async fn killed_when<M, F>(scenario: Scenario, moment: M)
where
    M: FnOnce(Stage, Api<Lease>) -> F,
    F: Future<Output = Stage>,
{
    let (clean, _alone) = alone(scenario).await;
    let folder = tempfile::tempdir().unwrap();
    let stage = scenario.shared_stage().await;
    let start = end::start(&stage).await;
    let mut process = Process::start("crash-0", folder.path()).await;
    leads(&process).await;
    let release = stage.submit(scenario.release(&stage)).await;
    scenario.people(&stage, &release).await;
    let stage = moment(stage, leases().await).await;
    process.kill();
    // The next container of the pod has the pod's name and leads immediately.
    let process = Process::start("crash-0", folder.path()).await;
    ends_as(clean, scenario, &stage, &release, &start).await;
    stage.finish().await;
    assert!(process.terminated().await.success());
}

/// A claim of the stage's environment.
async fn claimed(stage: Stage, leases: Api<Lease>) -> Stage {
    let label = format!("signalbox.dev/environment={}", stage.environment("sit"));
    let now = leases.list(&ListParams::default().labels(&label)).await.unwrap();
    if now.items.is_empty() {
        let version = now.metadata.resource_version.unwrap();
        let watch = WatchParams::default().labels(&label);
        let mut events = std::pin::pin!(leases.watch(&watch, &version).await.unwrap());
        while let Some(event) = events.next().await {
            if matches!(event.unwrap(), WatchEvent::Added(_)) {
                break;
            }
        }
    }
    stage
}

#[tokio::test]
async fn killed_right_after_the_claim_it_ends_the_same() {
    killed_when(Scenario::Backout, claimed).await;
}

#[tokio::test]
async fn killed_right_after_the_first_target_it_ends_the_same() {
    killed_when(Scenario::Backout, |stage, _| async {
        let configs: Api<ConfigMap> = stage.in_target("sit");
        wait_until(&configs, "ledger-config", LONG, |config| {
            config
                .data
                .as_ref()
                .is_some_and(|data| data.contains_key("NEW_KEY"))
        })
        .await;
        stage
    })
    .await;
}

#[tokio::test]
async fn killed_in_the_middle_of_a_restore_it_ends_the_same() {
    killed_when(Scenario::Backout, |stage, _| async {
        let ledgers: Api<Deployment> = stage.in_target("sit");
        wait_until(&ledgers, "ledger", LONG, |ledger| {
            ledger.metadata.generation == Some(3)
        })
        .await;
        stage
    })
    .await;
}

#[tokio::test]
async fn of_two_operators_the_leader_is_killed_and_the_other_one_finishes() {
    let scenario = Scenario::Slow;
    let (clean, _alone) = alone(scenario).await;
    let folder = tempfile::tempdir().unwrap();
    let stage = scenario.shared_stage().await;
    let start = end::start(&stage).await;
    let mut leader = Process::start("crash-0", folder.path()).await;
    leads(&leader).await;
    let other = Process::start("crash-1", folder.path()).await;
    let release = stage.submit(scenario.release(&stage)).await;
    stage.reaches(&release, "sit", State::Deploying).await;
    leader.kill();
    let killed = Instant::now();
    let left = leases().await.get("signalbox").await.unwrap().spec.unwrap();
    let taken = leads(&other).await.spec.unwrap();
    println!(
        "the other one leads {:.1?} after the leader was killed",
        killed.elapsed()
    );
    let kept = taken
        .acquire_time
        .unwrap()
        .0
        .duration_since(left.renew_time.unwrap().0);
    assert_eq!(left.holder_identity.unwrap(), leader.identity);
    assert!(
        (SignedDuration::from_secs(15)..SignedDuration::from_secs(18)).contains(&kept),
        "not before the Lease has expired, and then immediately: {kept:?}"
    );
    ends_as(clean, scenario, &stage, &release, &start).await;
    stage.finish().await;
    assert!(other.terminated().await.success());
}

/// The versions of all objects of the promotion. None changes if nothing relevant is written.
async fn versions(stage: &Stage, release: &str) -> Vec<Option<String>> {
    let home = stage.home();
    let list =
        ListParams::default().labels(&format!("signalbox.dev/environment={}", stage.environment("sit")));
    let release: Release = stage.api().get(release).await.unwrap();
    let ledger: Deployment = stage.in_target("sit").get("ledger").await.unwrap();
    let config: ConfigMap = stage.in_target("sit").get("ledger-config").await.unwrap();
    let environment = Api::<Environment>::all(stage.client())
        .get(&stage.environment("sit"))
        .await
        .unwrap();
    let claims = Api::<Lease>::namespaced(stage.client(), &home)
        .list(&list)
        .await
        .unwrap();
    let kept = Api::<ControllerRevision>::namespaced(stage.client(), &home)
        .list(&list)
        .await
        .unwrap();
    let jobs = stage
        .in_target::<Job>("sit")
        .list(&ListParams::default())
        .await
        .unwrap();
    [
        release.resource_version(),
        ledger.resource_version(),
        config.resource_version(),
    ]
    .into_iter()
    .chain([environment.resource_version()])
    .chain(claims.iter().map(ResourceExt::resource_version))
    .chain(kept.iter().map(ResourceExt::resource_version))
    .chain(jobs.iter().map(ResourceExt::resource_version))
    .collect()
}

#[tokio::test]
async fn a_leader_that_is_paused_past_its_leadership_writes_nothing_when_it_wakes_up() {
    let scenario = Scenario::Slow;
    let (clean, _alone) = alone(scenario).await;
    let folder = tempfile::tempdir().unwrap();
    let stage = scenario.shared_stage().await;
    let start = end::start(&stage).await;
    let leader = Process::start("crash-0", folder.path()).await;
    leads(&leader).await;
    let other = Process::start("crash-1", folder.path()).await;
    let release = stage.submit(scenario.release(&stage)).await;
    stage.reaches(&release, "sit", State::Deploying).await;
    leader.paused();
    let paused = Instant::now();
    leads(&other).await;
    let led = paused.elapsed();
    ends_as(clean, scenario, &stage, &release, &start).await;
    let before = versions(&stage, &release).await;

    leader.resumed();
    // It believes that it is in the middle of Deploying. Then it learns what has happened, and that it no longer leads.
    leader.logs("Leadership lost").await;
    println!(
        "| leader paused for {:.1} s | the other led after {:.1} s |",
        paused.elapsed().as_secs_f32(),
        led.as_secs_f32()
    );
    assert_eq!(
        versions(&stage, &release).await,
        before,
        "no relevant object was written"
    );
    leads(&other).await;
    assert_eq!(end::read(&stage, &release, &start).await, *clean);
    // It is a normal standby: it leads again when the other one stops.
    assert!(other.terminated().await.success());
    leads(&leader).await;
    stage.finish().await;
    assert!(leader.terminated().await.success());
}

/// As in `helm upgrade`: the new pod exists before the leader is asked to stop.
#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once_by_who_stands_by() {
    let _alone = CLUSTER.write().await;
    let folder = tempfile::tempdir().unwrap();
    let leader = Process::start("crash-0", folder.path()).await;
    leads(&leader).await;
    let others = [
        Process::start("crash-1", folder.path()).await,
        Process::start("crash-2", folder.path()).await,
    ];
    // The standby has started by then, and has just seen a Lease that is valid for a long time.
    renewed().await;
    assert!(leader.terminated().await.success());
    let ended = Instant::now();
    let taken = wait_until(&leases().await, "signalbox", LONG, |lease| {
        !holder(lease).is_empty()
    })
    .await;
    let took = ended.elapsed();
    println!(
        "{} leads {took:.1?} after the previous one has ended",
        holder(&taken)
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Exactly one of the two leads, and the other one is on standby.
    let (first, second): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|process| process.identity == holder(&taken));
    renewed().await;
    for (leader, heir) in first.into_iter().zip(&second) {
        leads(&leader).await;
        assert!(leader.terminated().await.success());
        let ended = Instant::now();
        leads(heir).await;
        assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    }
    for process in second {
        assert!(process.terminated().await.success());
    }
}

#[tokio::test]
async fn asked_to_stop_it_ends_between_two_writes_and_gives_the_lease_back() {
    let scenario = Scenario::Slow;
    let (clean, _alone) = alone(scenario).await;
    let folder = tempfile::tempdir().unwrap();
    let stage = scenario.shared_stage().await;
    let start = end::start(&stage).await;
    let process = Process::start("crash-0", folder.path()).await;
    leads(&process).await;
    let release = stage.submit(scenario.release(&stage)).await;
    stage.reaches(&release, "sit", State::Deploying).await;
    let asked = Instant::now();
    let status = process.terminated().await;
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let lease = leases().await.get("signalbox").await.unwrap();
    assert_eq!(holder(&lease), "", "the Lease is released");

    let next = Process::start("crash-1", folder.path()).await;
    let began = Instant::now();
    leads(&next).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "a released Lease is taken immediately"
    );
    ends_as(clean, scenario, &stage, &release, &start).await;
    stage.finish().await;
    assert!(next.terminated().await.success());
}
