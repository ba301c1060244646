//! A separate environment on this machine: the same command again, in private mount, network and PID namespaces, so that a
//! kubelet, a container runtime and their containers change nothing outside and end together.
//!
//! Needs root and Linux. Only cgroups are shared with the machine. They have the name of the process that created them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, succeeds};
use crate::tools::Tools;

/// The variable with the folder that the outer command removes, for the inner command.
const FOLDER: &str = "SIGNALBOX_NAMESPACES";
/// The variable with the namespaces of the outer command. A process that is still in them is not inside, whatever its environment says.
const OUTSIDE: &str = "SIGNALBOX_NAMESPACES_OUTSIDE";
const CGROUPS: &str = "/sys/fs/cgroup";
/// The sysctls that a kubelet sets for the whole machine, unless it writes to another place.
const SYSCTLS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// The inner side: this process is in private namespaces, and these are its resources there.
pub struct Namespaces {
    folder: PathBuf,
    cgroup: String,
}

impl Namespaces {
    /// The namespaces of this process, if [`again`] created them.
    #[must_use]
    pub fn inside() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(FOLDER)?);
        let outside = std::env::var(OUTSIDE).ok()?;
        let outside: Vec<&str> = outside.split(' ').collect();
        let here = own_namespaces();
        let left = here.len() == KINDS.len() && here.iter().all(|ours| !outside.contains(&ours.as_str()));
        if !left {
            return None;
        }
        let cgroup = folder.file_name()?.to_string_lossy().into_owned();
        Some(Self { folder, cgroup })
    }

    /// A folder that is removed with the namespaces.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates a cgroup below ours, for the pods of a node. Returns its path from a hierarchy's root.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn cgroup(&self, name: &str) -> Result<String> {
        let path = format!("{}/{name}", self.cgroup);
        for root in cgroup_roots()? {
            create_cgroup(&root.join(&path))?;
        }
        Ok(format!("/{path}"))
    }

    /// Makes mounts and interfaces private, before the first process starts that changes them.
    ///
    /// # Errors
    /// The error of `mount` or `ip`.
    pub async fn furnish(&self) -> Result<()> {
        // First private, so that nothing changes on the machine. Then shared within the namespace, as containers need it.
        tool("mount", &["--make-rprivate", "/"]).await?;
        tool("mount", &["--make-rshared", "/"]).await?;
        let (upper, work) = (self.folder.join("var"), self.folder.join("var.work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let over = format!(
            "lowerdir=/var,upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        tool("mount", &["-t", "overlay", "overlay", "-o", &over, "/var"]).await?;
        tool("mount", &["-t", "tmpfs", "tmpfs", "/run"]).await?;
        for name in SYSCTLS {
            let real = Path::new("/proc/sys").join(name);
            let ours = self.folder.join("sysctl").join(name);
            fs::create_dir_all(ours.parent().unwrap_or(&self.folder))?;
            fs::write(&ours, fs::read(&real)?)?;
            tool("mount", &["--bind", &text(&ours), &text(&real)]).await?;
        }
        tool("ip", &["link", "set", "lo", "up"]).await
    }
}

const KINDS: [&str; 3] = ["mnt", "net", "pid"];

/// The namespaces of this process, with the kernel's numbers: `mnt:[4026531841]`.
fn own_namespaces() -> Vec<String> {
    let of = |kind: &&str| fs::read_link(Path::new("/proc/self/ns").join(kind)).ok();
    let found = KINDS.iter().filter_map(of);
    found.map(|link| link.display().to_string()).collect()
}

/// Why such namespaces are not possible here, as a clause for a line "left out: …".
#[must_use]
pub async fn impossible() -> Option<String> {
    if !rustix::process::getuid().is_root() {
        return Some("it needs root, for namespaces and containers of its own".to_owned());
    }
    for program in ["unshare", "mount", "ip"] {
        if Command::new(program).arg("--version").output().await.is_err()
            && Command::new(program).arg("-V").output().await.is_err()
        {
            return Some(format!(
                "it needs the program {program} (Debian: util-linux, iproute2)"
            ));
        }
    }
    let tried = Command::new("unshare")
        .args(UNSHARE)
        .args(["mount", "-t", "tmpfs", "tmpfs", "/run"])
        .output()
        .await;
    match tried {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            return Some(format!("this machine allows no namespaces: {said}"));
        }
        Err(error) => return Some(format!("this machine allows no namespaces: {error}")),
    }
    cgroup_roots()
        .err()
        .map(|error| format!("there are no writable cgroups: {error:#}"))
}

const UNSHARE: [&str; 6] = [
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// Runs this program again with `arguments`, in private namespaces, and removes what it leaves.
///
/// # Errors
/// They cannot be created, or something is left on the machine, which is named.
pub async fn again(tools: &Tools, repository: &Path, arguments: &[&str]) -> Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("signalbox-real-").tempdir()?;
    let name = folder
        .path()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let roots = cgroup_roots()?;
    let cgroups = Cgroups(roots.iter().map(|root| root.join(&name)).collect());
    let watch = |what: &str, paths: &[PathBuf]| {
        let mut tether = Command::new(tools.path("tether"));
        tether.arg(what).args(paths);
        Process::start(what, &mut tether, folder.path().join(format!("{what}.log")))
    };
    // If this process is killed, these two clean up. They start before there is anything to clean up.
    let sweep = watch("sweep", &[folder.path().to_owned()])?;
    let prune = watch("prune", &cgroups.0)?;
    let left = Left::none_yet(&name)?;
    cgroups.create()?;
    // They are dropped in this order, also if this is cancelled: first the processes, then their cgroups and folders.
    let outer = Outer {
        process: Some(spawn(tools, repository, arguments, folder.path())?),
        _watches: [sweep, prune],
        cgroups,
        folder: Some(folder),
        left,
    };
    let status = outer.ended().await?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    })
}

fn spawn(tools: &Tools, repository: &Path, arguments: &[&str], folder: &Path) -> Result<Process> {
    let temporary = folder.join("tmp");
    fs::create_dir(&temporary)?;
    // By now a build may have replaced this program's file.
    let this = folder.join("xtask");
    fs::copy("/proc/self/exe", &this).context("this program cannot be copied")?;
    let mut command = Command::new(tools.path("tether"));
    command
        .args(["run", "unshare"])
        .args(UNSHARE)
        .arg(tools.path("tether"))
        .arg("init")
        .arg(this)
        .args(arguments)
        .current_dir(repository)
        // Temporary files of the inner side are in the folder that is removed.
        .env("TMPDIR", temporary)
        .env(FOLDER, folder)
        .env(OUTSIDE, own_namespaces().join(" "));
    Process::tethered_in_sight("the command in private namespaces", &mut command)
}

struct Outer {
    process: Option<Process>,
    _watches: [Process; 2],
    cgroups: Cgroups,
    folder: Option<TempDir>,
    left: Left,
}

impl Outer {
    async fn ended(mut self) -> Result<std::process::ExitStatus> {
        let status = match &mut self.process {
            Some(process) => process.ended().await?,
            None => bail!("nothing was started"),
        };
        drop(self.process.take());
        self.cgroups.remove()?;
        if let Some(folder) = self.folder.take() {
            folder
                .close()
                .context("the folder of the namespaces cannot be removed")?;
        }
        self.left.nothing()?;
        Ok(status)
    }
}

/// Our cgroup in each hierarchy.
struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    fn create(&self) -> Result<()> {
        self.0.iter().try_for_each(|folder| create_cgroup(folder))
    }

    fn remove(&self) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(10);
        for folder in &self.0 {
            while let Err(error) = remove_tree(folder) {
                ensure!(
                    Instant::now() < patience,
                    "the cgroup {} cannot be removed: {error}",
                    folder.display()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

fn create_cgroup(folder: &Path) -> Result<()> {
    fs::create_dir(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // An empty cpuset cannot contain a process.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (own, parent) = (folder.join(file), folder.with_file_name(file));
        if own.exists() && parent.exists() {
            fs::write(own, fs::read(parent)?)?;
        }
    }
    Ok(())
}

/// A cgroup is removed like an empty folder, its children first. Its files disappear by themselves.
fn remove_tree(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// The hierarchies of cgroup v1, or the one of v2.
fn cgroup_roots() -> Result<Vec<PathBuf>> {
    let base = Path::new(CGROUPS);
    if base.join("cgroup.controllers").exists() {
        return Ok(vec![base.to_owned()]);
    }
    const USED: [&str; 9] = [
        "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
    ];
    let mut roots = Vec::new();
    for name in USED {
        let root = base.join(name);
        // Two controllers may be mounted together, and then one of the names is a link to the other's folder.
        let root = fs::canonicalize(&root).with_context(|| format!("{} does not exist", root.display()))?;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    // A kubelet creates its own folder here, where both versions are mounted.
    let unified = base.join("unified");
    if unified.join("cgroup.procs").exists() {
        roots.push(unified);
    }
    Ok(roots)
}

/// Whether this machine has the second version of cgroups, and no other.
#[must_use]
pub fn cgroups_are_v2() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// Finds what this run left on the machine. Other runs may be there at the same time, with containers of their own.
struct Left {
    /// The name of our folder and of our cgroups.
    name: String,
    bridge: bool,
    sysctls: Vec<String>,
    looked: bool,
}

impl Left {
    fn none_yet(name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            bridge: bridge(),
            sysctls: sysctls()?,
            looked: false,
        })
    }

    fn found(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let ours = mounts.lines().filter(|line| line.contains(&self.name));
        found.extend(ours.map(|line| format!("the mount {line}")));
        let cgroups = cgroup_roots()?.into_iter().map(|root| root.join(&self.name));
        let stays = cgroups.filter(|folder| folder.exists());
        found.extend(stays.map(|folder| format!("the cgroup {}", folder.display())));
        if bridge() && !self.bridge {
            found.push("the interface cni0".to_owned());
        }
        for (was, is) in self.sysctls.iter().zip(sysctls()?) {
            if *was != is {
                found.push(format!("the sysctl {is} (it was {was})"));
            }
        }
        let folder = std::env::temp_dir().join(&self.name);
        if folder.exists() {
            found.push(format!("the folder {}", folder.display()));
        }
        found.extend(self.processes());
        Ok(found)
    }

    /// Processes that were started in our namespaces, by their environment, or are in our cgroups.
    fn processes(&self) -> Vec<String> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let read = |file: &str| {
                let content = fs::read(entry.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&content).into_owned()
            };
            let started = read("environ").contains(&format!("{FOLDER}={}", self.folder()));
            let ours = started || read("cgroup").contains(&self.name);
            ours.then(|| format!("the process {pid} ({})", read("comm").trim()))
        })
        .collect()
    }

    fn folder(&self) -> String {
        text(&std::env::temp_dir().join(&self.name))
    }

    fn nothing(&mut self) -> Result<()> {
        self.looked = true;
        // A killed process needs a moment to disappear.
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let found = self.found()?;
            if found.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < patience,
                "not removed from this machine: {}",
                found.join(", ")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Left {
    /// Prints errors itself, because after Ctrl-C no caller does.
    fn drop(&mut self) {
        if !self.looked
            && let Err(error) = self.nothing()
        {
            eprintln!("error: {error:#}");
        }
    }
}

fn bridge() -> bool {
    Path::new("/sys/class/net/cni0").exists()
}

fn sysctls() -> Result<Vec<String>> {
    let value = |name: &&str| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name))?;
        Ok(format!("{name} = {}", value.trim()))
    };
    SYSCTLS.iter().map(value).collect()
}

/// Runs a program that changes mounts or interfaces, for which the folder does not matter.
pub(crate) async fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    succeeds(Path::new("/"), program, arguments).await
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
