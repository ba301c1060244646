//! The cluster that `cargo xtask test` provides, and its users.

use std::path::PathBuf;
use std::process::Command;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// Unset means that the tests were started with `cargo test`. They fail then, because passing without a cluster would be misleading.
pub fn kubeconfig() -> PathBuf {
    std::env::var_os("SIGNALBOX_TEST_KUBECONFIG")
        .expect("there is no cluster for the tests: run cargo xtask test")
        .into()
}

pub(super) async fn config() -> Config {
    let path = kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&path).expect("SIGNALBOX_TEST_KUBECONFIG can be read");
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("SIGNALBOX_TEST_KUBECONFIG is valid")
}

async fn impersonating(user: String, groups: &[&str]) -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some(user);
    config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
    Client::try_from(config).expect("a client")
}

/// The client of the administrator.
pub async fn admin() -> Client {
    Client::try_from(config().await).expect("a client")
}

/// `bob` is `bob@example.com`.
#[must_use]
pub fn user_name(person: &str) -> String {
    format!("{person}@example.com")
}

/// A user of the group `developers`, with only the rights that a stage granted.
pub async fn as_person(person: &str) -> Client {
    impersonating(user_name(person), &["system:authenticated", "developers"]).await
}

/// A user by name, with only the rights that are bound to it, and without those that a stage grants to all users.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    /// The subject of its RoleBindings.
    pub subject: Value,
}

impl User {
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            groups: vec!["system:authenticated".to_owned()],
            subject: json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name }),
        }
    }

    /// RoleBindings name only its group.
    #[must_use]
    pub fn of(group: &str, name: &str) -> Self {
        let mut user = Self::named(name);
        user.groups.push(group.to_owned());
        user.subject = json!({ "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group });
        user
    }

    pub async fn client(&self) -> Client {
        let groups: Vec<_> = self.groups.iter().map(String::as_str).collect();
        impersonating(self.name.clone(), &groups).await
    }
}

/// A user of the group `developers` without a name. Only the token file of a cluster of `cargo xtask test` has one, because a user
/// with an empty name cannot be impersonated.
pub async fn nameless() -> Option<Client> {
    let path = audit_log()?.with_file_name("nameless.kubeconfig");
    let kubeconfig = Kubeconfig::read_from(&path).expect("it is in the folder of the audit log");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Some(Client::try_from(config.expect("the kubeconfig is valid")).expect("a client"))
}

/// The operator's user, the only one that can write status.
pub async fn as_operator() -> Client {
    let groups = ["system:authenticated", "system:serviceaccounts"];
    impersonating(operator_user(), &groups).await
}

#[must_use]
pub fn operator_user() -> String {
    format!("system:serviceaccount:{}:signalbox", operator_namespace())
}

#[must_use]
pub fn operator_namespace() -> String {
    std::env::var("SIGNALBOX_OPERATOR_NAMESPACE").unwrap_or_else(|_| "signalbox-system".into())
}

/// The audit log of the API server, if the cluster was created by `cargo xtask test`.
#[must_use]
pub fn audit_log() -> Option<PathBuf> {
    std::env::var_os("SIGNALBOX_TEST_AUDIT_LOG").map(PathBuf::from)
}

/// Whether `kubectl` succeeds, and its output with errors.
pub fn kubectl(arguments: &[&str]) -> (bool, String) {
    let program = match std::env::var_os("SIGNALBOX_TEST_BIN") {
        Some(folder) => PathBuf::from(folder).join("kubectl"),
        None => "kubectl".into(),
    };
    // All kubectl processes share a cache of the served kinds, by host and port. One process that cleans it up can remove a kind that
    // another one needs, and an earlier control plane may have had the same port.
    let cache = tempfile::tempdir().expect("a folder");
    let output = Command::new(program)
        .env("KUBECACHEDIR", cache.path())
        .arg("--kubeconfig")
        .arg(kubeconfig())
        .args(arguments)
        .output()
        .expect("kubectl can be run");
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}
