//! Why the operator could not start or go on.

use std::net::SocketAddr;

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the API server does not say who the operator is, which it must know to trust its own policies: {0}"
    )]
    WhoAmI(#[source] Box<kube::Error>),
    #[error("the chart's admission policies cannot be read: {0}")]
    Policies(#[source] serde_yaml_ng::Error),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("leader election does not work: {0}")]
    Leadership(#[source] Box<kube::Error>),
}

impl Error {
    /// Whether trying again is no use: what it lacks is a right, or lies in the process itself.
    pub(crate) fn stays(&self) -> bool {
        let forbidden = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
        match self {
            Self::WhoAmI(error) | Self::Leadership(error) => forbidden(error),
            Self::Policies(_) | Self::Listen(..) => true,
        }
    }
}
