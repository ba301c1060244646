//! With the largest Releases that the API server accepts, the operator stays below the memory limit of the chart, also after a restart.
//! So a user who can create a few in one namespace cannot stop it for all others.

use std::path::Path;

use futures::future::join_all;
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::State;

use crate::kit::{Process, ReleaseBuilder, Stage, Version, state_of, wait_until};
use crate::play::{CLUSTER, LONG};
use crate::processes::leads;

const RELEASES: usize = 20;
/// Bytes of JSON that the patches of a Release may have. A larger Release is not accepted.
const MOST: usize = signalbox::domain::patches::MOST_BYTES;
/// etcd refuses requests, and so Releases, of more than 1.5 MiB, including names and status.
const WHOLE: usize = 1_400_000;

/// The chart's memory limit, in MiB.
fn limit() -> f64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/signalbox/values.yaml");
    let values: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let limit = values["resources"]["limits"]["memory"].as_str().unwrap();
    limit
        .strip_suffix("Mi")
        .expect("the limit is in Mi")
        .parse()
        .unwrap()
}

/// Pseudo-random, and the same each time.
fn drawn(n: usize, seed: usize) -> u64 {
    (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ seed as u64
}

/// Many small texts that do not compress: a key of sixteen bytes, a value of one, four quotes, a colon and a comma.
fn texts(bytes: usize, seed: usize) -> Value {
    let entry = |n| (format!("{:016x}", drawn(n, seed)), Value::from("y"));
    Value::Object((0..bytes / 23).map(entry).collect())
}

/// The content that needs most memory when it is parsed: a list of digits. No target accepts it, but that is found out later.
fn digits(bytes: usize, seed: usize) -> Value {
    let digits: Vec<u64> = (0..bytes / 2).map(|n| drawn(n, seed) % 10).collect();
    json!({ "digits": digits })
}

type Data = fn(usize, usize) -> Value;

/// A Release with patches of `bytes` in total, in ConfigMaps that are small enough for their pre-state.
fn of_size(stage: &Stage, number: usize, bytes: usize, data: Data) -> ReleaseBuilder {
    let parts = bytes.div_ceil(64 * 1024);
    // For the identity and the braces of each part.
    let each = bytes / parts - 128;
    let release = stage
        .release("1")
        .product(&format!("large-{number}"))
        .into(&["sit"]);
    (0..parts).fold(release, |release, part| {
        let name = format!("large-{part}");
        release.component(json!({
            "name": name,
            "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": name },
            "patch": {
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name },
                "data": data(each, number * 64 + part),
            },
        }))
    })
}

async fn submitted(stages: &[Stage], bytes: usize, data: Data) -> Vec<String> {
    let releases = stages.iter().enumerate();
    join_all(releases.map(|(number, stage)| stage.submit(of_size(stage, number, bytes, data)))).await
}

/// Returns when each is in `state`, and `accepted` or not.
async fn all_are(stages: &[Stage], names: &[String], state: Option<State>, accepted: &str) {
    join_all(stages.iter().zip(names).map(|(stage, name)| async move {
        let environment = stage.environment("sit");
        let releases = stage.api::<Release>();
        wait_until(&releases, name, LONG * 5, |release| {
            let conditions = release.status.iter().flat_map(|s| &s.conditions);
            let mut judged = conditions.filter(|c| c.type_ == "Accepted");
            judged.any(|c| c.status == accepted) && state_of(release, &environment) == state
        })
        .await;
    }))
    .await;
}

/// The maximum resident memory of the operator while it reconciles `RELEASES` of `bytes`, and of its successor while it lists them.
async fn measured(what: &str, bytes: usize, data: Data, state: Option<State>, accepted: &str) {
    let _alone = CLUSTER.write().await;
    let folder = tempfile::tempdir().unwrap();
    // A gate that is never satisfied: the Releases wait, and their targets have been read.
    let gate = || crate::kit::approval_gate("board", "release-board", 1);
    let stages = join_all((0..RELEASES).map(|_| async move {
        Stage::new("memory")
            .only(&["sit"])
            .with("sit", move |sit| sit.gates.push(gate()))
            .await
    }))
    .await;
    let mut process = Process::of(Version::Shipped, "memory-0", folder.path()).await;
    leads(&process).await;
    let before = process.peak();
    let names = submitted(&stages, bytes, data).await;
    all_are(&stages, &names, state, accepted).await;
    let met = process.peak();
    process.kill();

    // Its log starts again.
    let process = Process::of(Version::Shipped, "memory-0", folder.path()).await;
    leads(&process).await;
    // It has reconciled all of them when it has reconciled one more, which is behind them in its queue.
    let last = stages[0].release("1").product("last").into(&["sit"]);
    let last = stages[0].submit(last.image("ledger", crate::kit::IMAGE)).await;
    stages[0].reaches(&last, "sit", State::Waiting).await;
    let (rests, again) = (process.resident().await, process.peak());
    println!(
        "\n| {RELEASES} Releases, {what} | none | met | listed after a restart | at rest |\n| --- | --- | --- | --- | --- |\n\
         | most resident | {before:.1} MiB | {met:.1} MiB | {again:.1} MiB | {rests:.1} MiB |"
    );
    let limit = limit();
    assert!(met < limit, "{what}: {met:.1} MiB of {limit} MiB");
    assert!(
        again < limit,
        "{what}, after a restart: {again:.1} MiB of {limit} MiB"
    );
    join_all(stages.into_iter().map(Stage::finish)).await;
    assert!(process.terminated().await.success());
}

#[tokio::test]
async fn twenty_of_the_largest_releases_that_are_accepted_leave_the_operator_under_the_charts_limit() {
    measured(
        "accepted and waiting",
        MOST - 1024,
        texts,
        Some(State::Waiting),
        "True",
    )
    .await;
}

#[tokio::test]
async fn twenty_of_the_largest_releases_that_the_api_server_takes_leave_the_operator_under_the_charts_limit()
{
    measured("too large to be accepted", WHOLE, digits, None, "False").await;
}
