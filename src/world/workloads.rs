//! The status of workloads as their controllers report it, as plain values.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

/// The hash of a workload's template, which names its ReplicaSet or revision.
pub(crate) fn template_hash(object: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    let template = object.pointer("/spec/template");
    template.map(Value::to_string).hash(&mut hasher);
    format!("{:x}", hasher.finish() % (1 << 40))
}

/// The number of replicas of a workload. A DaemonSet has two nodes.
pub(crate) fn asked(object: &Value) -> i64 {
    match object["kind"].as_str() {
        Some("DaemonSet") => 2,
        _ => object
            .pointer("/spec/replicas")
            .and_then(Value::as_i64)
            .unwrap_or(1),
    }
}

/// The number of pods that stay ready when readiness is lost: none of a StatefulSet, as with a database that hangs.
pub(crate) fn less(object: &Value) -> i64 {
    if object["kind"] == "StatefulSet" {
        0
    } else {
        asked(object) - 1
    }
}

/// Whether the last rollout has finished.
pub(crate) fn is_done(object: &Value) -> bool {
    let status = &object["status"];
    status["updatedReplicas"] == status["replicas"] && status["readyReplicas"].as_i64().unwrap_or(0) > 0
}

/// The status while one pod of the new template exists and is not ready.
pub(crate) fn tried(object: &Value, progressing: &str, reason: &str) -> Value {
    let (asked, generation) = (asked(object), &object["metadata"]["generation"]);
    let before = |field: &str| object["status"].get(field).cloned().unwrap_or_default();
    match object["kind"].as_str() {
        Some("StatefulSet") => json!({
            "observedGeneration": generation, "replicas": asked, "updatedReplicas": 1,
            "readyReplicas": asked - 1, "availableReplicas": asked - 1,
            "currentRevision": before("currentRevision"), "updateRevision": template_hash(object),
        }),
        Some("DaemonSet") => json!({
            "observedGeneration": generation, "desiredNumberScheduled": asked, "currentNumberScheduled": asked,
            "updatedNumberScheduled": 1, "numberReady": asked - 1, "numberAvailable": asked - 1,
            "numberUnavailable": 1,
        }),
        _ => json!({
            "observedGeneration": generation, "replicas": asked, "updatedReplicas": 1, "readyReplicas": asked - 1,
            "availableReplicas": asked - 1, "unavailableReplicas": 1,
            "conditions": [
                { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "" },
                { "type": "Progressing", "status": progressing, "reason": reason, "message": "its pod is not ready" },
            ],
        }),
    }
}

/// The status of a StatefulSet that waits for a broken pod of another revision.
pub(crate) fn waits(object: &Value) -> Value {
    let revision = template_hash(object);
    let mut status = object["status"].clone();
    let goes_back = status["currentRevision"] == json!(revision);
    status["observedGeneration"] = object["metadata"]["generation"].clone();
    status["updatedReplicas"] = json!(if goes_back { asked(object) - 1 } else { 0 });
    status["updateRevision"] = json!(revision);
    status
}

/// Whether a controller rolls out objects of this kind, and may fail to. Objects of other kinds take effect when they are written.
#[must_use]
pub fn rolls_out(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
}

/// The status of a workload once its controller has finished, if `room` of its pods find a node. `None` for kinds without a status.
pub(crate) fn done(object: &Value, room: Option<i64>) -> Option<Value> {
    let asked = asked(object);
    let ready = room.map_or(asked, |room| room.min(asked));
    let generation = &object["metadata"]["generation"];
    Some(match object["kind"].as_str()? {
        "Deployment" => {
            let (enough, reason) = if ready >= asked - asked / 4 {
                ("True", "MinimumReplicasAvailable")
            } else {
                ("False", "MinimumReplicasUnavailable")
            };
            json!({
                "observedGeneration": generation, "replicas": asked, "updatedReplicas": asked,
                "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": asked - ready,
                "conditions": [
                    { "type": "Available", "status": enough, "reason": reason, "message": "" },
                    { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "" },
                ],
            })
        }
        "StatefulSet" => {
            let revision = template_hash(object);
            json!({
                "observedGeneration": generation, "replicas": asked, "updatedReplicas": asked,
                "readyReplicas": ready, "availableReplicas": ready,
                "currentRevision": revision, "updateRevision": revision,
            })
        }
        "DaemonSet" => json!({
            "observedGeneration": generation, "desiredNumberScheduled": asked, "currentNumberScheduled": asked,
            "updatedNumberScheduled": asked, "numberReady": ready, "numberAvailable": ready,
            "numberUnavailable": asked - ready,
        }),
        "ReplicaSet" => json!({
            "observedGeneration": generation, "replicas": asked, "readyReplicas": ready,
            "availableReplicas": ready, "fullyLabeledReplicas": asked,
        }),
        _ => return None,
    })
}
