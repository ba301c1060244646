//! The ways to bypass the rules, and the rights that allow each.

use serde::{Serialize, Serializer};

use crate::access::places::Sort;
use crate::access::rbac::{Names, Right};
use crate::api::GROUP;

/// A way to bypass the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Any verb on any resource.
    Everything,
    /// Change or delete the admission policies, or rewrite requests with a webhook.
    EditAdmission,
    /// Act as another user.
    Impersonate,
    /// Act as a ServiceAccount that the answer lists: by a token, or in a pod of its namespace.
    ActAsServiceAccount,
    /// Grant rights by roles and bindings.
    ChangeAccess,
    /// Change the requirements of an Environment.
    WriteEnvironments,
    /// Change Namespaces: their labels, by which Environments select them, and the annotation of consent.
    LabelNamespaces,
    /// Give consent for a target namespace by the annotation on its deployer.
    Consent,
    /// Write the status of Releases or Environments. The policy signalbox-status forbids it while it exists.
    WriteStatus,
    /// Write or delete the operator's locks (Leases) and pre-states.
    WriteOperatorState,
    /// Change the CustomResourceDefinitions, or serve their kinds from another API server.
    ChangeDefinitions,
    /// Write the Jobs of checks, or the CronJobs that are their templates.
    WriteJobs,
    /// Change workloads in a target namespace without a Release.
    WriteTargets,
}

impl Way {
    /// Its name, for people and tools.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::EditAdmission => "edit-admission",
            Self::Impersonate => "impersonate",
            Self::ActAsServiceAccount => "act-as-service-account",
            Self::ChangeAccess => "change-access",
            Self::WriteEnvironments => "write-environments",
            Self::LabelNamespaces => "label-namespaces",
            Self::Consent => "consent",
            Self::WriteStatus => "write-status",
            Self::WriteOperatorState => "write-operator-state",
            Self::ChangeDefinitions => "change-definitions",
            Self::WriteJobs => "write-jobs",
            Self::WriteTargets => "write-targets",
        }
    }

    /// Its meaning, a clause after its name.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Everything => "may do anything there, including everything below",
            Self::EditAdmission => {
                "changes or deletes the admission policies that enforce the rules, or rewrites the requests of other users"
            }
            Self::Impersonate => "acts as another user",
            Self::ActAsServiceAccount => {
                "acts as a ServiceAccount that is listed here, by a token or in a pod of its namespace"
            }
            Self::ChangeAccess => {
                "grants rights: any right with the verbs escalate and bind, otherwise only rights that the user has"
            }
            Self::WriteEnvironments => "changes the requirements of an Environment",
            Self::LabelNamespaces => {
                "changes which namespaces an Environment selects by label; on a target namespace it can also give consent"
            }
            Self::Consent => {
                "gives consent for a target namespace: by the annotation signalbox.dev/accept on its deployer, or on a new one"
            }
            Self::WriteStatus => {
                "forges the status that the operator writes, if the policy signalbox-status is removed first"
            }
            Self::WriteOperatorState => "forges or deletes the operator's locks (Leases) and pre-states",
            Self::ChangeDefinitions => {
                "changes or deletes the CustomResourceDefinitions, with all their objects, or serves these kinds from another API server"
            }
            Self::WriteJobs => {
                "writes the Jobs of gates and verification, or the CronJobs that are their templates"
            }
            Self::WriteTargets => "changes what runs in a target namespace without a Release",
        }
    }
}

impl Serialize for Way {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Objects whose names matter, if a rule lists names.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    Any,
    /// A collection, or one that has no name yet.
    Unnamed,
    Like(fn(&str) -> bool),
    /// The namespace itself.
    Itself,
    /// The ServiceAccount as which the operator writes in target namespaces.
    Deployer,
}

/// Some rights that allow a way, and where.
pub(crate) struct Part {
    pub(crate) way: Way,
    pub(crate) places: &'static [Sort],
    pub(crate) verbs: &'static [&'static str],
    pub(crate) group: &'static str,
    pub(crate) resources: &'static [&'static str],
    pub(crate) object: Object,
}

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const WRITE: &[&str] = &["create", "update", "patch"];
const CHANGE: &[&str] = &["update", "patch", "delete"];
/// Every verb that changes something.
pub(crate) const ALL: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const CLUSTER: &[Sort] = &[Sort::Cluster];
const ACCOUNTS: &[Sort] = &[Sort::Accounts];
const TARGETS: &[Sort] = &[Sort::Target];
const NAMESPACES: &[Sort] = &[Sort::Releases, Sort::Target, Sort::Operator, Sort::Accounts];

fn is_policy(name: &str) -> bool {
    name.starts_with("signalbox-")
}

fn is_definition(name: &str) -> bool {
    name.strip_suffix(GROUP).is_some_and(|rest| rest.ends_with('.'))
}

fn is_service(name: &str) -> bool {
    name.starts_with('v') && is_definition(name)
}

fn signs_clients(name: &str) -> bool {
    matches!(name, "kubernetes.io/kube-apiserver-client" | "kubernetes.io/*")
}

const fn part(
    way: Way,
    places: &'static [Sort],
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
    object: Object,
) -> Part {
    Part {
        way,
        places,
        verbs,
        group,
        resources,
        object,
    }
}

/// All rights except those that depend on the Environment: the kinds of its targets.
pub(crate) static PARTS: &[Part] = {
    use Object::{Any, Deployer, Itself, Like, Unnamed};
    use Way::{
        ActAsServiceAccount, ChangeAccess, ChangeDefinitions, Consent, EditAdmission, Impersonate,
        LabelNamespaces, WriteEnvironments, WriteJobs, WriteOperatorState, WriteStatus, WriteTargets,
    };
    let policies: &[&str] = &["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
    &[
        part(
            EditAdmission,
            CLUSTER,
            CHANGE,
            ADMISSION,
            policies,
            Like(is_policy),
        ),
        part(
            EditAdmission,
            CLUSTER,
            &["deletecollection"],
            ADMISSION,
            policies,
            Unnamed,
        ),
        part(
            EditAdmission,
            CLUSTER,
            WRITE,
            ADMISSION,
            &[
                "mutatingadmissionpolicies",
                "mutatingadmissionpolicybindings",
                "mutatingwebhookconfigurations",
            ],
            Any,
        ),
        part(
            Impersonate,
            CLUSTER,
            &["impersonate"],
            "",
            &["users", "groups"],
            Any,
        ),
        part(
            Impersonate,
            CLUSTER,
            &["impersonate:user-info"],
            AUTHENTICATION,
            &["users", "groups"],
            Any,
        ),
        // A certificate for a user name is that user.
        part(
            Impersonate,
            CLUSTER,
            &["approve"],
            "certificates.k8s.io",
            &["signers"],
            Like(signs_clients),
        ),
        part(
            Impersonate,
            ACCOUNTS,
            &["impersonate"],
            "",
            &["serviceaccounts"],
            Any,
        ),
        part(
            Impersonate,
            ACCOUNTS,
            &["impersonate:serviceaccount"],
            AUTHENTICATION,
            &["serviceaccounts"],
            Any,
        ),
        part(ActAsServiceAccount, ACCOUNTS, &["create"], "", &["pods"], Any),
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            &["create"],
            "",
            &["serviceaccounts/token"],
            Any,
        ),
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            WRITE,
            "apps",
            &["daemonsets", "deployments", "replicasets", "statefulsets"],
            Any,
        ),
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            WRITE,
            "batch",
            &["cronjobs", "jobs"],
            Any,
        ),
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            WRITE,
            "",
            &["replicationcontrollers"],
            Any,
        ),
        // Access to a pod that runs as it.
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            &["create", "get"],
            "",
            &["pods/attach", "pods/exec"],
            Any,
        ),
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            &["update", "patch"],
            "",
            &["pods/ephemeralcontainers"],
            Any,
        ),
        // Tokens that are stored in Secrets.
        part(
            ActAsServiceAccount,
            ACCOUNTS,
            &["get", "list", "watch"],
            "",
            &["secrets"],
            Any,
        ),
        part(
            ActAsServiceAccount,
            CLUSTER,
            &["create", "get"],
            "",
            &["nodes/proxy"],
            Any,
        ),
        part(
            ChangeAccess,
            CLUSTER,
            &["escalate", "bind", "create", "update", "patch"],
            RBAC,
            &["clusterroles"],
            Any,
        ),
        part(ChangeAccess, CLUSTER, WRITE, RBAC, &["clusterrolebindings"], Any),
        part(
            ChangeAccess,
            NAMESPACES,
            &["escalate", "bind", "create", "update", "patch"],
            RBAC,
            &["roles"],
            Any,
        ),
        part(ChangeAccess, NAMESPACES, &["bind"], RBAC, &["clusterroles"], Any),
        part(ChangeAccess, NAMESPACES, WRITE, RBAC, &["rolebindings"], Any),
        part(WriteEnvironments, CLUSTER, ALL, GROUP, &["environments"], Any),
        part(
            LabelNamespaces,
            &[Sort::Releases, Sort::Target],
            &["update", "patch"],
            "",
            &["namespaces"],
            Itself,
        ),
        part(
            Consent,
            TARGETS,
            &["update", "patch"],
            "",
            &["serviceaccounts"],
            Deployer,
        ),
        // If there is none yet, or after it was deleted.
        part(Consent, TARGETS, &["create"], "", &["serviceaccounts"], Unnamed),
        part(
            WriteStatus,
            CLUSTER,
            &["update", "patch"],
            GROUP,
            &["environments/status"],
            Any,
        ),
        part(
            WriteStatus,
            &[Sort::Releases],
            &["update", "patch"],
            GROUP,
            &["releases/status"],
            Any,
        ),
        part(
            WriteOperatorState,
            &[Sort::Operator],
            ALL,
            "apps",
            &["controllerrevisions"],
            Any,
        ),
        part(
            WriteOperatorState,
            &[Sort::Operator],
            ALL,
            "coordination.k8s.io",
            &["leases"],
            Any,
        ),
        part(
            ChangeDefinitions,
            CLUSTER,
            CHANGE,
            "apiextensions.k8s.io",
            &["customresourcedefinitions"],
            Like(is_definition),
        ),
        part(
            ChangeDefinitions,
            CLUSTER,
            &["deletecollection"],
            "apiextensions.k8s.io",
            &["customresourcedefinitions"],
            Unnamed,
        ),
        part(
            ChangeDefinitions,
            CLUSTER,
            WRITE,
            "apiregistration.k8s.io",
            &["apiservices"],
            Like(is_service),
        ),
        part(
            WriteJobs,
            TARGETS,
            WRITE,
            "batch",
            &["cronjobs", "jobs", "jobs/status"],
            Any,
        ),
        // For any kinds that the Environment allows: these objects run the pods of its workloads, or run beside them.
        part(
            WriteTargets,
            TARGETS,
            ALL,
            "",
            &["pods", "replicationcontrollers"],
            Any,
        ),
        part(WriteTargets, TARGETS, &["create"], "", &["pods/eviction"], Any),
        part(WriteTargets, TARGETS, ALL, "apps", &["replicasets"], Any),
        part(
            WriteTargets,
            TARGETS,
            &["update", "patch"],
            "",
            &["replicationcontrollers/scale"],
            Any,
        ),
        part(
            WriteTargets,
            TARGETS,
            &["update", "patch"],
            "apps",
            &["deployments/scale", "replicasets/scale", "statefulsets/scale"],
            Any,
        ),
    ]
};

impl Part {
    /// Verb by verb and resource by resource.
    pub(crate) fn rights(&self) -> impl Iterator<Item = Right> {
        self.resources.iter().flat_map(move |resource| {
            let verbs = self.verbs.iter();
            verbs.map(move |verb| Right::new(*verb, self.group, *resource))
        })
    }

    /// The names that matter in a namespace.
    pub(crate) fn of(&self, names: &Names, deployer: &str, is_place: impl Fn(&str) -> bool) -> Option<Names> {
        match self.object {
            Object::Any => Some(names.clone()),
            Object::Unnamed => names.keep(str::is_empty),
            Object::Like(like) => names.keep(like),
            Object::Itself => names.keep(is_place),
            Object::Deployer => names.keep(|name| name == deployer),
        }
    }
}
