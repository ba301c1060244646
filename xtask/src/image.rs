//! What the Dockerfile's last stage would hold, laid out in an empty folder, because no image can be built where there is no
//! container runtime: the release binary must start there, and lead a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::control_plane::ControlPlane;
use crate::operator::Operator;
use crate::tools::Tools;

/// Libraries of the distroless `cc` base: glibc and libgcc, nothing else.
const BASE: [&str; 4] = ["libc.so.6", "libgcc_s.so.1", "libm.so.6", "ld-linux-"];

/// Builds the release binary and runs it in an empty root until it leads.
///
/// # Errors
/// It needs a library that the base image does not have, does not start, does not stop when asked to, or is slow without a
/// cluster.
pub async fn starts(repository: &Path, cluster: &ControlPlane, tools: &Tools) -> Result<()> {
    let arguments = [
        "build",
        "--release",
        "--package",
        "signalbox",
        "--bin",
        "signalbox",
    ];
    ensure!(
        crate::test::cargo(repository, &arguments, &[]).await?,
        "the release binary does not build"
    );
    let binary = repository.join("target/release/signalbox");
    let root = tempfile::tempdir()?;
    std::fs::copy(&binary, root.path().join("signalbox"))?;
    for library in libraries(&binary).await? {
        let inside = root.path().join(library.strip_prefix("/").unwrap_or(&library));
        std::fs::create_dir_all(inside.parent().unwrap_or(root.path()))?;
        std::fs::copy(&library, &inside).with_context(|| format!("copying {}", library.display()))?;
    }
    let mut operator = Operator::start_in_root(tools, cluster, root.path()).await?;
    operator.ready().await?;
    operator.leads().await?;
    let size = std::fs::metadata(&binary)?.len() / (1 << 20);
    operator.stop().await?;
    eprintln!("image: {size} MiB and the base's libraries are enough to lead");
    crate::offline::is_fast(repository, &binary).await
}

/// Paths of the shared libraries that the binary is linked with.
async fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(binary)
        .output()
        .await
        .context("cannot run ldd")?;
    ensure!(
        output.status.success(),
        "ldd does not understand {}",
        binary.display()
    );
    let text = String::from_utf8(output.stdout)?;
    let paths = text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    let paths: Vec<PathBuf> = paths.collect();
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ensure!(
            BASE.iter().any(|base| name.starts_with(base)),
            "{} needs {name}, which the base image does not have",
            binary.display()
        );
    }
    Ok(paths)
}
