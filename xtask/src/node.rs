//! Real nodes: kubelets with containerd and runc, and the registry from which they pull, in private namespaces.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::image;
use crate::kubeconfig::{Cluster, private};
use crate::namespaces::{Namespaces, cgroups_are_v2, tool};
use crate::oci::Oci;
use crate::process::Process;
use crate::runtime::Runtime;
use crate::tools::Tools;

/// The address of the registry.
pub const REGISTRY: &str = "127.0.0.1:5000";
/// The address of the API server, for containers and for this process: the Service `kubernetes`, without a kube-proxy.
pub const SERVICE: &str = "10.96.0.1";
/// The address of this side of the bridge, for kubelets and containers.
pub const GATEWAY: &str = "10.244.0.1";
/// The nodes. Only pods that tolerate [`APART`] run on any but the first, so that tests may remove the others.
pub const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// The taint of the nodes that tests remove and add.
pub const APART: &str = "signalbox.dev/apart";

/// The user name of a node.
#[must_use]
pub fn username(node: &str) -> String {
    format!("system:node:{node}")
}

/// Creates the interfaces, before anything listens on them.
///
/// # Errors
/// The error of `ip`.
pub async fn wire() -> Result<()> {
    let service = format!("{SERVICE}/32");
    tool("ip", &["address", "add", &service, "dev", "lo"]).await?;
    tool("ip", &["link", "add", "cni0", "type", "bridge"]).await?;
    for index in 0..NODES.len() {
        tool(
            "ip",
            &["address", "add", &format!("{}/16", address(index)), "dev", "cni0"],
        )
        .await?;
    }
    tool("ip", &["link", "set", "cni0", "up"]).await?;
    // Kubelet and runtime need a default route, whatever its destination.
    tool("ip", &["route", "add", "default", "dev", "cni0"]).await?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("packets cannot be forwarded")
}

fn address(index: usize) -> String {
    format!("10.244.0.{}", index + 1)
}

/// An image of the static program `name` of the tests with these variables in its environment, pushed; its reference by digest.
///
/// # Errors
/// The error of the tool that builds and pushes.
pub async fn push_program(oci: &Oci, name: &str, variables: &[String]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let layout = folder.path().join("layout");
    let description = json!({
        "layers": [[{ "path": name, "source": oci.folder().join(name), "mode": 0o755 }]],
        "config": { "User": "65532:65532", "Entrypoint": [format!("/{name}")], "Env": variables },
        "architecture": image::architecture()?,
        "created": "1970-01-01T00:00:00Z",
    });
    oci.build(&description, &layout).await?;
    push(oci, &layout, name).await
}

/// Pushes a layout into the registry; its reference by digest.
///
/// # Errors
/// The error of the tool that pushes.
pub async fn push(oci: &Oci, layout: &Path, name: &str) -> Result<String> {
    let digest = oci.push(layout, &format!("{REGISTRY}/{name}:latest")).await?;
    Ok(format!("{REGISTRY}/{name}@{digest}"))
}

/// The chart's values for the operator's image of this reference by digest, and others.
///
/// # Errors
/// The reference has no digest.
pub fn values(image: &str, others: &[&str]) -> Result<Vec<String>> {
    let (repository, digest) = image.split_once('@').context("an image without a digest")?;
    let mut values = vec![
        format!("image.repository={repository}"),
        format!("image.digest={digest}"),
    ];
    values.extend(others.iter().map(|&value| value.to_owned()));
    Ok(values)
}

/// Starts the kubelet `NODES[index]` with its own containerd, without waiting for the node.
///
/// # Errors
/// A folder that cannot be written, a program that does not start.
pub async fn start(
    tools: &Tools,
    runtime: &Runtime,
    namespaces: &Namespaces,
    cluster: &Cluster,
    index: usize,
    token: &str,
    pause: &str,
) -> Result<[Process; 2]> {
    let name = NODES[index];
    let folder = namespaces.folder().join(name);
    fs::create_dir_all(folder.join("cni"))?;
    let network = json!({
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": folder.join("addresses"),
                "ranges": [[{
                    "subnet": "10.244.0.0/16", "gateway": GATEWAY,
                    "rangeStart": format!("10.244.{}.1", index + 1), "rangeEnd": format!("10.244.{}.254", index + 1),
                }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    fs::write(folder.join("cni/10-bridge.conflist"), network.to_string())?;
    let socket = PathBuf::from("/run").join(name).join("containerd.sock");
    let configuration = folder.join("containerd.toml");
    fs::write(&configuration, containerd(runtime, &folder, name, &socket, pause))?;

    let programs = runtime.programs.display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(tools.path("tether"));
    command
        .arg("run")
        .arg(runtime.programs.join("containerd"))
        .arg("--config")
        .arg(&configuration)
        .env("PATH", format!("{programs}:{path}"));
    let mut containerd = Process::start(
        &format!("containerd of {name}"),
        &mut command,
        folder.join("containerd.log"),
    )?;
    answers(&mut containerd, || async {
        tokio::net::UnixStream::connect(&socket).await.is_ok()
    })
    .await?;

    let kubeconfig = folder.join("kubeconfig");
    cluster.write(&kubeconfig, &username(name), token)?;
    let configuration = folder.join("kubelet.yaml");
    private(
        &configuration,
        &serde_yaml_ng::to_string(&kubelet(&namespaces.cgroup(name)?, index, &socket, &folder))?,
    )?;
    let mut command = Command::new(tools.path("control-plane"));
    command.args([
        "kubelet".to_owned(),
        format!("--config={}", configuration.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", folder.join("kubelet").display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", address(index)),
    ]);
    let kubelet = Process::start(
        &format!("kubelet of {name}"),
        &mut command,
        folder.join("kubelet.log"),
    )?;
    Ok([containerd, kubelet])
}

fn containerd(runtime: &Runtime, folder: &Path, name: &str, socket: &Path, pause: &str) -> String {
    let folder = folder.display();
    let state = format!("/run/{name}");
    let socket = socket.display();
    let plugins = runtime.plugins.display();
    let runc = runtime.programs.join("runc");
    let runc = runc.display();
    let (images, sandbox, cri, bin) = match runtime.layout {
        2 => (
            "io.containerd.grpc.v1.cri",
            format!("sandbox_image = \"{pause}\"\n"),
            "io.containerd.grpc.v1.cri",
            format!("bin_dir = \"{plugins}\""),
        ),
        _ => (
            "io.containerd.cri.v1.images",
            format!("[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = \"{pause}\"\n"),
            "io.containerd.cri.v1.runtime",
            format!("bin_dirs = [\"{plugins}\"]"),
        ),
    };
    // One table for both parts of the old layout, because a table may not be defined twice.
    let head = if runtime.layout == 2 {
        format!("[plugins.'{cri}']\n{sandbox}restrict_oom_score_adj = true\n")
    } else {
        format!("[plugins.'{images}']\n{sandbox}[plugins.'{cri}']\nrestrict_oom_score_adj = true\n")
    };
    format!(
        "version = {layout}\nroot = \"{folder}/containerd\"\nstate = \"{state}\"\n\
         [grpc]\naddress = \"{socket}\"\n\
         {head}\
         [plugins.'{cri}'.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [plugins.'{cri}'.containerd.runtimes.runc.options]\nBinaryName = \"{runc}\"\nSystemdCgroup = false\n\
         [plugins.'{cri}'.cni]\n{bin}\nconf_dir = \"{folder}/cni\"\n",
        layout = runtime.layout,
    )
}

fn kubelet(cgroup: &str, index: usize, socket: &Path, folder: &Path) -> Value {
    let mut taints = vec![];
    if index > 0 {
        taints.push(json!({ "key": APART, "effect": "NoSchedule" }));
    }
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "containerRuntimeEndpoint": format!("unix://{}", socket.display()),
        "failSwapOn": false,
        // The network namespace is private.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "address": address(index),
        "healthzPort": 10248 + index,
        "clusterDNS": ["10.96.0.10"],
        "podLogsDir": folder.join("logs"), // in a shared folder, each kubelet would remove the logs of the others
        "resolvConf": "",
        "localStorageCapacityIsolation": false,
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%" },
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
        "oomScoreAdj": 0,
        // A lost node is noticed within seconds.
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "registerWithTaints": taints,
    });
    if !cgroups_are_v2() {
        configuration["failCgroupV1"] = false.into();
    }
    configuration
}

/// Waits for a program that has just been started, as long as it runs.
async fn answers<F: Future<Output = bool>>(process: &mut Process, asked: impl Fn() -> F) -> Result<()> {
    let asking = async {
        while !asked().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = asking => Ok(()),
        error = process.failed() => Err(error),
        () = tokio::time::sleep(std::time::Duration::from_secs(30)) => {
            Err(anyhow::anyhow!("it does not answer within 30 s{}", process.told()))
        }
    }
}
