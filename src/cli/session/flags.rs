//! The flags that choose a cluster, a user and a namespace, with kubectl's names and meanings.

use std::path::PathBuf;
use std::time::Duration;

/// Under which these options stand in the help.
const HEADING: &str = "Connection, as in kubectl";

/// Which cluster, and as which user.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Connection {
    /// Path of a kubeconfig (default: the files of $KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount)
    #[arg(help_heading = HEADING, long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster of the kubeconfig to use, instead of the context's
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig to use, instead of the context's
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    pub user: Option<String>,
    /// Act as another user, whom you need the right to impersonate
    #[arg(help_heading = HEADING, long = "as", value_name = "USER")]
    pub impersonate: Option<String>,
    /// A group to act as, together with --as; may be repeated
    #[arg(help_heading = HEADING, long = "as-group", value_name = "GROUP", requires = "impersonate")]
    pub groups: Vec<String>,
    /// How long one request may take, such as 10s; 0 is without a limit
    #[arg(help_heading = HEADING, long, value_name = "DURATION", default_value = "0", value_parser = timeout)]
    pub request_timeout: Timeout,
}

/// The namespace of one Release, and the connection.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Place {
    /// Namespace of the Release (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Place {
    /// The connection of the flags, and the namespace.
    pub fn parts(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }
}

/// How long a request may take. `None` is without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeout(pub Option<Duration>);

fn timeout(text: &str) -> Result<Timeout, String> {
    let wrong = || "must be 0, or a duration such as 10s or 2m".to_owned();
    // kubectl reads a number without a unit as seconds.
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Timeout((seconds > 0).then(|| Duration::from_secs(seconds))));
    }
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    Ok(Timeout((!duration.is_zero()).then_some(duration)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_kubectl_reads_it() {
        for (text, wanted) in [
            ("0", None),
            ("0s", None),
            ("5", Some(5)),
            ("10s", Some(10)),
            ("2m", Some(120)),
            ("1m30s", Some(90)),
        ] {
            assert_eq!(
                timeout(text),
                Ok(Timeout(wanted.map(Duration::from_secs))),
                "{text}"
            );
        }
        for text in ["", "soon", "-1s", "-5"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
