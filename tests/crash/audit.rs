//! The operator's writes according to the audit log of the API server.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::kit::{audit_log, operator_namespace, operator_user};

/// Writes by the operator as itself in namespaces that begin with `prefix`, with dry runs, but without its own kinds and Events.
/// Empty if the cluster has no audit log.
pub fn written_as_itself(prefix: &str) -> Vec<String> {
    let Some(path) = audit_log() else { return vec![] };
    let log = std::fs::File::open(path).expect("the audit log can be read");
    BufReader::new(log)
        .lines()
        .map_while(Result::ok)
        .filter(|line| line.contains(prefix))
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(|event| {
            let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            text("/user/username") == operator_user()
                && event.get("impersonatedUser").is_none()
                && !matches!(text("/verb"), "get" | "list" | "watch")
                && text("/objectRef/namespace").starts_with(prefix)
                && text("/objectRef/namespace") != operator_namespace()
                && !text("/objectRef/namespace").ends_with("-home")
                && !matches!(text("/objectRef/apiGroup"), "signalbox.dev" | "events.k8s.io")
        })
        .map(|event| event.to_string())
        .collect()
}

/// Writes in the namespace as its deployer. Without them the result above would prove nothing.
pub fn written_as_deployer(namespace: &str) -> usize {
    let Some(path) = audit_log() else {
        return usize::MAX;
    };
    let deployer = format!("\"username\":\"system:serviceaccount:{namespace}:signalbox-deployer\"");
    let log = std::fs::File::open(path).expect("the audit log can be read");
    BufReader::new(log)
        .lines()
        .map_while(Result::ok)
        .filter(|line| line.contains(&deployer) && line.contains("\"verb\":\"patch\""))
        .count()
}
