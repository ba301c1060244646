//! The one list of the kinds of this API. CRDs, the admission of the simulated cluster, lint and tests are generated from it.
//!
//! Code that treats kinds differently matches on [`Kind`], so that a new kind does not compile until it is handled there.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::api::decision::Decision;
use crate::api::environment::Environment;
use crate::api::release::Release;
use crate::api::review::ReleaseReview;

/// A kind of the group `signalbox.dev`. The operator watches all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A version of a product, its environments and its plans.
    Release,
    /// A stage of delivery, and the conditions for entering it.
    Environment,
    /// One action of one user.
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

    /// The kind with this name in manifests.
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

    /// Whether the operator reconciles objects of this kind. The other kinds are only read while these are reconciled.
    #[must_use]
    pub const fn is_reconciled(self) -> bool {
        match self {
            Self::Release | Self::Environment => true,
            Self::Decision | Self::ReleaseReview => false,
        }
    }

    /// The CRD that kube's derive generates. The one that is installed is stricter: see [`crate::api::crds()`].
    pub(crate) fn derived(self) -> CustomResourceDefinition {
        match self {
            Self::Release => Release::crd(),
            Self::Environment => Environment::crd(),
            Self::Decision => Decision::crd(),
            Self::ReleaseReview => ReleaseReview::crd(),
        }
    }
}
