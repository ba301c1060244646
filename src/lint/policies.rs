//! What the chart's admission policies refuse whoever asks: rules that look at the object alone.
//!
//! Who may do what only the API server knows; those rules are passed over.

use kube_cel::KubeCelExt;
use kube_cel::cel::{self, Context, Program};
use serde::Deserialize;
use serde_json::Value;

use crate::expressions::to_cel;
use crate::observe::trust;

/// The rules that can be asked here.
pub(super) struct Policies {
    rules: Vec<Rule>,
}

struct Rule {
    /// The plurals of the kinds that it is asked of.
    resources: Vec<String>,
    program: Program,
    message: String,
}

impl Policies {
    pub fn new() -> Self {
        let documents = trust::texts().flat_map(serde_yaml_ng::Deserializer::from_str);
        let policies = documents.filter_map(|document| Value::deserialize(document).ok());
        Self {
            rules: policies.flat_map(|policy| rules(&policy)).collect(),
        }
    }

    /// What they say of an object of the kind with this plural: the field that the sentence begins with, and the sentence.
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
            // What cannot be evaluated has not the form that the schema asks for, which is said already.
            if rule.program.execute(&context) == Ok(cel::Value::Bool(false)) {
                let field = rule.message.split([' ', ':']).next().unwrap_or_default();
                refusals.push((field.to_owned(), rule.message.clone()));
            }
        }
        refusals
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
                program,
                message: validation["message"].as_str().unwrap_or_default().to_owned(),
            })
        })
        .collect()
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
    }
}
