//! Lists, page by page. One object that cannot be read does not hide the others.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use indicatif::ProgressBar;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;

use super::{Session, failed};
use crate::api::{Decision, Release, ReleaseReview};

/// Half of kubectl's page size: the text of a page is in memory several times while it is read.
const PAGE: u32 = 250;

/// Which objects are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query<'a> {
    /// The namespace; `None` for all of them, and for cluster-scoped kinds.
    pub namespace: Option<&'a str>,
    /// A label selector. Empty selects all.
    pub labels: &'a str,
    /// A field selector. Empty selects all.
    pub fields: String,
}

/// What was listed.
#[derive(Debug)]
pub(crate) struct Listed<K> {
    /// In the order of the API server: by namespace and name.
    pub items: Vec<K>,
    /// Objects of another version of the definition.
    pub unreadable: Vec<Unreadable>,
    /// From which a watch continues. Empty if the API server did not say.
    pub resource_version: String,
}

impl<K> Listed<K> {
    /// What could not be read, for people: a note each.
    pub fn notes(&self) -> Vec<String> {
        self.unreadable.iter().map(|one| format!("note: {one}")).collect()
    }

    /// The objects, if all could be read.
    ///
    /// # Errors
    /// A sentence that names the first that could not.
    pub fn whole(self) -> Result<Vec<K>, String> {
        match self.unreadable.first() {
            None => Ok(self.items),
            Some(one) => Err(one.to_string()),
        }
    }
}

/// An object that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Its kind, namespace and name.
    pub object: String,
    /// What is wrong with it.
    pub because: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} is not shown: version {} of this command cannot read it: {}. Use the version of the operator.",
            self.object,
            env!("CARGO_PKG_VERSION"),
            self.because
        )
    }
}

/// How far a long list has been read, on a terminal's standard error. What is read at once shows nothing, and nothing stays.
#[derive(Default)]
struct Progress(OnceCell<ProgressBar>);

impl Progress {
    fn read(&self, what: &str, so_far: usize) {
        if so_far > 0 {
            let bar = self.0.get_or_init(ProgressBar::new_spinner);
            bar.set_message(format!("Reading {what}: {so_far}"));
            bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.0.get() {
            bar.finish_and_clear();
        }
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    more: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Deserialize, Default)]
struct Named {
    #[serde(default)]
    metadata: NamedMetadata,
}

#[derive(Deserialize, Default)]
struct NamedMetadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

/// All objects of a kind that the query selects.
///
/// # Errors
/// A sentence: no right, no definition, or no answer.
pub(crate) async fn list<K>(session: &Session, query: &Query<'_>) -> Result<Listed<K>, String>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Debug + Send + 'static,
{
    let mut reading = Vec::new();
    let mut more = String::new();
    let progress = Progress::default();
    loop {
        progress.read(K::plural(&()).as_ref(), reading.len() * PAGE as usize);
        let mut parameters = ListParams::default().limit(PAGE);
        if !query.labels.is_empty() {
            parameters = parameters.labels(query.labels);
        }
        if !query.fields.is_empty() {
            parameters = parameters.fields(&query.fields);
        }
        if !more.is_empty() {
            parameters = parameters.continue_token(&more);
        }
        let page = page::<K>(&session.client, query.namespace, &parameters).await;
        let page = match page {
            Ok(page) => page,
            // The pages of a long list expire after some minutes: it is read again from the start.
            Err(kube::Error::Api(status)) if status.code == 410 && !more.is_empty() => {
                reading.clear();
                more.clear();
                continue;
            }
            Err(error) => {
                let what = format!("Cannot list {}", K::plural(&()));
                return Err(failed(&session.server, &what, &error));
            }
        };
        // The API server writes the next page meanwhile.
        reading.push(tokio::task::spawn_blocking(|| read::<K>(page.items)));
        more = page.metadata.more;
        if more.is_empty() {
            return all(reading, page.metadata.resource_version).await;
        }
    }
}

/// The objects of a page, as far as this version can read them.
fn read<K>(page: Vec<Box<RawValue>>) -> Vec<Result<K, Unreadable>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let read = |raw: Box<RawValue>| object(&raw).map_err(|error| unreadable::<K>(&raw, &error));
    page.into_iter().map(read).collect()
}

/// One object without `metadata.managedFields`, which take more time and memory than the rest, and which no command shows.
fn object<K: DeserializeOwned>(raw: &RawValue) -> serde_json::Result<K> {
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_str(raw.get())?;
    let metadata = match fields.remove("metadata") {
        Some(metadata) => {
            let mut metadata: BTreeMap<&str, &RawValue> = serde_json::from_str(metadata.get())?;
            metadata.remove("managedFields");
            Some(serde_json::value::to_raw_value(&metadata)?)
        }
        None => None,
    };
    fields.extend(metadata.as_deref().map(|metadata| ("metadata", metadata)));
    K::deserialize(MapDeserializer::new(fields.into_iter()))
}

/// The objects of all pages.
async fn all<K>(
    pages: Vec<JoinHandle<Vec<Result<K, Unreadable>>>>,
    resource_version: String,
) -> Result<Listed<K>, String> {
    let mut listed = Listed {
        items: Vec::new(),
        unreadable: Vec::new(),
        resource_version,
    };
    for page in pages {
        for object in page.await.map_err(|e| format!("Cannot read a list: {e}."))? {
            match object {
                Ok(item) => listed.items.push(item),
                Err(unreadable) => listed.unreadable.push(unreadable),
            }
        }
    }
    Ok(listed)
}

async fn page<K>(client: &Client, namespace: Option<&str>, parameters: &ListParams) -> kube::Result<Page>
where
    K: Resource<DynamicType = ()>,
{
    let url = K::url_path(&(), namespace);
    let request = Request::new(url)
        .list(parameters)
        .map_err(kube::Error::BuildRequest)?;
    client.request::<Page>(request).await
}

fn unreadable<K: Resource<DynamicType = ()>>(raw: &RawValue, error: &serde_json::Error) -> Unreadable {
    let named: Named = serde_json::from_str(raw.get()).unwrap_or_default();
    let NamedMetadata { name, namespace } = named.metadata;
    let slash = if namespace.is_empty() { "" } else { "/" };
    Unreadable {
        object: format!("{} {namespace}{slash}{name}", K::kind(&())),
        because: error.to_string(),
    }
}

/// The Releases of a namespace, or of every namespace. Who may not list those sees their own, and why there are not more.
///
/// # Errors
/// A sentence: the namespace is named, and its Releases cannot be listed.
pub(crate) async fn reach(
    session: &Session,
    namespace: Option<&str>,
) -> Result<(Vec<Release>, Option<String>), String> {
    let within = |namespace| Query {
        namespace,
        ..Query::default()
    };
    let refused = match list::<Release>(session, &within(namespace)).await {
        Ok(listed) => {
            let why: Vec<String> = listed.unreadable.iter().map(ToString::to_string).collect();
            return Ok((listed.items, (!why.is_empty()).then(|| why.join(" "))));
        }
        Err(refused) if namespace.is_some() => return Err(refused),
        Err(refused) => refused,
    };
    let own = list::<Release>(session, &within(Some(&session.namespace))).await?;
    let why = format!(
        "Only Releases of namespace {} are shown. {refused}",
        session.namespace
    );
    Ok((own.items, Some(why)))
}

/// What people and the operator have recorded.
pub(crate) struct Records {
    /// All Releases that the query selects.
    pub releases: Vec<Release>,
    /// All Decisions that it selects.
    pub decisions: Vec<Decision>,
    /// All reviews that it selects.
    pub reviews: Vec<ReleaseReview>,
    /// What could not be read: a note each.
    pub notes: Vec<String>,
}

/// Releases, Decisions and reviews, read side by side.
///
/// # Errors
/// A sentence: one of the kinds cannot be listed.
pub(crate) async fn records(session: &Session, query: &Query<'_>) -> Result<Records, String> {
    let (releases, decisions, reviews) = tokio::join!(
        list::<Release>(session, query),
        list::<Decision>(session, query),
        list::<ReleaseReview>(session, query)
    );
    let (releases, decisions, reviews) = (releases?, decisions?, reviews?);
    Ok(Records {
        notes: [releases.notes(), decisions.notes(), reviews.notes()].concat(),
        releases: releases.items,
        decisions: decisions.items,
        reviews: reviews.items,
    })
}

/// The Decisions on a Release of the session's namespace, oldest first.
///
/// # Errors
/// A sentence: they cannot be listed, or one of them cannot be read.
pub(crate) async fn decisions(session: &Session, release: &str) -> Result<Vec<Decision>, String> {
    let query = Query {
        namespace: Some(&session.namespace),
        fields: format!("spec.release={release}"),
        ..Query::default()
    };
    let mut decisions = list::<Decision>(session, &query).await?.whole()?;
    decisions.sort_by_key(|d| d.metadata.creation_timestamp.clone());
    Ok(decisions)
}

/// One object.
///
/// # Errors
/// A sentence: it does not exist, or cannot be read.
pub(crate) async fn get<K>(session: &Session, api: &Api<K>, name: &str, place: &str) -> Result<K, String>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = format!("Cannot read {} {name:?}{place}", K::kind(&()));
    match api.get(name).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status))
            if status.code == 404 && status.details.as_ref().is_some_and(|d| !d.name.is_empty()) =>
        {
            Err(format!("{} {name:?} does not exist{place}.", K::kind(&())))
        }
        Err(error) => Err(failed(&session.server, &what, &error)),
    }
}
