//! Who may approve and decide, by name, if the user may read the cluster's RBAC.

use kube::ResourceExt;

use crate::access::{Question, Row, Who};
use crate::api::reasons;
use crate::api::{Action, Release};
use crate::cli::rights;
use crate::cli::session::Session;
use crate::decide::trust::may_be_one_person;
use crate::view::remedy;

/// The people of a Release. Without the right to read RBAC there are none.
pub(super) struct People {
    /// Absent if RBAC is not known.
    rows: Option<Vec<Row>>,
    requester: String,
}

impl People {
    /// Reads RBAC, unless the Release waits for no one.
    pub async fn of(session: &Session, release: &Release) -> Self {
        let requester = release.spec.requested_by.clone();
        let promotions = release.status.iter().flat_map(|s| &s.environments);
        let asks = promotions.into_iter().any(|p| {
            p.state.is_stuck()
                || p.held_by()
                    .any(|check| check.reason == reasons::APPROVALS_MISSING)
        });
        if !asks {
            return Self {
                rows: None,
                requester,
            };
        }
        let question = Question {
            environment: None,
            namespace: release.namespace(),
            operator_namespace: String::new(),
            deployer: String::new(),
        };
        let answer = rights::answer(session, &question).await;
        // Half of the bindings would name half of the people.
        let rows = answer.ok().filter(|answer| answer.complete).map(|answer| {
            let homes = answer.namespaces.into_iter().flat_map(|home| home.rows);
            answer.everywhere.into_iter().chain(homes).collect()
        });
        Self { rows, requester }
    }

    /// Who may approve in this role. The requester never approves.
    pub fn approving(&self, role: &str, environment: &str) -> Option<Vec<String>> {
        let of_role = |row: &&Row| row.act == "approve" && row.role.as_deref() == Some(role);
        let others = |name: &String| !may_be_one_person(name, &self.requester);
        let names = self.names(environment, of_role)?;
        Some(names.into_iter().filter(others).collect())
    }

    /// Who may decide so.
    pub fn deciding(&self, action: Action, environment: &str) -> Option<Vec<String>> {
        self.names(environment, |row| row.act == remedy::verb(action))
    }

    fn names(&self, environment: &str, of: impl Fn(&&Row) -> bool) -> Option<Vec<String>> {
        let here = |row: &&Row| row.environment.as_deref().is_none_or(|name| name == environment);
        let rows = self
            .rows
            .as_ref()?
            .iter()
            .filter(|row| row.may && !row.built_in)
            .filter(here)
            .filter(of);
        let mut names: Vec<String> = rows.map(|row| called(&row.who)).collect();
        names.sort();
        names.dedup();
        Some(names)
    }
}

/// A user by the bare name; others with what they are.
fn called(who: &Who) -> String {
    match who {
        Who::User { name } => name.clone(),
        Who::Group { name } => format!("the group {name}"),
        Who::ServiceAccount { .. } => who.to_string(),
    }
}
