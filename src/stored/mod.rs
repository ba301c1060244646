//! Kubernetes objects in which Signalbox stores its own data, as they are read and written.

pub mod claims;
pub mod pre_states;
pub mod remembered;
