//! Objects of target namespaces as they are cached. There are thousands, and few of them are read in a given minute: as text
//! they take a tenth of the memory that they take parsed.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::domain::patches;
use crate::domain::readiness::Controller;

/// One object.
pub struct Kept {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`, where the kind has one.
    pub generation: Option<i64>,
    /// Zero where it is no number.
    pub version: u64,
    content: Content,
    images: OnceLock<Vec<(String, String)>>,
    controller: OnceLock<Controller>,
}

enum Content {
    /// From a watch. It is JSON.
    Text(Box<str>),
    /// The answer to our own request, until the watch has it.
    Parsed(Arc<Value>),
}

impl Kept {
    /// `text` is the JSON of an object; the other arguments are from its metadata.
    #[must_use]
    pub fn text(text: Box<str>, uid: &str, generation: Option<i64>, version: Option<&str>) -> Self {
        Self {
            uid: uid.to_owned(),
            generation,
            version: version.and_then(|v| v.parse().ok()).unwrap_or(0),
            content: Content::Text(text),
            images: OnceLock::new(),
            controller: OnceLock::new(),
        }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> Arc<Value> {
        match &self.content {
            // It was JSON when it was received, so this cannot fail.
            Content::Text(text) => Arc::new(serde_json::from_str(text).unwrap_or_default()),
            Content::Parsed(object) => Arc::clone(object),
        }
    }

    /// `(container, image)` of its pods, computed once.
    #[must_use]
    pub fn images(&self) -> &[(String, String)] {
        self.images.get_or_init(|| patches::images(&self.object()))
    }

    /// The controller of this pod, computed once, and only in a namespace whose pods are read.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        self.controller.get_or_init(|| Controller::of(&self.object()))
    }
}

impl From<Arc<Value>> for Kept {
    fn from(object: Arc<Value>) -> Self {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        Self {
            uid: text("/metadata/uid").unwrap_or_default().to_owned(),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64),
            version: version(&object),
            content: Content::Parsed(object),
            images: OnceLock::new(),
            controller: OnceLock::new(),
        }
    }
}

/// The resourceVersion of an object; zero where it is no number.
#[must_use]
pub fn version(object: &Value) -> u64 {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}
