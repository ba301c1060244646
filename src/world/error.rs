//! Why an object could not be added to the world.

/// Why an object could not be added to the world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It breaks the rules of its definition, as the API server would enforce them.
    #[error("{kind} {name} is invalid: {why}")]
    Refused { kind: String, name: String, why: String },
    /// It was never added, or it has been deleted.
    #[error("{kind} {name} does not exist.")]
    NotFound { kind: &'static str, name: String },
    /// The policies are part of this program, and a test makes sure that they can be read.
    #[error("The chart's admission policies cannot be read: {0}")]
    Policies(#[from] serde_yaml_ng::Error),
}
