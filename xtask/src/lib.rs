//! Development in one place: `cargo xtask up | demo | test | bench …`, and the real control plane that they share.
//! Nothing of this is shipped.

pub mod before;
pub mod bench;
pub mod chart;
pub mod control_plane;
pub mod crds;
pub mod demo;
pub mod image;
pub mod kubeconfig;
mod offline;
pub mod operator;
pub mod process;
pub mod test;
pub mod tools;
pub mod up;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The root of the repository that the command was given in.
///
/// Looked for at run time: a path compiled in would point into somebody else's checkout once the binary is copied.
pub fn repository() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors()
        .find(|folder| folder.join("tests/control-plane/go.mod").is_file())
        .map(PathBuf::from)
        .with_context(|| format!("{} is not inside Signalbox's repository", here.display()))
}
