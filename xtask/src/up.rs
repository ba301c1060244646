//! `cargo xtask up`: a control plane to play with, until Ctrl-C.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::control_plane::{ControlPlane, PEOPLE};
use crate::tools::Tools;

/// What `up` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Writes the kubeconfig's path into this file once the control plane is ready
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// Runs until it is dropped, or until a component ends by itself.
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
        "\nOthers than the admin: {folder}/NAME.kubeconfig for {}",
        PEOPLE.join(", ")
    );
    println!("Logs and audit.log: {folder}");
    if let Some(path) = options.ready_file {
        // Renamed into place, so that whoever waits for the file never reads half of it.
        let partial = path.with_extension("partial");
        fs::write(&partial, format!("{}\n", cluster.admin().display()))
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Err(cluster.failed().await)
}
