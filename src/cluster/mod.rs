//! How the API server is spoken to: `requests` is the trait, `kubernetes` and `deployer` send them, `term` and `pulse` stand between (no effect
//! without leadership, no answer that never comes), `sent` reads objects that may be wrong, and `trouble` is the one way to say what went wrong.
//! `observe` reads through it and `apply` writes; nothing here decides.

pub mod deployer;
mod kubernetes;
pub mod paths;
pub mod pulse;
pub mod requests;
pub mod sent;
pub mod term;
pub mod trouble;

pub use trouble::Trouble;
