//! How the API server is spoken to: paths of kinds, one way to say what went wrong, and requests as the deployer.
//! `observe` reads through it and `apply` writes; nothing here decides.

pub mod deployer;
pub mod pulse;
pub mod requests;
pub mod sent;
pub mod term;

use kube::core::Status;

/// What went wrong with a request, as far as anybody has to tell it apart.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("not found")]
    NotFound,
    /// 409: a stale resourceVersion or uid.
    #[error("{0}")]
    Conflict(String),
    /// 409 on a create.
    #[error("already exists")]
    AlreadyExists,
    /// 403: RBAC or an admission policy says no.
    #[error("{0}")]
    Forbidden(String),
    /// 400 and 422: the object is not valid.
    #[error("{0}")]
    Invalid(String),
    /// Everything that may pass: time-outs, 429, 5xx, a broken connection.
    #[error("{0}")]
    Passing(String),
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => status.into(),
            other => Self::Passing(other.to_string()),
        }
    }
}

impl From<Box<Status>> for Trouble {
    fn from(status: Box<Status>) -> Self {
        let message = status.message.clone();
        match status.code {
            404 => Self::NotFound,
            409 if status.reason == "AlreadyExists" => Self::AlreadyExists,
            409 => Self::Conflict(message),
            401 | 403 => Self::Forbidden(message),
            400 | 422 | 413 | 415 => Self::Invalid(message),
            _ => Self::Passing(message),
        }
    }
}

/// The path segment of a kind that Signalbox changes; readiness says which those are.
#[must_use]
pub fn plural(api_version: &str, kind: &str) -> Option<&'static str> {
    Some(match (api_version, kind) {
        ("apps/v1", "Deployment") => "deployments",
        ("apps/v1", "StatefulSet") => "statefulsets",
        ("apps/v1", "DaemonSet") => "daemonsets",
        ("apps/v1", "ReplicaSet") => "replicasets",
        ("batch/v1", "Job") => "jobs",
        ("batch/v1", "CronJob") => "cronjobs",
        ("v1", "ConfigMap") => "configmaps",
        ("v1", "Service") => "services",
        ("v1", "PersistentVolumeClaim") => "persistentvolumeclaims",
        _ => return None,
    })
}

/// `apps`, or nothing for the core group.
#[must_use]
pub fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The collection of a kind in a namespace.
#[must_use]
pub fn collection(api_version: &str, plural: &str, namespace: &str) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{api_version}/namespaces/{namespace}/{plural}")
}
