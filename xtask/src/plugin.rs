//! `cargo xtask plugin`: the kubectl plugin as an archive, with a krew manifest that has the digest of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use xtask_first::builds::{self, Build};

/// The options of `plugin`.
#[derive(clap::Args)]
pub struct Options {
    /// The folder of the archive and the manifest
    #[arg(long, value_name = "PATH", default_value = "target/plugin")]
    output: PathBuf,
    /// Where people download the archive from, for the manifest
    #[arg(long, value_name = "URL", default_value = "https://example.com/signalbox")]
    url: String,
}

/// Builds the program for this machine, and packs it.
///
/// # Errors
/// The program cannot be built or packed.
pub async fn run(options: &Options) -> Result<()> {
    let repository = crate::repository()?;
    let log = builds::log()?;
    let mut cargo = xtask_first::cargo();
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "signalbox",
            "--bin",
            "signalbox",
        ])
        .current_dir(&repository);
    Build::new("plugin", "the plugin", Duration::from_secs(600))
        .run(&mut cargo, log.path())
        .await?;
    let binary = crate::target(&repository).join("release/signalbox");
    let output = repository.join(&options.output);
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let (os, arch) = machine()?;
    let archive = format!("kubectl-signalbox-{os}-{arch}.tar.gz");
    pack(&repository, &binary, &output.join(&archive)).await?;
    let bytes = fs::read(output.join(&archive))?;
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let manifest = manifest(
        os,
        arch,
        &format!("{}/{archive}", options.url.trim_end_matches('/')),
        &digest,
    )?;
    fs::write(output.join("signalbox.yaml"), manifest)?;
    let at = |name: &str| output.join(name).display().to_string();
    println!("{}\n{}", at(&archive), at("signalbox.yaml"));
    println!(
        "kubectl krew install --manifest={} --archive={}",
        at("signalbox.yaml"),
        at(&archive)
    );
    Ok(())
}

/// krew's names of this machine.
fn machine() -> Result<(&'static str, &'static str)> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("krew has no name for the architecture {other}"),
    };
    Ok((os, arch))
}

/// The program and the licence. The same files give the same archive.
async fn pack(repository: &Path, binary: &Path, archive: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::copy(binary, folder.path().join("kubectl-signalbox"))
        .with_context(|| format!("cannot copy {}", binary.display()))?;
    fs::copy(repository.join("LICENSE"), folder.path().join("LICENSE"))?;
    let packed = Command::new("tar")
        .args([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mtime=@0",
            "--use-compress-program=gzip -n",
        ])
        .args(["--create", "--file"])
        .arg(archive)
        .args(["LICENSE", "kubectl-signalbox"])
        .current_dir(folder.path())
        .status()
        .await
        .context("cannot run tar")?;
    ensure!(packed.success(), "tar cannot write {}", archive.display());
    Ok(())
}

/// The manifest by which krew installs the plugin.
fn manifest(os: &str, arch: &str, uri: &str, digest: &str) -> Result<String> {
    let manifest = json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": { "name": "signalbox" },
        "spec": {
            "version": format!("v{}", env!("CARGO_PKG_VERSION")),
            "shortDescription": "Follow, approve and back out Releases",
            "description": "Shows where Releases are and what each waits for, approves and rejects them, backs them out, and writes their reviews: \
                            with your own kubeconfig and rights.\n",
            "platforms": [{
                "selector": { "matchLabels": { "os": os, "arch": arch } },
                "uri": uri,
                "sha256": digest,
                "bin": "kubectl-signalbox",
                "files": [{ "from": "kubectl-signalbox", "to": "." }, { "from": "LICENSE", "to": "." }],
            }],
        },
    });
    Ok(serde_yaml_ng::to_string(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_the_archive_and_its_digest() -> Result<()> {
        let text = manifest("linux", "amd64", "https://example.com/a.tar.gz", "00ff")?;
        let manifest: serde_json::Value = serde_yaml_ng::from_str(&text)?;
        let platform = &manifest["spec"]["platforms"][0];
        assert_eq!(
            (&platform["uri"], &platform["sha256"]),
            (&json!("https://example.com/a.tar.gz"), &json!("00ff"))
        );
        assert_eq!(
            manifest["spec"]["version"],
            concat!("v", env!("CARGO_PKG_VERSION"))
        );
        Ok(())
    }
}
