//! Which rights RBAC grants to which subject. Each role is read once, for the rights that the answer needs. Rules and subjects
//! are compared as the API server's authorizer compares them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::access::facts::{Facts, Listed};

/// Its members pass the API server's authorization without any check.
pub const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
const ACCOUNTS: &str = "system:serviceaccounts";
const ACCOUNT: &str = "system:serviceaccount:";

/// The subject of a binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind")]
pub enum Who {
    /// A user, by the name that the API server authenticates.
    User { name: String },
    /// A group. RBAC does not list its members.
    Group { name: String },
    /// A ServiceAccount, by its namespace and name.
    ServiceAccount { namespace: String, name: String },
}

impl Who {
    /// The group of that name.
    #[must_use]
    pub fn group(name: &str) -> Self {
        Self::Group {
            name: name.to_owned(),
        }
    }

    /// A user by the API server's user name; that of a ServiceAccount is `system:serviceaccount:namespace:name`.
    #[must_use]
    pub fn user(name: &str) -> Self {
        let account = name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':'));
        match account {
            Some((namespace, account))
                if !namespace.is_empty() && !account.is_empty() && !account.contains(':') =>
            {
                Self::ServiceAccount {
                    namespace: namespace.to_owned(),
                    name: account.to_owned(),
                }
            }
            _ => Self::User {
                name: name.to_owned(),
            },
        }
    }

    /// The subject of a binding in `namespace`.
    ///
    /// # Errors
    /// Why it grants nothing.
    fn of(subject: &Subject, namespace: Option<&str>) -> Result<Self, String> {
        match subject.kind.as_str() {
            "User" => Ok(Self::user(&subject.name)),
            "Group" => Ok(Self::group(&subject.name)),
            "ServiceAccount" => {
                let stated = subject.namespace.as_deref().filter(|n| !n.is_empty());
                let namespace = stated
                    .or(namespace)
                    .ok_or("is a ServiceAccount without a namespace")?;
                Ok(Self::ServiceAccount {
                    namespace: namespace.to_owned(),
                    name: subject.name.clone(),
                })
            }
            other => Err(format!("has the kind {other:?}, which RBAC does not support")),
        }
    }

    /// The user name and the groups of a user who is this subject and no other; for a group, of a member whose own name is in no
    /// binding.
    #[must_use]
    pub fn identity(&self) -> (String, Vec<String>) {
        let mut groups: Vec<String> = self.implied().iter().map(|w| w.name().to_owned()).collect();
        let user = match self {
            Self::User { name } => name.clone(),
            Self::ServiceAccount { namespace, name } => format!("{ACCOUNT}{namespace}:{name}"),
            Self::Group { name } => {
                groups.insert(0, name.clone());
                String::new()
            }
        };
        (user, groups)
    }

    /// The groups that contain every user of this subject.
    fn implied(&self) -> Vec<Self> {
        let groups: Vec<Cow<'_, str>> = match self {
            Self::ServiceAccount { namespace, .. } => vec![
                format!("{ACCOUNTS}:{namespace}").into(),
                ACCOUNTS.into(),
                AUTHENTICATED.into(),
            ],
            Self::User { name } if name == ANONYMOUS => vec![UNAUTHENTICATED.into()],
            Self::Group { name } if name == AUTHENTICATED || name == UNAUTHENTICATED => vec![],
            Self::Group { name } if name.starts_with("system:serviceaccounts:") => {
                vec![ACCOUNTS.into(), AUTHENTICATED.into()]
            }
            Self::User { .. } | Self::Group { .. } => vec![AUTHENTICATED.into()],
        };
        groups.iter().map(|name| Self::group(name)).collect()
    }

    /// Its name, without its kind and namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::User { name } | Self::Group { name } | Self::ServiceAccount { name, .. } => name,
        }
    }

    /// A ServiceAccount, or a group of which only ServiceAccounts are members.
    pub(crate) fn is_account(&self) -> bool {
        match self {
            Self::User { .. } => false,
            Self::Group { name } => name
                .strip_prefix(ACCOUNTS)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':')),
            Self::ServiceAccount { .. } => true,
        }
    }

    /// Of the control plane itself, by the names that the API server reserves for it.
    fn of_control_plane(&self) -> bool {
        match self {
            Self::User { name } => name.starts_with("system:") && name != ANONYMOUS,
            Self::ServiceAccount { namespace, .. } => namespace == "kube-system",
            Self::Group { .. } => false,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name } => write!(f, "User {}", readable(name)),
            Self::Group { name } => write!(f, "Group {}", readable(name)),
            Self::ServiceAccount { namespace, name } => {
                write!(f, "ServiceAccount {namespace}/{}", readable(name))
            }
        }
    }
}

/// A name that cannot be mistaken for the words around it.
fn readable(name: &str) -> Cow<'_, str> {
    let plain = |c: char| !(c.is_whitespace() || c.is_control() || c == '"' || c == ',');
    if !name.is_empty() && name.chars().all(plain) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{name:?}"))
    }
}

/// A right: a verb on a resource, with its subresource as in `environments/release-board`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// A verb of RBAC, or one of Signalbox such as `approve`; `*` is every verb.
    pub verb: Cow<'static, str>,
    /// The API group; empty for the core group, `*` for every group.
    pub group: Cow<'static, str>,
    /// The plural, with `/` and the subresource if there is one; `*` is every resource.
    pub resource: Cow<'static, str>,
}

impl Right {
    /// The verb `verb` on `resource` of `group`, which is empty for the core group.
    pub fn new(
        verb: impl Into<Cow<'static, str>>,
        group: impl Into<Cow<'static, str>>,
        resource: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", self.group)
        }
    }
}

/// The objects that a right is granted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Objects of any name, and requests without a name.
    All,
    /// Only objects with these names, as in `resourceNames` of an RBAC rule.
    Only(BTreeSet<String>),
}

impl Names {
    fn of(rule: &PolicyRule) -> Self {
        match rule.resource_names.as_deref() {
            None | Some([]) => Self::All,
            Some(names) => Self::Only(names.iter().cloned().collect()),
        }
    }

    /// Whether it is granted for the object of this name; a request without a name, such as create, has the empty name.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// The union of both.
    pub fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Only(mine), Self::Only(theirs)) => mine.extend(theirs.iter().cloned()),
            _ => *self = Self::All,
        }
    }

    /// Only those that `matters` selects; `None`: nothing is left.
    #[must_use]
    pub fn keep(&self, matters: impl Fn(&str) -> bool) -> Option<Self> {
        let Self::Only(names) = self else {
            return Some(Self::All);
        };
        let kept: BTreeSet<String> = names.iter().filter(|name| matters(name)).cloned().collect();
        (!kept.is_empty()).then_some(Self::Only(kept))
    }
}

/// For which objects `rule` grants `right`; `None`: for no object.
pub(crate) fn granted(rule: &PolicyRule, right: &Right) -> Option<Names> {
    let listed = |list: &[String], wanted: &str| list.iter().any(|l| l == "*" || l == wanted);
    let grants = listed(&rule.verbs, &right.verb)
        && listed(rule.api_groups.as_deref().unwrap_or_default(), &right.group)
        && rule
            .resources
            .iter()
            .flatten()
            .any(|stated| covers(stated, &right.resource));
    grants.then(|| Names::of(rule))
}

/// `*` is every resource and subresource, `*/sub` that subresource of every resource; there is no `resource/*`.
fn covers(stated: &str, wanted: &str) -> bool {
    if stated == "*" || stated == wanted {
        return true;
    }
    match (stated.strip_prefix("*/"), wanted.split_once('/')) {
        (Some(stated), Some((_, subresource))) => stated == subresource,
        _ => false,
    }
}

type Rights = BTreeMap<Right, Names>;

/// The needed rights of all that a role grants.
fn rights(rules: Option<&[PolicyRule]>, asked: &BTreeSet<Right>) -> Rights {
    let mut rights = Rights::new();
    for rule in rules.unwrap_or_default() {
        for right in asked {
            let Some(names) = granted(rule, right) else {
                continue;
            };
            match rights.get_mut(right) {
                Some(known) => known.join(&names),
                None => drop(rights.insert(right.clone(), names)),
            }
        }
    }
    rights
}

/// A ClusterRoleBinding or RoleBinding that grants a right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// Of a RoleBinding. Absent for a ClusterRoleBinding.
    pub namespace: Option<String>,
    /// Name of the ClusterRoleBinding or RoleBinding.
    pub name: String,
    /// Kind and name.
    pub role: (String, String),
    /// One that the API server creates itself.
    built_in: bool,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, role) = &self.role;
        match &self.namespace {
            Some(namespace) => write!(f, "RoleBinding {namespace}/{}", self.name)?,
            None => write!(f, "ClusterRoleBinding {}", self.name)?,
        }
        if *role == self.name {
            write!(f, " ({kind})")
        } else {
            write!(f, " ({kind} {role})")
        }
    }
}

struct Grant {
    /// Index of the binding.
    by: usize,
    rights: Rc<Rights>,
}

type Grants = BTreeMap<Who, Vec<Grant>>;

/// A right as a subject holds it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The objects for which any of the bindings grants it.
    pub names: Names,
    /// Indices of bindings.
    pub by: BTreeSet<usize>,
    /// At least one of the bindings names the subject, and not only a group that contains all such users.
    pub own: bool,
}

/// Where a right is checked.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Without a namespace: only ClusterRoleBindings count. Their rights also apply in every namespace.
    Cluster,
    /// In that namespace, by any binding.
    Namespace(&'a str),
    /// In that namespace, by its RoleBindings alone.
    Bound(&'a str),
}

/// All bindings that grant a needed right.
pub struct Index {
    /// In the order in which they were read, ClusterRoleBindings first. [`Held::by`] has indices of this list.
    pub bindings: Vec<Binding>,
    cluster: Grants,
    namespaces: BTreeMap<String, Grants>,
    /// Problems in bindings: the namespace (`None`: the whole cluster), and a sentence.
    pub notes: BTreeSet<(Option<String>, String)>,
}

/// The roles to which bindings refer, by namespace (of a Role) and name.
type Roles = BTreeMap<(Option<String>, String), Rc<Rights>>;

impl Index {
    /// The needed rights that the bindings among `facts` grant.
    #[must_use]
    pub fn of(facts: &Facts, asked: &BTreeSet<Right>) -> Self {
        let mut roles = Roles::new();
        for ClusterRole { metadata, rules, .. } in &facts.cluster_roles {
            let key = (None, metadata.name.clone().unwrap_or_default());
            roles.insert(key, Rc::new(rights(rules.as_deref(), asked)));
        }
        for Role { metadata, rules } in &facts.roles {
            let key = (
                metadata.namespace.clone(),
                metadata.name.clone().unwrap_or_default(),
            );
            roles.insert(key, Rc::new(rights(rules.as_deref(), asked)));
        }
        let mut index = Self {
            bindings: Vec::new(),
            cluster: Grants::new(),
            namespaces: BTreeMap::new(),
            notes: BTreeSet::new(),
        };
        for ClusterRoleBinding {
            metadata,
            role_ref,
            subjects,
        } in &facts.cluster_role_bindings
        {
            index.bind(facts, &roles, metadata, None, role_ref, subjects.as_deref());
        }
        for RoleBinding {
            metadata,
            role_ref,
            subjects,
        } in &facts.role_bindings
        {
            let namespace = Some(metadata.namespace.as_deref().unwrap_or_default());
            index.bind(facts, &roles, metadata, namespace, role_ref, subjects.as_deref());
        }
        index
    }

    fn bind(
        &mut self,
        facts: &Facts,
        roles: &Roles,
        metadata: &ObjectMeta,
        namespace: Option<&str>,
        role: &RoleRef,
        subjects: Option<&[Subject]>,
    ) {
        let name = metadata.name.clone().unwrap_or_default();
        let binding = Binding {
            namespace: namespace.map(str::to_owned),
            built_in: name.starts_with("system:") && is_bootstrapped(metadata),
            name,
            role: (role.kind.clone(), role.name.clone()),
        };
        let of_cluster = role.kind == "ClusterRole";
        let key = match namespace {
            _ if of_cluster => (None, role.name.clone()),
            None => return,
            Some(namespace) => (Some(namespace.to_owned()), role.name.clone()),
        };
        let Some(rights) = roles.get(&key) else {
            let list = if of_cluster {
                Listed::ClusterRoles
            } else {
                Listed::Roles
            };
            if facts.has_read(list, key.0.as_deref()) && subjects.is_some_and(|s| !s.is_empty()) {
                self.note(
                    &binding,
                    format!(
                        "names a {} that does not exist. It grants nothing until that role is created",
                        role.kind
                    ),
                );
            }
            return;
        };
        if rights.is_empty() {
            return;
        }
        let by = self.bindings.len();
        for subject in subjects.unwrap_or_default() {
            if subject.name.is_empty() {
                self.note(
                    &binding,
                    format!(
                        "has a {} with an empty name among its subjects. Remove that subject",
                        subject.kind
                    ),
                );
            }
            match Who::of(subject, namespace) {
                Ok(who) => {
                    let grants = match namespace {
                        Some(namespace) => self.namespaces.entry(namespace.to_owned()).or_default(),
                        None => &mut self.cluster,
                    };
                    grants.entry(who).or_default().push(Grant {
                        by,
                        rights: Rc::clone(rights),
                    });
                }
                Err(why) => self.note(
                    &binding,
                    format!("grants nothing to its subject {:?}: it {why}", subject.name),
                ),
            }
        }
        self.bindings.push(binding);
    }

    fn note(&mut self, binding: &Binding, sentence: String) {
        self.notes
            .insert((binding.namespace.clone(), format!("{binding} {sentence}.")));
    }

    /// The subjects of ClusterRoleBindings.
    pub fn of_cluster(&self) -> impl Iterator<Item = &Who> {
        self.cluster.keys()
    }

    /// The subjects to which RoleBindings of this namespace grant something: their own subjects, and subjects of ClusterRoleBindings that
    /// are in a group that is named there.
    pub fn concerned(&self, namespace: &str) -> BTreeSet<&Who> {
        let Some(grants) = self.namespaces.get(namespace) else {
            return BTreeSet::new();
        };
        let mut concerned: BTreeSet<&Who> = grants.keys().collect();
        let by_group = |who: &&Who| who.implied().iter().any(|group| grants.contains_key(group));
        concerned.extend(self.cluster.keys().filter(by_group));
        concerned
    }

    /// The subjects of RoleBindings in this namespace.
    pub fn bound(&self, namespace: &str) -> impl Iterator<Item = &Who> {
        self.namespaces
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::keys)
    }

    /// Namespaces with a RoleBinding that grants one of these.
    pub fn homes_of(&self, rights: &BTreeSet<Right>) -> BTreeSet<String> {
        let grants = |grants: &Grants| {
            grants
                .values()
                .flatten()
                .any(|grant| grant.rights.keys().any(|right| rights.contains(right)))
        };
        let homes = self.namespaces.iter().filter(|(_, found)| grants(found));
        homes.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// The objects for which `who`, with only the groups that contain every such user, holds `right` there.
    pub fn held(&self, who: &Who, place: Place<'_>, right: &Right) -> Option<Held> {
        let (cluster, namespace) = match place {
            Place::Cluster => (Some(&self.cluster), None),
            Place::Namespace(namespace) => (Some(&self.cluster), self.namespaces.get(namespace)),
            Place::Bound(namespace) => (None, self.namespaces.get(namespace)),
        };
        let mut held: Option<Held> = None;
        let groups = who.implied();
        let mine = std::iter::once((who, true)).chain(groups.iter().map(|group| (group, false)));
        for (who, own) in mine {
            let grants = [cluster, namespace].into_iter().flatten();
            for grant in grants.filter_map(|grants| grants.get(who)).flatten() {
                let Some(names) = grant.rights.get(right) else {
                    continue;
                };
                match &mut held {
                    Some(held) => {
                        held.names.join(names);
                        held.by.insert(grant.by);
                        held.own |= own;
                    }
                    None => {
                        held = Some(Held {
                            names: names.clone(),
                            by: BTreeSet::from([grant.by]),
                            own,
                        });
                    }
                }
            }
        }
        held
    }

    /// Whether this is part of Kubernetes itself: its own controllers, by its own bindings.
    pub fn is_built_in(&self, who: &Who, by: &BTreeSet<usize>) -> bool {
        who.of_control_plane()
            && by
                .iter()
                .all(|by| self.bindings.get(*by).is_some_and(|b| b.built_in))
    }

    /// The bindings as text.
    pub fn said(&self, by: &BTreeSet<usize>) -> Vec<String> {
        by.iter()
            .filter_map(|by| self.bindings.get(*by))
            .map(ToString::to_string)
            .collect()
    }
}

fn is_bootstrapped(metadata: &ObjectMeta) -> bool {
    let label = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("kubernetes.io/bootstrapping"));
    label.is_some_and(|value| value == "rbac-defaults")
}
