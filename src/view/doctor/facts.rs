//! What was read of a cluster. A map without a key, and `None` for a list, mean that it was not read; `None` in a map means that there is
//! no such object.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::places::{Place, places};
use super::rights::Right;
use super::settings::Settings;
use crate::api::release::Target;
use crate::api::{Environment, Release};

/// Two clocks, read at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// This machine's.
    pub local: Timestamp,
    /// The API server's, in whole seconds.
    pub server: Option<Timestamp>,
}

/// An admission policy, or a binding of one.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its spec as the chart installs it.
    pub expected: Value,
    /// Its spec in the cluster, if it exists and is not being deleted.
    pub live: Option<Value>,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The kind, in the plural, and where.
    pub what: String,
    /// What the API server said, as a sentence.
    pub because: String,
}

impl Unread {
    /// The note about it.
    #[must_use]
    pub fn finding(&self) -> Finding {
        Finding::new(
            Severity::Note,
            self.what.as_str(),
            format!("not checked: {}", self.because),
        )
    }
}

/// All that was read.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The clocks.
    pub clock: Clock,
    /// The operator's namespace.
    pub namespace: String,
    /// The deployer's name, if the user has stated it.
    pub deployer: Option<String>,
    /// By name.
    pub definitions: Option<Vec<(String, Option<CustomResourceDefinition>)>>,
    /// The operator's Deployments.
    pub operators: Option<Vec<Deployment>>,
    /// The leader's.
    pub lease: Option<Option<Lease>>,
    /// Those of the chart.
    pub policies: Option<Vec<Policy>>,
    /// All of them.
    pub environments: Option<Vec<Environment>>,
    /// Those that the user may read.
    pub releases: Vec<Release>,
    /// By name.
    pub namespaces: BTreeMap<String, Option<Namespace>>,
    /// Deployers by namespace.
    pub deployers: BTreeMap<String, Option<ServiceAccount>>,
    /// CronJobs that are templates, by namespace and name.
    pub templates: BTreeMap<(String, String), Option<CronJob>>,
    /// Rights that deployers lack, by namespace.
    pub denied: BTreeMap<String, BTreeSet<Right>>,
    /// Rights that the operator lacks, with the namespace of each; none is the whole cluster.
    pub operator_denied: BTreeSet<(Option<String>, Right)>,
    /// How many rights were asked about.
    pub rights_asked: usize,
    /// By namespace.
    pub autoscalers: BTreeMap<String, Vec<HorizontalPodAutoscaler>>,
    /// By namespace.
    pub targets: BTreeMap<(String, Target), Option<ObjectMeta>>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

impl Facts {
    /// No facts.
    #[must_use]
    pub fn new(namespace: &str, deployer: Option<&str>, local: Timestamp) -> Self {
        Self {
            clock: Clock { local, server: None },
            namespace: namespace.to_owned(),
            deployer: deployer.map(str::to_owned),
            definitions: None,
            operators: None,
            lease: None,
            policies: None,
            environments: None,
            releases: vec![],
            namespaces: BTreeMap::new(),
            deployers: BTreeMap::new(),
            templates: BTreeMap::new(),
            denied: BTreeMap::new(),
            operator_denied: BTreeSet::new(),
            rights_asked: 0,
            autoscalers: BTreeMap::new(),
            targets: BTreeMap::new(),
            unread: vec![],
        }
    }

    /// How the operator is configured.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let deployment = self.operators.iter().flatten().next();
        Settings::of(&self.namespace, self.deployer.as_deref(), deployment)
    }

    /// The target namespaces of the Environments.
    #[must_use]
    pub fn places(&self) -> Vec<Place<'_>> {
        let environments = self.environments.as_deref().unwrap_or_default();
        places(environments, &self.releases, &self.namespaces, &self.deployers)
    }

    /// The API server's time, or that of this machine if the API server did not say.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.server.unwrap_or(self.clock.local)
    }
}
