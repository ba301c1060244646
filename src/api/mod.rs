//! The kinds, one file each: what people write, what the operator answers.
//!
//! No client and no clock live here. The YAML in `crds/` is generated from these types by `cargo xtask crds`.

#![allow(
    clippy::duplicated_attributes,
    reason = "kube's printer columns repeat their type, which clippy takes for one attribute said twice"
)]

pub mod decision;
pub mod environment;
mod go_duration;
pub mod reasons;
pub mod release;
pub mod review;
mod rules;

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
    schema
        .properties
        .iter_mut()
        .flatten()
        .for_each(|(_, inner)| tidy(inner));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds to `unbounded` what of `schema` a person could make as large as they like.
    fn walk(schema: &JSONSchemaProps, path: &str, unbounded: &mut Vec<String>) {
        let bounded = match schema.type_.as_deref() {
            Some("string") => {
                schema.max_length.is_some()
                    || schema.enum_.is_some()
                    || schema.format.as_deref() == Some("date-time")
            }
            Some("array") => schema.max_items.is_some(),
            Some("integer") => schema.minimum.is_some() && schema.maximum.is_some(),
            Some("boolean") => true,
            // A patch is a part of an object that this API knows nothing of; its size is bounded by the request's.
            Some("object") => {
                schema.properties.is_some()
                    || schema.max_properties.is_some()
                    || schema.x_kubernetes_preserve_unknown_fields == Some(true)
            }
            _ => false,
        };
        if !bounded {
            unbounded.push(path.to_owned());
        }
        for (name, inner) in schema.properties.iter().flatten() {
            walk(inner, &format!("{path}.{name}"), unbounded);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            walk(items, &format!("{path}[]"), unbounded);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            walk(values, &format!("{path}{{}}"), unbounded);
        }
    }

    /// `part` of every kind's schema, with the kind's name; not every kind has a status.
    fn parts(part: &str) -> Vec<(String, JSONSchemaProps)> {
        crds()
            .into_iter()
            .filter_map(|mut crd| {
                let schema = crd.spec.versions.remove(0).schema?.open_api_v3_schema?;
                let part = schema.properties?.remove(part)?;
                Some((crd.spec.names.kind, part))
            })
            .collect()
    }

    #[test]
    fn everything_that_people_write_is_bounded() {
        let mut unbounded = Vec::new();
        for (kind, spec) in parts("spec") {
            walk(&spec, &format!("{kind}.spec"), &mut unbounded);
        }
        assert_eq!(unbounded, Vec::<String>::new());
    }

    #[test]
    fn every_list_says_how_it_merges_and_nothing_is_nullable() {
        fn walk(schema: &JSONSchemaProps, path: &str, wrong: &mut Vec<String>) {
            if schema.nullable.is_some() {
                wrong.push(format!("{path} is nullable"));
            }
            if schema.type_.as_deref() == Some("array") && schema.x_kubernetes_list_type.is_none() {
                wrong.push(format!("{path} has no list type"));
            }
            for (name, inner) in schema.properties.iter().flatten() {
                walk(inner, &format!("{path}.{name}"), wrong);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
                walk(items, &format!("{path}[]"), wrong);
            }
        }
        let mut wrong = Vec::new();
        for part in ["spec", "status"] {
            for (kind, schema) in parts(part) {
                walk(&schema, &format!("{kind}.{part}"), &mut wrong);
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn every_field_that_people_write_is_explained() {
        fn walk(schema: &JSONSchemaProps, path: &str, silent: &mut Vec<String>) {
            for (name, inner) in schema.properties.iter().flatten() {
                let path = format!("{path}.{name}");
                if inner.description.is_none() {
                    silent.push(path.clone());
                }
                walk(inner, &path, silent);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
                walk(items, &format!("{path}[]"), silent);
            }
        }
        let mut silent = Vec::new();
        for (kind, spec) in parts("spec") {
            walk(&spec, &format!("{kind}.spec"), &mut silent);
        }
        assert_eq!(silent, Vec::<String>::new());
    }

    /// A tightened static rule at the root would refuse status writes on stored objects; below spec it is ratcheted.
    #[test]
    fn rules_at_the_root_compare_with_the_old_object_and_name_the_field() {
        for crd in crds() {
            let schema = &crd.spec.versions[0].schema;
            let root = schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
            let rules = root.and_then(|r| r.x_kubernetes_validations.clone());
            for rule in rules.unwrap_or_default() {
                assert!(rule.rule.contains("oldSelf"), "{}", rule.rule);
                assert!(rule.field_path.is_some(), "{}", rule.rule);
            }
        }
    }
}
