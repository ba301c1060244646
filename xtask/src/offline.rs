//! The commands that need no cluster are fast: a hundred files are checked, and a year of a hundred releases is simulated, in
//! under a second each. Measured with the release binary, because a debug build says nothing about that.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

const LONGEST: Duration = Duration::from_secs(1);
/// The best of a few attempts counts, so that other load on the machine does not matter.
const TRIES: usize = 3;
const RELEASES: usize = 100;

/// Measures `binary` with the repository's examples.
///
/// # Errors
/// It takes longer, or does not print what it should.
pub async fn is_fast(repository: &Path, binary: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("files");
    write_files(repository, &files)?;
    let files = files.to_string_lossy().into_owned();
    best(
        binary,
        "lint",
        &["lint", "-f", &files],
        "103 Signalbox objects in 101 files: 0 errors",
    )
    .await?;
    let year = folder.path().join("year.yaml");
    std::fs::write(&year, a_year(repository)?)?;
    let year = year.to_string_lossy().into_owned();
    let simulate = [
        "simulate",
        "-f",
        &year,
        "--approve",
        "release-board@bob,carol",
        "--now",
        "2026-11-23T09:00:00Z",
    ];
    best(binary, "simulate", &simulate, "=> reaches its goal").await
}

async fn best(binary: &Path, what: &str, arguments: &[&str], said: &str) -> Result<()> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let began = Instant::now();
        let output = Command::new(binary).args(arguments).output().await?;
        best = best.min(began.elapsed());
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && text.contains(said),
            "signalbox {what} does not print {said:?}:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    eprintln!("{what}: {RELEASES} releases take {:.2} s", best.as_secs_f64());
    ensure!(
        best < LONGEST,
        "signalbox {what} takes {best:?}, more than {LONGEST:?}"
    );
    Ok(())
}

/// One Release for each product, with the example's Environments.
fn write_files(repository: &Path, folder: &Path) -> Result<()> {
    let examples = repository.join("examples/payments");
    let release = read(&examples.join("release-1.yaml"))?;
    std::fs::create_dir(folder)?;
    for n in 0..RELEASES {
        std::fs::write(folder.join(format!("release-{n}.yaml")), of_product(&release, n))?;
    }
    let environments = "environments.yaml";
    std::fs::copy(examples.join(environments), folder.join(environments))?;
    Ok(())
}

/// Releases that are spread over a year by their schedules.
fn a_year(repository: &Path) -> Result<String> {
    let text = read(&repository.join("src/cli/tests/tuesdays.yaml"))?;
    let documents: Vec<&str> = text.split("---\n").collect();
    let [uat, production, release, _] = &documents[..] else {
        anyhow::bail!("tuesdays.yaml has two Environments and two Releases");
    };
    let mut text = format!("{uat}---\n{production}");
    let begin: jiff::Timestamp = "2026-11-24T18:00:00Z".parse()?;
    for n in 0..RELEASES {
        let weeks = i64::try_from(n * 52 / RELEASES)?;
        let start = begin + jiff::SignedDuration::from_hours(weeks * 168);
        let release = of_product(release, n).replace("namespace: payments", &format!("namespace: team-{n}"));
        let schedule = format!("schedule: [{{ environment: production, start: {start} }}]");
        write!(text, "---\n{release}  {schedule}\n")?;
    }
    Ok(text)
}

fn of_product(release: &str, n: usize) -> String {
    release
        .replace("product: payments", &format!("product: product-{n}"))
        .replace(
            "name: payments-2026.11.1",
            &format!("name: product-{n}-2026.11.1"),
        )
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
