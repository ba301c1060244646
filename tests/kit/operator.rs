//! Operators of a test's own: in this process, where a layer stands between them and the API server, or as a process of
//! their own that can be sent a signal. Both have the rights that the chart gives, and no others.

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

/// How much younger than its policy a Decision must be, here: waiting a minute shows nothing more.
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

/// The label of Environments that belong to an operator of a test's own.
pub(super) const SCOPE_LABEL: &str = "test.signalbox.dev/home";

/// What an operator sees of the cluster. Two that see nothing of each other run side by side.
#[derive(Clone, Debug)]
pub struct Scope {
    pub home: String,
    pub namespaces: Vec<String>,
    /// The only way to the API server, where it is not the straight one.
    pub server: Option<Uri>,
    pub identity: &'static str,
    pub listen: SocketAddr,
}

impl Scope {
    /// Nothing but these stages, which have a home of their own.
    #[must_use]
    pub fn of<'a>(stages: impl IntoIterator<Item = &'a Stage>) -> Self {
        let stages: Vec<&Stage> = stages.into_iter().collect();
        let home = stages.first().expect("a stage").home();
        assert!(
            stages.iter().all(|stage| stage.home() == home),
            "one operator, one home"
        );
        assert_ne!(
            home,
            operator_namespace(),
            "a stage that is not alone has no operator of its own"
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

/// An operator in this process, with a memory and threads of its own.
pub struct Operator {
    pub faults: Faults,
    stop: watch::Sender<bool>,
    life: Option<JoinHandle<()>>,
}

impl Operator {
    /// Comes back at once. All of one identity, as the lives of a container are.
    pub async fn start(scope: &Scope, script: impl Into<Script>) -> Self {
        let environments = Some(format!("{SCOPE_LABEL}={}", scope.home));
        Self::with(scope, Faults::new(script.into(), environments)).await
    }

    /// Whose script holds once it is armed.
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
        // Retries are the operator's own, and come above the faults.
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
                    ended = signalbox::operator::run(client, settings, stopped) => ended.expect("it ends in order"),
                    () = layer.killed() => {}
                }
            });
            // Nothing of it is waited for, as nothing of a killed process is.
            runtime.shutdown_background();
        });
        Self {
            faults,
            stop,
            life: Some(life),
        }
    }

    /// Ends it the hard way, and comes back when nothing of it is left.
    pub async fn killed(mut self) {
        self.faults.kill();
        self.ended().await;
    }

    /// Ends it in order.
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
        // A test that failed leaves no second operator to the next one.
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
        // As short as leadership can be: who waits for a dead leader waits for nothing else.
        lease_duration: Duration::from_secs(3),
        concurrency: 16,
        reconcile_timeout: Duration::from_secs(60),
    }
}

/// Which binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// v0.1.0, from this repository's history.
    Before,
    Now,
    /// Today's, optimized, as the image has it: where it counts how much is computed.
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
    /// `identity` is the pod's name. `folder` takes its kubeconfig and log.
    pub async fn start(identity: &str, folder: &Path) -> Self {
        Self::of(Version::Now, identity, folder).await
    }

    /// [`Self::start`] of that version.
    pub async fn of(version: Version, identity: &str, folder: &Path) -> Self {
        Self::watching(version, identity, folder, &[]).await
    }

    /// [`Self::of`], which sees nothing of other namespaces than these.
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

    /// Processor time of all its threads so far.
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

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP: it does nothing, and does not know that it does not.
    pub fn paused(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("it runs");
    }

    /// SIGCONT.
    pub fn resumed(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("it runs");
    }

    /// Once its log has a line with that. A file that grows announces nothing.
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

    /// What it has resident once it has come to rest, in MiB: what is freed goes back to the system a little later, so this is
    /// the least of five seconds.
    pub async fn resident(&self) -> f64 {
        let mut least = f64::MAX;
        let mut often = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..50 {
            often.tick().await;
            least = least.min(self.memory("VmRSS:"));
        }
        least
    }

    /// The most that it has had resident so far, in MiB.
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

    /// SIGTERM, and how it ended.
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
