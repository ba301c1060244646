//! Objects as a watch sends them. Most events repeat what our own write has just returned, and most of a pod is never read.
//! So the identity of an object is parsed immediately, the rest stays text until it is needed, and parts that are never read
//! are skipped instead of parsed and dropped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::api::environment::EnvironmentStatus;
use crate::api::{Environment, EnvironmentSpec, Release, ReleaseSpec, ReleaseStatus};

/// The annotation that `kubectl apply` stores on an object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object of kind `K`, not parsed yet. If one does not match `K`, no other object is affected.
pub struct Sent<K> {
    identity: ObjectMeta,
    text: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Sent<K> {
    /// The whole object.
    ///
    /// # Errors
    /// It does not match `K`: the field, and what is wrong with it.
    pub fn parse(&self) -> Result<K, String>
    where
        K: DeserializeOwned,
    {
        self.read()
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(self.text.get()).map_err(|_| {
            // Once more, for the field. The position in the text is left out: users never see that text, and it moves.
            let mut reader = serde_json::Deserializer::from_str(self.text.get());
            let error = serde_path_to_error::deserialize::<_, T>(&mut reader).err();
            error.map(|error| misfit(&error)).unwrap_or_default()
        })
    }

    /// What `shape` leaves of the object.
    #[must_use]
    pub fn shaped(&self, shape: &'static Shape) -> Value {
        let mut reader = serde_json::Deserializer::from_str(self.text.get());
        // It was JSON when it was received, so this cannot fail.
        shape.deserialize(&mut reader).unwrap_or_default()
    }

    /// [`Self::shaped`] as text, with `members` put in front.
    #[must_use]
    pub fn shaped_text(&self, shape: &'static Shape, members: &[(&str, &str)]) -> Box<str> {
        let mut out = String::with_capacity(self.text.get().len());
        shape.copy(self.text.get(), members, &mut out);
        out.into_boxed_str()
    }
}

/// The field that does not match, and what is wrong with it.
fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let inner = error.inner();
    // It was JSON when it was received, so only its depth can be wrong with its syntax.
    if inner.is_syntax() {
        return format!("{}: nested too deeply to be read", beginning(error.path()));
    }
    let said = error.to_string();
    let place = format!(" at line {} column {}", inner.line(), inner.column());
    said.strip_suffix(&place).unwrap_or(&said).to_owned()
}

/// The first three names of a path, with the indices after them: a value that is nested too deeply has a very long path.
fn beginning(path: &serde_path_to_error::Path) -> String {
    const NAMES: usize = 3;
    let mut names = 0;
    let mut field = String::new();
    for segment in path.iter() {
        if !matches!(segment, Segment::Seq { .. }) {
            names += 1;
            if names > NAMES {
                break;
            }
            if names > 1 {
                field.push('.');
            }
        }
        field.push_str(&segment.to_string());
    }
    field
}

impl Sent<Release> {
    /// The Release without the data that the API server and `kubectl` store on it for themselves.
    ///
    /// # Errors
    /// It does not match its type: the field, and what is wrong with it.
    pub fn release(&self) -> Result<Release, String> {
        let it: Custom<ReleaseSpec, ReleaseStatus> = self.read()?;
        Ok(Release {
            metadata: it.metadata.into(),
            spec: it.spec,
            status: it.status,
        })
    }
}

impl Sent<Environment> {
    /// The Environment without the data that the API server and `kubectl` store on it for themselves.
    ///
    /// # Errors
    /// It does not match its type: the field, and what is wrong with it.
    pub fn environment(&self) -> Result<Environment, String> {
        let it: Custom<EnvironmentSpec, EnvironmentStatus> = self.read()?;
        Ok(Environment {
            metadata: it.metadata.into(),
            spec: it.spec,
            status: it.status,
        })
    }
}

#[derive(Deserialize)]
struct Custom<S, T> {
    metadata: Metadata,
    spec: S,
    status: Option<T>,
}

/// The metadata that is read; `managedFields`, as large as a status, is not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(it: Metadata) -> Self {
        Self {
            name: it.name,
            namespace: it.namespace,
            uid: it.uid,
            resource_version: it.resource_version,
            generation: it.generation,
            creation_timestamp: it.creation_timestamp,
            deletion_timestamp: it.deletion_timestamp,
            finalizers: it.finalizers,
            labels: it.labels,
            annotations: it.annotations.map(|mut annotations| {
                annotations.remove(LAST_APPLIED);
                annotations
            }),
            ..Self::default()
        }
    }
}

impl<'de, K> Deserialize<'de> for Sent<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Identity,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Identity {
            name: Option<String>,
            namespace: Option<String>,
            uid: Option<String>,
            resource_version: Option<String>,
            generation: Option<i64>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Object { metadata } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let identity = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            ..ObjectMeta::default()
        };
        Ok(Self {
            identity,
            text,
            kind: PhantomData,
        })
    }
}

impl<K> Clone for Sent<K> {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            text: self.text.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Sent<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sent").field(&self.identity).finish()
    }
}

impl<K: Resource> Resource for Sent<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    /// Name, namespace, uid, resourceVersion and generation only.
    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}

/// Which members of an object are kept. A list has the shape of its items.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Whether the member of that name is kept.
    pub keep: fn(&str) -> bool,
    /// Shapes of members; the others are kept whole.
    pub inside: &'static [(&'static str, &'static Shape)],
}

impl Shape {
    /// Keeps everything.
    pub const WHOLE: Self = Self {
        keep: |_| true,
        inside: &[],
    };

    /// Copies the kept part of `text`, which is JSON, to `out`; members that are kept whole are not parsed.
    fn copy(&'static self, text: &str, members: &[(&str, &str)], out: &mut String) {
        match text.as_bytes().first() {
            Some(b'{') => {
                let Members(found) = serde_json::from_str(text).unwrap_or_default();
                let mut mark = '{';
                for (key, value) in members {
                    out.push(mark);
                    mark = ',';
                    push(key, out);
                    out.push(':');
                    push(value, out);
                }
                for (key, value) in found.iter().filter(|(key, _)| (self.keep)(key)) {
                    out.push(mark);
                    mark = ',';
                    push(key, out);
                    out.push(':');
                    match self.inside.iter().find(|(name, _)| name == key) {
                        Some((_, shape)) => shape.copy(value.get(), &[], out),
                        None => out.push_str(value.get()),
                    }
                }
                out.push_str(if mark == '{' { "{}" } else { "}" });
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
                let mut mark = '[';
                for item in &items {
                    out.push(mark);
                    mark = ',';
                    self.copy(item.get(), &[], out);
                }
                out.push_str(if mark == '[' { "[]" } else { "]" });
            }
            _ => out.push_str(text),
        }
    }
}

/// A JSON string.
fn push(text: &str, out: &mut String) {
    match serde_json::to_string(text) {
        Ok(text) => out.push_str(&text),
        Err(_) => out.push_str("\"\""),
    }
}

/// The members of an object, in their order.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Each<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'a>, A::Error> {
                let mut found = Vec::new();
                while let Some(member) = members.next_entry::<Name<'a>, &'a RawValue>()? {
                    found.push((member.0.0, member.1));
                }
                Ok(Members(found))
            }
        }
        deserializer.deserialize_map(Each(PhantomData))
    }
}

/// Borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for &'static Shape {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Shaping(self))
    }
}

struct Shaping(&'static Shape);

impl<'de> Visitor<'de> for Shaping {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if !(self.0.keep)(&key) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let inside = self.0.inside.iter().find(|(name, _)| *name == key);
            let value = match inside {
                Some((_, shape)) => members.next_value_seed(*shape)?,
                None => members.next_value()?,
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.0)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E: Error>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::WatchEvent;
    use serde_json::json;

    use super::*;

    static ENTRY: Shape = Shape {
        keep: |key| key != "fieldsV1",
        inside: &[],
    };
    static METADATA: Shape = Shape {
        keep: |key| key != "uid",
        inside: &[("managedFields", &ENTRY)],
    };
    static OBJECT: Shape = Shape {
        keep: |_| true,
        inside: &[("metadata", &METADATA)],
    };

    fn sent(object: &Value) -> Sent<ConfigMap> {
        serde_json::from_value::<Value>(object.clone())
            .and_then(|o| serde_json::from_str(&o.to_string()))
            .expect("an object")
    }

    #[test]
    fn who_it_is_is_known_without_parsing_the_rest() {
        let object = json!({ "metadata": { "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "7", "generation": 2 },
            "data": { "key": 7 } });
        let sent = sent(&object);
        let meta = sent.meta();
        assert_eq!(
            (
                meta.name.as_deref(),
                meta.namespace.as_deref(),
                meta.uid.as_deref()
            ),
            (Some("a"), Some("b"), Some("c"))
        );
        assert_eq!(
            (meta.resource_version.as_deref(), meta.generation),
            (Some("7"), Some(2))
        );
        assert_eq!(
            sent.parse().expect_err("7 is no text"),
            "data.key: invalid type: integer `7`, expected a string"
        );
    }

    #[test]
    fn one_that_does_not_fit_its_type_does_not_spoil_a_list_or_a_watch() {
        let list = r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"9"},"items":[
            {"metadata":{"name":"a"},"data":{"key":7}},{"metadata":{"name":"b"},"data":{"key":"7"}}]}"#;
        let list: kube::core::ObjectList<Sent<ConfigMap>> = serde_json::from_str(list).expect("a list");
        let fits: Vec<bool> = list.items.iter().map(|i| i.parse().is_ok()).collect();
        assert_eq!(fits, [false, true]);
        let event = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a"},"data":{"key":7}}}"#;
        let event: WatchEvent<Sent<ConfigMap>> = serde_json::from_str(event).expect("an event");
        let WatchEvent::Modified(object) = event else {
            panic!("{event:?}")
        };
        assert_eq!(object.meta().name.as_deref(), Some("a"));
    }

    #[test]
    fn one_that_is_nested_too_deeply_is_named_and_the_others_are_read() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let release = |levels: usize| {
            format!(
                r#"{{"metadata":{{"name":"r","managedFields":[{{"fieldsV1":{0}}}]}},"spec":{{"components":[{{"patch":{0}}}]}},"status":{{"conditions":[]}}}}"#,
                deep(levels)
            )
        };
        let list = format!(
            r#"{{"metadata":{{}},"items":[{},{}]}}"#,
            release(9900),
            release(1)
        );
        let list: kube::core::ObjectList<Sent<Release>> = serde_json::from_str(&list).expect("a list");
        let error = list.items[0].release().expect_err("too deep");
        assert_eq!(error, "spec.components[0].patch: nested too deeply to be read");
        static STATUS: Shape = Shape {
            keep: |key| key == "status",
            inside: &[],
        };
        assert_eq!(
            list.items[0].shaped(&STATUS),
            json!({ "status": { "conditions": [] } })
        );
    }

    #[test]
    fn a_shape_leaves_out_what_it_says_where_it_says_it_and_nothing_else() {
        let object = json!({
            "metadata": {
                "name": "a", "uid": "b", "labels": { "uid": "kept", "fieldsV1": "kept" },
                "managedFields": [{ "manager": "m", "fieldsV1": { "f:data": {} } }, { "manager": "n" }],
            },
            "data": { "text": "é\"\\", "none": null, "yes": true, "list": [1, -2, 3.5, 18_446_744_073_709_551_615_u64, []] },
        });
        let mut expected = object.clone();
        expected["metadata"].as_object_mut().expect("a map").remove("uid");
        expected["metadata"]["managedFields"][0]
            .as_object_mut()
            .expect("a map")
            .remove("fieldsV1");
        assert_eq!(sent(&object).shaped(&OBJECT), expected);
        assert_eq!(sent(&object).shaped(&Shape::WHOLE), object);
        let text = sent(&object).shaped_text(&OBJECT, &[]);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
        let text = sent(&object).shaped_text(&OBJECT, &[("kind", "a \"kind\"")]);
        expected["kind"] = "a \"kind\"".into();
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
    }
}
