//! What the chart's admission policies refuse for every user: rules that depend on the object alone.
//!
//! Only the API server knows the permissions of users, so rules about users are skipped.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{Expr, SelectExpr};
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{self, Context, Program};
use serde::Deserialize;
use serde_json::Value;

use crate::observe::trust;

/// The rules that can be evaluated here.
pub(crate) struct Policies {
    rules: Vec<Rule>,
}

struct Rule {
    /// The plurals of the kinds that it applies to.
    resources: Vec<String>,
    program: Program,
    /// The first field of the object that it reads, such as `metadata.name`.
    field: String,
    message: String,
}

impl Policies {
    /// The policies that the chart installs, compiled.
    pub fn new() -> Self {
        let documents = trust::texts().flat_map(serde_yaml_ng::Deserializer::from_str);
        let policies = documents.filter_map(|document| Value::deserialize(document).ok());
        Self {
            rules: policies.flat_map(|policy| rules(&policy)).collect(),
        }
    }

    /// What they refuse in an object of the kind with this plural: the field, and the message.
    pub fn judge(&self, plural: &str, object: &Value) -> Vec<(String, String)> {
        let asked = self
            .rules
            .iter()
            .filter(|r| r.resources.iter().any(|r| r == plural));
        let mut refusals = Vec::new();
        for rule in asked {
            let mut context = Context::default().with_all();
            context.add_variable_from_value("object", to_cel(object));
            context.add_variable_from_value("oldObject", cel::Value::Null);
            // An object for which a rule cannot be evaluated does not fit the schema, which is reported already.
            if rule.program.execute(&context) == Ok(cel::Value::Bool(false)) {
                refusals.push((rule.field.clone(), rule.message.clone()));
            }
        }
        refusals
    }
}

/// Replaces the library's own conversion, which makes whole numbers unsigned, and `5u + 1` is an error.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(b) => cel::Value::Bool(*b),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => cel::Value::Int(integer),
            (None, Some(integer)) => cel::Value::UInt(integer),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(list) => cel::Value::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Object(object) => cel::Value::Map(Map {
            map: Arc::new(
                object
                    .iter()
                    .map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value)))
                    .collect::<HashMap<_, _>>(),
            ),
        }),
    }
}

fn rules(policy: &Value) -> Vec<Rule> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let asked_of: Vec<String> = list(&policy["spec"]["matchConstraints"]["resourceRules"])
        .iter()
        .filter(|rule| list(&rule["operations"]).iter().any(|o| o == "CREATE"))
        .flat_map(|rule| list(&rule["resources"]))
        .filter_map(|resource| resource.as_str().map(str::to_owned))
        .collect();
    list(&policy["spec"]["validations"])
        .iter()
        .filter_map(|validation| {
            let program = Program::compile(validation["expression"].as_str()?).ok()?;
            let alone = ["request", "authorizer", "variables", "params", "namespaceObject"]
                .iter()
                .all(|variable| !program.references().has_variable(variable));
            alone.then(|| Rule {
                resources: asked_of.clone(),
                field: looks_at(&program.expression().expr).unwrap_or_default(),
                program,
                message: validation["message"].as_str().unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

/// The first field of the object that an expression reads. A rule is about the field that it reads first.
fn looks_at(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Select(select) => field(select).or_else(|| looks_at(&select.operand.expr)),
        Expr::Call(call) => {
            let target = call.target.as_deref();
            target
                .into_iter()
                .chain(&call.args)
                .find_map(|part| looks_at(&part.expr))
        }
        Expr::Comprehension(comprehension) => looks_at(&comprehension.iter_range.expr),
        _ => None,
    }
}

/// `a.b` of `object.a.b`.
fn field(select: &SelectExpr) -> Option<String> {
    match &select.operand.expr {
        Expr::Ident(root) if root == "object" => Some(select.field.clone()),
        Expr::Select(outer) => Some(format!("{}.{}", field(outer)?, select.field)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_policy_refuses_whoever_asks_is_refused_here() {
        let policies = Policies::new();
        let named = |name: &str| json!({ "metadata": { "name": name }, "spec": {} });
        assert_eq!(policies.judge("releases", &named("short")), []);
        assert_eq!(
            policies.judge("releases", &named(&"x".repeat(64))),
            [(
                "metadata.name".to_owned(),
                "metadata.name must be at most 63 characters, because it becomes the label signalbox.dev/release; choose a shorter name"
                    .to_owned()
            )]
        );
        let mut decision = named("decision");
        decision["metadata"]["labels"] = json!({ "signalbox.dev/release": "x" });
        let refused = policies.judge("decisions", &decision);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].0, "metadata.labels");
        let fields: Vec<&str> = policies.rules.iter().map(|rule| rule.field.as_str()).collect();
        assert_eq!(
            fields,
            ["metadata.name", "metadata.ownerReferences", "metadata.labels"]
        );
    }
}
