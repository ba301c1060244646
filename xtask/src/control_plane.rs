//! A control plane for as long as a value lives: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and a simulated
//! kubelet, or real ones, in a folder of their own, on ports of their own. It is removed when the value is dropped. Or an existing
//! cluster behind the same interface.

use std::fs;
use std::future::Future;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::select_all;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::kubeconfig::{self, Cluster, private};
use crate::namespaces::Namespaces;
use crate::node;
use crate::oci::{Oci, Registry};
use crate::process::{Process, tail};
use crate::runtime::Runtime;
use crate::tools::Tools;

/// The users of the examples and tests. None has rights at the start: the tests create the roles.
pub const PEOPLE: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "mallory"];

/// The group of all these users.
pub const GROUP: &str = "developers";

const READY_WITHIN: Duration = Duration::from_secs(60);
const NODES: usize = 3;

/// A cluster to test on.
pub struct ControlPlane {
    // They are dropped in this order: no process may write into a folder that is being removed.
    processes: Vec<Process>,
    admin: PathBuf,
    config: Config,
    client: Client,
    cluster: Cluster,
    /// The address of its etcd, if this value started the control plane.
    etcd: Option<String>,
    owned: bool,
    /// The registry of real nodes.
    _registry: Option<Registry>,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts a control plane and waits until it schedules pods.
    pub async fn start(tools: &Tools, repository: &Path) -> Result<Self> {
        // Another program may take a free port before a component starts. A second attempt finds another port.
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match Self::try_start(tools, repository, None).await {
                Err(error) if attempts > 0 && format!("{error:#}").contains("address already in use") => {}
                settled => return settled,
            }
        }
    }

    /// Uses an existing cluster. Its pods are real, so the name of an image has no effect on their behaviour.
    pub async fn existing(kubeconfig: &Path) -> Result<Self> {
        let admin = fs::canonicalize(kubeconfig)
            .with_context(|| format!("the kubeconfig {} does not exist", kubeconfig.display()))?;
        let config = kubeconfig::config(&admin).await?;
        let client = Client::try_from(config.clone())?;
        client
            .apiserver_version()
            .await
            .context("the cluster does not answer")?;
        let cluster = Cluster::of(&admin)?;
        Ok(Self {
            processes: Vec::new(),
            admin,
            config,
            client,
            cluster,
            etcd: None,
            owned: false,
            _registry: None,
            folder: folder()?,
        })
    }

    /// Starts a control plane with real nodes in the namespaces that this process is in, and waits until they are ready.
    pub async fn real(tools: &Tools, oci: &Oci, repository: &Path, namespaces: &Namespaces) -> Result<Self> {
        let runtime = Runtime::ready().await?;
        namespaces.furnish().await?;
        node::wire().await?;
        Self::try_start(tools, repository, Some((namespaces, &runtime, oci))).await
    }

    async fn try_start(
        tools: &Tools,
        repository: &Path,
        real: Option<(&Namespaces, &Runtime, &Oci)>,
    ) -> Result<Self> {
        let folder = folder()?;
        let at = |name: &str| folder.path().join(name);
        let text = |name: &str| at(name).display().to_string();
        let source = repository.join("tests/control-plane");
        let part = |name: &str| {
            let mut command = Command::new(tools.path("control-plane"));
            command.arg(name);
            command
        };
        let log = |name: &str| at(&format!("{name}.log"));

        let mut sweep = Command::new(tools.path("tether"));
        sweep.arg("sweep").arg(folder.path());
        let mut processes = vec![Process::start("sweep", &mut sweep, log("sweep"))?];

        let mut keypair = part("keypair");
        keypair.arg(at("service-accounts.pem"));
        let written = Process::start("keypair", &mut keypair, log("keypair"))?
            .ended()
            .await?;
        if !written.success() {
            bail!(
                "cannot create a key for service accounts\n{}",
                tail(&log("keypair"), 5)
            );
        }

        let [client_port, peer_port, secure_port] = free_ports()?;
        let etcd = format!("http://127.0.0.1:{client_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let server = match real {
            Some(_) => format!("https://{}:443", node::SERVICE),
            None => format!("https://127.0.0.1:{secure_port}"),
        };
        let admin_token = secret()?;
        let people = PEOPLE
            .iter()
            .map(|name| Ok((*name, secret()?)))
            .collect::<Result<Vec<_>>>()?;
        let mut tokens = format!("{admin_token},admin,admin,\"system:masters\"\n");
        for (name, token) in &people {
            tokens += &format!("{token},{},{name},\"{GROUP}\"\n", username(name));
        }
        // Only this file can define a user without a name. A test tries what such a user may do.
        let nameless_token = secret()?;
        tokens += &format!("{nameless_token},,nameless,\"{GROUP}\"\n");
        let node_tokens = node::NODES.iter().map(|_| secret()).collect::<Result<Vec<_>>>()?;
        for (name, token) in node::NODES.iter().zip(&node_tokens) {
            let user = node::username(name);
            tokens += &format!("{token},{user},{user},\"system:nodes\"\n");
        }
        private(&at("tokens.csv"), &tokens)?;

        let mut command = part("etcd");
        command.args([
            "--unsafe-no-fsync".to_owned(), // the data need not survive a loss of power
            format!("--data-dir={}", text("etcd")),
            format!("--listen-client-urls={etcd}"),
            format!("--advertise-client-urls={etcd}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--log-level=warn".to_owned(),
        ]);
        processes.push(Process::start("etcd", &mut command, log("etcd"))?);

        let mut command = match real {
            // A test may stop it and start it again.
            Some(_) => {
                let mut kept = Command::new(tools.path("tether"));
                kept.arg("keep")
                    .arg(tools.path("control-plane"))
                    .arg("kube-apiserver");
                kept
            }
            None => part("kube-apiserver"),
        };
        command.args([
            format!("--etcd-servers={etcd}"),
            "--endpoint-reconciler-type=none".to_owned(), // it is not reached through a Service
            format!("--cert-dir={}", folder.path().display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", text("service-accounts.pem")),
            format!(
                "--service-account-signing-key-file={}",
                text("service-accounts.pem")
            ),
            format!("--token-auth-file={}", text("tokens.csv")),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            format!(
                "--audit-policy-file={}",
                source.join("audit-policy.yaml").display()
            ),
            format!("--audit-log-path={}", text("audit.log")),
            "--audit-log-maxsize=10000".to_owned(), // one file, which readers follow
        ]);
        command.args(match real {
            Some(_) => vec![
                "--secure-port=443".to_owned(),
                "--bind-address=0.0.0.0".to_owned(),
                format!("--advertise-address={}", node::GATEWAY),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                "--allow-privileged=true".to_owned(),
                "--kubelet-preferred-address-types=InternalIP".to_owned(), // the nodes' names cannot be resolved
            ],
            None => vec![
                format!("--secure-port={secure_port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                "--disable-admission-plugins=TaintNodesByCondition".to_owned(), // else a new node stays tainted
            ],
        });
        processes.push(Process::start(
            "kube-apiserver",
            &mut command,
            log("kube-apiserver"),
        )?);

        // The certificate exists before the port answers, and is complete once it can be parsed.
        let certificate = at("apiserver.crt");
        let admin = at("admin.kubeconfig");
        let (config, cluster) = while_all_run(&mut processes, "kube-apiserver to answer", async {
            loop {
                if let Ok(authority) = fs::read(&certificate) {
                    let cluster = Cluster::new(&server, &authority);
                    cluster.write(&admin, "admin", &admin_token)?;
                    if let Ok(config) = kubeconfig::config(&admin).await
                        && ready(&config).await
                    {
                        return Ok((config, cluster));
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await?;
        for (name, token) in &people {
            cluster.write(&at(&format!("{name}.kubeconfig")), name, token)?;
        }
        cluster.write(&at("nameless.kubeconfig"), "nameless", &nameless_token)?;
        let client = Client::try_from(config.clone())?;

        let mut command = part("kube-controller-manager");
        command.args([
            format!("--kubeconfig={}", admin.display()),
            match real {
                Some(_) => "--controllers=*,-node-ipam-controller".to_owned(),
                None => "--controllers=*,-node-ipam-controller,-node-lifecycle-controller".to_owned(),
            },
            "--node-monitor-grace-period=10s".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            format!(
                "--service-account-private-key-file={}",
                text("service-accounts.pem")
            ),
            // Otherwise garbage collection and the deletion of namespaces would act as admin.
            "--use-service-account-credentials=true".to_owned(),
            format!("--root-ca-file={}", certificate.display()),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=500".to_owned(),
        ]);
        processes.push(Process::start(
            "kube-controller-manager",
            &mut command,
            log("kube-controller-manager"),
        )?);

        let mut command = part("kube-scheduler");
        command.args([
            format!("--kubeconfig={}", admin.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=500".to_owned(),
        ]);
        processes.push(Process::start(
            "kube-scheduler",
            &mut command,
            log("kube-scheduler"),
        )?);

        let mut registry = None;
        match real {
            Some((namespaces, runtime, oci)) => {
                registry = Some(oci.serve(node::REGISTRY, &log("registry")).await?);
                let pause = node::push_program(oci, "pause", &[]).await?;
                for (index, token) in node_tokens.iter().enumerate() {
                    let started = node::start(tools, runtime, namespaces, &cluster, index, token, &pause);
                    processes.extend(started.await?);
                }
            }
            None => processes.push(pretended(tools, &source, &admin, log("kwok"))?),
        }

        let nodes = Api::<Node>::all(client.clone());
        let accounts = Api::<ServiceAccount>::default_namespaced(client.clone());
        let count = if real.is_some() { node::NODES.len() } else { NODES };
        while_all_run(&mut processes, "the nodes and the controllers", async {
            if real.is_none() {
                for index in 1..=NODES {
                    nodes.create(&PostParams::default(), &node(index)).await?;
                }
            }
            loop {
                // The controllers work once one of them has created this account, and kwok works once the nodes are ready.
                let account = accounts.get_opt("default").await?;
                let all = nodes.list(&kube::api::ListParams::default()).await?;
                if account.is_some() && all.items.len() == count && all.iter().all(node_ready) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await?;
        Ok(Self {
            processes,
            admin,
            config,
            client,
            cluster,
            etcd: Some(etcd),
            owned: true,
            _registry: registry,
            folder,
        })
    }

    /// Waits for the first component that ends, which is an error. Never returns for an existing cluster.
    pub async fn failed(&mut self) -> anyhow::Error {
        any_failed(&mut self.processes).await
    }

    /// The folder that is removed with this value: logs, kubeconfigs, and files of callers.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn admin(&self) -> &Path {
        &self.admin
    }

    /// The administrator's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The audit log, if this value started the control plane.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.owned.then(|| self.folder().join("audit.log"))
    }

    /// The address of etcd, if this value started the control plane.
    #[must_use]
    pub fn etcd(&self) -> Option<&str> {
        self.etcd.as_deref()
    }

    /// A client as one of the users, by impersonation, which works on every cluster.
    pub fn person(&self, name: &str) -> Result<Client> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(username(name));
        config.auth_info.impersonate_groups = Some(vec![GROUP.to_owned()]);
        Ok(Client::try_from(config)?)
    }

    /// A client that acts as a user by impersonation, without any group.
    pub fn acting_as(&self, user: &str) -> Result<Client> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        Ok(Client::try_from(config)?)
    }

    /// The kubeconfig of one of the users, if this value started the control plane, which has their tokens.
    #[must_use]
    pub fn person_kubeconfig(&self, name: &str) -> Option<PathBuf> {
        self.owned
            .then(|| self.folder().join(format!("{name}.kubeconfig")))
    }

    /// Writes a kubeconfig for a service account, valid for a day, and returns its path.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let path = self.folder().join(format!("{namespace}.{name}.kubeconfig"));
        self.cluster.write(&path, name, &token)?;
        Ok(path)
    }

    /// A token for a service account, valid for a day.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(24 * 60 * 60),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        Api::<ServiceAccount>::namespaced(self.client(), namespace)
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for the service account {namespace}/{name}"))?
            .status
            .map(|status| status.token)
            .context("the API server answered without a token")
    }
}

/// The user name of a person.
#[must_use]
pub fn username(name: &str) -> String {
    format!("{name}@example.com")
}

/// Waits for a condition, with a timeout, and only as long as the processes run that it depends on.
async fn while_all_run<T>(
    processes: &mut [Process],
    what: &str,
    condition: impl Future<Output = Result<T>>,
) -> Result<T> {
    let waited = tokio::time::timeout(READY_WITHIN, async {
        tokio::select! {
            settled = condition => settled,
            error = any_failed(processes) => Err(error),
        }
    })
    .await;
    match waited {
        Ok(settled) => settled,
        Err(_) => {
            let logs = processes.iter().map(Process::told).collect::<String>();
            bail!("waited {} s for {what}{logs}", READY_WITHIN.as_secs())
        }
    }
}

async fn any_failed(processes: &mut [Process]) -> anyhow::Error {
    if processes.is_empty() {
        return std::future::pending().await;
    }
    select_all(processes.iter_mut().map(|process| Box::pin(process.failed())))
        .await
        .0
}

async fn ready(config: &Config) -> bool {
    let asked = async {
        let client = Client::try_from(config.clone())?;
        let request = http::Request::get("/readyz").body(Vec::new())?;
        anyhow::Ok(client.request_text(request).await?)
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(2), asked).await,
        Ok(Ok(_))
    )
}

/// The simulated kubelet of all nodes.
fn pretended(tools: &Tools, source: &Path, admin: &Path, log: PathBuf) -> Result<Process> {
    let mut command = Command::new(tools.path("tether"));
    command.arg("run").arg(tools.path("kwok")).args([
        format!("--kubeconfig={}", admin.display()),
        format!("--config={}", source.join("stages.yaml").display()),
        "--manage-all-nodes=true".to_owned(),
        "--node-lease-duration-seconds=0".to_owned(), // the node's leases are not watched
        "--node-port=0".to_owned(),                   // and its logs are not read
        "--node-ip=192.0.2.1".to_owned(),
        "--cidr=10.0.0.0/8".to_owned(),
    ]);
    Process::start("kwok", &mut command, log)
}

fn node(index: usize) -> Node {
    let name = format!("node-{index}");
    let labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": format!("zone-{index}"),
    });
    serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap_or_default()
}

fn node_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn folder() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("signalbox-")
        .tempdir()
        .context("cannot create a folder for the data")
}

/// Ports that are free now. All are held at the same time, so that they differ.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let held = (0..COUNT)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; COUNT];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// A token that another user of this machine cannot guess.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
