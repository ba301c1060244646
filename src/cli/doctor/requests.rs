//! Requests of `doctor`, many at the same time: objects by name, the API server's time, and the rights of other users.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use kube::client::Body;
use serde::de::DeserializeOwned;

use crate::cli::session::{Session, failed};
use crate::view::doctor::{Right, Unread};

/// How many requests are sent at the same time.
const CONCURRENT: usize = 32;
/// How many places a note names.
const NAMED: usize = 3;

/// Namespace and name. The namespace is empty for kinds of the cluster.
pub(super) type Named = (String, String);

/// Each of the objects that exists, and a note about those that could not be read.
pub(super) async fn each<K>(
    session: &Session,
    plural: &str,
    wanted: impl IntoIterator<Item = Named>,
    api: impl Fn(&str) -> Api<K>,
) -> (BTreeMap<Named, Option<K>>, Option<Unread>)
where
    K: Clone + DeserializeOwned + Debug,
{
    let reads = wanted.into_iter().map(|named| {
        let api = api(&named.0);
        async move {
            let answer = api.get_opt(&named.1).await;
            (named, answer)
        }
    });
    let answers: Vec<_> = futures::stream::iter(reads)
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    sorted(session, plural, answers)
}

/// What was read, by name, and a note about the rest.
pub(super) fn sorted<K>(
    session: &Session,
    plural: &str,
    answers: Vec<(Named, kube::Result<Option<K>>)>,
) -> (BTreeMap<Named, Option<K>>, Option<Unread>) {
    let mut found = BTreeMap::new();
    let mut errors = BTreeMap::new();
    for (named, answer) in answers {
        match answer {
            Ok(object) => {
                found.insert(named, object);
            }
            Err(error) => {
                errors.insert(named, error);
            }
        }
    }
    let unread = errors.first_key_value().map(|(_, error)| {
        let mut places: Vec<&str> = errors
            .keys()
            .map(|(namespace, name)| if namespace.is_empty() { name } else { namespace }.as_str())
            .collect();
        places.dedup();
        let more = places.len().saturating_sub(NAMED);
        places.truncate(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let what = format!("{plural} ({}{more})", places.join(", "));
        let because = failed(&session.server, &format!("Cannot read {plural}"), error);
        Unread { what, because }
    });
    (found, unread)
}

/// Runs the requests, many at the same time.
pub(super) async fn at_once<F: Future>(requests: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    futures::stream::iter(requests)
        .buffer_unordered(CONCURRENT)
        .collect()
        .await
}

/// The API server's time, in whole seconds. `None` if it does not say.
///
/// # Errors
/// A sentence: the API server cannot be reached.
pub(super) async fn time(session: &Session) -> Result<Option<Timestamp>, String> {
    let request = http::Request::get("/version").body(Body::empty());
    let request = request.map_err(|e| format!("Cannot ask for the API server's time: {e}."))?;
    let answer = session.client.send(request).await;
    let answer = answer.map_err(|e| failed(&session.server, "Cannot ask for the API server's time", &e))?;
    let date = answer
        .headers()
        .get(http::header::DATE)
        .and_then(|date| date.to_str().ok());
    Ok(date
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
        .map(|date| date.timestamp()))
}

/// Whether a ServiceAccount has a right, as the API server's authorizers answer. No namespace is the whole cluster.
///
/// # Errors
/// The API server refuses the question, or does not answer.
pub(super) async fn may(
    session: &Session,
    (home, account): (&str, &str),
    namespace: Option<&str>,
    right: &Right,
) -> Result<bool, kube::Error> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{home}:{account}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{home}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                group: text(&right.group),
                resource: text(resource),
                subresource: text(subresource),
                verb: text(right.verb),
                name: text(&right.name),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(session.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
