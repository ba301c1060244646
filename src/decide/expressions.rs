//! Expressions over a Release and an Environment: the data that they see, and the expressions of an Environment.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::api::{Environment, EnvironmentSpec, Release};
use crate::domain::cel::types::Type;
use crate::domain::cel::{Expression, Refusal, Unanswered};

static RELEASE: LazyLock<Option<JSONSchemaProps>> = LazyLock::new(|| spec_schema(Release::crd()));
static ENVIRONMENT: LazyLock<Option<JSONSchemaProps>> = LazyLock::new(|| spec_schema(Environment::crd()));

/// Reads an expression over `release` and `environment`.
///
/// # Errors
/// Those of [`Expression::compile`].
pub fn compile(text: &str) -> Result<Expression, Refusal> {
    static VARIABLES: LazyLock<Vec<(String, Type)>> = LazyLock::new(|| {
        vec![
            ("release".to_owned(), release_type()),
            ("environment".to_owned(), environment_type()),
        ]
    });
    Expression::compile(text, VARIABLES.clone())
}

/// The type of [`release_value`].
fn release_type() -> Type {
    visible_type("release", &["name", "namespace"], RELEASE.as_ref())
}

/// The type of [`environment_value`].
fn environment_type() -> Type {
    visible_type("environment", &["name"], ENVIRONMENT.as_ref())
}

fn visible_type(name: &str, metadata: &[&str], spec: Option<&JSONSchemaProps>) -> Type {
    let mut shown: Vec<(String, Type)> = metadata
        .iter()
        .map(|field| ((*field).to_owned(), Type::Text))
        .collect();
    shown.push(("labels".to_owned(), Type::map(Type::Text, Type::Text)));
    let spec = spec.map_or(Type::Dyn, |schema| Type::of(schema, &format!("{name}.spec")));
    let metadata = Type::object(&format!("{name}.metadata"), shown);
    Type::object(
        name,
        [("metadata".to_owned(), metadata), ("spec".to_owned(), spec)],
    )
}

/// What expressions see as `release`: name, namespace, labels and spec, with defaults and empty lists; no status.
#[must_use]
pub fn release_value(release: &Release) -> Value {
    visible(&release.metadata, json!(release.spec), RELEASE.as_ref())
}

/// What expressions see as `environment`: name, labels and spec, with defaults and empty lists; no status.
#[must_use]
pub fn environment_value(environment: &Environment) -> Value {
    visible(
        &environment.metadata,
        json!(environment.spec),
        ENVIRONMENT.as_ref(),
    )
}

fn visible(metadata: &ObjectMeta, mut spec: Value, schema: Option<&JSONSchemaProps>) -> Value {
    if let Some(schema) = schema {
        fill_lists(&mut spec, schema);
    }
    let mut shown = json!({ "labels": metadata.labels.clone().unwrap_or_default() });
    if let Some(name) = &metadata.name {
        shown["name"] = json!(name);
    }
    if let Some(namespace) = &metadata.namespace {
        shown["namespace"] = json!(namespace);
    }
    json!({ "metadata": shown, "spec": spec })
}

fn spec_schema(definition: CustomResourceDefinition) -> Option<JSONSchemaProps> {
    let version = definition.spec.versions.into_iter().next()?;
    version.schema?.open_api_v3_schema?.properties?.remove("spec")
}

/// Inserts `[]` wherever the schema has a list and the value has none. It follows the schema, so that a new list is not forgotten.
fn fill_lists(value: &mut Value, schema: &JSONSchemaProps) {
    match value {
        Value::Object(object) => {
            for (name, property) in schema.properties.iter().flatten() {
                if let Some(inner) = object.get_mut(name) {
                    fill_lists(inner, property);
                } else if property.type_.as_deref() == Some("array") {
                    object.insert(name.clone(), json!([]));
                }
            }
        }
        Value::Array(list) => {
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
                for inner in list {
                    fill_lists(inner, item);
                }
            }
        }
        _ => {}
    }
}

/// Why an expression of an Environment has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Its Environment does not exist.
    #[error("Environment {0} no longer exists")]
    NoEnvironment(String),
    /// Other expressions over the same Release have taken long.
    #[error("expression evaluation for this release is rate-limited; it is retried automatically")]
    TakesTurns,
    /// Its text is not an expression.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was evaluated without a result.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// An expression of an Environment that can never be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer into the Environment.
    pub at: String,
    /// A complete message.
    pub sentence: String,
}

/// Every expression of `spec`: the JSON pointer of its text, the name of its gate or verification, and the text.
pub fn stated(spec: &EnvironmentSpec) -> impl Iterator<Item = (String, &str, &str)> {
    let gates = spec.gates.iter().enumerate().filter_map(|(index, gate)| {
        let expression = gate.expression.as_ref()?;
        Some(("gates", index, &gate.name, expression))
    });
    let verification = spec.verification.iter().enumerate().filter_map(|(index, one)| {
        let expression = one.expression.as_ref()?;
        Some(("verification", index, &one.name, expression))
    });
    gates.chain(verification).map(|(list, index, name, expression)| {
        let at = format!("/spec/{list}/{index}/expression/passWhen");
        (at, name.as_str(), expression.pass_when.as_str())
    })
}

/// The errors in the expressions of `spec`, whatever is released. `compile` is [`compile`], or caches it.
#[must_use]
pub fn problems(
    spec: &EnvironmentSpec,
    compile: impl Fn(&str) -> Result<Expression, Refusal>,
) -> Vec<Problem> {
    let wrong = |(at, name, text): (String, &str, &str)| {
        let why = compile(text).err()?;
        let sentence = format!("{name}: passWhen {text:?} cannot be evaluated: {why}.");
        Some(Problem { at, sentence })
    };
    stated(spec).filter_map(wrong).collect()
}
