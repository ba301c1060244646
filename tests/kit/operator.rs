//! Operators of a test's own: in this process, where a killer stands between them and the API server, or as a process of
//! their own that can be sent a signal. Both have the rights that the chart gives, and no others.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

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

use super::cluster::{admin, config, kubeconfig, operator_namespace};
use super::killer::{Kill, Killer};

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

/// An operator in this process, with a memory and threads of its own.
pub struct Operator {
    pub killer: Killer,
    stop: watch::Sender<bool>,
    life: Option<JoinHandle<()>>,
}

impl Operator {
    /// Comes back at once. All of one identity, as the lives of a container are.
    pub async fn start(kill: Option<Kill>) -> Self {
        let mut config = config().await;
        config.auth_info = kube::config::AuthInfo {
            token: Some(token().await.into()),
            ..kube::config::AuthInfo::default()
        };
        let killer = Killer::new(kill);
        let (stop, stopped) = watch::channel(false);
        let layer = killer.clone();
        let life = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let client = ClientBuilder::try_from(config)
                    .expect("a client")
                    .with_layer(&layer)
                    .build();
                tokio::select! {
                    ended = signalbox::operator::run(client, settings(), stopped) => ended.expect("it ends in order"),
                    () = layer.killed() => {}
                }
            });
            // Nothing of it is waited for, as nothing of a killed process is.
            runtime.shutdown_background();
        });
        Self {
            killer,
            stop,
            life: Some(life),
        }
    }

    /// Ends it the hard way, and comes back when nothing of it is left.
    pub async fn killed(mut self) {
        self.killer.kill();
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
        self.killer.kill();
    }
}

fn settings() -> signalbox::operator::Config {
    signalbox::operator::Config {
        settings: Settings {
            operator_namespace: operator_namespace(),
            deployer: "signalbox-deployer".to_owned(),
            health_grace: SignedDuration::from_secs(5),
            inconclusive_after: SignedDuration::from_mins(30),
            policy_settle: POLICY_SETTLE,
        },
        watch_namespaces: vec![],
        listen: ([127, 0, 0, 1], 0).into(),
        identity: "crash".to_owned(),
        lease_duration: Duration::from_secs(15),
        concurrency: 16,
        reconcile_timeout: Duration::from_secs(60),
    }
}

/// The real binary.
pub struct Process {
    child: Child,
    pub identity: String,
}

impl Process {
    /// `identity` is the pod's name. `folder` takes its kubeconfig and log.
    pub async fn start(identity: &str, folder: &Path) -> Self {
        let text = std::fs::read_to_string(kubeconfig()).expect("SIGNALBOX_TEST_KUBECONFIG can be read");
        let mut text: Value = serde_yaml_ng::from_str(&text).expect("a kubeconfig");
        let token = token().await;
        for user in text["users"].as_array_mut().expect("a kubeconfig has users") {
            user["user"] = json!({ "token": token });
        }
        let path = folder.join(format!("{identity}.kubeconfig"));
        let text = serde_yaml_ng::to_string(&text).expect("a kubeconfig");
        std::fs::write(&path, text).expect("the kubeconfig can be written");
        let log = std::fs::File::create(folder.join(format!("{identity}.log"))).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_signalbox"))
            .args(["run", "--listen", "127.0.0.1:0", "--policy-settle", "3s"])
            .args(["--health-grace", "5s", "--namespace", &operator_namespace()])
            .arg("--kubeconfig")
            .arg(&path)
            .env("POD_NAME", identity)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the operator can be started");
        Self {
            child,
            identity: identity.to_owned(),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
