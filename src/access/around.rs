//! Who could bypass the rules, and how: by changing the rules, by acting as another user, or by bypassing Signalbox.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::access::places::{Places, Sort, kinds};
use crate::access::question::{Goal, Question};
use crate::access::rbac::{Index, MASTERS, Names, Place, Right, Who};
use crate::access::ways::{ALL, PARTS, Part, Way};

/// Where a subject could bypass the rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "scope", content = "namespace", rename_all = "camelCase")]
pub enum Scope {
    /// On objects of the whole cluster.
    Cluster,
    /// On objects of every namespace.
    EveryNamespace,
    /// On objects of this namespace.
    Namespace(String),
}

/// A subject that could bypass the rules in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Around {
    /// What the subject could do to bypass the rules.
    pub way: Way,
    /// Where: one namespace, every namespace, or the whole cluster. In JSON the fields `scope` and `namespace`.
    #[serde(flatten)]
    pub scope: Scope,
    /// The subject: a user, a group or a ServiceAccount.
    pub who: Who,
    /// The granted rights, as in `patch cronjobs.batch`.
    pub rights: Vec<String>,
    /// The bindings that grant it.
    pub by: Vec<String>,
    /// One of Kubernetes' own controllers, by a binding that Kubernetes creates.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub built_in: bool,
    /// `operator` or `deployer`, where it is Signalbox itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'static str>,
}

fn everything() -> Right {
    Right::new("*", "*", "*")
}

/// The rights to write or delete these kinds, except Jobs and CronJobs, which are a separate way.
fn writes(kinds: impl IntoIterator<Item = (String, &'static str)>) -> Vec<Right> {
    let kinds = kinds.into_iter().filter(|(group, _)| group != "batch");
    kinds
        .flat_map(|(group, plural)| {
            ALL.iter()
                .map(move |verb| Right::new(*verb, group.clone(), plural))
        })
        .collect()
}

/// All rights that the answer needs.
pub(crate) fn rights(goals: &[Goal<'_>]) -> BTreeSet<Right> {
    let mut rights: BTreeSet<Right> = PARTS.iter().flat_map(Part::rights).collect();
    let specs = goals.iter().filter_map(|goal| goal.spec);
    rights.extend(writes(specs.flat_map(kinds)));
    rights.insert(everything());
    rights
}

/// Who could bypass the rules. If a ServiceAccount could, its namespace matters too; this is repeated until there is no new one.
pub(crate) fn around(index: &Index, places: &mut Places, question: &Question) -> Vec<Around> {
    loop {
        let mut around = vec![masters()];
        let mut finder = Finder {
            index,
            places: &*places,
            question,
            almighty: BTreeSet::new(),
            found: Vec::new(),
        };
        finder.cluster();
        finder.namespaces();
        around.extend(finder.found);
        if !places.accounts(around.iter().map(|one| &one.who)) {
            around.sort_by(|a, b| (a.way, &a.scope, &a.who).cmp(&(b.way, &b.scope, &b.who)));
            return around;
        }
    }
}

/// They need no binding: the API server admits them before it checks RBAC.
fn masters() -> Around {
    Around {
        way: Way::Everything,
        scope: Scope::Cluster,
        who: Who::group(MASTERS),
        rights: vec![everything().to_string()],
        by: vec!["the API server, which does not check RBAC for this group".to_owned()],
        built_in: false,
        part: None,
    }
}

struct Finder<'a> {
    index: &'a Index,
    places: &'a Places,
    question: &'a Question,
    /// Subjects with all rights, which are listed only once.
    almighty: BTreeSet<Who>,
    found: Vec<Around>,
}

/// The rights of a subject for one way, and the bindings that grant them.
#[derive(Default)]
struct Found {
    rights: Vec<String>,
    by: BTreeSet<usize>,
}

impl Finder<'_> {
    /// By ClusterRoleBindings: on objects of the cluster, and on those of every namespace.
    fn cluster(&mut self) {
        let (index, places, deployer) = (self.index, self.places, self.question.deployer.as_str());
        for who in index.of_cluster() {
            if *who == Who::group(MASTERS) {
                continue;
            }
            let mut found: BTreeMap<(Way, Scope), Found> = BTreeMap::new();
            if self.add(
                &mut found,
                who,
                Place::Cluster,
                Way::Everything,
                &Scope::Cluster,
                &everything(),
                Some,
            ) {
                self.almighty.insert(who.clone());
                self.tell(who, found);
                continue;
            }
            for part in PARTS {
                let scope = if part.places.contains(&Sort::Cluster) {
                    Scope::Cluster
                } else {
                    Scope::EveryNamespace
                };
                let is_place = |name: &str| part.places.iter().any(|sort| places.of_sort(name, *sort));
                for right in part.rights() {
                    let of = |names: Names| part.of(&names, deployer, is_place);
                    self.add(&mut found, who, Place::Cluster, part.way, &scope, &right, of);
                }
            }
            let kinds: BTreeSet<_> = places.kinds.values().flatten().cloned().collect();
            for right in writes(kinds) {
                let (way, scope) = (Way::WriteTargets, Scope::EveryNamespace);
                self.add(&mut found, who, Place::Cluster, way, &scope, &right, Some);
            }
            self.tell(who, found);
        }
    }

    /// By RoleBindings.
    fn namespaces(&mut self) {
        let (index, places, deployer) = (self.index, self.places, self.question.deployer.as_str());
        for (namespace, sorts) in &places.sorts {
            let place = Place::Bound(namespace);
            let scope = Scope::Namespace(namespace.clone());
            for who in index.bound(namespace) {
                if self.almighty.contains(who) || *who == Who::group(MASTERS) {
                    continue;
                }
                let mut found: BTreeMap<(Way, Scope), Found> = BTreeMap::new();
                if self.add(
                    &mut found,
                    who,
                    place,
                    Way::Everything,
                    &scope,
                    &everything(),
                    Some,
                ) {
                    self.tell(who, found);
                    continue;
                }
                for part in PARTS
                    .iter()
                    .filter(|part| part.places.iter().any(|sort| sorts.contains(sort)))
                {
                    for right in part.rights() {
                        let of = |names: Names| part.of(&names, deployer, |name| name == namespace);
                        self.add(&mut found, who, place, part.way, &scope, &right, of);
                    }
                }
                let kinds = places.kinds.get(namespace).cloned().unwrap_or_default();
                for right in writes(kinds) {
                    self.add(&mut found, who, place, Way::WriteTargets, &scope, &right, Some);
                }
                self.tell(who, found);
            }
        }
    }

    /// Adds a right that a subject holds by a binding that names it, if `of` leaves any object of it. Returns whether it did.
    #[expect(clippy::too_many_arguments, reason = "one question with all its parts")]
    fn add(
        &self,
        found: &mut BTreeMap<(Way, Scope), Found>,
        who: &Who,
        place: Place<'_>,
        way: Way,
        scope: &Scope,
        right: &Right,
        of: impl FnOnce(Names) -> Option<Names>,
    ) -> bool {
        let held = self.index.held(who, place, right).filter(|held| held.own);
        let Some(held) = held else {
            return false;
        };
        let Some(names) = of(held.names) else {
            return false;
        };
        let found = found.entry((way, scope.clone())).or_default();
        found.rights.push(match names {
            Names::All => right.to_string(),
            Names::Only(names) => {
                let names: Vec<String> = names.into_iter().collect();
                format!("{right} named {}", names.join(", "))
            }
        });
        found.by.extend(held.by);
        true
    }

    fn tell(&mut self, who: &Who, found: BTreeMap<(Way, Scope), Found>) {
        let rows = found.into_iter().map(|((way, scope), found)| Around {
            way,
            scope,
            who: who.clone(),
            rights: found.rights,
            built_in: self.index.is_built_in(who, &found.by),
            by: self.index.said(&found.by),
            part: self.part(who),
        });
        let rows: Vec<Around> = rows.collect();
        self.found.extend(rows);
    }

    fn part(&self, who: &Who) -> Option<&'static str> {
        let Who::ServiceAccount { namespace, name } = who else {
            return None;
        };
        if *namespace == self.question.operator_namespace && name == "signalbox" {
            Some("operator")
        } else if *name == self.question.deployer && self.places.of_sort(namespace, Sort::Target) {
            Some("deployer")
        } else {
            None
        }
    }
}
