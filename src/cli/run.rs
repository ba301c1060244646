//! `signalbox run`: the operator.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::api::GoDuration;
use crate::decide::facts::Settings;
use crate::operator;

#[derive(clap::Args)]
pub(super) struct Options {
    /// A kubeconfig; without one the pod's ServiceAccount, else $KUBECONFIG
    #[arg(long, env = "SIGNALBOX_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// The operator's own namespace: claims, pre-states and the leader's Lease stand there
    #[arg(long, env = "SIGNALBOX_NAMESPACE", default_value = "signalbox-system")]
    namespace: String,
    /// Namespaces to watch, Releases' and targets'; none: everywhere
    #[arg(long, env = "SIGNALBOX_WATCH_NAMESPACE", value_delimiter = ',')]
    watch_namespace: Vec<String>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "SIGNALBOX_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How log lines are written, to standard error; $SIGNALBOX_LOG says which (as in `info,kube=warn`)
    #[arg(long, env = "SIGNALBOX_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// How long a workload may be unhealthy while it is observed
    #[arg(long, env = "SIGNALBOX_HEALTH_GRACE", default_value = "2m")]
    health_grace: GoDuration,
    /// When something that cannot be evaluated is handed over to people
    #[arg(long, env = "SIGNALBOX_INCONCLUSIVE_AFTER", default_value = "30m")]
    inconclusive_after: GoDuration,
    /// How much younger than its admission policy a Decision must be, and a Release that is approved
    #[arg(long, env = "SIGNALBOX_POLICY_SETTLE", default_value = "60s")]
    policy_settle: GoDuration,
    /// The one ServiceAccount name that is impersonated in target namespaces
    #[arg(long, env = "SIGNALBOX_DEPLOYER_NAME", default_value = "signalbox-deployer")]
    deployer_name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub(super) async fn run(options: Options) -> Result<(), String> {
    logging(options.log_format);
    // Two features of the dependency tree would each bring a provider; naming one settles it.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return Err("another crypto provider is installed already".to_owned());
    }
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|e| format!("cannot listen for SIGTERM: {e}"))?;
    let mut interrupted =
        signal(SignalKind::interrupt()).map_err(|e| format!("cannot listen for SIGINT: {e}"))?;
    let mut config = cluster(options.kubeconfig.as_deref()).await?;
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|e| format!("cannot speak to the API server: {e}"))?;

    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("asked to stop");
        let _ = stop.send(true);
        // Nobody else may drop the sending end: that, too, would be a request to stop.
        std::future::pending::<()>().await;
    });
    let config = operator::Config {
        settings: Settings {
            operator_namespace: options.namespace,
            deployer: options.deployer_name,
            health_grace: options.health_grace.get(),
            inconclusive_after: options.inconclusive_after.get(),
            policy_settle: options.policy_settle.get(),
        },
        watch_namespaces: options
            .watch_namespace
            .into_iter()
            .filter(|n| !n.is_empty())
            .collect(),
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

pub(super) async fn cluster(kubeconfig: Option<&std::path::Path>) -> Result<Config, String> {
    match kubeconfig {
        // Which files were looked for in vain helps nobody who has named none.
        None => Config::infer().await.map_err(|_| {
            "no cluster: this is not a pod with a ServiceAccount, and $KUBECONFIG names no kubeconfig that can be read; \
             name one with --kubeconfig"
                .to_owned()
        }),
        Some(path) => {
            let at = |e: &dyn std::fmt::Display| format!("kubeconfig {}: {e}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| at(&e))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|e| at(&e))
        }
    }
}

/// A pod's name is the identity of all its containers' lives, so that a restarted one leads again at once. Elsewhere
/// no two processes are the same.
fn identity() -> String {
    std::env::var("POD_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            let now = jiff::Timestamp::now().as_nanosecond();
            format!("signalbox-{}-{:x}", std::process::id(), now & 0xffff_ffff)
        })
}

fn logging(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("SIGNALBOX_LOG").unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => builder.with_writer(std::io::stderr).init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .init(),
    }
}
