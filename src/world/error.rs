//! Why something could not be put into the world.

/// Why something could not be put into the world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules of the definition, as the API server would enforce them.
    #[error("{kind} {name} is refused: {why}")]
    Refused { kind: String, name: String, why: String },
    /// It was never put in, or has gone.
    #[error("there is no {kind} {name}")]
    NotFound { kind: &'static str, name: String },
    /// They are part of this program: a test keeps this from happening.
    #[error("the chart's admission policies cannot be read: {0}")]
    Policies(#[from] serde_yaml_ng::Error),
}
