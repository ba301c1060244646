//! The kinds, one file each: what people write, what the operator answers.
//!
//! No client and no clock live here. The YAML in `crds/` is generated from these types by `cargo xtask crds`.

pub mod decision;
pub mod environment;
mod go_duration;
pub mod reasons;
pub mod release;
pub mod review;

pub use decision::{Action, Decision, DecisionSpec};
pub use environment::{Environment, EnvironmentSpec, EnvironmentStatus};
pub use go_duration::GoDuration;
pub use release::{Release, ReleaseSpec, ReleaseStatus};
pub use review::{ReleaseReview, ReleaseReviewSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

/// API group of every kind.
pub const GROUP: &str = "signalbox.dev";
/// On every Release: it is not forgotten before its claims and pre-states are.
pub const RELEASE_FINALIZER: &str = "signalbox.dev/release";
/// On every Environment: an occupied one cannot vanish.
pub const OCCUPIED_FINALIZER: &str = "signalbox.dev/occupied";
/// Annotation on a Release: `BackOut` restores what ran before when the Release is deleted.
pub const ON_DELETE: &str = "signalbox.dev/on-delete";
/// Labels on everything that the operator creates.
pub const LABEL_RELEASE: &str = "signalbox.dev/release";
pub const LABEL_ENVIRONMENT: &str = "signalbox.dev/environment";
pub const LABEL_ATTEMPT: &str = "signalbox.dev/attempt";
pub const LABEL_COMPONENT: &str = "signalbox.dev/component";
/// Annotation on pod templates: the hash of the configuration that the pods were restarted for.
pub const RESTARTED_FOR: &str = "signalbox.dev/restarted-for";
/// Annotation on claims: a decision is owed before anybody else may enter this namespace.
pub const UNSETTLED: &str = "signalbox.dev/unsettled";
/// Field manager of every write.
pub const FIELD_MANAGER: &str = "signalbox";
/// User extra that names the promotion on every request made as the deployer.
pub const PROMOTION_EXTRA: &str = "signalbox.dev/promotion";

/// The definitions of all kinds, in the order in which they are installed.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Release::crd(),
        Environment::crd(),
        Decision::crd(),
        ReleaseReview::crd(),
    ];
    let schemas = crds
        .iter_mut()
        .flat_map(|crd| &mut crd.spec.versions)
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        tidy(schema);
    }
    crds
}

/// Optional fields are absent, not null: what a client sends as null the API server drops, and fills in the default.
/// Left nullable, a null would be stored, and `has()` is true of it.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flatten().for_each(|(_, inner)| tidy(inner));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// The instant `timestamp`, cut to the second that the API server keeps.
#[must_use]
pub fn time(timestamp: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(timestamp.as_second()).unwrap_or(timestamp))
}

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
