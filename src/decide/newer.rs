//! Newer versions of the same product and line that have Succeeded.

use std::sync::Arc;

use crate::api::Release;
use crate::api::release::State;
use crate::decide::facts::{Observed, Remembered};
use crate::domain::version::Version;

/// A newer version of the same product and line that Succeeded in `environment`.
#[must_use]
pub fn newer_succeeded<'a>(o: &'a Observed, environment: &str) -> Option<&'a Arc<Release>> {
    let ours: Version = o.release.spec.version.parse().ok()?;
    o.siblings.iter().find(|other| {
        other
            .promotion(environment)
            .is_some_and(|p| p.state == State::Succeeded)
            && other.spec.version.parse::<Version>().is_ok_and(|v| v > ours)
    })
}

/// What has Succeeded in `environment` and is newer than this Release.
pub enum Newer<'a> {
    /// Of a Release that exists.
    Release(&'a Release),
    /// Its Release was deleted.
    Remembered(&'a Remembered),
}

/// The newer version that Succeeded in `environment`, of a Release that exists or of one that was deleted.
#[must_use]
pub fn newer_stands<'a>(o: &'a Observed, environment: &str) -> Option<Newer<'a>> {
    if let Some(newer) = newer_succeeded(o, environment) {
        return Some(Newer::Release(newer));
    }
    let ours: Version = o.release.spec.version.parse().ok()?;
    let mut remembered = o.remembered.iter().filter(|r| r.environment == environment);
    let newer = remembered.find(|r| r.version.parse::<Version>().is_ok_and(|v| v > ours))?;
    Some(Newer::Remembered(newer))
}

impl Newer<'_> {
    /// `spec.version` of that Release.
    #[must_use]
    pub fn version(&self) -> &str {
        match self {
            Self::Release(release) => &release.spec.version,
            Self::Remembered(remembered) => &remembered.version,
        }
    }

    /// How that is known, and what can be done: in parentheses after a blank, or empty.
    #[must_use]
    pub fn known_by(&self, o: &Observed) -> String {
        let Self::Remembered(remembered) = self else {
            return String::new();
        };
        format!(
            " (recorded for the deleted Release {0} in ControllerRevision {1} in namespace {2}; delete that ControllerRevision if this no \
             longer applies)",
            remembered.release, remembered.name, o.settings.operator_namespace
        )
    }

    /// An explanation where `ours` may look like the newer version: a clause that begins with punctuation, or empty.
    #[must_use]
    pub fn misread(&self, ours: &str) -> String {
        let versions = (ours.parse::<Version>(), self.version().parse::<Version>());
        match versions {
            (Ok(ours), Ok(newer)) => ours
                .misread_as_newer_than(&newer)
                .map_or(String::new(), |said| format!("; {said}")),
            _ => String::new(),
        }
    }
}
