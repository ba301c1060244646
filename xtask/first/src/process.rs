//! A process that never outlives its owner: it is in a group of its own, which is killed when its value is dropped, at the end, on
//! an error, in a panic or after Ctrl-C. If this process itself is killed, `tests/control-plane/tether` does that.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, ChildStdin, Command};

/// A running process, its whole group, and the file of its output.
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: Option<PathBuf>,
    // Held, never written to: the process ends when this end of its standard input is closed. Separate from `child`, because
    // waiting for a child closes its input.
    _tether: Option<ChildStdin>,
}

impl Process {
    /// Starts a process that writes to a log file, and that the Go program ends when this process has ended.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command
            .env("SIGNALBOX_TETHERED", "1")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output);
        Self::spawn(name, command, Some(log))
    }

    /// Starts a process that uses the terminal.
    pub fn in_sight(name: &str, command: &mut Command) -> Result<Self> {
        Self::spawn(name, command.stdin(Stdio::null()), None)
    }

    /// Starts a process that uses the terminal, and that the Go program `tether` ends when this process has ended.
    pub fn tethered_in_sight(name: &str, command: &mut Command) -> Result<Self> {
        Self::spawn(name, command.stdin(Stdio::piped()), None)
    }

    fn spawn(name: &str, command: &mut Command, log: Option<PathBuf>) -> Result<Self> {
        // A group of its own keeps the terminal's Ctrl-C away: this process decides in which order they end.
        let mut child = command.process_group(0).spawn().with_context(|| {
            format!(
                "cannot start {name} ({})",
                command.as_std().get_program().display()
            )
        })?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .context("a process without an id")?;
        let tether = child.stdin.take();
        Ok(Self {
            name: name.to_owned(),
            child,
            pid,
            log,
            _tether: tether,
        })
    }

    /// The id of the process, which is also that of its group.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until the process has ended; may be dropped and called again.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.child
            .wait()
            .await
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Waits until it ends unexpectedly, and returns an error with the last lines of the log.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.ended().await {
            Ok(status) => anyhow::anyhow!("{} ended unexpectedly ({status}){}", self.name, self.told()),
            Err(error) => error,
        }
    }

    /// The last lines of the log, to append to a sentence. Empty if there is no log.
    #[must_use]
    pub fn told(&self) -> String {
        self.log.as_deref().map_or_else(String::new, |log| {
            format!("; the end of its log:\n{}", tail(log, 25))
        })
    }

    /// Asks the process to stop and returns how it ended, or an error when it takes longer than `patience`.
    pub async fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        kill_process(self.pid, Signal::TERM).with_context(|| format!("cannot stop {}", self.name))?;
        let ended = tokio::time::timeout(patience, self.ended()).await;
        match ended {
            Ok(status) => status,
            Err(_) => bail!(
                "{} did not stop within {} s{}",
                self.name,
                patience.as_secs(),
                self.told()
            ),
        }
    }

    fn kill(&mut self) {
        // The group may hold more than the child, for example the tests that cargo started, or what a tether holds.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let patience = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program of the system in `folder`. It has to succeed.
///
/// # Errors
/// Its error output.
pub async fn succeeds(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The last `lines` lines of a file, indented. Empty if it cannot be read.
#[must_use]
pub fn tail(file: &Path, lines: usize) -> String {
    let mut last = VecDeque::new();
    if let Ok(file) = File::open(file) {
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            if last.len() == lines {
                last.pop_front();
            }
            last.push_back(format!("    {}", String::from_utf8_lossy(&line).trim_end()));
        }
    }
    Vec::from(last).join("\n")
}
