//! Paths of kinds in the API.

/// The path segment of a target kind; these are the kinds that have a readiness check.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Annotations of the Namespace and of the deployer's ServiceAccount say which Releases are admitted: no Release may write them.
    #[test]
    fn what_says_whom_a_namespace_accepts_is_never_a_target() {
        for kind in ["Namespace", "ServiceAccount"] {
            assert_eq!(plural("v1", kind), None, "{kind}");
        }
        assert_eq!(plural("v1", "ConfigMap"), Some("configmaps"));
    }
}
