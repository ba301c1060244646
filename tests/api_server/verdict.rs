//! `accepts` and `refuses`: dry runs of objects and changes.

use std::fmt::Debug;

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::Value;

use crate::kit::refused;

/// The API server's verdict on objects of one kind. Objects are JSON, because an invalid object does not fit the type.
pub struct Verdict {
    api: Api<DynamicObject>,
}

impl Verdict {
    pub fn on<K>(client: Client, namespace: Option<&str>) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        let kind = ApiResource::erase::<K>(&());
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        Self { api }
    }

    async fn create(&self, object: Value) -> kube::Result<DynamicObject> {
        let object = serde_json::from_value(object).expect("apiVersion, kind and metadata");
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        self.api.create(&dry_run, &object).await
    }

    /// The object as it would be stored, with defaults.
    pub async fn accepts(&self, object: Value) -> Value {
        match self.create(object.clone()).await {
            Ok(stored) => serde_json::to_value(stored).unwrap(),
            Err(error) => panic!("refused: {error}\n{}", yaml(&object)),
        }
    }

    /// The message with which it is refused.
    pub async fn refusal(&self, object: Value) -> String {
        refused(self.create(object).await)
    }

    /// Refused with a message that contains `sentence`, and no internal text.
    pub async fn refuses(&self, object: Value, sentence: &str) {
        assert_readable(&self.refusal(object).await, sentence);
    }

    pub async fn accepts_change(&self, name: &str, change: Value) -> Value {
        let changed = self.change(name, change.clone()).await;
        serde_json::to_value(changed.unwrap_or_else(|error| panic!("refused: {error}\n{}", yaml(&change))))
            .unwrap()
    }

    /// The message with which the change is refused.
    pub async fn change_refusal(&self, name: &str, change: Value) -> String {
        refused(self.change(name, change).await)
    }

    pub async fn refuses_change(&self, name: &str, change: Value, sentence: &str) {
        let message = refused(self.change(name, change).await);
        assert_readable(&message, sentence);
    }

    async fn change(&self, name: &str, change: Value) -> kube::Result<DynamicObject> {
        let dry_run = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        self.api.patch(name, &dry_run, &Patch::Merge(change)).await
    }
}

/// Text that the API server appends if a value has the wrong form.
const NOT_CHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

fn assert_readable(message: &str, sentence: &str) {
    let message = message.replace(NOT_CHECKED, "");
    assert!(message.contains(sentence), "not {sentence:?} but {message:?}");
    for noise in ["<nil>", "no such key", "evaluation error", "failed rule"] {
        assert!(!message.contains(noise), "{noise} in {message:?}");
    }
}

fn yaml(value: &(impl serde::Serialize + Debug)) -> String {
    let text = serde_yaml_ng::to_string(value).unwrap();
    text.chars().take(2_000).collect()
}
