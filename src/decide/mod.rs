//! What to do, decided without a client, a clock or a runtime: facts go in, verdicts come out.

pub mod patches;
pub mod paths;
pub mod readiness;
pub mod version;
