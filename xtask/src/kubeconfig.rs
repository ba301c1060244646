//! Writes kubeconfig files: one cluster, one token.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

/// The address and the certificate authority of a cluster, which all its kubeconfigs share.
#[derive(Clone)]
pub struct Cluster(serde_json::Value);

impl Cluster {
    /// A cluster at an address, with a certificate authority in PEM form.
    #[must_use]
    pub fn new(server: &str, authority: &[u8]) -> Self {
        Self(json!({ "server": server, "certificate-authority-data": base64(authority) }))
    }

    /// The cluster of a kubeconfig's current context.
    pub fn of(kubeconfig: &Path) -> Result<Self> {
        let read = Kubeconfig::read_from(kubeconfig)
            .with_context(|| format!("{} is not a kubeconfig", kubeconfig.display()))?;
        let cluster = read
            .current_context
            .as_ref()
            .and_then(|name| read.contexts.iter().find(|context| &context.name == name))
            .and_then(|context| context.context.as_ref())
            .and_then(|context| {
                read.clusters
                    .iter()
                    .find(|cluster| cluster.name == context.cluster)
            })
            .and_then(|cluster| cluster.cluster.as_ref())
            .with_context(|| format!("{} names no current context with a cluster", kubeconfig.display()))?;
        Ok(Self(serde_json::to_value(cluster)?))
    }

    /// Writes a kubeconfig with a token, readable only by this user.
    pub fn write(&self, path: &Path, user: &str, token: &str) -> Result<()> {
        let content = serde_yaml_ng::to_string(&json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "signalbox", "cluster": self.0 }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{ "name": user, "context": { "cluster": "signalbox", "user": user } }],
            "current-context": user,
        }))?;
        private(path, &content)
    }
}

/// Writes a file with a token, readable only by its owner.
pub fn private(path: &Path, content: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A client for a kubeconfig's current context.
pub async fn config(kubeconfig: &Path) -> Result<kube::Config> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    Ok(kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?)
}

/// Encodes bytes in base64, as the JSON of Kubernetes does, without another dependency.
fn base64(bytes: &[u8]) -> serde_json::Value {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap_or_default()
}
