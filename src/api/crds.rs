//! The CRDs as they are installed: the output of kube's derive, made stricter.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::json;

use crate::api::kinds::Kind;
use crate::api::names::NOT_OBSERVED;

/// The CRDs of all kinds, in the order in which they are installed.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds: Vec<CustomResourceDefinition> = Kind::ALL.map(Kind::derived).into();
    let schemas = crds
        .iter_mut()
        .flat_map(|crd| &mut crd.spec.versions)
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        tidy(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|all| all.get_mut("status")) {
            status.default = Some(JSON(json!({ "observedGeneration": NOT_OBSERVED })));
        }
    }
    crds
}

/// Optional fields are absent, not null: the API server drops a null that a client sends, and fills in the default.
/// If a field were nullable, the null would be stored, and `has()` would be true for it.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds to `unbounded` the fields of `schema` whose size has no limit.
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
            // A patch is part of an object with a schema unknown to this API. Its size is limited by that of the request.
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

    /// kstatus treats an object without a status as finished.
    #[test]
    fn a_status_that_is_not_there_reads_as_not_observed() {
        let defaults: Vec<_> = parts("status")
            .into_iter()
            .map(|(kind, status)| (kind, status.default.map(|default| default.0)))
            .collect();
        let not_observed = || Some(json!({ "observedGeneration": -1 }));
        assert_eq!(
            defaults,
            [
                ("Release".to_owned(), not_observed()),
                ("Environment".to_owned(), not_observed())
            ]
        );
    }

    /// A stricter static rule at the root would refuse status writes on stored objects. Below spec, rules are ratcheted.
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
