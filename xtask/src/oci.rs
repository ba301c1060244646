//! The Go program that builds, pushes and serves images without a container runtime (tests/oci), built once and stored in the user's
//! cache. It is separate from the control plane's programs, so that an image can be built in seconds without building those.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::go::Module;
use crate::process::Process;

/// The folder with the program `oci`, and with `app` and `pause`, from which images for tests are made. A value of this type
/// means that they exist.
#[derive(Clone)]
pub struct Oci {
    folder: PathBuf,
}

pub(crate) const MODULE: Module = Module {
    name: "oci",
    what: "the tool for images",
    sources: &["go.mod", "go.sum", "main.go", "app/main.go", "pause/main.go"],
};

impl Oci {
    /// Finds the program in the cache, or builds it, which takes half a minute.
    ///
    /// # Errors
    /// Go is not installed, or it does not build.
    pub async fn ready(repository: &Path) -> Result<Self> {
        Ok(Self {
            folder: MODULE.built(repository).await?,
        })
    }

    /// The folder with the programs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Builds the image that `description` describes (tests/oci says how) as an OCI layout in the new folder `layout`; its digest.
    ///
    /// # Errors
    /// The program's own message.
    pub async fn build(&self, description: &Value, layout: &Path) -> Result<String> {
        let layout = layout.to_string_lossy();
        self.run(&["build", &layout], &description.to_string()).await
    }

    /// Pushes the image in `layout` to `reference`; its digest, which is that of the manifest that the registry has now.
    ///
    /// # Errors
    /// The program's own message.
    pub async fn push(&self, layout: &Path, reference: &str) -> Result<String> {
        self.run(&["push", &layout.to_string_lossy(), reference], "")
            .await
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let program = self.folder.join("oci");
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{}",
            told.trim().trim_start_matches("oci: ")
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Serves a registry, empty and in memory, at `address`, until the value is dropped.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn serve(&self, address: &str, log: &Path) -> Result<Registry> {
        let mut command = Command::new(self.folder.join("oci"));
        command.args(["serve", address]);
        let mut process = Process::start("the registry", &mut command, log.to_path_buf())?;
        let listens = async {
            loop {
                let text = fs::read_to_string(log).unwrap_or_default();
                if let Some((address, _)) = text.split_once('\n') {
                    return address.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let address = tokio::select! {
            address = listens => address,
            error = process.failed() => return Err(error),
        };
        Ok(Registry {
            address,
            _process: process,
        })
    }
}

/// A running registry.
pub struct Registry {
    address: String,
    _process: Process,
}

impl Registry {
    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}
