//! The one list of our kinds. Definitions, the admission of the simulated cluster, lint and tests are made from it.
//!
//! Whoever treats kinds differently matches on [`Kind`], so that a new one does not compile until it is handled there.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::api::decision::Decision;
use crate::api::environment::Environment;
use crate::api::release::Release;
use crate::api::review::ReleaseReview;

/// A kind of the group `signalbox.dev`. The operator watches all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What goes out.
    Release,
    /// Where it goes, and what must hold before.
    Environment,
    /// One act of one person.
    Decision,
    /// The post-implementation review of one Release.
    ReleaseReview,
}

impl Kind {
    /// Every kind, in the order in which they are installed.
    pub const ALL: [Self; 4] = [
        Self::Release,
        Self::Environment,
        Self::Decision,
        Self::ReleaseReview,
    ];

    /// The kind that manifests call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Release => "Release",
            Self::Environment => "Environment",
            Self::Decision => "Decision",
            Self::ReleaseReview => "ReleaseReview",
        }
    }

    /// Its name in requests, in RBAC and in admission policies.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Release => "releases",
            Self::Environment => "environments",
            Self::Decision => "decisions",
            Self::ReleaseReview => "releasereviews",
        }
    }

    /// Whether the operator makes passes over its objects. The others are only read, by the passes over these.
    #[must_use]
    pub const fn is_reconciled(self) -> bool {
        match self {
            Self::Release | Self::Environment => true,
            Self::Decision | Self::ReleaseReview => false,
        }
    }

    /// What kube's derive makes of its type; what is installed is stricter, see [`crate::api::crds()`].
    pub(crate) fn derived(self) -> CustomResourceDefinition {
        match self {
            Self::Release => Release::crd(),
            Self::Environment => Environment::crd(),
            Self::Decision => Decision::crd(),
            Self::ReleaseReview => ReleaseReview::crd(),
        }
    }
}
