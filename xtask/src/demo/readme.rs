//! The README shows what the demo prints: `cargo xtask demo --check` compares both, and `--write` writes the README.

use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use similar::TextDiff;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const BEGIN: &str = "<!-- output: demo -->\n```text\n";
const END: &str = "```\n<!-- /output: demo -->";
/// How many lines of a difference are shown.
const SHOWN: usize = 40;

/// Runs the demo and compares what it prints with the README, except for what is different in each run.
///
/// # Errors
/// The demo fails, or the README shows something else.
pub async fn check(repository: &Path) -> Result<()> {
    let readme = std::fs::read_to_string(repository.join("README.md"))?;
    let shown = &readme[block(&readme)?];
    compare(shown, &printed(repository).await?)?;
    eprintln!("The README shows what the demo prints.");
    Ok(())
}

/// Runs the demo and writes what it prints into the README.
///
/// # Errors
/// The demo fails, or the README has no place for it.
pub async fn write(repository: &Path) -> Result<()> {
    let path = repository.join("README.md");
    let printed = printed(repository).await?;
    // Read afterwards: it may have been edited while the demo ran.
    let mut readme = std::fs::read_to_string(&path)?;
    let block = block(&readme)?;
    readme.replace_range(block, &printed);
    std::fs::write(&path, readme).with_context(|| format!("cannot write {}", path.display()))
}

/// What the demo prints, which is also shown while it runs. It runs as a process of its own, as in a terminal.
async fn printed(repository: &Path) -> Result<String> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("demo")
        .current_dir(repository)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the demo")?;
    let output = child.stdout.take().context("the demo has no output")?;
    let mut demo = Demo(child);
    let mut lines = BufReader::new(output).lines();
    let mut printed = String::new();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = demo.0.wait().await?;
    ensure!(status.success(), "the demo did not succeed ({status})");
    Ok(printed)
}

/// The running demo. When the value is dropped, the demo is asked to stop, and ends what it has started.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
            return;
        };
        let _ = kill_process(pid, Signal::TERM);
        let patience = Instant::now() + Duration::from_secs(10);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where the README shows the demo's output.
fn block(readme: &str) -> Result<Range<usize>> {
    let begin = readme
        .find(BEGIN)
        .with_context(|| format!("README.md: {BEGIN:?} is missing"))?
        + BEGIN.len();
    let end = readme[begin..]
        .find(END)
        .with_context(|| format!("README.md: {END:?} is missing after {BEGIN:?}"))?;
    Ok(begin..begin + end)
}

fn compare(shown: &str, printed: &str) -> Result<()> {
    let (shown, printed) = (masked(shown), masked(printed));
    let diff = TextDiff::from_lines(&shown, &printed);
    let mut unified = diff.unified_diff();
    let text = unified
        .context_radius(2)
        .header("README.md", "cargo xtask demo")
        .to_string();
    let lines: Vec<&str> = text.lines().take(SHOWN).collect();
    ensure!(
        lines.is_empty(),
        "the README does not show what the demo prints. If this output is right, run cargo xtask demo --write. \
         Times, hashes, ages and generated names are compared as zeros:\n{}",
        lines.join("\n")
    );
    Ok(())
}

/// What is different in each run, and what is compared in its place.
static DIFFERENT: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        // The time since the start.
        (r"(?m)^ *\d+\.\d s  ", "   0.0 s  "),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "0000-00-00T00:00:00Z"),
        // The hash of an object. That of a plan is the same in each run.
        (r"\bsha256 [0-9a-f]{32}\b", "sha256 0"),
        (r"\bresourceVersion \d+", "resourceVersion 0"),
        // The name of a pod: the hash of its template, and a random part.
        (r"\b([a-z]+)-[0-9a-z]{8,10}-[0-9a-z]{5}\b", "$1-0-0"),
        // The last column of a table of kubectl.
        (r"(?m)( {2,})(?:\d+[smhd]){1,2}$", "${1}0s"),
        // The name that the API server completes.
        (r"-approve-[a-z0-9]{5} created", "-approve-00000 created"),
    ]
    .into_iter()
    .filter_map(|(pattern, instead)| Some((Regex::new(pattern).ok()?, instead)))
    .collect()
});

/// The output without what is different in each run.
fn masked(printed: &str) -> String {
    DIFFERENT
        .iter()
        .fold(printed.to_owned(), |text, (pattern, instead)| {
            pattern.replace_all(&text, *instead).into_owned()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]
mod tests {
    use super::*;

    const PLAN: &str = "v1:sha256:a73adf007f72548e345b31b2ee31e9847058521164dccf2ed5f7df4d5c0ecb27";

    #[test]
    fn only_what_is_different_in_each_run_is_masked() {
        assert_eq!(DIFFERENT.len(), 7, "a pattern is not valid");
        for (printed, compared) in [
            (
                "decision.signalbox.dev/p-production-approve-cjk6v created",
                "decision.signalbox.dev/p-production-approve-00000 created",
            ),
            (
                "   7.7 s  sit         Succeeded",
                "   0.0 s  sit         Succeeded",
            ),
            (" 104.5 s  alice$ kubectl", "   0.0 s  alice$ kubectl"),
            (
                "soaks in sit until 2026-11-28T10:37:55Z.",
                "soaks in sit until 0000-00-00T00:00:00Z.",
            ),
            ("spec  sha256 f16b31e64be04cac30984376fbdcd30d", "spec  sha256 0"),
            (
                "still 2, the ConfigMap's resourceVersion 603",
                "still 2, the ConfigMap's resourceVersion 0",
            ),
            ("1 of 2: ledger-c475bc889-mnkz9", "1 of 2: ledger-0-0"),
            (
                "Green   Pending   38s\nRed     Pending   1m5s\n",
                "Green   Pending   0s\nRed     Pending   0s\n",
            ),
        ] {
            assert_eq!(masked(printed), compared);
        }
        for same in [
            PLAN,
            "uat         Observing         healthy for 5s",
            "ReadyTooLate: Deployment ledger is not ready within 10s:",
            "payments-2026.11.1   2026.11.1   production",
            "examples/payments/decision-approve.yaml",
            "the Deployment's generation went from 2 to 4",
            "A control plane is ready: Kubernetes v1.37.2.",
        ] {
            assert_eq!(masked(same), same);
        }
    }

    #[test]
    fn a_difference_is_shown_with_what_to_do() {
        let shown = "one\n   1.0 s  two\nthree\n";
        assert!(compare(shown, "one\n  22.5 s  two\nthree\n").is_ok());
        let error = compare(shown, "one\n   1.0 s  two\nfour\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("cargo xtask demo --write"), "{error}");
        assert!(error.ends_with("one\n    0.0 s  two\n-three\n+four"), "{error}");
        assert!(compare(shown, "one\n   1.0 s  two\n").is_err());
    }

    #[test]
    fn a_long_difference_is_shown_in_part() {
        let long: String = (0..200).map(|line| format!("{line}\n")).collect();
        let error = compare("", &long).unwrap_err().to_string();
        assert_eq!(error.lines().count(), SHOWN + 1);
    }

    #[test]
    fn the_block_of_the_readme_is_found() {
        let readme = format!("before\n{BEGIN}the output\n{END}\nafter");
        assert_eq!(&readme[block(&readme).unwrap()], "the output\n");
        assert!(block("no block").is_err());
        assert!(block(BEGIN).is_err());

        let ours = std::fs::read_to_string(crate::repository().unwrap().join("README.md")).unwrap();
        let shown = &ours[block(&ours).unwrap()];
        assert!(shown.starts_with(crate::demo::TITLE), "{shown}");
        assert!(compare(shown, shown).is_ok());
    }
}
