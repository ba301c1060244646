//! Code that knows Kubernetes and time, but no Release.

pub mod calendar;
pub mod cel;
pub mod digest;
pub mod image;
pub mod patches;
pub mod paths;
pub mod readiness;
pub mod selector;
pub mod text;
pub mod time;
pub mod version;
pub mod windows;
