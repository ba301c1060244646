//! Successful releases: in order, at the planned time, one at a time, and with few writes.
//!
//! It is long because it has one story for each thing that a promotion waits for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signalbox::api::environment::Require;
use signalbox::api::release::{CheckState, ComponentState, State};
use signalbox::api::{Action, Environment, Release};

use crate::acting::{
    LONG, SLOW, UNREADY, audited, check, finished, observed, promotion, started, states, verification, window,
};
use crate::kit::{
    IMAGE, IMAGE_BEFORE, Stage, audit_log, expression_gate, gone, job_gate, kubectl, operator_namespace,
    operator_user, soak_gate, wait_until,
};

const ALL: [&str; 3] = ["sit", "uat", "prod"];

#[tokio::test]
async fn a_release_goes_through_sit_uat_and_production() {
    let stage = Stage::new("clean")
        .with("sit", observed(1))
        .with("uat", observed(1))
        .with("prod", observed(1))
        .await;
    // The writes for the Environment itself are not part of the promotion.
    let environments: Api<Environment> = Api::all(stage.client());
    for short in ALL {
        wait_until(&environments, &stage.environment(short), LONG, |e| {
            e.status.is_some()
        })
        .await;
    }
    let before = audited().last().cloned().unwrap_or_default();
    let name = stage
        .submit(
            stage
                .release("2026.11.1")
                .into(&ALL)
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .image("ledger", IMAGE)
                .after(&["config"]),
        )
        .await;

    let (content, said) = kubectl_aside(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=120s",
        "-n",
        stage.namespace(),
        &format!("release/{name}"),
    ])
    .await;
    assert!(content, "{said}");
    let release = stage.api::<Release>().get(&name).await.unwrap();
    assert_eq!(states(&stage, &release, &ALL), [State::Succeeded; 3]);
    let status = release.status.as_ref().unwrap();
    assert_eq!(status.furthest.as_deref(), Some(&*stage.environment("prod")));
    for short in ALL {
        let promotion = promotion(&stage, &release, short);
        assert!(
            promotion
                .components
                .iter()
                .all(|c| c.state == ComponentState::Ready)
        );
        assert_eq!(promotion.components[1].from.as_deref(), Some(IMAGE_BEFORE));
        assert_eq!(promotion.components[1].to.as_deref(), Some(IMAGE));
        assert_eq!(stage.image(short).await, IMAGE);
        assert_eq!(
            stage.data(short, "ledger-config").await,
            json!({ "FEATURE_X": "on", "OLD_KEY": "old" })
        );
    }
    assert!(started(&stage, &release, "uat") >= finished(&stage, &release, "sit"));
    assert!(started(&stage, &release, "prod") >= finished(&stage, &release, "uat"));

    let (_, table) = kubectl(&["get", "rel", "-n", stage.namespace()]);
    let line = table.lines().nth(1).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(
        words[..5],
        [
            &*name,
            "2026.11.1",
            &stage.environment("prod"),
            "True",
            "Succeeded"
        ]
    );
    assert!(table.lines().all(|line| line.len() <= 120), "{table}");

    // The release of the claim is the last write. Any write after it would be too many.
    for short in ALL {
        let leases: Api<Lease> = Api::namespaced(stage.client(), &operator_namespace());
        gone(&leases, &claim_name(&stage.target(short)), LONG).await;
    }
    let events = stage
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    assert!(
        events.len() <= 4 * ALL.len(),
        "{:#?}",
        events.iter().map(|e| (&e.reason, &e.message)).collect::<Vec<_>>()
    );
    // An Environment's status may come up to two seconds later.
    for short in ALL {
        wait_until(&environments, &stage.environment(short), LONG, |e| {
            let mut inventory = e.status.iter().flat_map(|s| &s.inventory);
            inventory.any(|item| item.component == "ledger" && item.release.ends_with(&name))
        })
        .await;
    }
    if audit_log().is_some() {
        let log: Vec<_> = audited().into_iter().skip_while(|line| *line != before).collect();
        let writes = writes(&log, &stage, &release);
        // The ten of the walk, one for each component, one for the only stage of `after`. The tenth is the status of the Environment, which
        // all promotions share: how often it is written depends on their duration.
        let (shared, own): (Vec<_>, Vec<_>) = writes.iter().partition(|w| w.contains(" /environments/"));
        let budget = 3 * (9 + 2 + 1);
        let list = writes.iter().fold(String::new(), |mut list, write| {
            let _ = writeln!(list, "{write}");
            list
        });
        eprintln!("{} writes for three promotions of two components", writes.len());
        assert!(
            (1..=budget).contains(&own.len()),
            "{} of {budget} writes:\n{list}",
            own.len()
        );
        for short in ALL {
            let path = format!("/environments/{}", stage.environment(short));
            let at: Vec<Timestamp> = shared
                .iter()
                .filter(|w| w.contains(&path))
                .filter_map(|w| w.split(' ').next()?.parse().ok())
                .collect();
            // Counted from the time of each decision, which is a little before the write.
            let took = at.last().map(|last| last.duration_since(at[0]));
            let most = took.map_or(0, |took| (took.as_millis() + 1000) / 2000 + 1);
            assert!(
                (1..=most).contains(&i128::try_from(at.len()).unwrap()),
                "an Environment's status is written at most once in two seconds:\n{list}"
            );
        }
    }
    stage.finish().await;
}

/// kubectl waits in a thread of its own, so that the test can be polled.
async fn kubectl_aside(arguments: &[&str]) -> (bool, String) {
    let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        kubectl(&arguments)
    })
    .await
    .unwrap()
}

/// The Lease that locks a target namespace.
fn claim_name(target: &str) -> String {
    let digest = Sha256::digest(target.as_bytes());
    let hex = digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("claim-{}", &hex[..16])
}

/// The operator's writes for this stage, from the audit log, without Events, access reviews, leadership and dry
/// runs.
fn writes(log: &[String], stage: &Stage, release: &Release) -> Vec<String> {
    let shorts = ALL;
    let mut ours: BTreeSet<String> = shorts.iter().map(|s| claim_name(&stage.target(s))).collect();
    for short in shorts {
        ours.insert(stage.environment(short));
        if let Some(backout) = &promotion(stage, release, short).backout {
            ours.insert(backout.pre_state.clone());
        }
    }
    let namespaces: BTreeSet<String> = std::iter::once(stage.namespace().to_owned())
        .chain(shorts.iter().map(|s| stage.target(s)))
        .collect();
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    log.iter()
        .filter(|line| line.contains(stage.namespace()) || ours.iter().any(|name| line.contains(name)))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|entry| text(entry, "/user/username") == operator_user())
        .filter(|entry| {
            let verb = text(entry, "/verb");
            let resource = text(entry, "/objectRef/resource");
            ["create", "update", "patch", "delete"].contains(&verb.as_str())
                && resource != "events"
                && !resource.ends_with("reviews")
                && !text(entry, "/requestURI").contains("dryRun=All")
        })
        .filter(|entry| {
            let name = text(entry, "/objectRef/name");
            namespaces.contains(&text(entry, "/objectRef/namespace"))
                    || ours.contains(&name)
                    // The name of a new object is only in the body.
                    || text(entry, "/objectRef/namespace") == operator_namespace() && name.is_empty()
        })
        .map(|entry| {
            format!(
                "{} {} {}/{}/{} {}",
                text(&entry, "/requestReceivedTimestamp"),
                text(&entry, "/verb"),
                text(&entry, "/objectRef/namespace"),
                text(&entry, "/objectRef/resource"),
                text(&entry, "/objectRef/name"),
                text(&entry, "/objectRef/subresource"),
            )
        })
        .collect()
}

#[tokio::test]
async fn production_waits_for_uat_and_nft_which_go_at_once() {
    let builder = Stage::new("fan-in")
        .also("nft", "NFT", &["sit"])
        .with("uat", observed(3))
        .with("nft", observed(3));
    let nft = format!("{}-nft", builder.name());
    let stage = builder
        .with("prod", move |spec| {
            spec.promotes_from.as_mut().unwrap().environments.push(nft);
        })
        .await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit", "nft", "uat", "prod"])
                .image("ledger", IMAGE),
        )
        .await;
    let [uat, nft] = ["uat", "nft"].map(|s| stage.environment(s));
    let both = wait_until(&stage.api::<Release>(), &name, LONG, |release| {
        [&uat, &nft]
            .iter()
            .all(|e| release.promotion(e).is_some_and(|p| p.state.under_way()))
    })
    .await;
    assert_eq!(promotion(&stage, &both, "prod").state, State::Pending);
    let message = promotion(&stage, &both, "prod").message.clone().unwrap();
    assert!(message.contains(&uat) && message.contains(&nft), "{message}");
    let release = stage.reaches(&name, "prod", State::Succeeded).await;
    for short in ["uat", "nft"] {
        assert!(started(&stage, &release, "prod") >= finished(&stage, &release, short));
    }
    stage.finish().await;
}

#[tokio::test]
async fn with_any_one_upstream_is_enough() {
    let builder = Stage::new("fan-any").also("nft", "NFT", &["sit"]);
    let nft = format!("{}-nft", builder.name());
    let stage = builder
        .with("nft", |spec| spec.gates = vec![expression_gate("never", "false")])
        .with("prod", move |spec| {
            let from = spec.promotes_from.as_mut().unwrap();
            from.environments.push(nft);
            from.require = Require::Any;
        })
        .await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit", "nft", "uat", "prod"])
                .image("ledger", IMAGE),
        )
        .await;
    let release = stage.reaches(&name, "prod", State::Succeeded).await;
    assert_eq!(promotion(&stage, &release, "nft").state, State::Waiting);
    stage.finish().await;
}

#[tokio::test]
async fn a_component_is_changed_only_after_those_it_waits_for_are_ready() {
    let stage = Stage::new("after").await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", SLOW)
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .after(&["ledger"]),
        )
        .await;
    stage.until(&name, "sit", |p| p.state == State::Deploying).await;
    wait_until(&stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
        d.spec.as_ref().is_some_and(|s| {
            s.template
                .spec
                .as_ref()
                .is_some_and(|p| p.containers[0].image.as_deref() == Some(SLOW))
        })
    })
    .await;
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "off", "OLD_KEY": "old" })
    );
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    let ready = promotion(&stage, &release, "sit").components[0]
        .ready_at
        .clone()
        .unwrap();
    let config = stage
        .in_target::<ConfigMap>("sit")
        .get("ledger-config")
        .await
        .unwrap();
    let changed = config
        .managed_fields()
        .iter()
        .find(|f| f.manager.as_deref() == Some("signalbox"))
        .and_then(|f| f.time.clone())
        .unwrap();
    assert!(changed >= ready, "{changed:?} before {ready:?}");
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "on", "OLD_KEY": "old" })
    );
    stage.finish().await;
}

fn restarted_for(deployment: &Deployment) -> Option<String> {
    let template = &deployment.spec.as_ref()?.template;
    template
        .metadata
        .as_ref()?
        .annotations
        .as_ref()?
        .get("signalbox.dev/restarted-for")
        .cloned()
}

async fn pods(stage: &Stage, short: &str) -> BTreeSet<String> {
    let pods = stage
        .in_target::<Pod>(short)
        .list(&ListParams::default().labels("app=ledger"))
        .await
        .unwrap();
    pods.iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none())
        .map(ResourceExt::name_any)
        .collect()
}

#[tokio::test]
async fn restart_on_restarts_the_pods_when_the_configuration_changes_and_only_then() {
    let stage = Stage::new("restart").await;
    let with = |version: &str, value: &str| {
        stage
            .release(version)
            .into(&["sit"])
            .config("config", "ledger-config", json!({ "FEATURE_X": value }))
            .image("ledger", IMAGE_BEFORE)
            .restart_on(&["config"])
    };
    let before = pods(&stage, "sit").await;
    let name = stage.submit(with("1.0", "on")).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    let first = restarted_for(&ledger).expect("annotated");
    let after = pods(&stage, "sit").await;
    assert!(after.is_disjoint(&before), "{before:?} {after:?}");

    let name = stage.submit(with("1.1", "on")).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    assert_eq!(restarted_for(&ledger), Some(first.clone()));
    assert_eq!(pods(&stage, "sit").await, after);

    let name = stage.submit(with("1.2", "loud")).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    assert_ne!(restarted_for(&ledger), Some(first));
    assert!(pods(&stage, "sit").await.is_disjoint(&after));
    stage.finish().await;
}

#[tokio::test]
async fn keys_are_removed_overridden_and_objects_created_where_the_patch_names_them_in_full() {
    let stage = Stage::new("shapes").await;
    let uat = stage.environment("uat");
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit", "uat"])
                .component(json!({
                    "name": "config",
                    "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger-config" },
                    "patch": { "data": { "FEATURE_X": "on" } },
                    "remove": ["/data/OLD_KEY"],
                    "overrides": [{ "environment": uat, "patch": { "data": { "FEATURE_X": "half" } } }],
                }))
                .component(json!({
                    "name": "routes",
                    "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "routes" },
                    "patch": {
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": { "name": "routes", "labels": { "team": "ledger" } },
                        "data": { "default": "ledger" },
                    },
                })),
        )
        .await;
    stage.reaches(&name, "uat", State::Succeeded).await;
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({ "FEATURE_X": "on" })
    );
    assert_eq!(
        stage.data("uat", "ledger-config").await,
        json!({ "FEATURE_X": "half" })
    );
    for short in ["sit", "uat"] {
        let routes = stage.in_target::<ConfigMap>(short).get("routes").await.unwrap();
        assert_eq!(json!(routes.data), json!({ "default": "ledger" }));
        let labels = routes.labels();
        assert_eq!(labels.get("team").map(String::as_str), Some("ledger"));
        assert_eq!(labels.get("signalbox.dev/release"), Some(&name));
        assert_eq!(
            labels.get("signalbox.dev/environment"),
            Some(&stage.environment(short))
        );
        assert_eq!(
            labels.get("signalbox.dev/component").map(String::as_str),
            Some("routes")
        );
    }
    stage.finish().await;
}

#[tokio::test]
async fn workloads_of_every_kind_are_created_and_a_backout_deletes_them() {
    let stage = Stage::new("creates").only(&["sit"]).await;
    let labels = |name: &str| json!({ "app": name });
    let pods = |name: &str| {
        let spec = json!({ "containers": [{ "name": "main" }] });
        json!({ "metadata": { "labels": labels(name) }, "spec": spec })
    };
    let selecting =
        |name: &str| json!({ "selector": { "matchLabels": labels(name) }, "template": pods(name) });
    let mut nightly = pods("nightly");
    nightly["spec"]["restartPolicy"] = json!("Never");
    let nightly = json!({ "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": nightly } } });
    let component = |api_version: &str, kind: &str, name: &str, spec: Value| {
        json!({
            "name": name,
            "target": { "apiVersion": api_version, "kind": kind, "name": name },
            "images": [{ "container": "main", "image": IMAGE }],
            "patch": { "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec },
        })
    };
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .component(component("apps/v1", "Deployment", "front", selecting("front")))
                .component(component("apps/v1", "StatefulSet", "store", selecting("store")))
                .component(component("apps/v1", "DaemonSet", "agent", selecting("agent")))
                .component(component("batch/v1", "CronJob", "nightly", nightly)),
        )
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let front = stage.in_target::<Deployment>("sit").get("front").await.unwrap();
    assert_eq!(front.labels().get("signalbox.dev/release"), Some(&name));
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    gone(&stage.in_target::<Deployment>("sit"), "front", LONG).await;
    gone(&stage.in_target::<StatefulSet>("sit"), "store", LONG).await;
    gone(&stage.in_target::<DaemonSet>("sit"), "agent", LONG).await;
    gone(&stage.in_target::<CronJob>("sit"), "nightly", LONG).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_mistyped_name_creates_nothing() {
    let stage = Stage::new("mistyped").await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).config(
            "config",
            "ledger-konfig",
            json!({ "FEATURE_X": "on" }),
        ))
        .await;
    let check = stage
        .until_check(&name, "sit", "TargetsAllowed", "TargetMissing")
        .await;
    assert!(check.message.contains("ledger-konfig"), "{}", check.message);
    let maps = stage.in_target::<ConfigMap>("sit");
    assert!(maps.get_opt("ledger-konfig").await.unwrap().is_none());
    stage.finish().await;
}

#[tokio::test]
async fn sixty_four_components_go_through_eight_environments() {
    let more = ["e4", "e5", "e6", "e7", "e8"];
    let mut builder = Stage::new("largest");
    let mut upstream = "prod";
    for short in more {
        builder = builder.also(short, "Production", &[upstream]);
        upstream = short;
    }
    let stage = builder.await;
    let all = ["sit", "uat", "prod", "e4", "e5", "e6", "e7", "e8"];
    let mut release = stage.release("1.0").into(&all);
    for n in 0..64 {
        let map = format!("part-{n:02}");
        release = release.component(json!({
            "name": map,
            "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": map },
            "patch": {
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": map }, "data": { "number": n.to_string() },
            },
        }));
    }
    let begun = std::time::Instant::now();
    let name = stage.submit(release).await;
    for short in all {
        stage.reaches(&name, short, State::Succeeded).await;
        for n in [0, 31, 63] {
            assert_eq!(
                stage.data(short, &format!("part-{n:02}")).await,
                json!({ "number": n.to_string() })
            );
        }
    }
    eprintln!("64 components into 8 environments took {:?}", begun.elapsed());
    let release = stage.api::<Release>().get(&name).await.unwrap();
    let size = serde_json::to_vec(&release).unwrap().len();
    assert!(size < 256 * 1024, "{size} bytes");
    stage.finish().await;
}

#[tokio::test]
async fn a_soak_gate_waits_until_the_release_has_stood_upstream_long_enough() {
    let builder = Stage::new("soak");
    let sit = format!("{}-sit", builder.name());
    let stage = builder
        .with("uat", move |spec| {
            spec.gates = vec![soak_gate("soak", &sit, "4s")];
        })
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit", "uat"]).image("ledger", IMAGE))
        .await;
    let soaking = stage.until_check(&name, "uat", "soak", "Soaking").await;
    assert_eq!(soaking.state, CheckState::Waiting);
    assert!(soaking.until.is_some());
    let release = stage.reaches(&name, "uat", State::Succeeded).await;
    let stood = started(&stage, &release, "uat").duration_since(finished(&stage, &release, "sit"));
    assert!(stood >= SignedDuration::from_secs(4), "{stood}");
    stage.finish().await;
}

#[tokio::test]
async fn an_expression_gate_looks_at_the_release() {
    let stage = Stage::new("expression")
        .with("sit", |spec| {
            spec.gates = vec![expression_gate("planned", "has(release.spec.source)")];
        })
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let no = stage
        .until_check(&name, "sit", "planned", "ExpressionFalse")
        .await;
    assert_eq!(no.state, CheckState::Failed);
    stage
        .merge(&name, json!({ "spec": { "source": { "revision": "4f2a9c1" } } }))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_job_gate_runs_its_template_once_and_lets_in_what_passes() {
    let stage = Stage::new("job-gate")
        .with("sit", |spec| spec.gates = vec![job_gate("smoke", "smoke", "1m")])
        .await;
    stage
        .template("sit", "smoke", "registry.example.com/smoke:1")
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let jobs = stage
        .in_target::<Job>("sit")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    assert_eq!(jobs[0].labels().get("signalbox.dev/release"), Some(&name));
    stage.finish().await;
}

#[tokio::test]
async fn a_job_gate_that_fails_holds_the_release_until_a_retry() {
    let stage = Stage::new("job-fails")
        .with("sit", |spec| spec.gates = vec![job_gate("smoke", "smoke", "1m")])
        .await;
    stage
        .template("sit", "smoke", "registry.example.com/smoke:fail")
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let failed = stage.until_check(&name, "sit", "smoke", "JobFailed").await;
    assert_eq!(failed.state, CheckState::Failed);
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage
        .meddle::<k8s_openapi::api::batch::v1::CronJob>(
            "sit",
            "smoke",
            "admin",
            json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": {
                "containers": [{ "name": "probe", "image": "registry.example.com/smoke:2" }],
            } } } } } }),
        )
        .await;
    stage.decide("bob", Action::Retry, &name, "sit").await;
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    assert_eq!(promotion(&stage, &release, "sit").attempt, 2);
    stage.finish().await;
}

#[tokio::test]
async fn verification_runs_a_job_and_an_expression_after_the_workloads_are_ready() {
    let stage = Stage::new("verify")
        .with("sit", |spec| {
            spec.verification = vec![
                verification(json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "1m" } })),
                verification(
                    json!({ "name": "policy", "expression": { "passWhen": "release.spec.product == 'payments'" } }),
                ),
            ];
        })
        .await;
    stage
        .template("sit", "smoke", "registry.example.com/smoke:1")
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    let verified = &promotion(&stage, &release, "sit").verification;
    let said: Vec<_> = verified.iter().map(|c| (c.name.as_str(), c.state)).collect();
    assert_eq!(
        said,
        [
            ("smoke", CheckState::Satisfied),
            ("policy", CheckState::Satisfied)
        ]
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_verification_that_fails_backs_the_release_out() {
    for (case, kind) in [
        (
            "verify-job",
            json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "1m" } }),
        ),
        (
            "verify-cel",
            json!({ "name": "smoke", "expression": { "passWhen": "release.spec.product == 'other'" } }),
        ),
    ] {
        let stage = Stage::new(case)
            .with("sit", move |spec| spec.verification = vec![verification(kind)])
            .await;
        stage
            .template("sit", "smoke", "registry.example.com/smoke:fail")
            .await;
        let name = stage
            .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
            .await;
        let release = stage.reaches(&name, "sit", State::BackedOut).await;
        let backout = promotion(&stage, &release, "sit").backout.clone().unwrap();
        let why = backout.reason.unwrap();
        assert!(
            why.contains("VerificationFailed") && why.contains("smoke"),
            "{why}"
        );
        assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
        stage.finish().await;
    }
}

#[tokio::test]
async fn a_release_enters_when_its_window_opens() {
    let opening = Timestamp::from_second(Timestamp::now().as_second() + 12).unwrap();
    let stage = Stage::new("window")
        .with("sit", move |spec| {
            spec.windows = vec![window(json!({
                "name": "tonight", "kind": "Allow",
                "from": opening, "to": opening + SignedDuration::from_hours(2),
            }))];
        })
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let release = stage
        .until(&name, "sit", |p| {
            check(p, "WindowOpen").is_some_and(|c| c.state == CheckState::Waiting) && p.forecast.is_some()
        })
        .await;
    let waiting = promotion(&stage, &release, "sit");
    let closed = check(waiting, "WindowOpen").unwrap();
    assert_eq!(closed.until.as_ref().map(|t| t.0), Some(opening), "{closed:?}");
    let forecast = waiting.forecast.as_ref().unwrap();
    assert_eq!(
        (forecast.earliest.as_ref().map(|t| t.0), &*forecast.because),
        (Some(opening), "WindowOpen")
    );
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    let late = started(&stage, &release, "sit").duration_since(opening);
    assert!(
        late >= SignedDuration::ZERO && late < SignedDuration::from_secs(10),
        "{late}"
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_denied_time_wins_over_an_allowed_one() {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let hours = SignedDuration::from_hours;
    let (from, to, end) = (now - hours(1), now + hours(1), now + hours(8));
    let stage = Stage::new("denied")
        .with("sit", move |spec| {
            spec.windows = vec![
                window(json!({ "name": "day", "kind": "Allow", "from": from, "to": end })),
                window(json!({ "name": "audit", "kind": "Deny", "from": from, "to": to })),
            ];
        })
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let release = stage
        .until(&name, "sit", |p| {
            check(p, "WindowOpen").is_some_and(|c| c.message.contains("audit")) && p.forecast.is_some()
        })
        .await;
    let forecast = promotion(&stage, &release, "sit").forecast.clone().unwrap();
    assert_eq!(forecast.earliest.map(|t| t.0), Some(to));
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn a_planned_start_is_not_anticipated() {
    let stage = Stage::new("planned").await;
    let start = Timestamp::from_second(Timestamp::now().as_second() + 6).unwrap();
    let sit = stage.environment("sit");
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", IMAGE)
                .with("/spec/schedule", json!([{ "environment": sit, "start": start }])),
        )
        .await;
    let check = stage.until_check(&name, "sit", "WindowOpen", "NotBefore").await;
    assert_eq!(check.until.map(|t| t.0), Some(start));
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    assert!(started(&stage, &release, "sit") >= start);
    stage.finish().await;
}

#[tokio::test]
async fn hold_stops_new_entries_and_lets_them_go_on_when_it_is_taken_away() {
    let stage = Stage::new("hold").with("sit", observed(2)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit", "uat"]).image("ledger", IMAGE))
        .await;
    stage.until(&name, "sit", |p| p.state == State::Observing).await;
    stage
        .merge(&name, json!({ "spec": { "hold": { "reason": "Freeze talk" } } }))
        .await;
    let release = wait_until(&stage.api::<Release>(), &name, LONG, |r| {
        states(&stage, r, &["sit", "uat"]) == [State::Succeeded, State::Waiting]
            && promotion(&stage, r, "uat")
                .message
                .as_ref()
                .is_some_and(|m| m.contains("Freeze talk"))
    })
    .await;
    let conditions = &release.status.as_ref().unwrap().conditions;
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.reason, "Held");
    stage.merge(&name, json!({ "spec": { "hold": null } })).await;
    stage.reaches(&name, "uat", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn what_is_withdrawn_never_enters_and_what_was_promoted_stays() {
    let stage = Stage::new("withdrawn").with("sit", observed(2)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit", "uat"]).image("ledger", IMAGE))
        .await;
    stage.until(&name, "sit", |p| p.state == State::Observing).await;
    stage
        .merge(
            &name,
            json!({ "spec": { "withdrawn": { "reason": "Bug found" } } }),
        )
        .await;
    wait_until(&stage.api::<Release>(), &name, LONG, |r| {
        states(&stage, r, &["sit", "uat"]) == [State::Succeeded, State::Withdrawn]
    })
    .await;
    assert_eq!(stage.image("sit").await, IMAGE);
    assert_eq!(stage.image("uat").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn an_older_version_is_superseded_where_a_newer_one_has_succeeded() {
    let stage = Stage::new("superseded").await;
    let newer = stage
        .submit(stage.release("1.10").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&newer, "sit", State::Succeeded).await;
    let older = stage
        .submit(stage.release("1.9").into(&["sit"]).image("ledger", IMAGE_BEFORE))
        .await;
    let release = stage.reaches(&older, "sit", State::Superseded).await;
    let message = promotion(&stage, &release, "sit").message.clone().unwrap();
    assert!(message.contains("1.10"), "{message}");
    assert_eq!(stage.image("sit").await, IMAGE);
    // Another line is independent.
    let fix = stage
        .submit(
            stage
                .release("1.8")
                .into(&["sit"])
                .image("ledger", IMAGE_BEFORE)
                .with("/spec/line", "maintenance"),
        )
        .await;
    stage.reaches(&fix, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_release_that_waits_is_superseded_when_a_newer_one_succeeds() {
    let stage = Stage::new("overtaken").await;
    let older = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", IMAGE)
                .with("/spec/hold", json!({})),
        )
        .await;
    stage.reaches(&older, "sit", State::Waiting).await;
    let newer = stage
        .submit(stage.release("1.0.1").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&newer, "sit", State::Succeeded).await;
    stage.reaches(&older, "sit", State::Superseded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_retry_is_no_way_round_a_newer_version() {
    let stage = Stage::new("downgrade").await;
    let older = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", UNREADY)
                .ready_within("2s"),
        )
        .await;
    stage.reaches(&older, "sit", State::BackedOut).await;
    let newer = stage
        .submit(stage.release("1.1").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&newer, "sit", State::Succeeded).await;
    stage.decide("bob", Action::Retry, &older, "sit").await;
    let check = stage
        .until_check(&older, "sit", "NoDowngrade", "NewerVersionSucceeded")
        .await;
    assert_eq!(check.state, CheckState::Failed);
    assert!(check.message.contains("1.1"), "{}", check.message);
    assert_eq!(stage.image("sit").await, IMAGE);
    stage.finish().await;
}

/// Age is counted in seconds, and the uid decides if ages are equal. Returns when a new object is younger.
pub(crate) async fn older_than_a_tick(stage: &Stage, release: &Release) {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let probe = stage.release("0.1").into(&["sit"]).image("ledger", IMAGE).build();
    let releases = stage.api::<Release>();
    while releases
        .create(&dry_run, &probe)
        .await
        .unwrap()
        .creation_timestamp()
        <= release.creation_timestamp()
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_target_takes_one_release_at_a_time_by_age_also_where_a_planned_start_is_over() {
    let stage = Stage::new("queue").with("sit", observed(3)).await;
    let sit = stage.environment("sit");
    let with = |product: &str| {
        stage.release("1.0").product(product).into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ product: "on" }),
        )
    };
    let first = stage.submit(with("first")).await;
    stage.reaches(&first, "sit", State::Observing).await;
    let old = stage.submit(with("old")).await;
    let queued = stage.reaches(&old, "sit", State::Queued).await;
    older_than_a_tick(&stage, &queued).await;
    let young = stage.submit(with("young")).await;
    let queued = stage.reaches(&young, "sit", State::Queued).await;
    older_than_a_tick(&stage, &queued).await;
    let planned = stage
        .submit(with("planned").with(
            "/spec/schedule",
            json!([{ "environment": sit, "start": "2026-01-01T00:00:00Z" }]),
        ))
        .await;
    let mut previous: Option<Timestamp> = None;
    for name in [&first, &old, &young, &planned] {
        let release = stage.reaches(name, "sit", State::Succeeded).await;
        if let Some(end) = previous {
            assert!(
                started(&stage, &release, "sit") >= end,
                "{name} entered too early"
            );
        }
        previous = Some(finished(&stage, &release, "sit"));
    }
    assert_eq!(
        stage.data("sit", "ledger-config").await,
        json!({
            "FEATURE_X": "off", "OLD_KEY": "old", "first": "on", "old": "on", "planned": "on", "young": "on",
        })
    );
    stage.finish().await;
}

#[tokio::test]
async fn the_next_version_enters_sit_while_this_one_is_in_uat() {
    let stage = Stage::new("pipeline").with("uat", observed(5)).await;
    let first = stage
        .submit(stage.release("1.0").into(&["sit", "uat"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&first, "sit", State::Succeeded).await;
    let second = stage
        .submit(stage.release("1.1").into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": "on" }),
        ))
        .await;
    let second = stage.reaches(&second, "sit", State::Succeeded).await;
    let first = stage.reaches(&first, "uat", State::Succeeded).await;
    assert!(started(&stage, &second, "sit") < finished(&stage, &first, "uat"));
    stage.finish().await;
}

#[tokio::test]
async fn two_environments_with_one_namespace_share_one_claim() {
    let builder = Stage::new("shared").with("sit", observed(4));
    let namespace = format!("{}-sit", builder.name());
    let stage = builder
        .with("uat", move |spec| {
            spec.namespace = namespace;
            spec.promotes_from = None;
        })
        .await;
    let with = |product: &str, short: &str| {
        stage.release("1.0").product(product).into(&[short]).config(
            "config",
            "ledger-config",
            json!({ product: "on" }),
        )
    };
    let first = stage.submit(with("first", "sit")).await;
    stage.reaches(&first, "sit", State::Observing).await;
    let second = stage.submit(with("second", "uat")).await;
    let queued = stage.reaches(&second, "uat", State::Queued).await;
    let message = promotion(&stage, &queued, "uat").message.clone().unwrap();
    assert!(message.contains(&first), "{message}");
    let second = stage.reaches(&second, "uat", State::Succeeded).await;
    let first = stage.reaches(&first, "sit", State::Succeeded).await;
    assert!(started(&stage, &second, "uat") >= finished(&stage, &first, "sit"));
    stage.finish().await;
}

#[tokio::test]
async fn many_that_come_at_once_go_in_one_after_another() {
    let stage = Stage::new("crowd").await;
    let products = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let names = futures::future::join_all(products.iter().map(|product| {
        stage.submit(stage.release("1.0").product(product).into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ *product: "on" }),
        ))
    }))
    .await;
    let mut spans = Vec::new();
    for name in &names {
        let release = stage.reaches(name, "sit", State::Succeeded).await;
        spans.push((
            started(&stage, &release, "sit"),
            finished(&stage, &release, "sit"),
        ));
    }
    spans.sort();
    assert!(spans.windows(2).all(|s| s[0].1 <= s[1].0), "{spans:?}");
    let data = stage.data("sit", "ledger-config").await;
    assert_eq!(data.as_object().unwrap().len(), 2 + products.len(), "{data}");
    stage.finish().await;
}

#[tokio::test]
async fn scaling_during_observation_is_neither_drift_nor_failure() {
    let stage = Stage::new("scaling").with("sit", observed(4)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    stage
        .meddle::<Deployment>(
            "sit",
            "ledger",
            "autoscaler",
            json!({ "spec": { "replicas": 4 } }),
        )
        .await;
    let release = stage.reaches(&name, "sit", State::Succeeded).await;
    assert_eq!(promotion(&stage, &release, "sit").components[0].message, None);
    stage.finish().await;
}

#[tokio::test]
async fn a_release_that_waits_leaves_nothing_behind_when_it_is_deleted() {
    let stage = Stage::new("let-go")
        .with("sit", |spec| spec.gates = vec![expression_gate("never", "false")])
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.until_check(&name, "sit", "never", "ExpressionFalse").await;
    let releases = stage.api::<Release>();
    releases.delete(&name, &DeleteParams::background()).await.unwrap();
    crate::kit::gone(&releases, &name, LONG).await;
    let leases: Api<Lease> = Api::namespaced(stage.client(), &operator_namespace());
    let claim = claim_name(&stage.target("sit"));
    assert!(leases.get_opt(&claim).await.unwrap().is_none());
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

#[tokio::test]
async fn a_missing_deployer_is_named_and_found_by_itself_once_it_is_there() {
    let stage = Stage::new("deployer").await;
    let accounts = stage.in_target::<ServiceAccount>("sit");
    let account = accounts.get("signalbox-deployer").await.unwrap();
    accounts
        .delete("signalbox-deployer", &DeleteParams::default())
        .await
        .unwrap();
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let check = stage
        .until_check(&name, "sit", "TargetsAllowed", "DeployerMissing")
        .await;
    assert!(
        check.message.contains("signalbox-deployer") && check.message.contains(&stage.target("sit")),
        "{}",
        check.message
    );
    let mut again = account;
    (again.metadata.resource_version, again.metadata.uid) = (None, None);
    accounts.create(&PostParams::default(), &again).await.unwrap();
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}
