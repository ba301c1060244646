//! What this process knows. No client and no clock.

pub mod index;
pub mod kept;
pub mod knowledge;
pub mod memory;
pub mod queue;
