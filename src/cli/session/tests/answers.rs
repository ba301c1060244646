//! What the API server answers, or that it does not: one sentence each.

use std::time::{Duration, Instant};

use super::*;

async fn error(code: u16, content: &'static str, body: &str) -> (String, String) {
    let body = body.to_owned();
    let server = Server::start(None, move |_| (code, content, body.clone())).await;
    let folder = Folder::with(&json!({ "server": server.url("http") }), &json!({ "token": "t" }));
    (folder.error(&[]).await, server.url("http"))
}

fn status(code: u16, reason: &str, message: &str) -> String {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message }).to_string()
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let json = "application/json";
    let (said, url) = error(401, json, &status(401, "Unauthorized", "Unauthorized")).await;
    assert_eq!(
        said,
        format!(
            "Cannot list releases: the API server {url} does not accept your credentials (401): they may have expired. Log in to the cluster again."
        )
    );
    let message = "releases.signalbox.dev is forbidden: User \"alice@example.com\" cannot list resource \"releases\" in API group \"signalbox.dev\" at the cluster scope";
    let (said, _) = error(403, json, &status(403, "Forbidden", message)).await;
    assert_eq!(
        said,
        format!("Cannot list releases: {message}. Ask an administrator for the right.")
    );
    let (said, url) = error(404, "text/plain", "404 page not found\n").await;
    assert_eq!(
        said,
        format!(
            "Cannot list releases: the cluster of {url} has no signalbox.dev definitions in the version v1alpha1. Install Signalbox, or check the context."
        )
    );
    let (said, _) = error(
        503,
        json,
        &status(503, "ServiceUnavailable", "etcdserver: leader changed"),
    )
    .await;
    assert_eq!(said, "Cannot list releases: etcdserver: leader changed.");
    let (said, url) = error(500, "text/plain", "").await;
    assert_eq!(
        said,
        format!(
            "Cannot list releases: the API server {url} answers with the status 500, and does not say why."
        )
    );
    // As the API server of Go answers.
    let (said, _) = error(
        400,
        "text/plain",
        "Client sent an HTTP request to an HTTPS server.\n",
    )
    .await;
    assert_eq!(
        said,
        "Cannot list releases: Client sent an HTTP request to an HTTPS server."
    );
}

#[tokio::test]
async fn a_page_of_something_else_is_recognised() {
    for code in [200, 404, 502] {
        let (said, url) = error(
            code,
            "text/html",
            "<!DOCTYPE html>\n<html><body>Log in</body></html>\n",
        )
        .await;
        assert_eq!(
            said,
            format!(
                "Cannot list releases: {url} answers with a page, not as an API server ({code}): it may be a proxy, or the page of a login. Check server and proxy-url in the kubeconfig, and log in to the cluster again."
            )
        );
    }
}

#[tokio::test]
async fn an_error_of_something_else_is_recognised() {
    let (said, url) = error(401, "application/json", r#"{"message":"Unauthorized"}"#).await;
    assert_eq!(
        said,
        format!(
            "Cannot list releases: {url} answers with an error, not as an API server: it may be a proxy. Check server and proxy-url in the kubeconfig, and log in to the cluster again."
        )
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_explained() {
    let (said, url) = error(
        200,
        "application/json",
        r#"{"kind":"ReleaseList","metadata":{},"items":[{"#,
    )
    .await;
    assert_eq!(
        said,
        format!(
            "Cannot list releases: the answer of the API server {url} is not complete. Try again, and check the network and proxy-url."
        )
    );
    let (said, _) = error(
        200,
        "application/json",
        r#"{"kind":"ReleaseList","metadata":{},"items":7}"#,
    )
    .await;
    assert!(
        said.starts_with("Cannot list releases: the API server's answer is not what version "),
        "{said}"
    );
    assert!(
        said.ends_with("Use the version of the operator: `kubectl signalbox version` shows both."),
        "{said}"
    );
}

#[tokio::test]
async fn an_object_of_another_version_does_not_hide_the_others() {
    let old = json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release", "metadata": { "name": "old", "namespace": "ledger" }, "spec": 7 });
    let list = json!({ "metadata": { "resourceVersion": "9" }, "items": [old] }).to_string();
    let server = Server::start(None, move |_| (200, "application/json", list.clone())).await;
    let folder = Folder::with(&json!({ "server": server.url("http") }), &json!({}));
    let listed = list_all(&folder).await;
    assert_eq!(listed.len(), 1);
    assert!(
        listed[0].starts_with("Release ledger/old is not shown: version "),
        "{}",
        listed[0]
    );
}

async fn list_all(folder: &Folder) -> Vec<String> {
    let session = folder.open(&[]).await.unwrap();
    let listed = list::<Release>(&session, &Query::default()).await.unwrap();
    listed.unreadable.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_the_request_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let held = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            streams.push(stream);
        }
    });
    for scheme in ["http", "https"] {
        let folder = Folder::with(
            &json!({ "server": format!("{scheme}://{address}"), "insecure-skip-tls-verify": true }),
            &json!({}),
        );
        let started = Instant::now();
        let error = folder.error(&["--request-timeout", "1s"]).await;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(
            error,
            format!(
                "Cannot list releases: the API server {scheme}://{address} has not answered in time. Check the network and the VPN, or use a longer --request-timeout."
            )
        );
    }
    held.abort();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        Folder::with(&json!({ "server": format!("http://{closed}") }), &json!({}))
            .error(&[])
            .await,
        format!(
            "Cannot list releases: the connection to the API server http://{closed} is refused. Check that it runs, the context, and server and proxy-url in the kubeconfig."
        )
    );
    assert_eq!(
        Folder::with(&json!({ "server": "https://cluster.invalid:6443" }), &json!({}))
            .error(&[])
            .await,
        "Cannot list releases: the host name of the API server https://cluster.invalid:6443 is unknown. Check server in the kubeconfig, the network and the VPN."
    );
}
