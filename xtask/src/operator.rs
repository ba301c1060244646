//! The operator outside a cluster: the chart is installed by helm, and the binary runs with the rights that the chart grants and
//! no others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams};
use rustix::process::Pid;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::control_plane::{ControlPlane, free_ports};
use crate::process::Process;
use crate::tools::Tools;

/// The namespace of the chart.
pub const NAMESPACE: &str = "signalbox-system";
/// The name of the helm release, and of the ServiceAccount that the chart creates.
pub const RELEASE: &str = "signalbox";

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The user name of the operator.
#[must_use]
pub fn username() -> String {
    format!("system:serviceaccount:{NAMESPACE}:{RELEASE}")
}

/// Installs or upgrades the chart.
///
/// # Errors
/// The error of helm.
pub async fn install(
    tools: &Tools,
    repository: &Path,
    cluster: &ControlPlane,
    values: &[&str],
) -> Result<()> {
    upgrade(tools, repository, cluster, values, &[]).await
}

/// Installs or upgrades the chart, and waits until its pods run, if pods are real.
///
/// # Errors
/// The error of helm.
pub async fn install_and_wait(
    tools: &Tools,
    repository: &Path,
    cluster: &ControlPlane,
    values: &[String],
) -> Result<()> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let wait = ["--wait", "--timeout", "60s"];
    upgrade(tools, repository, cluster, &values, &wait).await
}

async fn upgrade(
    tools: &Tools,
    repository: &Path,
    cluster: &ControlPlane,
    values: &[&str],
    flags: &[&str],
) -> Result<()> {
    let mut helm = Command::new(tools.path("helm"));
    helm.args(["upgrade", "--install", RELEASE])
        .arg(repository.join("charts/signalbox"))
        .args(["--namespace", NAMESPACE, "--create-namespace", "--kubeconfig"])
        .arg(cluster.admin())
        .args(flags);
    for value in values {
        helm.args(["--set", value]);
    }
    let mut helm = Process::start("helm", &mut helm, cluster.folder().join("helm.log"))?;
    ensure!(
        helm.ended().await?.success(),
        "helm cannot install the chart{}",
        helm.told()
    );
    Ok(())
}

/// Waits until the chart's admission policies have existed for `settle`, by the API server's clock. For a Release that is created
/// sooner no approval counts, because the policies may not have verified its requester.
///
/// # Errors
/// An error of the API server, or it takes a minute longer than that.
pub async fn policies_settled(cluster: &ControlPlane, settle: Duration) -> Result<()> {
    let client = cluster.client();
    let (policies, bindings) = tokio::try_join!(
        written_last::<ValidatingAdmissionPolicy>(&client),
        written_last::<ValidatingAdmissionPolicyBinding>(&client),
    )?;
    let last = policies
        .max(bindings)
        .context("the chart has no admission policies")?;
    let settled = last.checked_add(settle)?;
    let home: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let look = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut probe = ConfigMap::default();
    probe.metadata.name = Some("signalbox-what-time-is-it".to_owned());
    let past = async {
        loop {
            let created = home.create(&look, &probe).await?.metadata.creation_timestamp;
            if created.is_some_and(|now| now.0 >= settled) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(settle + READY_WITHIN, past)
        .await
        .with_context(|| format!("the admission policies have not settled by {settled}"))?
}

/// When the newest of the chart's objects of a kind was written.
async fn written_last<K>(client: &kube::Client) -> Result<Option<jiff::Timestamp>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let ours = Api::<K>::all(client.clone())
        .list_metadata(&ListParams::default())
        .await?;
    let ours = ours.into_iter().map(|object| object.metadata);
    let ours = ours.filter(|m| m.name.as_ref().is_some_and(|name| name.starts_with(RELEASE)));
    Ok(ours
        .flat_map(|m| {
            let writes = m.managed_fields.into_iter().flatten().filter_map(|w| w.time);
            writes.chain(m.creation_timestamp).map(|time| time.0)
        })
        .max())
}

/// A running operator.
pub struct Operator {
    process: Process,
    port: u16,
    log: PathBuf,
}

impl Operator {
    /// Starts a binary as the chart's ServiceAccount, without waiting for it.
    ///
    /// # Errors
    /// No token for the ServiceAccount, or no such binary.
    pub async fn start(
        tools: &Tools,
        cluster: &ControlPlane,
        binary: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, RELEASE).await?;
        Self::spawn(tools, cluster, &[binary], &kubeconfig, arguments)
    }

    /// Starts the image's entry point so that it sees only the image's files below `root`.
    ///
    /// # Errors
    /// No token for the ServiceAccount, or a root that cannot be entered.
    pub async fn start_in_root(tools: &Tools, cluster: &ControlPlane, root: &Path) -> Result<Self> {
        let kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, RELEASE).await?;
        std::fs::copy(kubeconfig, root.join("kubeconfig"))?;
        // A user other than root becomes root in a user namespace, which is enough for chroot.
        let enter: &[&Path] = if rustix::process::getuid().is_root() {
            &[Path::new("chroot")]
        } else {
            &[
                Path::new("unshare"),
                Path::new("--map-root-user"),
                Path::new("chroot"),
            ]
        };
        let program = [enter, &[root, Path::new("/signalbox")]].concat();
        Self::spawn(tools, cluster, &program, Path::new("/kubeconfig"), &[])
    }

    fn spawn(
        tools: &Tools,
        cluster: &ControlPlane,
        program: &[&Path],
        kubeconfig: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let [port] = free_ports()?;
        let log = cluster.folder().join(format!("operator-{port}.log"));
        let mut command = Command::new(tools.path("tether"));
        command
            .arg("run")
            .args(program)
            .args(["run", "--namespace", NAMESPACE])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments);
        let process = Process::start("the operator", &mut command, log.clone())?;
        Ok(Self { process, port, log })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ended, or takes longer than a minute.
    pub async fn ready(&mut self) -> Result<()> {
        let port = self.port;
        self.wait("ready", async move || get(port, "/readyz").await.is_ok())
            .await
    }

    /// Waits until it leads.
    ///
    /// # Errors
    /// It ended, or takes longer than a minute.
    pub async fn leads(&mut self) -> Result<()> {
        let port = self.port;
        self.wait("leading", async move || {
            let metrics = get(port, "/metrics").await.unwrap_or_default();
            metrics.lines().any(|line| line == "signalbox_leader 1")
        })
        .await
    }

    async fn wait(&mut self, what: &str, is_so: impl AsyncFn() -> bool) -> Result<()> {
        let asked = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(READY_WITHIN, async {
            tokio::select! {
                () = asked => Ok(()),
                error = self.process.failed() => Err(error),
            }
        })
        .await;
        match waited {
            Ok(outcome) => outcome,
            Err(_) => bail!("the operator was not {what} within 60 s{}", self.told()),
        }
    }

    /// The sum of a metric over all its labels that contain `label`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let metrics = get(self.port, "/metrics").await?;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
        Ok(lines
            .filter(|rest| rest.starts_with('{') && rest.contains(label))
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum())
    }

    /// The address of its health and its metrics.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its log.
    #[must_use]
    pub fn told(&self) -> String {
        self.process.told()
    }

    /// Waits until it ends unexpectedly.
    pub async fn failed(&mut self) -> anyhow::Error {
        self.process.failed().await
    }

    /// The operator's own process, a child of the tether.
    ///
    /// # Errors
    /// There is none, or this is not Linux.
    pub fn pid(&self) -> Result<Pid> {
        let parent = self.process.pid().as_raw_nonzero();
        let mut children = String::new();
        // It is listed as a child of the thread of the parent that started it.
        for task in std::fs::read_dir(format!("/proc/{parent}/task"))? {
            children += &std::fs::read_to_string(task?.path().join("children"))?;
        }
        children
            .split_whitespace()
            .next()
            .and_then(|pid| Pid::from_raw(pid.parse().ok()?))
            .context("the operator has no process")
    }

    /// Asks it to stop, which must succeed.
    ///
    /// # Errors
    /// It does not stop in time, or ends with an error.
    pub async fn stop(self) -> Result<()> {
        let status = self.process.stop(Duration::from_secs(10)).await?;
        ensure!(
            status.success(),
            "the operator was asked to stop and ended with {status}"
        );
        Ok(())
    }
}

/// The body of an answer with status 200. One line of HTTP needs no client.
pub(crate) async fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.split_whitespace().nth(1) == Some("200"), "{path}: {head}");
    Ok(body.to_owned())
}
