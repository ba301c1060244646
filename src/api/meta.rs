//! Types of Kubernetes that the kinds of this API use.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};

/// The instant `timestamp`, truncated to whole seconds as the API server stores it.
#[must_use]
pub fn time(timestamp: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(timestamp.as_second()).unwrap_or(timestamp))
}
