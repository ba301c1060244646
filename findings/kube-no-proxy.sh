#!/usr/bin/env bash
# Library: kube 5.0.0 (Rust), the Kubernetes client. Seen in 2026-11.
#
# Guess: $NO_PROXY lists the hosts that are reached without the proxy of $HTTPS_PROXY, as in kubectl, curl and Go. So an API server that
# it names is reached directly, and one that it does not name through the proxy. proxy-url of a kubeconfig always applies, as in kubectl.
#
# What happens: $NO_PROXY is compared with the host of the proxy, not with that of the API server, also for proxy-url. And an empty part
# of the list, such as after a comma at its end, is an error as soon as there is a proxy:
#> HTTPS_PROXY=http://10.0.0.5:3128 NO_PROXY=.example.com: through http://10.0.0.5:3128/
#> HTTPS_PROXY=http://10.0.0.5:3128 NO_PROXY=10.0.0.0/8: directly
#> proxy-url=http://10.0.0.5:3128 NO_PROXY=10.0.0.0/8: directly
#> HTTPS_PROXY=http://10.0.0.5:3128 NO_PROXY=localhost,: error: failed to parse NO_PROXY/no_proxy env var
#
# The API server in all of these is https://api.cluster.example.com:6443.
#
# Why it matters: NO_PROXY often lists the private network, in which the proxy is: then the proxy is never used. And a cluster that is
# reached only without the proxy is never reached. kubectl works in both. Build the
# `Config` without `from_custom_kubeconfig`, and set `proxy_url` from a matcher that is asked about `cluster_url`, such as
# `hyper_util::client::proxy::matcher::Matcher`.
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
kube = { version = "=5.0.0", default-features = false, features = ["client", "http-proxy", "ring", "rustls-tls"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let proxy = match std::env::var("OWN") {
        Ok(proxy) => format!(", proxy-url: '{proxy}'"),
        Err(_) => String::new(),
    };
    let kubeconfig = Kubeconfig::from_yaml(&format!(
        "current-context: here
contexts: [{{ name: here, context: {{ cluster: here }} }}]
clusters: [{{ name: here, cluster: {{ server: 'https://api.cluster.example.com:6443'{proxy} }} }}]"
    ))
    .expect("a kubeconfig");
    match Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await {
        Ok(config) => match config.proxy_url {
            Some(proxy) => println!("through {proxy}"),
            None => println!("directly"),
        },
        Err(error) => println!("error: {error}"),
    }
}
RUST
CARGO_TARGET_DIR=target cargo build
unset HTTPS_PROXY https_proxy HTTP_PROXY http_proxy ALL_PROXY all_proxy NO_PROXY no_proxy
program=target/debug/finding
proxy=http://10.0.0.5:3128
cargo tree --package kube --depth 0 --prefix none
output=$(
  echo "HTTPS_PROXY=$proxy NO_PROXY=.example.com: $(HTTPS_PROXY=$proxy NO_PROXY=.example.com "$program")"
  echo "HTTPS_PROXY=$proxy NO_PROXY=10.0.0.0/8: $(HTTPS_PROXY=$proxy NO_PROXY=10.0.0.0/8 "$program")"
  echo "proxy-url=$proxy NO_PROXY=10.0.0.0/8: $(OWN=$proxy NO_PROXY=10.0.0.0/8 "$program")"
  echo "HTTPS_PROXY=$proxy NO_PROXY=localhost,: $(HTTPS_PROXY=$proxy NO_PROXY=localhost, "$program")"
)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "kube no longer reads NO_PROXY as it did in 2026-11." >&2
  exit 1
fi
