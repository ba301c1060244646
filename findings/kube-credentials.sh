#!/usr/bin/env bash
# Library: kube 5.0.0 (Rust), the Kubernetes client. Seen in 2026-11.
#
# Guess: a client runs the credential command of a kubeconfig (`exec`) once, and again when the token has expired, as kubectl does. A
# file that `tokenFile` names may end with a line break, which is no part of the token, as for kubectl.
#
# What happens: making one client runs the command three times, before the first request: for the header, for the client certificate and
# for when that expires. A token from a file with a line break is refused at the first request:
#> exec: the command ran 3 times for one client
#> tokenFile without a line break: the request left, and no server was there
#> tokenFile with a line break: auth error: invalid bearer token: failed to parse header value
#
# Why it matters: a command that asks for a code or opens a browser does so three times, and `aws eks get-token` takes three times as
# long. `echo "$token" >file` makes a file that kubectl reads and kube does not. Get the token yourself, and give kube `token`.
set -euo pipefail
seen=$(sed -n 's/^#> //p' "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
k8s-openapi = { version = "=0.29.0", features = ["v1_33"] }
kube = { version = "=5.0.0", default-features = false, features = ["client", "ring", "rustls-tls"] }
rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use kube::config::{AuthInfo, ExecConfig};
use kube::{Client, Config};

fn client(auth_info: AuthInfo) -> Client {
    // Nothing listens on port 1.
    let mut config = Config::new("http://127.0.0.1:1".parse().expect("a URL"));
    config.auth_info = auth_info;
    Client::try_from(config).expect("a client")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("the first one");
    let command = r#"echo >>runs; echo '{"status":{"token":"of-alice"}}'"#;
    client(AuthInfo {
        exec: Some(ExecConfig {
            command: Some("sh".to_owned()),
            args: Some(vec!["-c".to_owned(), command.to_owned()]),
            ..ExecConfig::default()
        }),
        ..AuthInfo::default()
    });
    let runs = std::fs::read_to_string("runs").expect("it ran");
    println!("exec: the command ran {} times for one client", runs.lines().count());
    for (title, token) in [("without", "of-alice"), ("with", "of-alice\n")] {
        std::fs::write("token", token).expect("a file");
        let client = client(AuthInfo {
            token_file: Some("token".to_owned()),
            ..AuthInfo::default()
        });
        let said = match client.apiserver_version().await {
            Err(error @ kube::Error::Auth(_)) => error.to_string(),
            Err(kube::Error::Service(error)) if error.is::<kube::client::AuthError>() => format!("auth error: {error}"),
            Err(_) => "the request left, and no server was there".to_owned(),
            Ok(_) => "a server answered".to_owned(),
        };
        println!("tokenFile {title} a line break: {said}");
    }
}
RUST
CARGO_TARGET_DIR=target cargo build
cargo tree --package kube --depth 0 --prefix none
output=$("target/debug/finding")
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "kube no longer gets credentials as it did in 2026-11." >&2
  exit 1
fi
