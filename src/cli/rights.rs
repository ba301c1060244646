//! RBAC and Environments of a cluster, read as the user of a kubeconfig and in pages. What that user may not list is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::access::{self, Answer, Facts, Listed, Question, Unread};
use crate::api::Environment;

/// As many as kubectl asks for at once.
const PAGE: u32 = 500;

/// The answer from what may be read.
///
/// # Errors
/// A sentence: the API server cannot be reached, or what the question names does not exist.
pub(crate) async fn answer(client: &Client, question: &Question) -> Result<Answer, String> {
    let (cluster_roles, bindings, roles, role_bindings, environments, namespaces) = tokio::join!(
        list::<ClusterRole>(Api::all(client.clone()), Listed::ClusterRoles),
        list::<ClusterRoleBinding>(Api::all(client.clone()), Listed::ClusterRoleBindings),
        list::<Role>(Api::all(client.clone()), Listed::Roles),
        list::<RoleBinding>(Api::all(client.clone()), Listed::RoleBindings),
        list::<Environment>(Api::all(client.clone()), Listed::Environments),
        namespaces(client, question),
    );
    let mut unread = Vec::new();
    let mut facts = Facts {
        cluster_roles: or_named(cluster_roles?, &mut unread),
        cluster_role_bindings: or_named(bindings?, &mut unread),
        environments: or_named(environments?, &mut unread),
        namespaces: labels(or_named(namespaces?, &mut unread)),
        ..Facts::default()
    };
    let (roles, role_bindings) = (roles?, role_bindings?);
    let everywhere = roles.is_ok() && role_bindings.is_ok();
    // Those of some namespaces may be open to who may not list all of them.
    let one_by_one = !everywhere && question.namespace.is_some();
    if !one_by_one {
        facts.roles = or_named(roles, &mut unread);
        facts.role_bindings = or_named(role_bindings, &mut unread);
    }
    facts.unread = unread;
    exists(&facts, question)?;

    let mut answer = access::answer(&facts, question);
    if one_by_one {
        let mut read: BTreeSet<String> = BTreeSet::new();
        // Who is found in one namespace may be a ServiceAccount of another, in which others could act as it.
        while let Some(next) = answer.places.iter().find(|place| !read.contains(*place)).cloned() {
            within(client, &next, &mut facts).await?;
            read.insert(next);
            answer = access::answer(&facts, question);
        }
    }
    Ok(answer)
}

/// Reads the Roles and RoleBindings of one namespace.
async fn within(client: &Client, namespace: &str, facts: &mut Facts) -> Result<(), String> {
    let (roles, bindings) = tokio::join!(
        list::<Role>(of(client, namespace), Listed::Roles),
        list::<RoleBinding>(of(client, namespace), Listed::RoleBindings),
    );
    let mut unread = Vec::new();
    facts.roles.extend(or_named(roles?, &mut unread));
    facts.role_bindings.extend(or_named(bindings?, &mut unread));
    facts.unread.extend(unread.into_iter().map(|unread| Unread {
        namespace: Some(namespace.to_owned()),
        ..unread
    }));
    Ok(())
}

fn of<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client.clone(), namespace)
}

/// What was listed, or that it was refused.
type Listing<K> = Result<Vec<K>, Unread>;

fn or_named<K>(listing: Listing<K>, unread: &mut Vec<Unread>) -> Vec<K> {
    listing.unwrap_or_else(|refused| {
        unread.push(refused);
        vec![]
    })
}

/// All of a kind, page by page.
///
/// # Errors
/// A sentence, if there is no answer; what the API server refuses to this user is no error.
async fn list<K>(api: Api<K>, what: Listed) -> Result<Listing<K>, String>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut all = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let listed = match api.list(&page).await {
            Ok(listed) => listed,
            // No right to it, or no definition of it.
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                return Ok(Err(Unread {
                    what,
                    namespace: None,
                    because: status.message.clone(),
                }));
            }
            Err(error) => return Err(format!("cannot list {what} of the cluster: {error}")),
        };
        all.extend(listed.items);
        match listed.metadata.continue_ {
            Some(token) if !token.is_empty() => page.continue_token = Some(token),
            _ => return Ok(Ok(all)),
        }
    }
}

/// All of them, or the one that is asked about where no other may be read.
async fn namespaces(client: &Client, question: &Question) -> Result<Listing<Namespace>, String> {
    let api: Api<Namespace> = Api::all(client.clone());
    let listed = list(api.clone(), Listed::Namespaces).await?;
    let (Err(refused), Some(name)) = (&listed, &question.namespace) else {
        return Ok(listed);
    };
    match api.get_opt(name).await {
        Ok(Some(namespace)) => Ok(Ok(vec![namespace])),
        Ok(None) => Ok(Ok(vec![])),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(refused.clone())),
        Err(error) => Err(format!("cannot read namespace {name} of the cluster: {error}")),
    }
}

fn labels(namespaces: Vec<Namespace>) -> BTreeMap<String, BTreeMap<String, String>> {
    let labelled = namespaces.into_iter().map(|namespace| {
        let metadata = namespace.metadata;
        (
            metadata.name.unwrap_or_default(),
            metadata.labels.unwrap_or_default(),
        )
    });
    labelled.collect()
}

/// A mistyped name would be answered with "nobody".
fn exists(facts: &Facts, question: &Question) -> Result<(), String> {
    let refused = |what: Listed| facts.unread.iter().any(|unread| unread.what == what);
    if let Some(name) = &question.namespace
        && !facts.namespaces.contains_key(name)
        && !refused(Listed::Namespaces)
    {
        return Err(format!(
            "--namespace {name}: there is no namespace of that name in the cluster"
        ));
    }
    if let Some(name) = &question.environment
        && !facts
            .environments
            .iter()
            .any(|e| e.metadata.name.as_ref() == Some(name))
        && !refused(Listed::Environments)
    {
        return Err(format!(
            "--environment {name}: there is no Environment of that name in the cluster"
        ));
    }
    Ok(())
}
