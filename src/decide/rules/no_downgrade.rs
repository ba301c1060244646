//! NoDowngrade: no newer version of the line has Succeeded here. Going back is a backout, never a release.

use crate::api::environment::ControlName;
use crate::api::reasons;
use crate::decide::facts::Observed;
use crate::decide::newer::{Newer, newer_stands};
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::NoDowngrade,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    judge(s.observed, s.environment_name())
}

/// The verdict, also for what is Superseded without having been asked.
pub(crate) fn judge(o: &Observed, environment: &str) -> Verdict {
    match newer_stands(o, environment) {
        Some(newer) => {
            let misread = newer.misread(&o.release.spec.version);
            let said = match &newer {
                Newer::Release(release) => format!(
                    " ({}) has already Succeeded here: to go back, back that release out",
                    release.metadata.name.as_deref().unwrap_or_default()
                ),
                Newer::Remembered(_) => {
                    format!(" has already Succeeded here{}", newer.known_by(o))
                }
            };
            Verdict::failed(
                reasons::NEWER_VERSION_SUCCEEDED,
                format!("{}{said}{misread}", newer.version()),
            )
        }
        None => Verdict::satisfied("no newer version has Succeeded here"),
    }
}
