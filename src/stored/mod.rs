//! Objects of Kubernetes in which Signalbox keeps what it has to know, as they are read and written.

pub mod claims;
pub mod pre_states;
pub mod remembered;
