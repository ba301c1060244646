//! The objects that are read from a cluster for the answer, and the lists that could not be read.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::{Serialize, Serializer};

use crate::api::Environment;

/// The objects in a cluster, as far as the caller may read them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every ClusterRole; empty if they could not be read, and then `unread` lists them.
    pub cluster_roles: Vec<ClusterRole>,
    /// Every ClusterRoleBinding; empty if they could not be read.
    pub cluster_role_bindings: Vec<ClusterRoleBinding>,
    /// The Roles of all namespaces that could be read.
    pub roles: Vec<Role>,
    /// The RoleBindings of all namespaces that could be read.
    pub role_bindings: Vec<RoleBinding>,
    /// Every Environment; empty if they could not be read.
    pub environments: Vec<Environment>,
    /// Labels, by the name of the namespace.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The lists that could not be read. Empty if everything was read.
    pub unread: Vec<Unread>,
}

/// The lists that the answer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listed {
    /// All ClusterRoles.
    ClusterRoles,
    /// All ClusterRoleBindings.
    ClusterRoleBindings,
    /// The Roles of one namespace, or of all.
    Roles,
    /// The RoleBindings of one namespace, or of all.
    RoleBindings,
    /// All Environments.
    Environments,
    /// All Namespaces, for their labels.
    Namespaces,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterRoles => "clusterroles",
            Self::ClusterRoleBindings => "clusterrolebindings",
            Self::Roles => "roles",
            Self::RoleBindings => "rolebindings",
            Self::Environments => "environments",
            Self::Namespaces => "namespaces",
        })
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A list that was refused: its objects are missing in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The kind of the objects in the list.
    pub what: Listed,
    /// Only in that namespace; absent: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The API server's words.
    pub because: String,
}

impl Facts {
    /// Whether an object that is not among the facts does not exist.
    pub(crate) fn has_read(&self, what: Listed, namespace: Option<&str>) -> bool {
        !self.unread.iter().any(|unread| {
            unread.what == what && (unread.namespace.is_none() || unread.namespace.as_deref() == namespace)
        })
    }
}
