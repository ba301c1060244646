//! One pod, as a plain value.

use serde_json::{Value, json};

use crate::world::changes::Spot;
use crate::world::workloads::template_hash;

/// The condition of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Ready,
    /// It runs, and is not ready.
    Unready,
    Crashes,
    /// Its image cannot be pulled.
    Pulls,
    /// It waits for a node.
    Pending,
}

/// Whether its condition says that it is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True"
}

/// Whether it has been deleted and is still terminating.
pub(crate) fn is_ending(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_some()
}

/// The hash of the template that it was made from.
pub(crate) fn hash_of(pod: &Value) -> &str {
    let labels = &pod["metadata"]["labels"];
    let label = labels
        .get("pod-template-hash")
        .or(labels.get("controller-revision-hash"));
    label.and_then(Value::as_str).unwrap_or_default()
}

/// The pod number `n`, from 0, of the workload `object`: owned by it, or by the ReplicaSet that is named after its template.
pub(crate) fn pod(spot: &Spot, object: &Value, n: i64, doing: Doing) -> Value {
    let hash = template_hash(object);
    let template = &object["spec"]["template"];
    let name = &spot.2;
    let (name, owner, label) = match spot.1.as_str() {
        "Deployment" => {
            let set = format!("{name}-{hash}");
            (
                format!("{set}-{n}"),
                json!({ "kind": "ReplicaSet", "name": set, "uid": format!("uid-{set}"), "controller": true }),
                "pod-template-hash",
            )
        }
        kind => (
            format!("{name}-{n}"),
            json!({ "kind": kind, "name": name, "uid": object["metadata"]["uid"], "controller": true }),
            "controller-revision-hash",
        ),
    };
    let mut labels = template.pointer("/metadata/labels").cloned().unwrap_or(json!({}));
    labels[label] = json!(hash);
    let ready = if doing == Doing::Ready { "True" } else { "False" };
    let mut conditions = vec![json!({ "type": "Ready", "status": ready })];
    let state = match doing {
        Doing::Ready | Doing::Unready => json!({ "running": {} }),
        Doing::Crashes => json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
        Doing::Pulls => json!({ "waiting": { "reason": "ImagePullBackOff" } }),
        Doing::Pending => {
            conditions.push(json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }));
            json!({})
        }
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": spot.0, "labels": labels, "ownerReferences": [owner],
                      "annotations": template.pointer("/metadata/annotations").cloned().unwrap_or(json!({})) },
        "spec": template.get("spec").cloned().unwrap_or(json!({})),
        "status": { "phase": if doing == Doing::Pending { "Pending" } else { "Running" }, "conditions": conditions,
                    "containerStatuses": [{ "name": "app", "restartCount": 0, "ready": doing == Doing::Ready,
                                            "state": state }] },
    })
}
