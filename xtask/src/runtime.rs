//! The programs that run containers: containerd with its shim, runc, and the network plugins, in a folder of the user's
//! cache, without installing anything. From Debian's packages if apt exists, otherwise built from Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use xtask_first::builds::{self, Build};

use crate::process::succeeds;
use crate::tools::{LESS_COLLECTING, cache, locked};

const PACKAGES: [&str; 3] = ["containerd", "runc", "containernetworking-plugins"];
/// The modules, in versions that were tested with this kubelet.
const CONTAINERD: &str = "github.com/containerd/containerd/v2/cmd";
const CONTAINERD_VERSION: &str = "v2.4.2";
const RUNC: &str = "github.com/opencontainers/runc@v1.5.2";
const PLUGINS: &str = "github.com/containernetworking/plugins/plugins";
const PLUGINS_VERSION: &str = "v1.10.0";

/// A container runtime. A value of this type means that it exists.
pub struct Runtime {
    /// containerd, containerd-shim-runc-v2, runc.
    pub programs: PathBuf,
    /// bridge, loopback, host-local.
    pub plugins: PathBuf,
    /// The layout of containerd's configuration: 2 for containerd 1, 3 for containerd 2.
    pub layout: u8,
}

impl Runtime {
    /// Finds the programs in the cache, or fetches or builds them. `SIGNALBOX_RUNTIME=go` builds them even if apt exists.
    ///
    /// # Errors
    /// Why neither is possible.
    pub async fn ready() -> Result<Self> {
        let cache = cache()?;
        let debian = cache.join("runtime-debian");
        let built = cache.join("runtime-go");
        let wants_go = std::env::var_os("SIGNALBOX_RUNTIME").is_some_and(|way| way == "go");
        let there = || {
            let ways = [(!wants_go).then(|| Self::debian(&debian)), Some(Self::go(&built))];
            ways.into_iter().flatten().find(Self::complete)
        };
        if let Some(here) = there() {
            return Ok(here);
        }
        let _lock = locked(&cache, "runtime", "the container runtime").await?;
        // The process that held the lock may have created it.
        if let Some(here) = there() {
            return Ok(here);
        }
        let unpacked = match wants_go {
            true => Err(anyhow::anyhow!("SIGNALBOX_RUNTIME is go")),
            false => unpack(&cache, &debian).await,
        };
        let Err(no_debian) = unpacked else {
            return Ok(Self::debian(&debian));
        };
        install(&cache, &built)
            .await
            .with_context(|| format!("and not from Debian's packages either: {no_debian:#}"))?;
        Ok(Self::go(&built))
    }

    fn debian(folder: &Path) -> Self {
        Self {
            programs: folder.join("programs"),
            plugins: folder.join("usr/lib/cni"),
            layout: 2,
        }
    }

    fn go(folder: &Path) -> Self {
        Self {
            programs: folder.to_owned(),
            plugins: folder.to_owned(),
            layout: 3,
        }
    }

    fn complete(&self) -> bool {
        let programs = ["containerd", "containerd-shim-runc-v2", "runc"];
        let plugins = ["bridge", "loopback", "host-local"];
        programs.iter().all(|name| self.programs.join(name).exists())
            && plugins.iter().all(|name| self.plugins.join(name).exists())
    }
}

async fn unpack(cache: &Path, place: &Path) -> Result<()> {
    let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(cache)?;
    let root = partial.path().join("root");
    fs::create_dir_all(&root)?;
    builds::say(&format!(
        "Fetching {} from Debian, once, without installing them",
        PACKAGES.join(", ")
    ));
    succeeds(
        partial.path(),
        "apt-get",
        &[&["download"][..], &PACKAGES].concat(),
    )
    .await?;
    for entry in fs::read_dir(partial.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let (path, root) = (path.display().to_string(), root.display().to_string());
            succeeds(partial.path(), "dpkg-deb", &["--extract", &path, &root]).await?;
        }
    }
    // One folder for PATH, wherever a package puts its programs.
    let programs = root.join("programs");
    fs::create_dir(&programs)?;
    for name in ["containerd", "containerd-shim-runc-v2", "runc"] {
        let folders = ["usr/bin", "usr/sbin", "bin", "sbin"];
        let found = folders
            .iter()
            .find(|folder| root.join(folder).join(name).exists());
        let Some(found) = found else {
            bail!("the packages do not contain {name}")
        };
        std::os::unix::fs::symlink(Path::new("..").join(found).join(name), programs.join(name))?;
    }
    succeeds(&programs, "./runc", &["--version"]).await?;
    succeeds(&programs, "./containerd", &["--version"]).await?;
    fs::rename(&root, place).with_context(|| format!("cannot create {}", place.display()))
}

async fn install(cache: &Path, place: &Path) -> Result<()> {
    let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(cache)?;
    let version = |package: String, version: &str| format!("{package}@{version}");
    let containerd = |name| version(format!("{CONTAINERD}/{name}"), CONTAINERD_VERSION);
    let plugin = |name| version(format!("{PLUGINS}/{name}"), PLUGINS_VERSION);
    let steps: [(&'static str, &str, &str, Vec<String>); 3] = [
        (
            "containerd",
            "0",
            "no_btrfs no_zfs no_devmapper",
            vec![containerd("containerd"), containerd("containerd-shim-runc-v2")],
        ),
        // Without seccomp, a pod that requires the runtime's profile does not start.
        ("runc", "1", "seccomp", vec![RUNC.to_owned()]),
        (
            "the network plugins",
            "0",
            "",
            vec![
                plugin("main/bridge"),
                plugin("main/loopback"),
                plugin("ipam/host-local"),
            ],
        ),
    ];
    for (name, cgo, tags, packages) in steps {
        let log = partial.path().join("go.log");
        let mut command = Command::new("go");
        command
            .args(["install", "-trimpath", "-ldflags", "-s -w", "-tags", tags])
            .args(packages)
            .current_dir(partial.path())
            .env("CGO_ENABLED", cgo)
            .env("GOBIN", partial.path())
            .env("GOWORK", "off")
            .envs(LESS_COLLECTING);
        Build::new(name, name, Duration::from_secs(90))
            .run(&mut command, &log)
            .await
            .context("runc needs a C compiler, pkg-config and the headers of libseccomp")?;
    }
    fs::rename(partial.keep(), place).with_context(|| format!("cannot create {}", place.display()))
}
