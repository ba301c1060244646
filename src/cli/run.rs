//! `signalbox run`: the operator.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::api::GoDuration;
use crate::cli::log::{self, LogFormat};
use crate::decide::facts::Settings;
use crate::operator;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Path of a kubeconfig (default: the pod's ServiceAccount, else $KUBECONFIG)
    #[arg(long, env = "SIGNALBOX_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// The operator's own namespace, which holds its locks, its pre-states and the leader's Lease
    #[arg(long, env = "SIGNALBOX_NAMESPACE", default_value = "signalbox-system")]
    namespace: String,
    /// Namespaces to watch, those of Releases and those of targets (default: all). Other namespaces are not read
    #[arg(long, env = "SIGNALBOX_WATCH_NAMESPACE", value_delimiter = ',')]
    watch_namespace: Vec<String>,
    /// Address that serves /healthz, /readyz and /metrics
    #[arg(long, env = "SIGNALBOX_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Format of the log on standard error. $SIGNALBOX_LOG sets its levels, as in `info,kube=warn`
    #[arg(long, env = "SIGNALBOX_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// How long a workload may be not ready before it counts as unhealthy
    #[arg(long, env = "SIGNALBOX_HEALTH_GRACE", default_value = "2m")]
    health_grace: GoDuration,
    /// How long something may be impossible to evaluate before a Decision is required
    #[arg(long, env = "SIGNALBOX_INCONCLUSIVE_AFTER", default_value = "30m")]
    inconclusive_after: GoDuration,
    /// How long after the last change of its admission policy or binding a Decision, or a Release to be approved, must be created
    #[arg(long, env = "SIGNALBOX_POLICY_SETTLE", default_value = "60s")]
    policy_settle: GoDuration,
    /// Total size of the pre-states that may be stored for the Releases of one namespace
    #[arg(long, env = "SIGNALBOX_PRE_STATE_LIMIT", default_value = "64Mi", value_parser = size)]
    pre_state_limit: u64,
    /// Name of the ServiceAccount that is impersonated in target namespaces
    #[arg(long, env = "SIGNALBOX_DEPLOYER_NAME", default_value = "signalbox-deployer")]
    deployer_name: String,
    /// Whether a target namespace without the annotation signalbox.dev/accept accepts no Release (true) or every Release (false)
    #[arg(
        long,
        env = "SIGNALBOX_REQUIRE_CONSENT",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "true|false"
    )]
    require_consent: bool,
}

/// Runs the operator until it is asked to stop.
///
/// # Errors
/// A sentence: no cluster, no log, or the reason why the operator ended.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    logging(options.log_format)?;
    // Two dependencies would each bring a provider. Installing one of them decides which is used.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return Err("Another TLS crypto provider is already installed.".to_owned());
    }
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|e| format!("Cannot listen for SIGTERM: {e}"))?;
    let mut interrupted =
        signal(SignalKind::interrupt()).map_err(|e| format!("Cannot listen for SIGINT: {e}"))?;
    let mut config = cluster(options.kubeconfig.as_deref()).await?;
    config.default_retry = false;
    // The user agent tells versions apart in the API server's audit log.
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    let client =
        Client::try_from(config).map_err(|e| format!("Cannot create a client for the API server: {e}"))?;

    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("Shutdown requested.");
        let _ = stop.send(true);
        // Keep the sending end: dropping it would also be a request to stop.
        std::future::pending::<()>().await;
    });
    let config = operator::Config {
        settings: Settings {
            operator_namespace: options.namespace,
            watch_namespaces: options
                .watch_namespace
                .into_iter()
                .filter(|n| !n.is_empty())
                .collect(),
            deployer: options.deployer_name,
            require_consent: options.require_consent,
            health_grace: options.health_grace.get(),
            inconclusive_after: options.inconclusive_after.get(),
            policy_settle: options.policy_settle.get(),
            pre_state_limit: options.pre_state_limit,
        },
        listen: options.listen,
        identity: identity(),
        lease_duration: Duration::from_secs(15),
        concurrency: 16,
        reconcile_timeout: Duration::from_secs(60),
    };
    operator::run(client, config, stopped)
        .await
        .map_err(|e| e.to_string())
}

/// The cluster of `kubeconfig`. Without one: the cluster of the pod, else that of $KUBECONFIG.
async fn cluster(kubeconfig: Option<&Path>) -> Result<Config, String> {
    let options = KubeConfigOptions::default();
    let Some(path) = kubeconfig else {
        if let Ok(config) = Config::incluster() {
            return Ok(config);
        }
        // The library's error lists the files that it tried. That does not help a user who named none.
        return Config::from_kubeconfig(&options).await.map_err(|_| {
            "No cluster found: this process is not in a pod with a ServiceAccount, and $KUBECONFIG names no readable kubeconfig. \
             Name one with --kubeconfig."
                .to_owned()
        });
    };
    let at = |e: &dyn std::fmt::Display| format!("Kubeconfig {}: {e}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).map_err(|e| at(&e))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|e| at(&e))
}

/// Bytes, as in `64Mi`.
fn size(text: &str) -> Result<u64, String> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let (number, shift) = units
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .unwrap_or((text, 0));
    let digits = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
    let bytes = number.parse::<u64>().ok().filter(|_| digits);
    let bytes = bytes.and_then(|number| number.checked_mul(1 << shift));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
        "it must be a size above zero: a whole number of bytes, or one with Ki, Mi or Gi, as in 64Mi"
            .to_owned()
    })
}

const USER_AGENT: &str = concat!("signalbox/", env!("CARGO_PKG_VERSION"));

/// In a pod, the identity is the pod's name, so that a restarted container leads again immediately. Elsewhere each process has its own
/// identity.
fn identity() -> String {
    std::env::var("POD_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            let now = jiff::Timestamp::now().as_nanosecond();
            format!("signalbox-{}-{:x}", std::process::id(), now & 0xffff_ffff)
        })
}

fn logging(format: LogFormat) -> Result<(), String> {
    let filter =
        EnvFilter::try_from_env("SIGNALBOX_LOG").unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    let colours = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(log::subscriber(format, filter, colours, std::io::stderr))
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_of_bytes_with_or_without_a_unit() {
        for (text, bytes) in [("1", 1), ("64Ki", 64 << 10), ("64Mi", 64 << 20), ("2Gi", 2 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "Mi",
            "0",
            "0Mi",
            "-1Mi",
            "+1Mi",
            "1.5Mi",
            "64M",
            "64 Mi",
            "64mi",
            "99999999999Gi",
        ] {
            let error = size(text).expect_err(text);
            assert!(error.contains("as in 64Mi"), "{text}: {error}");
        }
    }
}
