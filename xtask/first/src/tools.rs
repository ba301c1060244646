//! The programs of a control plane, built once from Go modules and stored in the user's cache.
//! No binary is downloaded, and a second caller waits for the first one's build.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::builds::{self, Build};

const SOURCE: &str = "tests/control-plane";
const KWOK: &str = "v0.8.0";
const HELM: &str = "v4.3.1";
/// The flags that all builds have, so that they share what is compiled, and name it in their logs. No debugger reads these programs.
const SAME: &[&str] = &["-v", "-trimpath", "-gcflags", "all=-dwarf=false"];
/// The Go compiler collects its garbage less often, which saves a fifth of its time, as long as it needs less memory than this.
pub const LESS_COLLECTING: [(&str, &str); 2] = [("GOGC", "300"), ("GOMEMLIMIT", "1500MiB")];

/// The folder with `control-plane`, `tether`, `kubectl`, `kwok` and `helm`; a value of this type means that they exist.
#[derive(Clone)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Whether they have been built.
    ///
    /// # Errors
    /// The sources cannot be read, or there is no cache.
    pub fn exist(repository: &Path) -> Result<bool> {
        Ok(Self::of(repository)?.complete())
    }

    fn of(repository: &Path) -> Result<Self> {
        let files = ["go.mod", "go.sum", "main.go", "tether/main.go"];
        let fingerprint = fingerprint(&repository.join(SOURCE), &files)?;
        Ok(Self {
            folder: cache()?.join(fingerprint),
        })
    }

    /// Finds the tools in the cache, or builds them, which takes some ten minutes on two cores.
    pub async fn ready(repository: &Path) -> Result<Self> {
        let (tools, cache) = (Self::of(repository)?, cache()?);
        if tools.complete() {
            return Ok(tools);
        }
        fs::create_dir_all(&tools.folder)?;
        let _lock = locked(&cache, "tools", "the control plane").await?;
        if !tools.complete() {
            tools.build(&repository.join(SOURCE), &cache).await?;
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
        ["control-plane", "tether", "kwok", "helm", "kubectl"]
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
                .envs([("CGO_ENABLED", "0"), ("GOWORK", "off")])
                .envs(LESS_COLLECTING)
                .env("GOBIN", partial.path());
            command
        };
        let build = async |build: Build, mut command: Command, log: &str, programs: &[&str]| {
            if !programs.is_empty() && programs.iter().all(|name| self.path(name).exists()) {
                return Ok(());
            }
            build.run(&mut command, &partial.path().join(log)).await?;
            for name in programs {
                fs::rename(partial.path().join(name), self.path(name))?;
            }
            anyhow::Ok(())
        };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        // First, because each of the others would compile it again if they started at the same time.
        let standard = Build::new("go", "Go's standard library", minutes(1));
        build(
            standard,
            go(&[&["build"], SAME, &["std"]].concat()),
            "std.log",
            &[],
        )
        .await?;

        let ours = [&["install"], SAME, &["-ldflags", &flags, ".", "./tether"]].concat();
        let kwok = format!("sigs.k8s.io/kwok/cmd/kwok@{KWOK}");
        let helm = format!("helm.sh/helm/v4/cmd/helm@{HELM}");
        let other = |package| [&["install"], SAME, &["-ldflags", "-s -w", package]].concat();
        tokio::try_join!(
            build(
                Build::new("control-plane", "the control plane", minutes(9)),
                go(&ours),
                "control-plane.log",
                &["control-plane", "tether"],
            ),
            build(
                Build::new("kwok", "kwok, which simulates nodes", minutes(3)),
                go(&other(&kwok)),
                "kwok.log",
                &["kwok"],
            ),
            build(
                Build::new("helm", "helm", minutes(3)),
                go(&other(&helm)),
                "helm.log",
                &["helm"],
            ),
        )?;
        if !self.path("kubectl").exists() {
            std::os::unix::fs::symlink("control-plane", self.path("kubectl"))?;
        }
        Ok(())
    }
}

/// Locks the cache to build `what`, until the file is dropped. Builds of other names are not held up.
///
/// # Errors
/// The file system has no locks.
pub async fn locked(cache: &Path, name: &str, what: &str) -> Result<File> {
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            builds::say(&format!("Waiting for another build of {what}…"));
            // Polled, because Ctrl-C could not end a thread that waits for the lock.
            while let Err(TryLockError::WouldBlock) = lock.try_lock() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
    }
    Ok(lock)
}

/// Fails if this machine's Go is older than `module`, the go.mod of `what`, requires.
pub async fn require_go(module: &str, anywhere: &Path, what: &str) -> Result<()> {
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
pub fn fingerprint(source: &Path, files: &[&str]) -> Result<String> {
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

pub fn cache() -> Result<PathBuf> {
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
