//! Builds that people wait for: what runs, for how long already, and about how long it will take. On a terminal each build has a
//! bar; elsewhere there is a line when a build starts and when it ends, and in between one for all builds every 15 seconds.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::process::{Process, tail};
use crate::tools::cache;

/// A build that takes less is not shown: there was nothing to build.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// A build that takes less is not remembered: it was not the whole build.
const REMEMBERED_FROM: Duration = Duration::from_secs(5);
const BETWEEN_LINES: Duration = Duration::from_secs(15);
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(200);
/// How much of the log of a failed build is shown: compilers report several errors.
const TOLD: usize = 60;

/// The builds of this process.
struct Builds {
    bars: MultiProgress,
    terminal: bool,
    /// As many builds as processors run at the same time. Each has its own parallelism, but its last part, linking, has none.
    places: Semaphore,
    shown: Mutex<Shown>,
}

/// What is shown where there is no terminal.
#[derive(Default)]
struct Shown {
    running: BTreeMap<&'static str, String>,
    last: Option<Instant>,
}

static BUILDS: LazyLock<Builds> = LazyLock::new(|| Builds {
    bars: MultiProgress::new(),
    terminal: std::io::stderr().is_terminal(),
    places: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
    shown: Mutex::default(),
});

impl Builds {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints a line to standard error, above the bars.
pub fn say(text: &str) {
    BUILDS.bars.suspend(|| eprintln!("{text}"));
}

/// One build.
pub struct Build {
    /// Its name among the durations that are remembered.
    name: &'static str,
    /// What people read.
    what: String,
    usual: Duration,
}

impl Build {
    /// A build that took about `usual` on two processors. How long it took here the last time counts more.
    #[must_use]
    pub fn new(name: &'static str, what: &str, usual: Duration) -> Self {
        let remembered = cache()
            .ok()
            .and_then(|cache| remembered(&cache).get(name).copied());
        Self {
            name,
            what: what.to_owned(),
            usual: remembered.map_or(usual, Duration::from_secs),
        }
    }

    /// Runs a program that builds, with its output in `log`, once a processor is free for it.
    ///
    /// # Errors
    /// It does not start, or fails: the end of its log.
    pub async fn run(self, command: &mut Command, log: &Path) -> Result<()> {
        let _place = BUILDS.places.acquire().await?;
        let what = self.what.clone();
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut process = Process::start(&program, command, log.to_owned())?;
        let status = self.watched(process.ended(), Some(log)).await?;
        if !status.success() {
            bail!("{what} cannot be built ({status})\n{}", tail(log, TOLD));
        }
        Ok(())
    }

    /// Shows several builds as one.
    ///
    /// # Errors
    /// Those of the builds.
    pub async fn around<T>(self, builds: impl Future<Output = Result<T>>) -> Result<T> {
        self.watched(builds, None).await
    }

    async fn watched<T>(&self, work: impl Future<Output = Result<T>>, log: Option<&Path>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        if let Ok(ended) = tokio::time::timeout(SHOWN_AFTER, &mut work).await {
            return ended;
        }
        let seen = Seen::start(self, log);
        let mut tick = tokio::time::interval(BETWEEN_DRAWINGS);
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended?,
                _ = tick.tick() => seen.draw(),
            }
        };
        let took = seen.began.elapsed();
        drop(seen);
        say(&format!("Built {} in {}.", self.what, clock(took)));
        if took >= REMEMBERED_FROM {
            // A time that is not remembered only makes the next estimate worse.
            let _ = cache().and_then(|cache| remember(&cache, self.name, took));
        }
        Ok(ended)
    }
}

/// A build that is shown, until the value is dropped.
struct Seen<'a> {
    build: &'a Build,
    log: Option<&'a Path>,
    began: Instant,
    bar: ProgressBar,
}

impl<'a> Seen<'a> {
    fn start(build: &'a Build, log: Option<&'a Path>) -> Self {
        let began = Instant::now()
            .checked_sub(SHOWN_AFTER)
            .unwrap_or_else(Instant::now);
        let length = u64::try_from(build.usual.as_millis()).unwrap_or(u64::MAX);
        let bar = BUILDS.bars.add(ProgressBar::new(length));
        if let Ok(style) = ProgressStyle::with_template("{prefix:<30!} {bar:20} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(build.what.clone());
        if !BUILDS.terminal {
            say(&format!(
                "Building {}: {}",
                build.what,
                left(Duration::ZERO, build.usual)
            ));
            BUILDS.shown().last.get_or_insert_with(Instant::now);
        }
        Self {
            build,
            log,
            began,
            bar,
        }
    }

    fn draw(&self) {
        let elapsed = self.began.elapsed();
        let now = format!("{}, {}", clock(elapsed), left(elapsed, self.build.usual));
        if BUILDS.terminal {
            let step = self.log.and_then(last_line).map(|line| format!(" · {line}"));
            let most = self.build.usual.as_millis().saturating_sub(1);
            self.bar
                .set_position(u64::try_from(elapsed.as_millis().min(most)).unwrap_or(u64::MAX));
            self.bar.set_message(now + &step.unwrap_or_default());
            return;
        }
        let mut shown = BUILDS.shown();
        shown
            .running
            .insert(self.build.name, format!("{} {now}", self.build.what));
        if shown.last.is_none_or(|last| last.elapsed() >= BETWEEN_LINES) {
            shown.last = Some(Instant::now());
            let all: Vec<&str> = shown.running.values().map(String::as_str).collect();
            say(&format!("Building {}", all.join("; ")));
        }
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        BUILDS.bars.remove(&self.bar);
        BUILDS.shown().running.remove(self.build.name);
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// What remains, in words, as it was the last time.
fn left(elapsed: Duration, usual: Duration) -> String {
    match usual.saturating_sub(elapsed).as_secs() {
        0 => "longer than expected".to_owned(),
        1..60 => "less than a minute left".to_owned(),
        seconds => format!("about {} min left", (seconds + 30) / 60),
    }
}

/// The last line of a log, without control characters.
fn last_line(log: &Path) -> Option<String> {
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(500))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let line = end.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().filter(|c| !c.is_control()).collect())
}

/// An empty file for the output of a build that writes nothing else into the cache.
///
/// # Errors
/// The cache cannot be written.
pub fn log() -> Result<tempfile::NamedTempFile> {
    let named = tempfile::Builder::new()
        .prefix("build-")
        .suffix(".log")
        .tempfile_in(cache()?)?;
    Ok(named)
}

fn durations(cache: &Path) -> PathBuf {
    cache.join("durations.json")
}

/// How many seconds each build took here the last time. A file that cannot be read is as good as none.
fn remembered(cache: &Path) -> BTreeMap<String, u64> {
    fs::read(durations(cache))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

fn remember(cache: &Path, name: &str, took: Duration) -> Result<()> {
    let mut all = remembered(cache);
    all.insert(name.to_owned(), took.as_secs());
    // Written to another file and renamed, so that a reader never sees half of it.
    let mut partial = tempfile::NamedTempFile::new_in(cache)?;
    partial.write_all(&serde_json::to_vec_pretty(&all)?)?;
    partial.persist(durations(cache))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn what_remains_is_rounded_to_minutes() {
        for (elapsed, usual, told) in [
            (0, 240, "about 4 min left"),
            (100, 240, "about 2 min left"),
            (179, 240, "about 1 min left"),
            (181, 240, "less than a minute left"),
            (240, 240, "longer than expected"),
            (900, 240, "longer than expected"),
        ] {
            assert_eq!(
                left(seconds(elapsed), seconds(usual)),
                told,
                "{elapsed} of {usual}"
            );
        }
    }

    #[test]
    fn a_time_is_in_minutes_and_seconds() {
        assert_eq!(clock(seconds(59)), "59 s");
        assert_eq!(clock(seconds(605)), "10 min 05 s");
    }

    #[test]
    fn a_duration_is_remembered_beside_others_and_a_file_that_is_not_ours_is_ignored() {
        let cache = tempfile::tempdir().unwrap();
        remember(cache.path(), "helm", seconds(90)).unwrap();
        remember(cache.path(), "kwok", seconds(60)).unwrap();
        remember(cache.path(), "helm", seconds(80)).unwrap();
        let all = remembered(cache.path());
        assert_eq!((all["helm"], all["kwok"], all.len()), (80, 60, 2));

        for garbage in ["", "{\"helm\": -1}", "[1]", "\u{0}"] {
            fs::write(durations(cache.path()), garbage).unwrap();
            assert!(remembered(cache.path()).is_empty(), "{garbage:?}");
        }
        remember(cache.path(), "kwok", seconds(50)).unwrap();
        assert_eq!(remembered(cache.path())["kwok"], 50);
    }

    #[test]
    fn the_last_line_of_a_log_has_no_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(last_line(&log), None);
        fs::write(&log, "first\n  \u{1b}[2Jsecond \n\n").unwrap();
        assert_eq!(last_line(&log).as_deref(), Some("[2Jsecond"));
    }

    #[tokio::test]
    async fn a_build_that_fails_says_what_and_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let build = Build::new("nothing", "nothing at all", seconds(1));
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let error = build.run(&mut command, &log).await.unwrap_err().to_string();
        assert!(error.starts_with("nothing at all cannot be built"), "{error}");
        assert!(error.ends_with("    the reason"), "{error}");
    }
}
