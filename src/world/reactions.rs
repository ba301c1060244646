//! What a controller writes later, and as which status.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::time;
use crate::world::changes::Spot;
#[cfg(test)]
use crate::world::workloads::asked;
use crate::world::workloads::{done, less, tried, waits};

/// What a controller writes later, unless the object has been replaced or has another generation by then.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    pub(crate) spot: Spot,
    pub(crate) uid: Value,
    pub(crate) generation: Value,
    pub(crate) then: Then,
}

/// What happens to a workload or a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    RolledOut,
    /// One pod of the new template exists and does not become ready.
    Begun,
    GivenUp,
    Unhealthy,
    /// Fewer pods are ready than should be, and no controller says that this is bad.
    LessReady,
    /// Containers of every pod have failed, and run again before they count as not ready.
    Crashed,
    /// Its controller has seen the template and waits for a broken pod of another one.
    WaitsForPod,
    /// Its controller has observed the number of replicas.
    Scaled,
    /// A pod is lost with its node, and is created again.
    #[cfg(test)]
    LosesNode,
    #[cfg(test)]
    NodeIsBack,
    Complete,
    JobFailed,
}

impl Reaction {
    /// The object of the status.
    #[cfg(test)]
    pub(crate) fn spot(&self) -> &Spot {
        &self.spot
    }
}

impl Then {
    /// The status of `object` after the reaction, if `room` of its pods find a node.
    pub(crate) fn status(self, object: &Value, room: Option<i64>, now: Timestamp) -> Value {
        match self {
            Self::RolledOut | Self::Scaled | Self::Crashed => done(object, room).unwrap_or_default(),
            Self::Begun => tried(object, "True", "ReplicaSetUpdated"),
            Self::GivenUp => tried(object, "False", "ProgressDeadlineExceeded"),
            Self::Unhealthy => done(object, Some(0)).unwrap_or_default(),
            Self::LessReady => done(object, Some(less(object))).unwrap_or_default(),
            #[cfg(test)]
            Self::LosesNode => done(object, Some(asked(object) - 1)).unwrap_or_default(),
            #[cfg(test)]
            Self::NodeIsBack => done(object, room).unwrap_or_default(),
            Self::WaitsForPod => waits(object),
            Self::Complete => json!({ "conditions": [{ "type": "Complete", "status": "True" }],
                                      "completionTime": time(now) }),
            Self::JobFailed => json!({ "conditions": [{ "type": "Failed", "status": "True",
                                                        "reason": "BackoffLimitExceeded", "message": "its pod failed" }] }),
        }
    }
}
