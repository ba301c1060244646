//! Images of one static program. Their environment variables set the behaviour, so each behaviour has a digest.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

const REGISTRY: &str = "127.0.0.1:5000";

/// Builds and pushes an image with these variables of `tests/oci/app`, and returns its reference by digest.
pub fn app(behaviour: &[(&str, &str)]) -> String {
    image(behaviour, "65532:65532")
}

/// The same, with the default behaviour, but running as root.
pub fn root() -> String {
    image(&[], "0:0")
}

/// A reference to an image that does not exist.
pub fn missing() -> String {
    format!("{REGISTRY}/app@sha256:{}", "0".repeat(64))
}

fn image(behaviour: &[(&str, &str)], user: &str) -> String {
    let variables: Vec<_> = behaviour
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let program = tools().join("app");
    let description = json!({
        "layers": [[{ "path": "app", "source": program, "mode": 0o755 }]],
        "config": { "User": user, "Entrypoint": ["/app"], "Env": variables },
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "created": "1970-01-01T00:00:00Z",
    });
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout").display().to_string();
    oci(&["build", &layout], &description.to_string());
    let digest = oci(&["push", &layout, &format!("{REGISTRY}/app:latest")], "");
    format!("{REGISTRY}/app@{}", digest.trim())
}

fn oci(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(tools().join("oci"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("oci can be run");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "oci {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn tools() -> PathBuf {
    std::env::var_os("SIGNALBOX_TEST_OCI")
        .expect("run cargo xtask test --rung kubelet")
        .into()
}
