//! `cargo xtask up`: a control plane to try things, until Ctrl-C.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::control_plane::{ControlPlane, PEOPLE};
use crate::tools::Tools;

/// The options of `up`.
#[derive(clap::Args)]
pub struct Options {
    /// Write the kubeconfig's path to this file once the control plane is ready
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// Runs until it is dropped, or until a component ends unexpectedly.
pub async fn run(options: Options) -> Result<()> {
    let repository = crate::repository()?;
    let tools = Tools::ready(&repository).await?;
    let mut cluster = ControlPlane::start(&tools, &repository).await?;
    let folder = cluster.folder().display();
    println!("The control plane is ready. Ctrl-C ends it and removes everything.\n");
    println!(
        "  export PATH={}:$PATH    # kubectl and helm",
        tools.folder().display()
    );
    println!("  export KUBECONFIG={}", cluster.admin().display());
    println!(
        "\nOther users: {folder}/NAME.kubeconfig for {}",
        PEOPLE.join(", ")
    );
    println!("Logs and audit.log: {folder}");
    if let Some(path) = options.ready_file {
        // Written to another file and renamed, so that a reader never sees half of it.
        let partial = path.with_extension("partial");
        fs::write(&partial, format!("{}\n", cluster.admin().display()))
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Err(cluster.failed().await)
}
