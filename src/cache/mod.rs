//! Data that this process caches. No client and no clock.

pub mod index;
pub mod kept;
pub mod knowledge;
pub mod memory;
pub mod queue;
