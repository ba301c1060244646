//! The cluster that `cargo xtask test` names, and the people who act in it.

use std::path::PathBuf;
use std::process::Command;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// Unset means that somebody ran `cargo test`: failing says more than passing without a test.
pub fn kubeconfig() -> PathBuf {
    std::env::var_os("SIGNALBOX_TEST_KUBECONFIG")
        .expect("there is no cluster to test against: run cargo xtask test")
        .into()
}

pub(super) async fn config() -> Config {
    let path = kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&path).expect("SIGNALBOX_TEST_KUBECONFIG can be read");
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("SIGNALBOX_TEST_KUBECONFIG makes sense")
}

async fn impersonating(user: String, groups: &[&str]) -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some(user);
    config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
    Client::try_from(config).expect("a client")
}

/// May do everything.
pub async fn admin() -> Client {
    Client::try_from(config().await).expect("a client")
}

/// `bob` is `bob@example.com`.
#[must_use]
pub fn user_name(person: &str) -> String {
    format!("{person}@example.com")
}

/// A person of the group `developers`, with the rights that a stage granted and no others.
pub async fn as_person(person: &str) -> Client {
    impersonating(user_name(person), &["system:authenticated", "developers"]).await
}

/// A user by the API server's name, with what is bound to it and nothing that a stage grants to everybody.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    /// As whom RoleBindings know it.
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

    /// Known to RoleBindings by a group only.
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

/// Somebody of the group `developers` without a name, whom only the token file of a cluster of ours knows: nobody can be
/// impersonated by an empty name.
pub async fn nameless() -> Option<Client> {
    let path = audit_log()?.with_file_name("nameless.kubeconfig");
    let kubeconfig = Kubeconfig::read_from(&path).expect("it stands beside the audit log");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Some(Client::try_from(config.expect("it makes sense")).expect("a client"))
}

/// The operator's user, who alone may write status.
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

/// Every request that the API server answered, where the cluster is one of ours.
#[must_use]
pub fn audit_log() -> Option<PathBuf> {
    std::env::var_os("SIGNALBOX_TEST_AUDIT_LOG").map(PathBuf::from)
}

/// What `kubectl` prints, complaints included, and whether it was content.
pub fn kubectl(arguments: &[&str]) -> (bool, String) {
    let program = match std::env::var_os("SIGNALBOX_TEST_BIN") {
        Some(folder) => PathBuf::from(folder).join("kubectl"),
        None => "kubectl".into(),
    };
    // What the API server serves is cached in a folder that all kubectl share, by host and port: one that tidies it up leaves
    // another without a kind, and an earlier control plane may have had the same port.
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
