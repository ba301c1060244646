//! Which objects become components of the first Release, and what states them without a change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use crate::api::GoDuration;
use crate::api::release::{Component, Image, Override, Target};
use crate::domain::patches;
use crate::domain::text::printable;
use crate::view::differences::shows_secrets;
use crate::view::next_release::Running;
use crate::view::starter::plan::Stage;

/// The limits of the API.
const MOST_COMPONENTS: usize = 64;
const MOST_IMAGES: usize = 16;
const MOST_AFTER: usize = 8;
const LONGEST_IMAGE: usize = 512;
/// Characters of a value that is stated again.
const LONGEST_VALUE: usize = 256;
/// Kubernetes writes this ConfigMap into every namespace.
const ROOT_CA: &str = "kube-root-ca.crt";

const WORKLOADS: [(&str, &str); 4] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
];

/// What runs in all stages.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// ConfigMaps first, then the workloads that read them.
    pub(crate) components: Vec<Noted>,
    /// What does not become a component.
    pub(crate) left_out: Vec<LeftOut>,
    /// Names of the Environments in which an image of a component is not pinned by digest.
    pub(crate) unpinned: BTreeSet<String>,
}

/// A component, and what to know about it.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) component: Component,
    /// Sentences.
    pub(crate) notes: Vec<String>,
}

/// An object that does not become a component.
#[derive(Debug)]
pub(crate) struct LeftOut {
    target: Target,
    why: Why,
}

/// Why an object does not become a component.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("it is not in {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("{0} controls it and would undo the changes")]
    Controlled(String),
    #[error("it is immutable")]
    Immutable,
    #[error("it has no short value that can be stated again in all namespaces")]
    NothingToState,
    #[error("a Release has at most {MOST_COMPONENTS} components")]
    TooMany,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target, self.why)
    }
}

/// One object in every stage, in their order.
type Everywhere<'a> = Vec<(&'a Stage, &'a Value)>;

impl Found {
    /// What runs in all of `stages`.
    pub(crate) fn of(stages: &[Stage]) -> Self {
        let mut found = Self::default();
        let mut workloads = Vec::new();
        let mut referenced = BTreeSet::new();
        for (api_version, kind) in WORKLOADS {
            for name in names(stages, kind) {
                let target = target(api_version, kind, name);
                let stated = everywhere(stages, &target).and_then(|objects| {
                    let noted = workload(&target, &objects)?;
                    Ok((noted, objects))
                });
                match stated {
                    Ok((noted, objects)) => {
                        let maps = objects.iter().flat_map(|(_, object)| config_maps(kind, object));
                        let maps: BTreeSet<&str> = maps.filter(|name| *name != ROOT_CA).collect();
                        referenced.extend(maps.iter().copied());
                        workloads.push((noted, maps, objects));
                    }
                    Err(why) => found.left_out.push(LeftOut { target, why }),
                }
            }
        }
        let mut called: BTreeMap<&str, String> = BTreeMap::new();
        for name in referenced {
            let target = target("v1", "ConfigMap", name);
            match everywhere(stages, &target).and_then(|objects| config_map(&target, &objects)) {
                Ok(noted) => {
                    if let Some(name_of) = found.add(noted) {
                        called.insert(name, name_of);
                    }
                }
                Err(why) => found.left_out.push(LeftOut { target, why }),
            }
        }
        for (mut noted, maps, objects) in workloads {
            let after = maps.iter().filter_map(|name| called.get(name).cloned());
            noted.component.after = after.take(MOST_AFTER).collect();
            if found.add(noted).is_none() {
                continue;
            }
            for (stage, object) in objects {
                if patches::images(object).iter().any(|(_, i)| !patches::pinned(i)) {
                    found.unpinned.insert(stage.environment.clone());
                }
            }
        }
        found
    }

    /// The name that the component has.
    fn add(&mut self, mut noted: Noted) -> Option<String> {
        if self.components.len() == MOST_COMPONENTS {
            self.left_out.push(LeftOut {
                target: noted.component.target,
                why: Why::TooMany,
            });
            return None;
        }
        let target = &noted.component.target;
        let kind = target.kind.to_ascii_lowercase();
        let plain = as_label(&target.name);
        let mut name = plain.clone();
        let mut count = 1;
        while self.components.iter().any(|c| c.component.name == name) {
            let ending = if count == 1 {
                format!("-{kind}")
            } else {
                format!("-{kind}-{count}")
            };
            let room = 63 - ending.len();
            let kept = plain.get(..room.min(plain.len())).unwrap_or_default();
            name = kept.trim_end_matches('-').to_owned() + &ending;
            count += 1;
        }
        noted.component.name.clone_from(&name);
        self.components.push(noted);
        Some(name)
    }
}

fn as_label(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let plain: String = name.chars().map(plain).take(63).collect();
    match plain.trim_matches('-') {
        "" => "component".to_owned(),
        label => label.to_owned(),
    }
}

fn target(api_version: &str, kind: &str, name: &str) -> Target {
    Target {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn of<'a>(stage: &'a Stage, kind: &str) -> impl Iterator<Item = &'a Value> {
    let objects = stage.objects.iter();
    objects.filter(move |object| object["kind"] == *kind)
}

fn named(object: &Value) -> Option<&str> {
    object["metadata"]["name"].as_str()
}

fn names<'a>(stages: &'a [Stage], kind: &str) -> BTreeSet<&'a str> {
    stages
        .iter()
        .flat_map(|stage| of(stage, kind))
        .filter_map(named)
        .collect()
}

/// The object in every stage.
fn everywhere<'a>(stages: &'a [Stage], target: &Target) -> Result<Everywhere<'a>, Why> {
    let (mut objects, mut missing) = (Vec::new(), Vec::new());
    for stage in stages {
        match of(stage, &target.kind).find(|object| named(object) == Some(&target.name)) {
            Some(object) => objects.push((stage, object)),
            None => missing.push(stage.namespace.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(Why::Missing(missing));
    }
    for (_, object) in &objects {
        let owners = object["metadata"]["ownerReferences"].as_array();
        let owner = owners
            .into_iter()
            .flatten()
            .find(|owner| owner["controller"] == true);
        if let Some(owner) = owner {
            let text = |key: &str| owner[key].as_str().unwrap_or_default().to_owned();
            return Err(Why::Controlled(format!("{} {}", text("kind"), text("name"))));
        }
    }
    Ok(objects)
}

fn component(target: &Target) -> Component {
    Component {
        name: String::new(),
        target: target.clone(),
        patch: None,
        remove: vec![],
        replace: vec![],
        images: vec![],
        overrides: vec![],
        after: vec![],
        restart_on: vec![],
        ready_within: GoDuration::from_secs(600),
    }
}

/// The images that are the same everywhere or, if there are none, a field.
fn workload(target: &Target, objects: &Everywhere<'_>) -> Result<Noted, Why> {
    let mut component = component(target);
    let mut notes = Vec::new();
    let Some((_, first)) = objects.first() else {
        return Err(Why::NothingToState);
    };
    let volumes = |name: &str| name.starts_with("volumes/");
    for (container, image) in patches::images(first).into_iter().filter(|(c, _)| !volumes(c)) {
        let here = |object: &Value| {
            let mut all = patches::images(object).into_iter();
            all.find(|(name, _)| *name == container).map(|(_, image)| image)
        };
        let images: BTreeMap<&str, Option<String>> = objects
            .iter()
            .map(|(stage, object)| (stage.namespace.as_str(), here(object)))
            .collect();
        if images.values().any(|i| i.as_deref() != Some(&image)) {
            let each = images.iter().map(|(namespace, image)| {
                format!("{namespace}: {}", image.as_deref().unwrap_or("no such container"))
            });
            let each: Vec<String> = each.collect();
            notes.push(format!(
                "Container {container} does not run the same image everywhere ({}), so no image is stated: to state one is a change.",
                each.join(", ")
            ));
            continue;
        }
        if image.is_empty() || image.len() > LONGEST_IMAGE || component.images.len() == MOST_IMAGES {
            continue;
        }
        if !patches::pinned(&image) {
            notes.push(by_tag(&container, &image, objects));
        }
        component.images.push(Image { container, image });
    }
    if component.images.is_empty() {
        notes.push(
            "A field is stated again with its value, so that the Release has this component.".to_owned(),
        );
        let template = patches::pod_template_pointer(&target.kind).unwrap_or_default();
        let labels = format!("{template}/metadata/labels");
        if !state_key(&mut component, &labels, objects) {
            return Err(Why::NothingToState);
        }
    }
    Ok(Noted { component, notes })
}

/// What to do about an image that is not pinned.
fn by_tag(container: &str, image: &str, objects: &Everywhere<'_>) -> String {
    let running = Running::of(objects.iter().flat_map(|(stage, _)| &stage.pods));
    let what = match running.resolve(image) {
        Ok(pinned) => format!("pods run it as {pinned}: state that in the next Release"),
        Err(why) => format!("state it by digest in the next Release. {why}"),
    };
    format!(
        "Container {container} has the image {image} by tag. A digest would be a change, which restarts the pods; {}.",
        what.trim_end_matches('.')
    )
}

fn config_map(target: &Target, objects: &Everywhere<'_>) -> Result<Noted, Why> {
    if objects.iter().any(|(_, object)| object["immutable"] == true) {
        return Err(Why::Immutable);
    }
    let mut component = component(target);
    if !state_key(&mut component, "/data", objects) {
        return Err(Why::NothingToState);
    }
    Ok(Noted {
        component,
        notes: vec![
            "One key is stated again with its value. State those that the next Release changes.".to_owned(),
        ],
    })
}

/// States one key of the map at `at` with the value that it has. Whether one is suitable.
fn state_key(component: &mut Component, at: &str, objects: &Everywhere<'_>) -> bool {
    let maps: Option<Vec<(&Stage, &Map<String, Value>)>> = objects
        .iter()
        .map(|(stage, object)| Some((*stage, object.pointer(at)?.as_object()?)))
        .collect();
    let Some(maps) = maps else { return false };
    let Some((_, first)) = maps.first() else {
        return false;
    };
    let suits = |key: &&String| {
        maps.iter()
            .all(|(_, map)| map.get(*key).is_some_and(|v| suitable(key, v)))
    };
    let keys: Vec<&String> = first.keys().filter(suits).collect();
    let same = |key: &&&String| maps.iter().all(|(_, map)| map.get(**key) == first.get(**key));
    if let Some(key) = keys.iter().find(same) {
        component.patch = Some(nested(at, json!({ key.as_str(): first[key.as_str()] })));
        return true;
    }
    let Some(key) = keys.first() else { return false };
    let overrides = maps.iter().map(|(stage, map)| Override {
        environment: stage.environment.clone(),
        patch: nested(at, json!({ key.as_str(): map[key.as_str()] })),
    });
    component.overrides = overrides.collect();
    true
}

/// A key that can be stated, with a value that fits on a line and is not secret.
fn suitable(key: &str, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let ours = key.starts_with("signalbox.dev/") || key.starts_with('$');
    let plain = printable(text) == text && text.chars().count() <= LONGEST_VALUE;
    !ours && plain && printable(key) == key && !shows_secrets(key, value)
}

/// `value` below the keys of the pointer `at`, which needs no escapes.
fn nested(at: &str, value: Value) -> Value {
    at.rsplit('/')
        .filter(|key| !key.is_empty())
        .fold(value, |value, key| json!({ key: value }))
}

/// Names of the ConfigMaps that a pod template reads.
fn config_maps<'a>(kind: &str, object: &'a Value) -> Vec<&'a str> {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if ["configMap", "configMapRef", "configMapKeyRef"].contains(&key.as_str()) {
                        found.extend(value["name"].as_str());
                    }
                    walk(value, found);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Some(pod) = patches::pod_template_pointer(kind).and_then(|at| object.pointer(at)) {
        walk(&pod["spec"], &mut found);
    }
    found
}
