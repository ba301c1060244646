//! Requests as the deployer of a target namespace. There is no fallback to the operator's own rights: RBAC in the
//! target namespace bounds what any Release can do, and the audit log names the promotion.

use http::Request;
use http::header::{HeaderName, HeaderValue};
use kube::Client;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::api::FIELD_MANAGER;
use crate::cluster::paths::{collection, group, plural};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Form, Mode, Object, Targets};
use crate::cluster::sent::Shape;

/// Header of the user extra `signalbox.dev/promotion`; a header's name cannot contain a slash.
const EXTRA_HEADER: HeaderName = HeaderName::from_static("impersonate-extra-signalbox.dev%2fpromotion");
const USER_HEADER: HeaderName = HeaderName::from_static("impersonate-user");

/// The deployer of one target namespace, on behalf of one promotion.
#[derive(Clone)]
pub struct Deployer {
    client: Client,
    namespace: String,
    user: String,
    promotion: String,
}

/// A target as the API server returns it for a change. The fields that each writer owns, as large as the rest, are skipped.
struct Returned(Value);

static METADATA: Shape = Shape {
    keep: |_| true,
    inside: &[("managedFields", &WRITER)],
};
/// The shape of one entry in `managedFields`.
pub static WRITER: Shape = Shape {
    keep: |key| key != "fieldsV1",
    inside: &[],
};
static OBJECT: Shape = Shape {
    keep: |_| true,
    inside: &[("metadata", &METADATA)],
};

impl<'de> Deserialize<'de> for Returned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        OBJECT.deserialize(deserializer).map(Self)
    }
}

impl Deployer {
    /// `promotion` is `namespace/release/environment/attempt`.
    #[must_use]
    pub fn new(client: Client, name: &str, namespace: &str, promotion: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            user: format!("system:serviceaccount:{namespace}:{name}"),
            promotion: promotion.to_owned(),
        }
    }

    fn path(&self, object: Object<'_>) -> Result<String, RequestError> {
        Ok(format!(
            "{}/{}",
            collection(object.api_version, known(object)?, &self.namespace),
            segment(object.name)?
        ))
    }

    fn parameters(mode: Mode) -> String {
        let dry = if mode == Mode::DryRun { "&dryRun=All" } else { "" };
        format!("fieldManager={FIELD_MANAGER}&fieldValidation=Strict{dry}")
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        media: &str,
    ) -> Result<T, RequestError> {
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|e| RequestError::Invalid(e.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, media)
            .header(USER_HEADER, value(&self.user)?)
            .header(EXTRA_HEADER, value(&self.promotion)?)
            .body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default())
            .map_err(|e| RequestError::Invalid(e.to_string()))?;
        // The path must be sent unchanged: a path that is cut off would lose its `dryRun`.
        if request
            .uri()
            .path_and_query()
            .is_none_or(|sent| sent.as_str() != path)
        {
            return Err(RequestError::Invalid(format!("{path:?} is not a valid path")));
        }
        Ok(self.client.request::<T>(request).await?)
    }
}

impl Targets for Deployer {
    async fn get(&self, object: Object<'_>) -> Result<Value, RequestError> {
        self.send("GET", &self.path(object)?, None, "application/json")
            .await
    }

    async fn patch(
        &self,
        object: Object<'_>,
        form: Form,
        patch: &Value,
        mode: Mode,
    ) -> Result<Value, RequestError> {
        let media = match form {
            Form::StrategicMerge => "application/strategic-merge-patch+json",
            Form::JsonPatch => "application/json-patch+json",
        };
        let path = format!("{}?{}", self.path(object)?, Self::parameters(mode));
        let Returned(patched) = self.send("PATCH", &path, Some(patch), media).await?;
        Ok(patched)
    }

    async fn create(&self, object: Object<'_>, body: &Value, mode: Mode) -> Result<Value, RequestError> {
        let plural = known(object)?;
        let collection = collection(object.api_version, plural, &self.namespace);
        let path = format!("{collection}?{}", Self::parameters(mode));
        let Returned(created) = self.send("POST", &path, Some(body), "application/json").await?;
        Ok(created)
    }

    async fn delete(&self, object: Object<'_>, uid: &str) -> Result<(), RequestError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "uid": uid }, "propagationPolicy": "Background"
        });
        // A pod is not a target, but a backout deletes a pod that a StatefulSet waits for.
        let path = match (object.api_version, object.kind) {
            ("v1", "Pod") => format!(
                "{}/{}",
                collection("v1", "pods", &self.namespace),
                segment(object.name)?
            ),
            _ => self.path(object)?,
        };
        self.send("DELETE", &path, Some(&options), "application/json")
            .await
            .map(|_: IgnoredAny| ())
    }

    async fn may(&self, verb: &str, object: Object<'_>) -> Result<bool, RequestError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "namespace": self.namespace, "verb": verb,
                "group": group(object.api_version), "resource": known(object)?, "name": object.name
            } }
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer: Value = self.send("POST", path, Some(&review), "application/json").await?;
        Ok(answer
            .pointer("/status/allowed")
            .and_then(Value::as_bool)
            .unwrap_or(false))
    }
}

/// A name as one segment of a path. Tenants write it: anything that could end the path, move up in it or start a query is
/// refused, because a request without its `dryRun` is a real change.
fn segment(name: &str) -> Result<&str, RequestError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !name.is_empty() && name.chars().all(plain) && name.chars().any(|c| c != '.') {
        Ok(name)
    } else {
        Err(RequestError::Invalid(format!(
            "{name:?} is not a valid object name"
        )))
    }
}

fn known(object: Object<'_>) -> Result<&'static str, RequestError> {
    plural(object.api_version, object.kind).ok_or_else(|| {
        RequestError::Invalid(format!(
            "{} {} is not a supported target kind",
            object.api_version, object.kind
        ))
    })
}
