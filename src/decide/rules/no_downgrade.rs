//! NoDowngrade: no newer version of the line has Succeeded here. Going back is a backout, not a release.

use crate::api::environment::ControlName;
use crate::api::reasons;
use crate::decide::facts::Observed;
use crate::decide::newer::{Newer, newer_stands};
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};
use crate::domain::text::clause;

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::NoDowngrade,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    judge(s.observed, s.environment_name())
}

/// The verdict, also for a promotion that is Superseded without its checks being evaluated.
pub(crate) fn judge(o: &Observed, environment: &str) -> Verdict {
    match newer_stands(o, environment) {
        Some(newer) => {
            let misread = newer.misread(&o.release.spec.version);
            let (named, advice) = match &newer {
                Newer::Release(release) => (
                    format!(" ({})", release.metadata.name.as_deref().unwrap_or_default()),
                    " To go back, back that release out.",
                ),
                Newer::Remembered(_) => (String::new(), ""),
            };
            let version = newer.version();
            let succeeded = format!(
                "{version}{named} has already Succeeded here{}{misread}",
                newer.known_by(o)
            );
            let sentence = format!("{}.{advice}", clause(&succeeded));
            Verdict::failed(reasons::NEWER_VERSION_SUCCEEDED, sentence)
        }
        None => Verdict::satisfied("No newer version has Succeeded here."),
    }
}
