//! `cargo xtask chart`: helm's linting, and a rendering with every values file in the chart's folder ci.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

const TEMPLATE: [&str; 2] = ["template", "signalbox"];
/// With the notes, which `helm template` leaves out.
const NOTES: [&str; 3] = ["install", "signalbox", "--dry-run=client"];

/// What helm prints for the chart with one of its values files. No cluster is used.
async fn printed(helm: &Path, arguments: &[&str], chart: &Path, values: &Path) -> Result<String> {
    let output = Command::new(helm)
        .args(arguments)
        .arg(chart)
        .args(["--namespace", "signalbox-system", "--values"])
        .arg(values)
        .output()
        .await
        .context("cannot run helm")?;
    let told = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "helm {} fails at {}:\n{told}{}",
        arguments[0],
        values.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(told)
}

/// Lints and renders.
///
/// # Errors
/// Every error of helm, with its output on standard error.
pub async fn run() -> Result<()> {
    let root = crate::repository()?;
    let helm = crate::tools::Tools::ready(&root).await?.folder().join("helm");
    let chart = root.join("charts/signalbox");
    let at = |values: &str| chart.join("ci").join(values);
    let left_out = printed(&helm, &TEMPLATE, &chart, &at("openshift.yaml")).await?;
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        ensure!(
            !left_out.contains(field),
            "the chart still renders {field} where values set it to null"
        );
    }
    ensure!(
        left_out.contains("runAsNonRoot: true") && left_out.contains("readOnlyRootFilesystem: true"),
        "the chart leaves out more than the values set to null"
    );
    let some = printed(&helm, &NOTES, &chart, &at("namespaced.yaml")).await?;
    for says in [
        "Only these namespaces are watched: payments-sit, payments-prod.",
        "TargetsAllowed: NamespaceNotWatched",
    ] {
        ensure!(
            some.contains(says),
            "the notes do not mention the effect of watch.namespaces: {says}"
        );
    }
    let all = printed(&helm, &NOTES, &chart, &at("default.yaml")).await?;
    ensure!(
        all.contains("\nNOTES:\n") && !all.contains("namespaces are watched"),
        "the notes mention watch.namespaces although all namespaces are watched"
    );
    ensure!(
        !left_out.contains("kind: NetworkPolicy")
            && printed(&helm, &TEMPLATE, &chart, &at("ha.yaml"))
                .await?
                .contains("kind: NetworkPolicy"),
        "the chart must render a NetworkPolicy if, and only if, networkPolicy.enabled is set"
    );
    let quotas = printed(&helm, &TEMPLATE, &chart, &at("ha.yaml")).await?;
    ensure!(
        !left_out.contains("kind: ResourceQuota")
            && quotas.matches("kind: ResourceQuota").count() == 2
            && quotas.matches("count/releases.signalbox.dev: \"50\"").count() == 2
            && quotas.matches("count/decisions.signalbox.dev: \"1000\"").count() == 2,
        "the chart does not render one ResourceQuota in each of tenantQuota.namespaces, with the values and the defaults"
    );
    let consenting = printed(&helm, &TEMPLATE, &chart, &at("ha.yaml")).await?;
    ensure!(
        consenting.contains("signalbox.dev/accept: \"payments/uat\"")
            && consenting.contains("signalbox.dev/accept: \"payments/production,ledgers\"")
            && consenting.matches("signalbox.dev/accept:").count() == 2
            && consenting.contains("name: SIGNALBOX_REQUIRE_CONSENT\n          value: \"false\""),
        "the chart does not render the namespaces that deployer.namespaces accepts, or accepts others"
    );
    ensure!(
        all.contains("name: SIGNALBOX_REQUIRE_CONSENT\n          value: \"true\"")
            && all.contains("annotate serviceaccount signalbox-deployer signalbox.dev/accept="),
        "the chart does not require consent by default, or the notes do not say how to consent"
    );
    let mut files: Vec<_> = std::fs::read_dir(chart.join("ci"))?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    for values in files {
        for arguments in [&["lint", "--strict"][..], &TEMPLATE] {
            printed(&helm, arguments, &chart, &values).await?;
        }
        println!(
            "chart: {} lints and renders",
            values.file_name().unwrap_or_default().to_string_lossy()
        );
    }
    Ok(())
}
