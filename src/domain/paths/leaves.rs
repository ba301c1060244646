//! Changes split into leaves: a captured change may be a whole list, but only the differences in it are compared and restored,
//! element by element and field by field. Changes of other writers in the same list, element or map stay.

use std::rc::Rc;

use serde_json::Value;

use crate::domain::image;
use crate::domain::paths::change::{FieldChange, digest_of};
use crate::domain::paths::keyed;
use crate::domain::paths::lookup::{child, get, keys};
use crate::domain::paths::pointer::{below, tokens};

/// One field, element or one-value list that was changed.
#[derive(Clone, Debug)]
pub(crate) struct Leaf<'a> {
    /// In the format of [`keyed`].
    pub path: String,
    /// The captured value. Absent if the field did not exist.
    pub before: Option<&'a Value>,
    /// The value that the dry run showed, or its hash.
    pub after: After<'a>,
    /// For a removed element: the keys of its list in their previous order, so that it is restored to its place.
    pub order: Option<Rc<[String]>>,
}

/// The value after a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After<'a> {
    Value(Option<&'a Value>),
    /// The hash of a large value.
    Digest(&'a str),
}

/// A change in pieces.
#[derive(Default)]
pub(crate) struct Leaves<'a> {
    /// In the order of the changes.
    pub all: Vec<Leaf<'a>>,
    /// Maps and lists that did not exist before: removed again once they are empty. The outermost first.
    pub brought: Vec<String>,
}

impl<'a> Leaves<'a> {
    /// Splits changes into leaves.
    pub fn of(changes: &'a [FieldChange]) -> Self {
        let mut leaves = Self::default();
        for change in changes {
            if let Some(digest) = &change.after_digest {
                leaves.all.push(Leaf {
                    path: change.path.clone(),
                    before: change.before.as_ref(),
                    after: After::Digest(digest),
                    order: None,
                });
                continue;
            }
            leaves.expand(&change.path, change.before.as_ref(), change.after.as_ref());
        }
        leaves
    }

    fn expand(&mut self, path: &str, before: Option<&'a Value>, after: Option<&'a Value>) {
        if before == after {
            return;
        }
        let name = tokens(path).last().unwrap_or_default();
        let list = |side: Option<&'a Value>| side.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_list = |side: Option<&Value>| side.is_none_or(Value::is_array);
        let is_map = |side: Option<&Value>| side.is_none_or(Value::is_object);
        let both_maps = before.is_some_and(Value::is_object) && after.is_some_and(Value::is_object);
        if both_maps || is_dictionary(&name) && is_map(before) && is_map(after) {
            if before.is_none() {
                self.brought.push(path.to_owned());
            }
            for key in keys(before, after) {
                self.expand(&below(path, key), child(before, key), child(after, key));
            }
            return;
        }
        if is_list(before)
            && is_list(after)
            && let Some(key) = keyed::merge_key(&name, &[list(before), list(after)])
            && same_order(list(before), list(after), key)
        {
            if before.is_none() {
                self.brought.push(path.to_owned());
            }
            self.elements(path, key, list(before), list(after));
            return;
        }
        self.all.push(Leaf {
            path: path.to_owned(),
            before,
            after: After::Value(after),
            order: None,
        });
    }

    fn elements(&mut self, path: &str, key: &str, before: &'a [Value], after: &'a [Value]) {
        let ids = |list: &'a [Value]| list.iter().filter_map(|element| keyed::identity(element, key));
        let order: Rc<[String]> = ids(before).collect();
        for id in order.iter() {
            let (was, is) = (keyed::find(before, key, id), keyed::find(after, key, id));
            let at = keyed::below(path, key, id);
            match (was, is) {
                (Some(_), Some(_)) => self.expand(&at, was, is),
                _ => self.all.push(Leaf {
                    path: at,
                    before: was,
                    after: After::Value(None),
                    order: Some(Rc::clone(&order)),
                }),
            }
        }
        for id in ids(after).filter(|id| !order.contains(id)) {
            self.all.push(Leaf {
                path: keyed::below(path, key, &id),
                before: None,
                after: After::Value(keyed::find(after, key, &id)),
                order: None,
            });
        }
    }
}

/// Whether the common elements have the same order in both.
fn same_order(before: &[Value], after: &[Value], key: &str) -> bool {
    let common = |one: &[Value], other: &[Value]| -> Vec<String> {
        let ids = one.iter().filter_map(|element| keyed::identity(element, key));
        ids.filter(|id| keyed::find(other, key, id).is_some()).collect()
    };
    common(before, after) == common(after, before)
}

/// Maps of free keys, where each key is a field of its own and an absent map is an empty one. In every other map,
/// absent and empty differ: `emptyDir: {}`.
pub(crate) fn is_dictionary(name: &str) -> bool {
    matches!(
        name,
        "labels"
            | "annotations"
            | "data"
            | "binaryData"
            | "matchLabels"
            | "nodeSelector"
            | "limits"
            | "requests"
    )
}

impl Leaf<'_> {
    /// A leaf with a path only.
    pub fn at(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            before: None,
            after: After::Value(None),
            order: None,
        }
    }

    /// The value of `live` at its path.
    pub fn live<'v>(&self, live: &'v Value) -> Option<&'v Value> {
        get(live, &self.path)
    }

    /// Whether `live` has the value from before the change.
    pub fn is_before(&self, live: &Value) -> bool {
        holds(self.before, self.live(live))
    }

    /// Whether `live` has the value of the change. An image of the same digest from another registry is the same artifact, unless the
    /// previous image had that digest too.
    pub fn is_after(&self, live: &Value) -> bool {
        let live = self.live(live);
        match self.after {
            After::Digest(digest) => live.is_some_and(|live| digest_of(live) == digest),
            After::Value(after) => {
                holds(after, live)
                    || self.path.ends_with("/image")
                        && same_artifact(after, live)
                        && !same_artifact(self.before, live)
            }
        }
    }

    /// Whether the change sets a value, rather than removing one.
    pub fn brings(&self) -> bool {
        !matches!(self.after, After::Value(None))
    }
}

fn same_artifact(one: Option<&Value>, other: Option<&Value>) -> bool {
    let digest = |side: Option<&'_ Value>| {
        let image = side.and_then(Value::as_str)?;
        image::digest(image).map(str::to_owned)
    };
    digest(one).is_some_and(|one| Some(one) == digest(other))
}

/// Whether `live` contains everything in `wanted`: the keys of a map, and the elements of a list whose elements have a key.
fn holds(wanted: Option<&Value>, live: Option<&Value>) -> bool {
    fn within(name: &str, wanted: &Value, live: &Value) -> bool {
        match (wanted, live) {
            (Value::Object(wanted), Value::Object(live)) => wanted
                .iter()
                .all(|(key, value)| live.get(key).is_some_and(|live| within(key, value, live))),
            (Value::Array(all), Value::Array(there)) => match keyed::merge_key(name, &[all, there]) {
                Some(key) => all.iter().all(|element| {
                    let id = keyed::identity(element, key);
                    let found = id.and_then(|id| keyed::find(there, key, &id));
                    found.is_some_and(|found| within("", element, found))
                }),
                None => wanted == live,
            },
            _ => wanted == live,
        }
    }
    match (wanted, live) {
        (Some(wanted), Some(live)) => within("", wanted, live),
        (wanted, live) => wanted.is_none() && live.is_none(),
    }
}
