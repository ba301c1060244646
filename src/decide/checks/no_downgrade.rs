//! NoDowngrade: no newer version of the line has Succeeded here. Going back is a backout, never a release.

use super::{Subject, Verdict};
use crate::api::reasons;
use crate::decide::promotion::newer_succeeded;

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    match newer_succeeded(s.observed, s.environment_name()) {
        Some(newer) => Verdict::failed(
            reasons::NEWER_VERSION_SUCCEEDED,
            format!(
                "{} ({}) has already Succeeded here: to go back, back that release out",
                newer.spec.version,
                newer.metadata.name.as_deref().unwrap_or_default()
            ),
        ),
        None => Verdict::satisfied("no newer version has Succeeded here"),
    }
}
