//! The demo with real containers: the operator's own image, and a small program in place of the example's images, which do not
//! exist.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::show::Screen;
use super::stage::Stage;
use super::{POLICY_SETTLE, TITLE, build, look_further, tell};
use crate::namespaces::{self, Namespaces};
use crate::node;
use crate::real::{Real, prepare};
use crate::tools::Tools;

/// Builds everything that needs the network, then runs the demo where there is none.
pub async fn outside(repository: &Path, tools: &Tools) -> Result<ExitCode> {
    if let Some(why) = namespaces::impossible().await {
        bail!("real containers are not possible here: {why}");
    }
    Screen::new(Instant::now()).note(TITLE);
    prepare(repository).await?;
    build(repository).await?;
    namespaces::again(tools, repository, &["demo", "--real"]).await
}

/// Starts nodes, installs the operator as its users do, and runs the demo.
pub async fn inside(repository: &Path, tools: &Tools, namespaces: &Namespaces) -> Result<()> {
    let screen = Screen::new(Instant::now());
    let real = Real::start(tools, repository, namespaces).await?;
    let version = real.cluster.client().apiserver_version().await?.git_version;
    screen.say(&format!(
        "A control plane and {} nodes are ready: Kubernetes {version}.",
        node::NODES.len()
    ));
    let settle = format!("policySettle={}s", POLICY_SETTLE.as_secs());
    real.install(tools, repository, &[&settle, "healthGrace=10s"])
        .await?;
    screen.say(&format!("The operator runs from its own image, {}.", real.image));

    let stage = Stage::new(repository, tools, &real.cluster, screen)
        .await?
        .with_images(&real.oci)
        .await?;
    screen.say("The example's images do not exist: here each is a small program in a local registry.");
    let story = async {
        tell(&stage, &screen, &real.cluster).await?;
        look_further(&stage, &screen, false).await
    };
    story.await.context("the demo did not succeed")
}
