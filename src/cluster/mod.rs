//! Requests to the API server: `requests` is the trait, `kubernetes` and `deployer` send them, `term` and `pulse` wrap the client (no write
//! without leadership, a timeout for every answer), `sent` reads objects that may not match their schema, `paths` has the
//! addresses of kinds, and `request_error` is the one error type.
//! `observe` reads through it and `apply` writes; nothing here decides.

pub mod deployer;
mod kubernetes;
pub mod paths;
pub mod pulse;
pub mod request_error;
pub mod requests;
pub mod sent;
pub mod term;

pub use request_error::RequestError;
