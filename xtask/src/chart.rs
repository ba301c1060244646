//! `cargo xtask chart`: helm's own linting, and a rendering at every values file that the chart keeps for it.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Lints and renders.
///
/// # Errors
/// Anything that helm complains about, with its own words on standard error.
pub async fn run() -> Result<()> {
    let root = crate::repository()?;
    let helm = crate::tools::Tools::ready(&root).await?.folder().join("helm");
    let chart = root.join("charts/signalbox");
    let mut files: Vec<_> = std::fs::read_dir(chart.join("ci"))?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    for values in files {
        for arguments in [&["lint", "--strict"][..], &["template", "signalbox"][..]] {
            let output = Command::new(&helm)
                .args(arguments)
                .arg(&chart)
                .args(["--namespace", "signalbox-system", "--values"])
                .arg(&values)
                .output()
                .await
                .context("cannot run helm")?;
            ensure!(
                output.status.success(),
                "helm {} fails at {}:\n{}{}",
                arguments[0],
                values.display(),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        println!(
            "chart: {} lints and renders",
            values.file_name().unwrap_or_default().to_string_lossy()
        );
    }
    Ok(())
}
