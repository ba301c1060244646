//! The operator as it was released before, built once from this repository's history and stored in the user's cache. The tests
//! run it and the present one in turn on one promotion.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use xtask_first::builds::Build;

use crate::tools::{cache, locked};

const VERSION: &str = "v0.1.0";
/// The commit of the tag, because a clone may lack tags.
const COMMIT: &str = "4ee1de438e9c385321f8b045ab06e94beaa08178";
/// As in .cargo/config.toml, which the old sources do not have.
const MALLOC: (&str, &str) = (
    "JEMALLOC_SYS_WITH_MALLOC_CONF",
    "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0",
);

/// Finds the old binary in the cache, or builds it, which takes some minutes.
///
/// # Errors
/// A sentence: the history does not contain it, or it does not build.
pub async fn operator(repository: &Path) -> Result<PathBuf> {
    let cache = cache()?;
    let folder = cache.join(format!("signalbox-{}", &COMMIT[..12]));
    let binary = folder.join("signalbox");
    if binary.exists() {
        return Ok(binary);
    }
    let _lock = locked(&cache, "v0.1.0", VERSION).await?;
    if binary.exists() {
        return Ok(binary);
    }
    let object = format!("{COMMIT}^{{commit}}");
    let there = git(repository, &["cat-file", "-e", &object]).await.is_ok();
    ensure!(
        there,
        "the upgrade tests run {VERSION} ({}), which this clone's history does not contain: run git fetch --unshallow",
        &COMMIT[..7]
    );
    // Built in another place and renamed, so that a half-written program is never run.
    let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(&cache)?;
    let source = partial.path().join("source");
    let (from, to) = (repository.display().to_string(), source.display().to_string());
    git(
        &cache,
        &["clone", "--quiet", "--shared", "--no-checkout", &from, &to],
    )
    .await?;
    git(&source, &["checkout", "--quiet", "--detach", COMMIT]).await?;
    let log = partial.path().join("build.log");
    let mut command = xtask_first::cargo();
    command
        .args(["build", "--locked", "--bin", "signalbox"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", partial.path().join("target"))
        .env(MALLOC.0, MALLOC.1);
    let what = format!("signalbox {VERSION}, for the upgrade tests");
    Build::new("v0.1.0", &what, Duration::from_secs(240))
        .run(&mut command, &log)
        .await?;
    fs::create_dir_all(&folder)?;
    fs::rename(partial.path().join("target/debug/signalbox"), &binary)
        .with_context(|| format!("cannot put {VERSION} into {}", folder.display()))?;
    Ok(binary)
}

async fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let asked = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .kill_on_drop(true)
        .output()
        .await
        .context("git cannot be run")?;
    let said = String::from_utf8_lossy(&asked.stderr);
    ensure!(
        asked.status.success(),
        "git {}: {}",
        arguments.join(" "),
        said.trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_one_is_built_with_the_allocator_of_today() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cargo/config.toml");
        let config = fs::read_to_string(config).expect(".cargo/config.toml");
        assert!(config.contains(&format!("{} = \"{}\"", MALLOC.0, MALLOC.1)));
    }
}
