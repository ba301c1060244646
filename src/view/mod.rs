//! What people read, as data.

pub mod explain;
pub mod timeline;
