//! The namespaces that matter for an answer, by their use for a Release.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::question::{Goal, Question};
use crate::access::rbac::Who;
use crate::api::EnvironmentSpec;
use crate::cluster::paths::{group, plural};

/// Namespaces by their use for a Release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// None: objects of the whole cluster.
    Cluster,
    /// Namespaces of Releases.
    Releases,
    /// Target namespaces of Environments.
    Target,
    /// The operator's own.
    Operator,
    /// Namespaces of ServiceAccounts that are named in the answer.
    Accounts,
}

/// The namespaces that matter.
pub(crate) struct Places {
    pub(crate) sorts: BTreeMap<String, BTreeSet<Sort>>,
    /// What Environments let Releases change, by target namespace.
    pub(crate) kinds: BTreeMap<String, BTreeSet<(String, &'static str)>>,
}

impl Places {
    /// The namespaces that follow from `question` alone: the operator's namespace.
    pub(crate) fn new(question: &Question) -> Self {
        let operator = question.operator_namespace.clone();
        // The operator's own ServiceAccount is there, whether or not its rights may be read.
        let sorts = BTreeSet::from([Sort::Operator, Sort::Accounts]);
        Self {
            sorts: BTreeMap::from([(operator, sorts)]),
            kinds: BTreeMap::new(),
        }
    }

    fn add(&mut self, namespace: &str, sort: Sort) -> bool {
        self.sorts.entry(namespace.to_owned()).or_default().insert(sort)
    }

    /// A namespace of Releases, and the target namespaces of these Environments for it.
    pub(crate) fn releases(&mut self, home: &str, goals: &[&Goal<'_>]) {
        self.add(home, Sort::Releases);
        for goal in goals {
            let target = goal.spec.map(|spec| spec.target_namespace(home));
            self.target(target, goal);
        }
    }

    /// The targets of Environments that do not depend on the Release's namespace.
    pub(crate) fn literal(&mut self, goals: &[Goal<'_>]) {
        for goal in goals {
            let target = goal.spec.map(|spec| spec.namespace.clone());
            self.target(target.filter(|name| !name.contains("{namespace}")), goal);
        }
    }

    fn target(&mut self, namespace: Option<String>, goal: &Goal<'_>) {
        let (Some(namespace), Some(spec)) = (namespace, goal.spec) else {
            return;
        };
        self.add(&namespace, Sort::Target);
        self.kinds.entry(namespace).or_default().extend(kinds(spec));
    }

    /// The namespaces of the ServiceAccounts among these. Whether any is new.
    pub(crate) fn accounts<'a>(&mut self, whose: impl Iterator<Item = &'a Who>) -> bool {
        let mut more = false;
        for who in whose {
            if let Who::ServiceAccount { namespace, .. } = who {
                more |= self.add(namespace, Sort::Accounts);
            }
        }
        more
    }

    /// Every namespace that matters for the answer.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.sorts.keys().cloned().collect()
    }

    /// Whether the namespace `name` is of that sort.
    pub(crate) fn of_sort(&self, name: &str, sort: Sort) -> bool {
        self.sorts.get(name).is_some_and(|sorts| sorts.contains(&sort))
    }
}

/// Group and plural of the kinds that an Environment lets Releases change.
pub(crate) fn kinds(spec: &EnvironmentSpec) -> impl Iterator<Item = (String, &'static str)> {
    spec.allowed_kinds.iter().filter_map(|kind| {
        let plural = plural(&kind.api_version, &kind.kind)?;
        Some((group(&kind.api_version).to_owned(), plural))
    })
}
