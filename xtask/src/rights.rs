//! Checks that the operator's rights are minimal: the rights that the chart grants are compared with the requests in the API
//! server's audit log while every rung ran. No request was refused, and no granted right stayed unused.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::operator;
use crate::tools::Tools;
use crate::writes::files;

/// The name of the deployers in the chart.
const DEPLOYER: &str = "signalbox-deployer";
/// A request with impersonation needs rights of its own. The log shows them only by the impersonated name.
const IMPERSONATES: [(&str, &str); 2] = [
    ("", "serviceaccounts"),
    ("authentication.k8s.io", "userextras/signalbox.dev/promotion"),
];

/// One verb on one resource, written as `get configmaps` or `update releases.signalbox.dev/status`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    /// The resource, with its subresource.
    resource: String,
    verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resource, sub) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        write!(f, "{} {resource}", self.verb)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if sub.is_empty() {
            Ok(())
        } else {
            write!(f, "/{sub}")
        }
    }
}

/// The author of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Operator,
    Deployer,
}

/// The rights that were used, and the ones that the operator was refused.
#[derive(Default)]
struct Asked {
    granted: BTreeSet<(Who, Right)>,
    refused: BTreeSet<Right>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    annotations: std::collections::HashMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
}

impl Asked {
    fn read(&mut self, line: &str) -> Result<()> {
        let entry: Entry = serde_json::from_str(line).context("the audit log cannot be read")?;
        let operator = operator::username();
        let impersonated = entry.impersonated_user.as_ref().map(|user| &user.username);
        // Older versions, which tests run in turn with the present one, send no user agent of their own. Operators in tests impersonate.
        let itself = entry.user.username == operator && entry.user_agent.starts_with("signalbox/");
        let within_a_test = impersonated == Some(&operator) && entry.user_agent.is_empty();
        let Some(object) = entry.object_ref.filter(|_| itself || within_a_test) else {
            return Ok(());
        };
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            sub => format!("{}/{sub}", object.resource),
        };
        let right = Right {
            group: object.api_group,
            resource,
            verb: entry.verb,
        };
        let deployer = format!(":{DEPLOYER}");
        let as_deployer = impersonated
            .filter(|name| **name != operator)
            .map(|name| name.ends_with(&deployer));
        let allowed = entry.annotations.get("authorization.k8s.io/decision");
        let allowed = allowed.is_some_and(|decision| decision == "allow");
        match (as_deployer, allowed) {
            (None, true) => _ = self.granted.insert((Who::Operator, right)),
            (None, false) => _ = self.refused.insert(right),
            // Tests grant deployers other rights, and fewer.
            (Some(true), true) => {
                for (group, resource) in IMPERSONATES {
                    let (group, resource) = (group.to_owned(), resource.to_owned());
                    let right = Right {
                        group,
                        resource,
                        verb: "impersonate".to_owned(),
                    };
                    self.granted.insert((Who::Operator, right));
                }
                self.granted.insert((Who::Deployer, right));
            }
            (Some(_), _) => {}
        }
        Ok(())
    }

    /// Sentences that name rights that are granted but not used, and rights that are needed but not granted.
    fn against(&self, chart: &BTreeSet<(Who, Right)>) -> Vec<String> {
        let unused = chart
            .iter()
            .filter(|granted| !self.granted.contains(granted))
            .map(|(who, right)| match who {
                Who::Operator => format!("the operator never used its right to {right}"),
                Who::Deployer => format!("no deployer used its right to {right}"),
            });
        let refused = self.refused.iter();
        let refused = refused.map(|right| format!("the operator was not allowed to {right}"));
        unused.chain(refused).collect()
    }
}

/// Every right in `rules` of a Role.
fn listed(rules: &Value) -> Vec<Right> {
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let values = rule[field].as_array().into_iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = Vec::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    let (group, resource) = (group.clone(), resource.clone());
                    rights.push(Right {
                        group,
                        resource,
                        verb,
                    });
                }
            }
        }
    }
    rights
}

/// The rights that the chart grants with all options.
async fn chart(tools: &Tools, repository: &Path) -> Result<BTreeSet<(Who, Right)>> {
    let output = Command::new(tools.folder().join("helm"))
        .args(["template", "signalbox"])
        .arg(repository.join("charts/signalbox"))
        .args(["--namespace", operator::NAMESPACE])
        .args([
            "--set",
            "deployer.namespaces={target},deployer.deleteStuckPods=true",
        ])
        .output()
        .await
        .context("cannot run helm")?;
    ensure!(
        output.status.success(),
        "helm template fails:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut granted = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_slice(&output.stdout) {
        let object = Value::deserialize(document)?;
        let role = matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"));
        let who = match object["metadata"]["name"].as_str() {
            Some("signalbox") if role => Who::Operator,
            Some(DEPLOYER) if role => Who::Deployer,
            _ => continue,
        };
        granted.extend(listed(&object["rules"]).into_iter().map(|right| (who, right)));
    }
    let has = |who| granted.iter().any(|(whose, _)| *whose == who);
    ensure!(
        has(Who::Operator) && has(Who::Deployer),
        "the chart renders no Role of the operator, or none of a deployer"
    );
    Ok(granted)
}

/// The number of rights that the chart grants, all of which were used.
///
/// # Errors
/// Rights that were not used or were missing, one per line; or the log cannot be read.
pub async fn least(tools: &Tools, repository: &Path, log: &Path) -> Result<usize> {
    let granted = chart(tools, repository).await?;
    let mut asked = Asked::default();
    let operator = operator::username();
    for file in files(log)? {
        for line in BufReader::new(File::open(&file)?).lines() {
            let line = line.with_context(|| format!("{} cannot be read", file.display()))?;
            if line.contains(&operator) {
                asked.read(&line)?;
            }
        }
    }
    let wrong = asked.against(&granted);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(granted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str, resource: &str, decision: &str, user: &str, impersonated: Option<&str>) -> String {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut entry = serde_json::json!({
            "verb": verb, "user": { "username": user }, "userAgent": "signalbox/0.1.0",
            "objectRef": { "apiGroup": "signalbox.dev", "resource": resource, "subresource": subresource },
            "annotations": { "authorization.k8s.io/decision": decision },
        });
        if let Some(username) = impersonated {
            entry["impersonatedUser"] = serde_json::json!({ "username": username });
        }
        entry.to_string()
    }

    #[test]
    fn what_is_granted_without_need_and_needed_without_grant_is_named() {
        let mut asked = Asked::default();
        let operator = operator::username();
        let target = format!("system:serviceaccount:payments-sit:{DEPLOYER}");
        for line in [
            line("update", "releases/status", "allow", &operator, None),
            line("get", "releases", "forbid", &operator, None),
            line("list", "releases", "allow", "alice", None),
            line("patch", "things", "allow", &operator, Some(&target)),
            line("delete", "things", "forbid", &operator, Some(&target)),
        ] {
            asked.read(&line).expect("an entry");
        }
        let rules = serde_json::json!([
            { "apiGroups": ["signalbox.dev"], "resources": ["releases/status"], "verbs": ["patch", "update"] },
            { "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"] },
        ]);
        let deployers = serde_json::json!([
            { "apiGroups": ["signalbox.dev"], "resources": ["things"], "verbs": ["list", "patch"] },
        ]);
        let chart = |who, rules| listed(rules).into_iter().map(move |right| (who, right));
        let chart = chart(Who::Operator, &rules).chain(chart(Who::Deployer, &deployers));
        assert_eq!(
            asked.against(&chart.collect()),
            [
                "the operator never used its right to patch releases.signalbox.dev/status",
                "no deployer used its right to list things.signalbox.dev",
                "the operator was not allowed to get releases.signalbox.dev",
            ]
        );
    }
}
