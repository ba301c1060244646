//! The command of a kubeconfig that gives credentials (`exec`), run by kubectl's rules.

use std::io::{ErrorKind, IsTerminal};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;

/// What the command has returned.
#[derive(Default)]
pub(super) struct Given {
    /// A bearer token.
    pub token: Option<String>,
    /// When the token expires.
    pub until: Option<Timestamp>,
    /// A client certificate in PEM format.
    pub certificate: Option<String>,
    /// Its key in PEM format.
    pub key: Option<String>,
}

#[derive(Deserialize)]
struct Credential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    expiration_timestamp: Option<Timestamp>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs the command. kube 5.0.0 would run it three times for one client.
///
/// # Errors
/// A sentence that names the command.
pub(super) async fn run(exec: &ExecConfig) -> Result<Given, String> {
    let copy = exec.clone();
    let ran = tokio::task::spawn_blocking(move || ran(&copy)).await;
    let printed = ran.map_err(|_| odd(exec, "was interrupted"))??;
    // kubectl reads YAML, too. The error could quote the token.
    let credential: Credential =
        serde_yaml_ng::from_slice(&printed).map_err(|_| odd(exec, "did not print an ExecCredential"))?;
    let given = credential.status.map(|status| Given {
        token: status.token.filter(|token| !token.is_empty()),
        until: status.expiration_timestamp,
        certificate: status.client_certificate_data.filter(|pem| !pem.is_empty()),
        key: status.client_key_data.filter(|pem| !pem.is_empty()),
    });
    let given = given.unwrap_or_default();
    if given.token.is_none() && (given.certificate.is_none() || given.key.is_none()) {
        return Err(odd(
            exec,
            "printed an ExecCredential without a token and without a client certificate",
        ));
    }
    Ok(given)
}

/// A sentence about the command, and what to do.
pub(super) fn odd(exec: &ExecConfig, what: &str) -> String {
    let command = exec.command.as_deref().unwrap_or_default();
    format!(
        "The command {command:?}, from which the kubeconfig's user gets credentials (exec), {what}. Run it yourself to see why, or log in again."
    )
}

fn ran(exec: &ExecConfig) -> Result<Vec<u8>, String> {
    let name = exec.command.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or("The kubeconfig's user has exec without a command. Correct the kubeconfig.")?;
    let terminal = std::io::stdin().is_terminal();
    let interactive = terminal && exec.interactive_mode != Some(ExecInteractiveMode::Never);
    if !interactive && exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(format!(
            "The command {name:?}, from which the kubeconfig's user gets credentials (exec), needs a terminal on standard input (interactiveMode: Always)."
        ));
    }
    let mut spec = json!({ "interactive": interactive });
    if exec.provide_cluster_info {
        spec["cluster"] = json!(exec.cluster);
    }
    let info = json!({ "kind": "ExecCredential", "apiVersion": exec.api_version, "spec": spec });
    let variables = exec.env.iter().flatten();
    let variables = variables.filter_map(|pair| Some((pair.get("name")?, pair.get("value")?)));
    let output = Command::new(name)
        .args(exec.args.iter().flatten())
        .envs(variables)
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(if interactive {
            Stdio::inherit()
        } else {
            Stdio::null()
        })
        // What the command says is for the person: a code, an address, or why it fails.
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| {
            let hint = exec.install_hint.as_deref().map(str::trim).unwrap_or_default();
            let hint = if hint.is_empty() {
                "Install it, or use another user with --user."
            } else {
                hint
            };
            let why = match e.kind() {
                ErrorKind::NotFound => "does not exist".to_owned(),
                ErrorKind::PermissionDenied => "may not be executed".to_owned(),
                _ => format!("cannot be run: {e}"),
            };
            format!(
                "The command {name:?}, from which the kubeconfig's user gets credentials (exec), {why}. {}",
                crate::api::release::sentence(hint)
            )
        })?;
    if !output.status.success() {
        return Err(odd(exec, &format!("failed ({})", output.status)));
    }
    Ok(output.stdout)
}
