//! The programs of a control plane, built once from Go modules and stored in the user's cache.
//! No binary is downloaded, and a second caller waits for the first one's build.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::process::{Process, tail};

const KWOK: &str = "v0.8.0";
const HELM: &str = "v4.3.1";

/// The folder with `control-plane`, `tether`, `kubectl`, `kwok` and `helm`; a value of this type means that they exist.
#[derive(Clone)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds the tools in the cache, or builds them, which takes some ten minutes on two cores.
    pub async fn ready(repository: &Path) -> Result<Self> {
        let source = repository.join("tests/control-plane");
        let cache = cache()?;
        let files = ["go.mod", "go.sum", "main.go", "tether/main.go"];
        let folder = cache.join(fingerprint(&source, &files)?);
        let tools = Self { folder };
        if tools.complete() {
            return Ok(tools);
        }
        fs::create_dir_all(&tools.folder)?;
        let _lock = locked(&cache, "the control plane").await?;
        if !tools.complete() {
            tools.build(&source, &cache).await?;
        }
        Ok(tools)
    }

    /// The folder itself, for PATH.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of the tools by its name.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn complete(&self) -> bool {
        ["control-plane", "kwok", "helm", "kubectl"]
            .iter()
            .all(|name| self.path(name).exists())
    }

    async fn build(&self, source: &Path, cache: &Path) -> Result<()> {
        let module = fs::read_to_string(source.join("go.mod"))?;
        require_go(&module, cache, "the control plane").await?;
        let kubernetes =
            required(&module, "k8s.io/kubernetes").context("go.mod does not name a version of Kubernetes")?;
        let version = kubernetes.trim_start_matches('v').split('.').collect::<Vec<_>>();
        let [major, minor, _] = version[..] else {
            bail!("{kubernetes} is not a version of Kubernetes")
        };
        // kubectl and helm read the API server's version, which only the linker can set.
        let package = "k8s.io/component-base/version";
        let flags = format!(
            "-s -w -X {package}.gitVersion={kubernetes} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
        );

        // Built in another place and renamed, so that a half-written program is never run.
        let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(cache)?;
        let go = |arguments: &[&str]| {
            let mut command = Command::new("go");
            command
                .args(arguments)
                .current_dir(source)
                .env("CGO_ENABLED", "0")
                .env("GOBIN", partial.path())
                .env("GOWORK", "off");
            command
        };
        let kwok = format!("sigs.k8s.io/kwok/cmd/kwok@{KWOK}");
        let helm = format!("helm.sh/helm/v4/cmd/helm@{HELM}");
        let steps = [
            (
                "control-plane",
                go(&["install", "-trimpath", "-ldflags", &flags, "."]),
            ),
            (
                "tether",
                go(&["install", "-trimpath", "-ldflags", "-s -w", "./tether"]),
            ),
            ("kwok", go(&["install", "-trimpath", "-ldflags", "-s -w", &kwok])),
            ("helm", go(&["install", "-trimpath", "-ldflags", "-s -w", &helm])),
        ];
        let count = steps.len();
        for (index, (name, mut command)) in steps.into_iter().enumerate() {
            if self.path(name).exists() {
                continue;
            }
            let log = partial.path().join(format!("{name}.log"));
            let built = Process::start("go", &mut command, log.clone())?;
            let title = format!("Building {name} ({} of {count}), once", index + 1);
            progress(&title, built, &log).await?;
            fs::rename(partial.path().join(name), self.path(name))?;
        }
        if !self.path("kubectl").exists() {
            std::os::unix::fs::symlink("control-plane", self.path("kubectl"))?;
        }
        Ok(())
    }
}

/// Locks the cache to build `what`, until the file is dropped.
pub(crate) async fn locked(cache: &Path, what: &str) -> Result<File> {
    let lock = File::create(cache.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("Waiting for another build of {what}…");
            // Polled, because Ctrl-C could not end a thread that waits for the lock.
            while let Err(TryLockError::WouldBlock) = lock.try_lock() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
    }
    Ok(lock)
}

/// Shows progress: on a terminal one line that counts, elsewhere a line now and then.
pub(crate) async fn progress(title: &str, mut process: Process, log: &Path) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(if terminal { 1 } else { 30 }));
    let status = loop {
        tokio::select! {
            status = process.ended() => break status?,
            _ = tick.tick() => {
                let seconds = began.elapsed().as_secs();
                if terminal {
                    eprint!("\r{title}: {seconds} s");
                    std::io::stderr().flush()?;
                } else {
                    eprintln!("{title}: {seconds} s");
                }
            }
        }
    };
    if terminal {
        eprintln!();
    }
    ensure!(status.success(), "{title}: it failed\n{}", tail(log, 25));
    Ok(())
}

/// Fails if this machine's Go is older than `module`, the go.mod of `what`, requires.
pub(crate) async fn require_go(module: &str, anywhere: &Path, what: &str) -> Result<()> {
    let wanted = required(module, "go").context("go.mod does not name a version of Go")?;
    let missing = || format!("{what} is built from source: install Go {wanted} or newer (https://go.dev/dl)");
    let asked = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(anywhere)
        .env("GOTOOLCHAIN", "local")
        .kill_on_drop(true)
        .output()
        .await
        .with_context(missing)?;
    let found = String::from_utf8_lossy(&asked.stdout)
        .trim()
        .trim_start_matches("go")
        .to_owned();
    ensure!(
        asked.status.success() && numbers(&found) >= numbers(wanted),
        "{}; found {found}",
        missing()
    );
    Ok(())
}

/// The second word of the line in go.mod that begins with `name`.
fn required<'a>(module: &'a str, name: &str) -> Option<&'a str> {
    module
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut words| (words.next() == Some(name)).then(|| words.next()).flatten())
}

/// The leading numbers of a version such as `1.26.8-X:nodwarf5`; what follows them is not part of the order of releases.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        })
        .collect()
}

/// A hash of everything from which the tools are built, so that checkouts with the same sources share a build.
pub(crate) fn fingerprint(source: &Path, files: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    for name in files {
        let path = source.join(name);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    hash.update(KWOK);
    hash.update(HELM);
    Ok(hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
    {
        Some(path) => path,
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    let cache = base.join("signalbox");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        assert_eq!(numbers("1.26.8-X:nodwarf5"), [1, 26, 8]);

        assert!(numbers("1.9.3") < numbers("1.26.0"));
    }

    #[test]
    fn a_requirement_is_found_whether_in_a_block_or_alone() {
        let module = "module m\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n";
        assert_eq!(required(module, "go"), Some("1.26.0"));
        assert_eq!(required(module, "k8s.io/kubernetes"), Some("v1.37.2"));
        assert_eq!(required(module, "helm.sh/helm"), None);
    }
}
