//! Operators for one test: in this process, with a layer between them and the API server, or as a separate process that can receive
//! signals. Both have only the rights that the chart grants.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Uri;
use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::client::ClientBuilder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use signalbox::decide::facts::Settings;
use tokio::sync::watch;
use tower::buffer::BufferLayer;

use super::cluster::{admin, config, kubeconfig, operator_namespace};
use super::faults::{Faults, Script};
use super::stage::Stage;

/// How much younger than its policy a Decision must be in these tests. Waiting a minute would prove nothing more.
const POLICY_SETTLE: SignedDuration = SignedDuration::from_secs(3);

async fn token() -> String {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(24 * 60 * 60),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(admin().await, &operator_namespace());
    let answer = accounts
        .create_token_request("signalbox", &PostParams::default(), &request)
        .await;
    let status = answer.expect("the chart's ServiceAccount is there").status;
    status.expect("a token").token
}

/// The label of Environments that belong to the operator of one test.
pub(super) const SCOPE_LABEL: &str = "test.signalbox.dev/home";

/// The part of the cluster that an operator watches. Operators with separate parts can run side by side.
#[derive(Clone, Debug)]
pub struct Scope {
    pub home: String,
    pub namespaces: Vec<String>,
    /// The only connection to the API server, if it is not a direct one.
    pub server: Option<Uri>,
    pub identity: &'static str,
    pub listen: SocketAddr,
}

impl Scope {
    /// Only these stages, which have their own home namespace.
    #[must_use]
    pub fn of<'a>(stages: impl IntoIterator<Item = &'a Stage>) -> Self {
        let stages: Vec<&Stage> = stages.into_iter().collect();
        let home = stages.first().expect("a stage").home();
        assert!(
            stages.iter().all(|stage| stage.home() == home),
            "an operator has one home namespace"
        );
        assert_ne!(
            home,
            operator_namespace(),
            "only a stage of its own has its own operator"
        );
        Self {
            home,
            namespaces: stages.iter().flat_map(|stage| stage.namespaces()).collect(),
            server: None,
            identity: "crash",
            listen: ([127, 0, 0, 1], 0).into(),
        }
    }

    #[must_use]
    pub fn identity(mut self, identity: &'static str) -> Self {
        self.identity = identity;
        self
    }

    #[must_use]
    pub fn through(mut self, server: Uri) -> Self {
        self.server = Some(server);
        self
    }

    #[must_use]
    pub fn listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }
}

/// An operator in this process, with its own cache and threads.
pub struct Operator {
    pub faults: Faults,
    stop: watch::Sender<bool>,
    life: Option<JoinHandle<()>>,
}

impl Operator {
    /// Returns immediately. All lives have the same identity, like those of a container.
    pub async fn start(scope: &Scope, script: impl Into<Script>) -> Self {
        let environments = Some(format!("{SCOPE_LABEL}={}", scope.home));
        Self::with(scope, Faults::new(script.into(), environments)).await
    }

    /// The script has effect when it is armed.
    pub async fn disarmed(scope: &Scope, script: impl Into<Script>) -> Self {
        let environments = Some(format!("{SCOPE_LABEL}={}", scope.home));
        Self::with(scope, Faults::new(script.into(), environments).disarmed()).await
    }

    async fn with(scope: &Scope, faults: Faults) -> Self {
        let mut config = config().await;
        config.auth_info = kube::config::AuthInfo {
            token: Some(token().await.into()),
            ..kube::config::AuthInfo::default()
        };
        if let Some(server) = &scope.server {
            config.cluster_url = server.clone();
        }
        // The operator does its own retries, above the layer with the faults.
        config.default_retry = false;
        let (stop, stopped) = watch::channel(false);
        let layer = faults.clone();
        let settings = settings(scope);
        let life = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let client = ClientBuilder::try_from(config)
                    .expect("a client")
                    .with_layer(&BufferLayer::new(1024))
                    .with_layer(&layer)
                    .build();
                tokio::select! {
                    ended = signalbox::operator::run(client, settings, stopped) => ended.expect("it shuts down without an error"),
                    () = layer.killed() => {}
                }
            });
            // There is no waiting for it, as for a killed process.
            runtime.shutdown_background();
        });
        Self {
            faults,
            stop,
            life: Some(life),
        }
    }

    /// Kills it, and returns when it is gone.
    pub async fn killed(mut self) {
        self.faults.kill();
        self.ended().await;
    }

    /// Shuts it down.
    pub async fn stopped(mut self) {
        self.stop.send_replace(true);
        self.ended().await;
    }

    async fn ended(&mut self) {
        if let Some(life) = self.life.take() {
            tokio::task::spawn_blocking(|| life.join())
                .await
                .expect("it can be waited for")
                .expect("the operator did not panic");
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // A failed test must not leave an operator running for the next one.
        self.faults.kill();
    }
}

fn settings(scope: &Scope) -> signalbox::operator::Config {
    signalbox::operator::Config {
        settings: Settings {
            operator_namespace: scope.home.clone(),
            watch_namespaces: scope.namespaces.clone(),
            deployer: "signalbox-deployer".to_owned(),
            require_consent: true,
            health_grace: SignedDuration::from_secs(5),
            inconclusive_after: SignedDuration::from_mins(30),
            policy_settle: POLICY_SETTLE,
            pre_state_limit: 64 << 20,
        },
        listen: scope.listen,
        identity: scope.identity.to_owned(),
        // As short as possible, because a standby only waits for the Lease of a dead leader to expire.
        lease_duration: Duration::from_secs(3),
        concurrency: 16,
        reconcile_timeout: Duration::from_secs(60),
    }
}

/// The binary to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// v0.1.0, built from the history of this repository.
    Before,
    Now,
    /// The current one, optimized as in the image: for measurements of CPU and memory.
    Shipped,
}

impl Version {
    fn binary(self) -> PathBuf {
        match self {
            Self::Now => env!("CARGO_BIN_EXE_signalbox").into(),
            Self::Before => std::env::var_os("SIGNALBOX_TEST_BEFORE")
                .expect("SIGNALBOX_TEST_BEFORE names the binary of v0.1.0, as cargo xtask test sets it")
                .into(),
            Self::Shipped => std::env::var_os("SIGNALBOX_TEST_SHIPPED")
                .expect("SIGNALBOX_TEST_SHIPPED names the release binary, as cargo xtask test sets it")
                .into(),
        }
    }
}

/// The real binary.
pub struct Process {
    child: Child,
    pub identity: String,
    log: PathBuf,
}

impl Process {
    /// `identity` is the name of the pod. `folder` is for its kubeconfig and log.
    pub async fn start(identity: &str, folder: &Path) -> Self {
        Self::of(Version::Now, identity, folder).await
    }

    /// [`Self::start`] of that version.
    pub async fn of(version: Version, identity: &str, folder: &Path) -> Self {
        Self::watching(version, identity, folder, &[]).await
    }

    /// [`Self::of`], which watches only these namespaces.
    pub async fn watching(version: Version, identity: &str, folder: &Path, namespaces: &[String]) -> Self {
        let text = std::fs::read_to_string(kubeconfig()).expect("SIGNALBOX_TEST_KUBECONFIG can be read");
        let mut text: Value = serde_yaml_ng::from_str(&text).expect("a kubeconfig");
        let token = token().await;
        for user in text["users"].as_array_mut().expect("a kubeconfig has users") {
            user["user"] = json!({ "token": token });
        }
        let path = folder.join(format!("{identity}.kubeconfig"));
        let text = serde_yaml_ng::to_string(&text).expect("a kubeconfig");
        std::fs::write(&path, text).expect("the kubeconfig can be written");
        let log = folder.join(format!("{identity}.log"));
        let output = std::fs::File::create(&log).expect("a log");
        let child = Command::new(version.binary())
            .args(["run", "--listen", "127.0.0.1:0", "--policy-settle", "3s"])
            .args(["--health-grace", "5s", "--namespace", &operator_namespace()])
            .arg("--kubeconfig")
            .arg(&path)
            .args(
                namespaces
                    .iter()
                    .flat_map(|namespace| ["--watch-namespace", namespace]),
            )
            .env("POD_NAME", identity)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("the operator can be started");
        Self {
            child,
            identity: identity.to_owned(),
            log,
        }
    }

    /// CPU time of all its threads so far.
    #[must_use]
    pub fn work(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs, on Linux");
        let numbers = stat
            .rsplit_once(')')
            .expect("a name in brackets")
            .1
            .split_whitespace();
        let ticks: u64 = numbers
            .skip(11)
            .take(2)
            .map(|n| n.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGSTOP: it does nothing, and does not notice that.
    pub fn paused(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("it runs");
    }

    /// Sends SIGCONT.
    pub fn resumed(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("it runs");
    }

    /// Returns when its log has a line with this text. There is no event for a file that grows.
    pub async fn logs(&self, what: &str) {
        let logged = async {
            let mut often = tokio::time::interval(Duration::from_millis(100));
            while !std::fs::read_to_string(&self.log)
                .unwrap_or_default()
                .contains(what)
            {
                often.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), logged)
            .await
            .unwrap_or_else(|_| panic!("{} does not say {what:?}", self.identity));
    }

    /// Resident memory in MiB when the operator is idle. Freed memory is returned to the system a little later, so this is the minimum
    /// of five seconds.
    pub async fn resident(&self) -> f64 {
        let mut least = f64::MAX;
        let mut often = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..50 {
            often.tick().await;
            least = least.min(self.memory("VmRSS:"));
        }
        least
    }

    /// The maximum resident memory so far, in MiB.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kibibytes.expect("a number of kB") / 1024.0
    }

    /// Sends SIGTERM and returns the exit status.
    pub async fn terminated(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        tokio::task::spawn_blocking(move || self.child.wait().expect("it is ours"))
            .await
            .expect("it can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
