//! A second API server of the same cluster, which a test can stop and start. The cluster continues with its own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Uri;
use kube::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::{audit_log, config};

/// An API server for one test.
pub struct ApiServer {
    port: u16,
    folder: PathBuf,
    etcd: String,
    process: Option<Child>,
}

impl ApiServer {
    /// Returns it when it is ready; `None` if the cluster was not created by `cargo xtask test`.
    pub async fn start() -> Option<Self> {
        let etcd = std::env::var("SIGNALBOX_TEST_ETCD").ok()?;
        let folder = audit_log()?.parent()?.to_owned();
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut server = Self {
            port,
            folder,
            etcd,
            process: None,
        };
        server.start_again().await;
        Some(server)
    }

    #[must_use]
    pub fn url(&self) -> Uri {
        format!("https://127.0.0.1:{}", self.port).parse().expect("a URL")
    }

    /// Starts it again on the same port.
    pub async fn start_again(&mut self) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let bin = std::env::var_os("SIGNALBOX_TEST_BIN").expect("cargo xtask test sets it");
        let log = std::fs::File::create(self.folder.join(format!("kube-apiserver-{}.log", self.port)));
        let process = Command::new(PathBuf::from(bin).join("control-plane"))
            .args([
                "kube-apiserver".to_owned(),
                format!("--etcd-servers={}", self.etcd),
                format!("--secure-port={}", self.port),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--cert-dir={}", self.folder.display()),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", at("service-accounts.pem")),
                format!(
                    "--service-account-signing-key-file={}",
                    at("service-accounts.pem")
                ),
                format!("--token-auth-file={}", at("tokens.csv")),
                "--authorization-mode=RBAC".to_owned(),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                "--disable-admission-plugins=TaintNodesByCondition".to_owned(),
            ])
            // It ends when this end of its standard input is closed.
            .env("SIGNALBOX_TETHERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        self.process = Some(process.expect("an API server can be started"));
        let mut config = config().await;
        config.cluster_url = self.url();
        config.default_retry = false;
        let client = Client::try_from(config).expect("a client");
        let ready = async {
            loop {
                let request = http::Request::get("/readyz").body(vec![]).expect("a request");
                if client.request_text(request).await.is_ok() {
                    return;
                }
                // There is no event for a port that starts to answer.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ready)
            .await
            .expect("the API server is ready within a minute");
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Compacts etcd up to `revision`, which is the same as a resourceVersion.
    pub async fn compact(&self, revision: &str) {
        let body = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        let host = self.etcd.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.expect("etcd listens");
        let request = format!(
            "POST /v3/kv/compaction HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("etcd listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("etcd answers");
        // Another compaction may have been faster.
        assert!(
            answer.contains(" 200 ") || answer.contains("compacted"),
            "{answer}"
        );
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.kill();
    }
}
