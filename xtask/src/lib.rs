//! Development tools: `cargo xtask up | demo | test | bench …`, and the real control plane that they share.
//! None of this is shipped.

pub mod before;
pub mod bench;
pub mod chart;
pub mod control_plane;
pub mod crds;
pub mod demo;
pub mod dockerfile;
mod go;
pub mod image;
pub mod kubeconfig;
pub mod namespaces;
pub mod node;
pub mod oci;
mod offline;
pub mod operator;
pub mod plugin;
pub mod real;
mod rights;
pub mod runtime;
mod sbom;
pub mod test;
pub mod up;
mod writes;

use std::path::{Path, PathBuf};

pub use xtask_first::{process, repository, tools};

/// The target folder of cargo, which always runs in the root of the repository.
pub(crate) fn target(repository: &Path) -> PathBuf {
    repository.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
