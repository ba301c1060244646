//! Signalbox promotes Releases through Environments.

pub mod decide;
