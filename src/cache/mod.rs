//! Data that this process caches. No client.

pub mod index;
pub mod kept;
pub mod knowledge;
pub mod memory;
pub mod queue;
