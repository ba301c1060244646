//! What users and pipelines may do with Releases, as the chart's admission policies check it: in the namespace of the Release.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::access::question::Goal;
use crate::access::rbac::{Held, Index, MASTERS, Names, Place, Right, Who};
use crate::api::GROUP;

/// An approval that an Environment requires and that no one may give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unfilled {
    /// Name of the Environment.
    pub environment: String,
    /// The role in which its gate requires approvals, `spec.gates[].approval.role`.
    pub role: String,
}

/// For which object the policies check a verb.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The written object, whatever its name.
    Any,
    /// No object by name: a right for some names is not sufficient.
    Unnamed,
    /// The Environment.
    Environment,
    /// The Environment, on the subresource with the name of the gate's role.
    Role,
}

/// An act: it needs any of the verbs on that resource, and any of the other verbs on the written resource.
struct Act {
    name: &'static str,
    verbs: &'static [&'static str],
    resource: &'static str,
    of: Of,
    beside: Option<(&'static [&'static str], &'static str)>,
}

const WRITE: &[&str] = &["create", "update", "patch"];
const WRITES_RELEASES: Option<(&[&str], &str)> = Some((WRITE, "releases"));
const DECIDES: Option<(&[&str], &str)> = Some((&["create"], "decisions"));
const APPROVE: &str = "approve";
const REQUEST_FOR: &str = "request-for";

const fn decision(name: &'static str, verbs: &'static [&'static str]) -> Act {
    Act {
        name,
        verbs,
        resource: "environments",
        of: Of::Environment,
        beside: DECIDES,
    }
}

/// All acts, in the order of the output.
static ACTS: [Act; 13] = [
    Act {
        name: "request",
        verbs: &["create"],
        resource: "releases",
        of: Of::Any,
        beside: None,
    },
    Act {
        name: "update",
        verbs: &["update", "patch"],
        resource: "releases",
        of: Of::Any,
        // Without the right to create Releases, only their hold can be changed.
        beside: Some((&["create"], "releases")),
    },
    Act {
        name: REQUEST_FOR,
        verbs: &[REQUEST_FOR],
        resource: "releases",
        of: Of::Unnamed,
        beside: WRITES_RELEASES,
    },
    Act {
        name: "promote",
        verbs: &["promote"],
        resource: "environments",
        of: Of::Environment,
        beside: WRITES_RELEASES,
    },
    Act {
        name: APPROVE,
        verbs: &[APPROVE],
        resource: "environments",
        of: Of::Role,
        beside: DECIDES,
    },
    decision("backout", &["backout"]),
    decision("accept", &["accept"]),
    decision("abandon", &["abandon"]),
    decision("retry", &["retry"]),
    Act {
        name: "hold",
        verbs: &["hold"],
        resource: "environments",
        of: Of::Environment,
        beside: Some((&["update", "patch"], "releases")),
    },
    Act {
        name: "forget",
        verbs: &["forget"],
        resource: "releases",
        of: Of::Any,
        beside: Some((&["delete", "deletecollection", "update", "patch"], "releases")),
    },
    Act {
        name: "clear",
        verbs: &["clear"],
        resource: "decisions",
        of: Of::Unnamed,
        beside: Some((&["delete", "deletecollection"], "decisions")),
    },
    Act {
        name: "review",
        verbs: &["review"],
        resource: "releases",
        of: Of::Any,
        beside: Some((WRITE, "releasereviews")),
    },
];

/// One act of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The act, such as `request` or `approve`, in the words of the command's output.
    pub act: &'static str,
    /// The Environment in which it is allowed. Absent for acts on Releases and Decisions as such, such as `request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The role of an approval. Absent for all other acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The user, group or ServiceAccount that holds the verb.
    pub who: Who,
    /// Whether the subject may do it; it holds the verb in any case.
    pub may: bool,
    /// Why it may not, a clause. Absent if it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Only objects with these names; empty: with any name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The bindings that grant the verb.
    pub by: Vec<String>,
    /// One of Kubernetes' own controllers, by a binding that Kubernetes creates.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub built_in: bool,
}

impl Row {
    fn key(&self) -> (&'static str, Option<&str>, Option<&str>, &Who) {
        (
            self.act,
            self.environment.as_deref(),
            self.role.as_deref(),
            &self.who,
        )
    }
}

fn right(verb: &'static str, resource: &'static str) -> Right {
    Right::new(verb, GROUP, resource)
}

fn approves(role: &str) -> Right {
    Right::new(APPROVE, GROUP, format!("environments/{role}"))
}

/// The rights that concern Releases.
pub(crate) fn granting(goals: &[Goal<'_>]) -> BTreeSet<Right> {
    let plain = ACTS.iter().filter(|act| act.of != Of::Role);
    let plain = plain.flat_map(|act| act.verbs.iter().map(|verb| right(verb, act.resource)));
    let roles = goals.iter().flat_map(|goal| goal.roles.keys());
    plain.chain(roles.map(|role| approves(role))).collect()
}

/// All rights that the answer needs.
pub(crate) fn rights(goals: &[Goal<'_>]) -> BTreeSet<Right> {
    let mut rights = granting(goals);
    let beside = ACTS.iter().filter_map(|act| act.beside);
    rights.extend(beside.flat_map(|(verbs, resource)| verbs.iter().map(|verb| right(verb, resource))));
    rights
}

/// By ClusterRoleBindings alone.
pub(crate) fn everywhere(index: &Index, goals: &[&Goal<'_>]) -> Vec<Row> {
    rows(index, &index.of_cluster().collect(), Place::Cluster, goals)
}

/// In a namespace, where it differs from everywhere.
pub(crate) fn within(index: &Index, home: &str, goals: &[&Goal<'_>], everywhere: &[Row]) -> Vec<Row> {
    let known: BTreeMap<_, &Row> = everywhere.iter().map(|row| (row.key(), row)).collect();
    let mut rows = rows(index, &index.concerned(home), Place::Namespace(home), goals);
    rows.retain(|row| known.get(&row.key()).is_none_or(|known| **known != *row));
    rows
}

/// The roles in which no one may approve here.
pub(crate) fn unfilled(goals: &[&Goal<'_>], here: &[Row], everywhere: &[Row]) -> Vec<Unfilled> {
    let overruled: BTreeSet<_> = here.iter().map(Row::key).collect();
    let mut counting = BTreeSet::new();
    for row in here
        .iter()
        .chain(everywhere.iter().filter(|row| !overruled.contains(&row.key())))
    {
        if let (APPROVE, true, Some(environment), Some(role)) =
            (row.act, row.may, &row.environment, &row.role)
        {
            counting.insert((environment.as_str(), role.as_str()));
        }
    }
    let asked = goals
        .iter()
        .flat_map(|goal| goal.roles.keys().map(move |role| (goal.name.as_str(), *role)));
    asked
        .filter(|asked| !counting.contains(asked))
        .map(|(environment, role)| Unfilled {
            environment: environment.to_owned(),
            role: role.to_owned(),
        })
        .collect()
}

fn rows(index: &Index, whose: &BTreeSet<&Who>, place: Place<'_>, goals: &[&Goal<'_>]) -> Vec<Row> {
    let whose: Vec<&Who> = whose
        .iter()
        .copied()
        .filter(|who| **who != Who::group(MASTERS))
        .collect();
    let mut rows = Vec::new();
    let mut add = |act: &Act, goal: Option<&Goal<'_>>, role: Option<(&str, bool)>| {
        rows.extend(
            whose
                .iter()
                .filter_map(|who| row(index, who, place, act, goal, role)),
        );
    };
    for act in &ACTS {
        match act.of {
            Of::Any | Of::Unnamed => add(act, None, None),
            Of::Environment => goals.iter().for_each(|goal| add(act, Some(*goal), None)),
            Of::Role => {
                for goal in goals {
                    for (role, accounts) in &goal.roles {
                        add(act, Some(*goal), Some((*role, *accounts)));
                    }
                }
            }
        }
    }
    rows
}

/// `role` is the gate's, and whether ServiceAccounts count in it.
fn row(
    index: &Index,
    who: &Who,
    place: Place<'_>,
    act: &Act,
    goal: Option<&Goal<'_>>,
    role: Option<(&str, bool)>,
) -> Option<Row> {
    let name = goal.map(|goal| goal.name.as_str()).unwrap_or_default();
    let verbs: Vec<Right> = match role {
        Some((role, _)) => vec![approves(role)],
        None => act.verbs.iter().map(|verb| right(verb, act.resource)).collect(),
    };
    let of = |held: Held| {
        let names = match act.of {
            Of::Any => held.names,
            Of::Unnamed => held.names.allows("").then_some(Names::All)?,
            Of::Environment | Of::Role => held.names.allows(name).then_some(Names::All)?,
        };
        Some(Held { names, ..held })
    };
    let held = any(verbs
        .iter()
        .filter_map(|right| index.held(who, place, right))
        .filter_map(of))?;
    let beside = act.beside.map(|(verbs, resource)| {
        let rights = verbs.iter().map(|verb| right(verb, resource));
        let held = any(rights.filter_map(|right| index.held(who, place, &right)));
        held.ok_or_else(|| format!("lacks {} on {resource}", verbs.join(", ")))
    });
    // Rights of all users are listed for the group that contains all users.
    if !held.own && !matches!(&beside, Some(Ok(beside)) if beside.own) {
        return None;
    }
    let speaks_for_others = || {
        let right = right(REQUEST_FOR, "releases");
        let held = index.held(who, place, &right);
        held.is_some_and(|held| held.names.allows(""))
    };
    let because = if act.of == Of::Role && speaks_for_others() {
        Some("holds request-for on releases, which excludes approving".to_owned())
    } else if let Some(Err(lacks)) = beside {
        Some(lacks)
    } else if let (true, Some((_, false))) = (who.is_account(), role) {
        Some("the gate does not count ServiceAccounts".to_owned())
    } else {
        None
    };
    Some(Row {
        act: act.name,
        environment: goal.map(|goal| goal.name.clone()),
        role: role.map(|(role, _)| role.to_owned()),
        who: who.clone(),
        may: because.is_none(),
        because,
        only: match held.names {
            Names::All => vec![],
            Names::Only(names) => names.into_iter().collect(),
        },
        built_in: index.is_built_in(who, &held.by),
        by: index.said(&held.by),
    })
}

/// The sum of these rights.
fn any(held: impl Iterator<Item = Held>) -> Option<Held> {
    held.reduce(|mut sum, one| {
        sum.names.join(&one.names);
        sum.by.extend(one.by);
        sum.own |= one.own;
        sum
    })
}
