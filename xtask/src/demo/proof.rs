//! The full targets of a namespace, so that two moments can be compared.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::show::Screen;

/// The Deployment and the ConfigMap of one target namespace at one moment.
pub struct Standing {
    deployment: Value,
    config: Value,
    /// Counts how often the Deployment's spec was written.
    generation: i64,
    /// Changes with every write.
    config_version: String,
}

impl Standing {
    pub async fn read(client: &Client, namespace: &str) -> Result<Self> {
        let deployment = Api::<Deployment>::namespaced(client.clone(), namespace)
            .get("ledger")
            .await?;
        let config = Api::<ConfigMap>::namespaced(client.clone(), namespace)
            .get("ledger-config")
            .await?;
        Ok(Self {
            generation: deployment.metadata.generation.unwrap_or_default(),
            config_version: config.metadata.resource_version.clone().unwrap_or_default(),
            deployment: json!({ "labels": deployment.metadata.labels, "spec": deployment.spec }),
            config: json!({
                "labels": config.metadata.labels,
                "annotations": config.metadata.annotations,
                "data": config.data,
                "binaryData": config.binary_data,
            }),
        })
    }

    /// Prints both, and fails on any difference.
    pub fn compare(&self, later: &Self, screen: &Screen, title: &str) -> Result<()> {
        screen.note(title);
        for (name, before, after) in [
            (
                "Deployment ledger, whole spec",
                &self.deployment,
                &later.deployment,
            ),
            ("ConfigMap ledger-config, whole data", &self.config, &later.config),
        ] {
            println!("     {:<37}sha256 {}", name, digest(before));
            println!("     {:<37}sha256 {}", "", digest(after));
            let differences = differences(before, after);
            ensure!(
                differences.is_empty(),
                "{name}: differs at {}",
                differences.join(", ")
            );
            screen.holds("equal, field by field");
        }
        Ok(())
    }

    /// That both are equal is a proof only if they were different in between.
    pub fn changed_since(&self, before: &Self, screen: &Screen) -> Result<()> {
        ensure!(
            self.generation > before.generation && self.config_version != before.config_version,
            "release 2 did not change anything in uat"
        );
        screen.holds(&format!(
            "changed and restored in between: the Deployment's generation went from {} to {}",
            before.generation, self.generation
        ));
        Ok(())
    }

    /// Checks that nothing was written, not even a change that was restored.
    pub fn unchanged_since(&self, before: &Self, screen: &Screen) -> Result<()> {
        ensure!(
            self.generation == before.generation && self.config_version == before.config_version,
            "production was written"
        );
        screen.holds(&format!(
            "never written: the Deployment's generation is still {}, the ConfigMap's resourceVersion {}",
            self.generation, self.config_version
        ));
        Ok(())
    }
}

fn digest(value: &Value) -> String {
    let hash = Sha256::digest(value.to_string());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The paths at which two values differ.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
        match (before, after) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let (a, b) = (
                        a.get(key).unwrap_or(&Value::Null),
                        b.get(key).unwrap_or(&Value::Null),
                    );
                    walk(&format!("{path}/{key}"), a, b, found);
                }
            }
            _ if before != after => found.push(path.to_owned()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", before, after, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_by_its_path() {
        let before = json!({ "a": { "b": 1, "c": [1, 2] }, "gone": true });
        let after = json!({ "a": { "b": 1, "c": [2, 1] } });
        assert_eq!(differences(&before, &after), ["/a/c", "/gone"]);
        assert!(differences(&before, &before).is_empty());
    }
}
