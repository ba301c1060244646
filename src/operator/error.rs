//! Why the operator could not start or continue.

use std::net::SocketAddr;

/// Why the operator could not start or continue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "The API server does not report the operator's user name, which the operator needs to verify its admission policies: {0}."
    )]
    WhoAmI(#[source] Box<kube::Error>),
    #[error("The chart's admission policies cannot be read: {0}.")]
    Policies(#[source] serde_yaml_ng::Error),
    #[error("Cannot listen on {0}: {1}.")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("Leader election failed: {0}.")]
    Leadership(#[source] Box<kube::Error>),
}

impl Error {
    /// Whether a retry is useless: a right is missing, or the cause is in the process itself.
    pub(crate) fn stays(&self) -> bool {
        let forbidden = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
        match self {
            Self::WhoAmI(error) | Self::Leadership(error) => forbidden(error),
            Self::Policies(_) | Self::Listen(..) => true,
        }
    }
}
