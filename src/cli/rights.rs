//! RBAC and Environments of a cluster, read page by page as the user of a kubeconfig. Kinds that this user may not list are reported.

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
use crate::cli::session::{Session, failed};

/// The page size that kubectl uses.
const PAGE: u32 = 500;

/// The answer, from the objects that the user may read.
///
/// # Errors
/// A sentence: the API server cannot be reached, or an object that the question names does not exist.
pub(crate) async fn answer(session: &Session, question: &Question) -> Result<Answer, String> {
    let client = &session.client;
    let (cluster_roles, bindings, roles, role_bindings, environments, namespaces) = tokio::join!(
        list::<ClusterRole>(session, Api::all(client.clone()), Listed::ClusterRoles),
        list::<ClusterRoleBinding>(session, Api::all(client.clone()), Listed::ClusterRoleBindings),
        list::<Role>(session, Api::all(client.clone()), Listed::Roles),
        list::<RoleBinding>(session, Api::all(client.clone()), Listed::RoleBindings),
        list::<Environment>(session, Api::all(client.clone()), Listed::Environments),
        namespaces(session, question),
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
    // A user who may not list all of them may still be allowed to list those of some namespaces.
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
        // A subject that is found in one namespace may be a ServiceAccount of another, where others can act as it.
        while let Some(next) = answer.places.iter().find(|place| !read.contains(*place)).cloned() {
            within(session, &next, &mut facts).await?;
            read.insert(next);
            answer = access::answer(&facts, question);
        }
    }
    Ok(answer)
}

/// Reads the Roles and RoleBindings of one namespace.
async fn within(session: &Session, namespace: &str, facts: &mut Facts) -> Result<(), String> {
    let client = &session.client;
    let (roles, bindings) = tokio::join!(
        list::<Role>(session, of(client, namespace), Listed::Roles),
        list::<RoleBinding>(session, of(client, namespace), Listed::RoleBindings),
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

/// What was listed, or why it was refused.
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
/// A sentence, if there is no answer. A listing that the API server refuses to this user is not an error.
async fn list<K>(session: &Session, api: Api<K>, what: Listed) -> Result<Listing<K>, String>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut all = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let listed = match api.list(&page).await {
            Ok(listed) => listed,
            // The user has no right to list it, or its definition is missing.
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                return Ok(Err(Unread {
                    what,
                    namespace: None,
                    because: status.message.clone(),
                }));
            }
            Err(error) => return Err(failed(&session.server, &format!("Cannot list {what}"), &error)),
        };
        all.extend(listed.items);
        match listed.metadata.continue_ {
            Some(token) if !token.is_empty() => page.continue_token = Some(token),
            _ => return Ok(Ok(all)),
        }
    }
}

/// All of them, or only the one in the question if the user may not list all.
async fn namespaces(session: &Session, question: &Question) -> Result<Listing<Namespace>, String> {
    let api: Api<Namespace> = Api::all(session.client.clone());
    let listed = list(session, api.clone(), Listed::Namespaces).await?;
    let (Err(refused), Some(name)) = (&listed, &question.namespace) else {
        return Ok(listed);
    };
    match api.get_opt(name).await {
        Ok(Some(namespace)) => Ok(Ok(vec![namespace])),
        Ok(None) => Ok(Ok(vec![])),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(refused.clone())),
        Err(error) => {
            let what = format!("Cannot read namespace {name:?}");
            Err(failed(&session.server, &what, &error))
        }
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

/// Without this check, a mistyped name would be answered with "no one".
fn exists(facts: &Facts, question: &Question) -> Result<(), String> {
    let refused = |what: Listed| facts.unread.iter().any(|unread| unread.what == what);
    if let Some(name) = &question.namespace
        && !facts.namespaces.contains_key(name)
        && !refused(Listed::Namespaces)
    {
        return Err(format!(
            "--namespace {name}: the cluster has no namespace of that name."
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
            "--environment {name}: the cluster has no Environment of that name."
        ));
    }
    Ok(())
}
