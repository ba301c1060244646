//! A token that may expire, or why there is none.

use jiff::{SignedDuration, Timestamp};

/// A token that expires sooner than this is not used.
pub(super) const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// Why there are no credentials: a complete sentence.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoCredentials(pub String);

/// A token, and until when it is used. `None` is without an end.
pub(super) struct Token {
    /// The bearer token.
    pub token: String,
    /// When it expires.
    pub until: Option<Timestamp>,
}
