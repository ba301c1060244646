//! The content of the image, for vulnerability scanners: the crates from which the operator is built, listed by
//! cargo-cyclonedx, and its libraries.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use xtask_first::builds::{self, Build};

use crate::image::Built;
use crate::process::{Process, tail};
use crate::tools::{cache, locked};

/// The file next to the image's layout.
pub const FILE: &str = "signalbox.cdx.json";
const VERSION: &str = "0.5.9";

/// Writes the list next to an image. Returns the number of its components.
///
/// # Errors
/// cargo-cyclonedx does not build or fails.
pub(crate) async fn write(repository: &Path, built: &Built) -> Result<usize> {
    let program = ready().await?;
    // It writes next to each manifest that it reads, so it gets copies. It needs targets to exist, but reads none of them.
    let folder = tempfile::tempdir()?;
    for manifest in [
        "Cargo.toml",
        "Cargo.lock",
        "xtask/Cargo.toml",
        "xtask/first/Cargo.toml",
    ] {
        let to = folder.path().join(manifest);
        fs::create_dir_all(to.parent().unwrap_or(folder.path()))?;
        fs::copy(repository.join(manifest), to)?;
    }
    for package in ["", "xtask", "xtask/first"] {
        let sources = folder.path().join(package).join("src");
        fs::create_dir(&sources)?;
        fs::write(sources.join("lib.rs"), "")?;
        fs::write(sources.join("main.rs"), "")?;
    }
    let log = folder.path().join("log");
    let mut command = Command::new(program);
    command
        .args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
        .args([
            "--target",
            &format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .args(["--no-build-deps", "--override-filename"])
        .arg(FILE.trim_end_matches(".json"))
        .arg("--manifest-path")
        .arg(folder.path().join("Cargo.toml"))
        .env("SOURCE_DATE_EPOCH", built.created.as_second().to_string());
    xtask_first::forget_cargo(&mut command);
    let status = Process::start("cargo-cyclonedx", &mut command, log.clone())?
        .ended()
        .await?;
    ensure!(status.success(), "cargo-cyclonedx fails\n{}", tail(&log, 25));

    let text = fs::read_to_string(folder.path().join(FILE))?;
    // Packages of a folder are named after it.
    let text = text.replace(&folder.path().to_string_lossy().into_owned(), "/src");
    let mut list: Value = serde_json::from_str(&text)?;
    let components = list["components"].as_array_mut().context("no components")?;
    let beside = built.files.iter().filter(|file| file.path != "/signalbox");
    components.extend(beside.map(|file| {
        json!({
            "type": "file",
            "name": file.path,
            "hashes": [{ "alg": "SHA-256", "content": file.sha256 }],
        })
    }));
    let count = components.len();
    let text = serde_json::to_string_pretty(&list)? + "\n";
    fs::write(built.layout.join(FILE), text)?;
    Ok(count)
}

/// Finds cargo-cyclonedx in the cache, or builds it, which takes some minutes.
async fn ready() -> Result<PathBuf> {
    let cache = cache()?;
    let folder = cache.join(format!("cargo-cyclonedx-{VERSION}"));
    let program = folder.join("bin/cargo-cyclonedx");
    if program.exists() {
        return Ok(program);
    }
    let _lock = locked(&cache, "cargo-cyclonedx", "cargo-cyclonedx").await?;
    if !program.exists() {
        let log = builds::log()?;
        let mut install = xtask_first::cargo();
        // Unoptimised: it runs for a second, and an optimised build takes longer than it saves.
        install
            .args([
                "install",
                "cargo-cyclonedx",
                "--version",
                VERSION,
                "--locked",
                "--debug",
                "--root",
            ])
            .arg(&folder)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR");
        Build::new("cargo-cyclonedx", "cargo-cyclonedx", Duration::from_secs(120))
            .run(&mut install, log.path())
            .await?;
    }
    Ok(program)
}
