//! What `cargo xtask` needs before it is built itself: the progress of builds, and the programs of a control plane. Nothing here
//! depends on the operator, so that these programs and the operator are built side by side.

pub mod builds;
pub mod process;
pub mod tools;

use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

/// The root of the repository in which the command runs.
///
/// It is determined at run time: a compiled-in path would point to another checkout once the binary is copied.
///
/// # Errors
/// This is not inside the repository.
pub fn repository() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors()
        .find(|folder| folder.join("tests/control-plane/go.mod").is_file())
        .map(PathBuf::from)
        .with_context(|| format!("{} is not inside the Signalbox repository", here.display()))
}

/// Cargo, as it runs this process or as it is found.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_cargo(&mut command);
    command
}

/// Removes the variables that `cargo run` has set for this process. Build scripts watch some of them, so everything would be built
/// again.
pub fn forget_cargo(command: &mut Command) {
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    for name in ours {
        command.env_remove(name);
    }
}
