//! What our kinds take from those of Kubernetes.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};

/// The instant `timestamp`, cut to the second that the API server keeps.
#[must_use]
pub fn time(timestamp: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(timestamp.as_second()).unwrap_or(timestamp))
}
