//! Who may do what with Releases, and who could bypass the rules: RBAC objects in, an answer out. No client and no clock.
//!
//! RBAC names users, groups and ServiceAccounts, and does not list the members of a group. So each subject is evaluated alone, with only
//! the groups that the API server adds itself (`system:authenticated` and similar).

mod around;
mod facts;
mod people;
mod places;
mod question;
mod rbac;
#[cfg(test)]
pub(crate) mod tests;
mod ways;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::access::places::Places;
use crate::access::question::{Goal, goals};

pub use around::{Around, Scope};
pub use facts::{Facts, Listed, Unread};
pub use people::{Row, Unfilled};
pub use question::Question;
pub use rbac::{MASTERS, Right, Who};
pub use ways::Way;

/// Who may act, and who could bypass the rules.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// All lists could be read.
    pub complete: bool,
    /// By ClusterRoleBindings, in every namespace.
    pub everywhere: Vec<Row>,
    /// The namespaces of Releases, by name: the one in the question, or each in which a right is bound.
    pub namespaces: Vec<Home>,
    /// Who could bypass the rules.
    pub around: Vec<Around>,
    /// The lists that could not be read. Empty if `complete`.
    pub unread: Vec<Unread>,
    /// Problems in bindings.
    pub notes: Vec<String>,
    /// Every namespace whose RoleBindings matter.
    #[serde(skip)]
    pub places: BTreeSet<String>,
}

/// A namespace of Releases.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Home {
    /// Name of the Namespace.
    pub name: String,
    /// By RoleBindings, or different from everywhere because of one.
    pub rows: Vec<Row>,
    /// Approvals that Environments require here and that no one may give.
    pub unfilled: Vec<Unfilled>,
}

/// Answers.
#[must_use]
pub fn answer(facts: &Facts, question: &Question) -> Answer {
    let goals = goals(facts, question);
    let mut asked = people::rights(&goals);
    asked.extend(around::rights(&goals));
    let index = rbac::Index::of(facts, &asked);

    let homes = match &question.namespace {
        Some(namespace) => BTreeSet::from([namespace.clone()]),
        None => index.homes_of(&people::granting(&goals)),
    };
    let all: Vec<&Goal<'_>> = goals.iter().collect();
    let everywhere = people::everywhere(&index, &all);
    let mut namespaces = Vec::new();
    let mut places = Places::new(question);
    for home in homes {
        let taken: Vec<&Goal<'_>> = goals.iter().filter(|goal| goal.takes(&home, facts)).collect();
        let rows = people::within(&index, &home, &taken, &everywhere);
        let unfilled = people::unfilled(&taken, &rows, &everywhere);
        places.releases(&home, &taken);
        namespaces.push(Home {
            name: home,
            rows,
            unfilled,
        });
    }
    places.literal(&goals);
    let rows = everywhere
        .iter()
        .chain(namespaces.iter().flat_map(|home| &home.rows));
    places.accounts(rows.filter(|row| row.may).map(|row| &row.who));
    let around = around::around(&index, &mut places, question);

    let places: BTreeSet<String> = places.names();
    let concerns = |place: &Option<String>| place.as_ref().is_none_or(|name| places.contains(name));
    let notes = index.notes.iter().filter(|(place, _)| concerns(place));
    Answer {
        complete: facts.unread.is_empty(),
        everywhere,
        namespaces,
        around,
        unread: facts.unread.clone(),
        notes: notes.map(|(_, sentence)| sentence.clone()).collect(),
        places,
    }
}
