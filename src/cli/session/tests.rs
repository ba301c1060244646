//! Connections, each to a small server on this machine: what arrives there, and what people read when nothing does.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod answers;
mod choosing;
mod credentials;
mod proxies;
mod tls;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Connection, Query, Session, list};
use crate::api::Release;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    connection: Connection,
    #[arg(short, long)]
    namespace: Option<String>,
}

/// A request that a server has received.
#[derive(Clone)]
struct Seen {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
    /// The client's certificate (DER).
    certificate: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }
}

/// A server on this machine, until the test ends.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Answer = (u16, &'static str, String);

impl Server {
    /// In plain HTTP, or in TLS.
    async fn start(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (records, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (records, answer, tls) = (Arc::clone(&records), Arc::clone(&answer), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else {
                        return talk(stream, Vec::new(), records, answer).await;
                    };
                    // A client that refuses the certificate ends the handshake.
                    if let Ok(stream) = tls.accept(stream).await {
                        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                        let certificate = certificates.first().map(|c| c.to_vec()).unwrap_or_default();
                        talk(stream, certificate, records, answer).await;
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// An API server without Releases, in plain HTTP.
    async fn empty() -> Self {
        Self::start(None, |_| none()).await
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request.
    fn one(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1);
        seen[0].clone()
    }
}

async fn talk<S>(
    stream: S,
    certificate: Vec<u8>,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<impl Fn(&Seen) -> Answer + Send + Sync + 'static>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answer, certificate) = (Arc::clone(&seen), Arc::clone(&answer), certificate.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let one = Seen {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                headers: parts.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
                certificate,
            };
            let (code, content, text) = answer(&one);
            seen.lock().unwrap().push(one);
            let response = Response::builder().status(code).header("content-type", content);
            Ok::<_, std::convert::Infallible>(response.body(Full::new(Bytes::from(text))).unwrap())
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn none() -> Answer {
    let list =
        json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "ReleaseList", "metadata": {}, "items": [] });
    (200, "application/json", list.to_string())
}

/// A folder with the kubeconfig `config`: context `here`, cluster `here`, user `alice`.
struct Folder(TempDir);

impl Folder {
    fn with(cluster: &Value, user: &Value) -> Self {
        let folder = Self::empty();
        folder.write("config", &kubeconfig("here", "alice", cluster, user).to_string());
        folder
    }

    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command for `/bin/sh`.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A session by the file `config`, with further words.
    async fn open(&self, words: &[&str]) -> Result<Session, String> {
        let config = self.path("config");
        let mut all = vec!["--kubeconfig", config.to_str().unwrap()];
        all.extend(words);
        open(&all, &[]).await
    }

    /// The list of all Releases.
    async fn list(&self, words: &[&str]) -> Result<usize, String> {
        listed(&self.open(words).await?).await
    }

    /// The error of the list, with `FOLDER` for the folder.
    async fn error(&self, words: &[&str]) -> String {
        let error = self.list(words).await.unwrap_err();
        assert_sentence(&error);
        error.replace(self.0.path().to_str().unwrap(), "FOLDER")
    }
}

fn kubeconfig(context: &str, user: &str, cluster: &Value, credentials: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{ "name": context, "context": { "cluster": context, "user": user } }],
        "clusters": [{ "name": context, "cluster": cluster }],
        "users": [{ "name": user, "user": credentials }],
    })
}

/// A session by these words, with these environment variables and no others.
async fn open(words: &[&str], variables: &[(&str, &Path)]) -> Result<Session, String> {
    let line = Line::try_parse_from(std::iter::once(&"test").chain(words)).map_err(|e| e.to_string())?;
    let variables: BTreeMap<&str, OsString> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_os_str().to_owned()))
        .collect();
    let lookup = |name: &str| variables.get(name).cloned();
    Session::within(&line.connection, line.namespace.as_deref(), &lookup).await
}

async fn listed(session: &Session) -> Result<usize, String> {
    let listed = list::<Release>(session, &Query::default()).await?;
    Ok(listed.items.len())
}

/// What no error may contain: names of the library's types, and Rust's quotes.
fn assert_sentence(error: &str) {
    assert!(error.ends_with('.'), "{error}");
    for word in [
        "ServiceError",
        "HyperError",
        "Error(",
        "Some(",
        "client error",
        "\\\"",
        "os error 111",
        "\n",
    ] {
        assert!(!error.contains(word), "{word}: {error}");
    }
    assert!(error.matches(". ").count() <= 2, "{error}");
}
