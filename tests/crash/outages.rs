//! The API server goes down and comes back without the old versions. The network becomes silent without broken connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use signalbox::api::Release;
use signalbox::api::release::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::{ApiServer, Network, Stage, wait_until};
use crate::play::{AT_ONCE, CLUSTER, Cast, LONG, Played, Scenario, Way, clean, play_while};

/// How long the API server is down: a minute in the long form.
fn away() -> Duration {
    let long = std::env::var_os("SIGNALBOX_TEST_LONG").is_some();
    Duration::from_secs(if long { 60 } else { 12 })
}

/// The answer of the operator's `/readyz`.
async fn readyz(at: SocketAddr) -> (bool, String) {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.contains(" 200 "), body.to_owned())
}

/// Waits for an answer of `/readyz`, which is requested as often as by a kubelet. Returns how long that took, and the text.
async fn until_ready_is(at: SocketAddr, is: bool) -> (Duration, String) {
    let began = Instant::now();
    let asked = async {
        let mut often = tokio::time::interval(Duration::from_millis(200));
        loop {
            often.tick().await;
            let (ready, words) = readyz(at).await;
            if ready == is {
                return words;
            }
        }
    };
    let words = tokio::time::timeout(LONG, asked)
        .await
        .expect("readyz changes its answer");
    (began.elapsed(), words)
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap()
}

async fn deploys(stage: &Stage, release: &str) {
    stage.reaches(release, "sit", State::Deploying).await;
}

async fn ended_the_same(played: Played, scenario: Scenario) {
    let differ = played.judged(clean(scenario).await).await;
    assert_eq!(differ, Vec::<String>::new());
}

#[tokio::test]
async fn the_api_server_is_stopped_and_started_again_having_forgotten_what_was() {
    let _side_by_side = CLUSTER.read().await;
    let scenario = Scenario::Slow;
    let clean = clean(scenario).await;
    let _turn = AT_ONCE.acquire().await.unwrap();
    let Some(mut server) = ApiServer::start().await else {
        println!("left out: this cluster's API server is not ours to stop");
        return;
    };
    let cast = Cast {
        way: Way {
            server: Some(server.url()),
            listen: None,
        },
        ..Cast::default()
    };
    let stopped = async |stage: &Stage, release: &str| {
        deploys(stage, release).await;
        server.kill();
        let killed = Instant::now();
        // The rest of the cluster continues: the ledger becomes ready while the operator does not watch.
        tokio::time::sleep(away()).await;
        let releases: Api<Release> = stage.api();
        let now = releases.list(&ListParams::default()).await.unwrap();
        server.compact(&now.metadata.resource_version.unwrap()).await;
        server.start_again().await;
        let back = Instant::now();
        let environment = stage.environment("sit");
        wait_until(&releases, release, LONG, |release| {
            release
                .promotion(&environment)
                .is_some_and(|p| p.state == State::Succeeded)
        })
        .await;
        println!(
            "| API server down for {:.0} s, etcd compacted | Succeeded {:.1} s after its return |",
            (back - killed).as_secs_f32(),
            back.elapsed().as_secs_f32()
        );
    };
    let played = play_while(scenario, cast, Some(clean), stopped).await;
    assert!(
        played.counts.expired > 0,
        "the new API server does not know what the watches ask for"
    );
    ended_the_same(played, scenario).await;
}

#[tokio::test]
async fn a_network_that_goes_silent_is_noticed_within_45_s_and_readyz_says_so() {
    let _side_by_side = CLUSTER.read().await;
    let scenario = Scenario::Slow;
    let clean = clean(scenario).await;
    let _turn = AT_ONCE.acquire().await.unwrap();
    let (network, listen) = (Network::to_the_api_server().await, free_address().await);
    let cast = Cast {
        way: Way {
            server: Some(network.url()),
            listen: Some(listen),
        },
        ..Cast::default()
    };
    let silent = async |stage: &Stage, release: &str| {
        deploys(stage, release).await;
        assert_eq!(readyz(listen).await, (true, "ok\n".to_owned()));
        network.goes_silent();
        let (noticed, words) = until_ready_is(listen, false).await;
        assert!(noticed < Duration::from_secs(47), "noticed after {noticed:?}");
        assert!(
            words.starts_with("No answer for 45 s on watches: /api"),
            "{words}"
        );
        network.comes_back();
        let (back, _) = until_ready_is(listen, true).await;
        println!(
            "| network silent | unready after {:.1} s, ready {:.1} s after its return |",
            noticed.as_secs_f32(),
            back.as_secs_f32()
        );
    };
    let played = play_while(scenario, cast, Some(clean), silent).await;
    ended_the_same(played, scenario).await;
}

#[tokio::test]
async fn connections_that_a_router_has_forgotten_are_replaced() {
    let _side_by_side = CLUSTER.read().await;
    let scenario = Scenario::Slow;
    let clean = clean(scenario).await;
    let _turn = AT_ONCE.acquire().await.unwrap();
    let network = Network::to_the_api_server().await;
    let cast = Cast {
        way: Way {
            server: Some(network.url()),
            listen: None,
        },
        ..Cast::default()
    };
    let forgotten = async |stage: &Stage, release: &str| {
        deploys(stage, release).await;
        network.forgets_connections();
        let began = Instant::now();
        stage.reaches(release, "sit", State::Succeeded).await;
        println!(
            "| open connections silent for ever | Succeeded after {:.1} s |",
            began.elapsed().as_secs_f32()
        );
    };
    let played = play_while(scenario, cast, Some(clean), forgotten).await;
    ended_the_same(played, scenario).await;
}
