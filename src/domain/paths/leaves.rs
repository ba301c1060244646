//! Changes taken apart: a captured change may be a whole list, but what is compared and put back is what differs in it,
//! element by element and field by field. What others have in the same list, element or map is theirs, and stays.

use std::rc::Rc;

use serde_json::Value;

use crate::domain::image;
use crate::domain::paths::change::{Change, digest_of};
use crate::domain::paths::keyed;
use crate::domain::paths::lookup::{child, get, keys};
use crate::domain::paths::pointer::{below, tokens};

/// One field, element or one-value list that was changed.
#[derive(Clone, Debug)]
pub(crate) struct Leaf<'a> {
    /// As [`keyed`] writes it.
    pub path: String,
    pub before: Option<&'a Value>,
    pub after: After<'a>,
    /// Of an element that was taken away: the keys of its list as they stood, so that it goes back to its place.
    pub order: Option<Rc<[String]>>,
}

/// What a change put there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After<'a> {
    Value(Option<&'a Value>),
    /// The hash of a large value.
    Digest(&'a str),
}

/// What is to be done about a change, piece by piece.
#[derive(Default)]
pub(crate) struct Leaves<'a> {
    pub all: Vec<Leaf<'a>>,
    /// Maps and lists that were not there before: taken away again once nothing is left in them. The outermost first.
    pub brought: Vec<String>,
}

impl<'a> Leaves<'a> {
    /// Takes changes apart.
    pub fn of(changes: &'a [Change]) -> Self {
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

/// Whether the elements that both have stand in the same order in both.
fn same_order(before: &[Value], after: &[Value], key: &str) -> bool {
    let common = |one: &[Value], other: &[Value]| -> Vec<String> {
        let ids = one.iter().filter_map(|element| keyed::identity(element, key));
        ids.filter(|id| keyed::find(other, key, id).is_some()).collect()
    };
    common(before, after) == common(after, before)
}

/// Maps of free keys, where each key is a field of its own and an absent map is an empty one. In every other map what is
/// absent says something else than what is empty: `emptyDir: {}`.
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
    /// Of which only the place matters.
    pub fn at(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            before: None,
            after: After::Value(None),
            order: None,
        }
    }

    /// What `live` has there.
    pub fn live<'v>(&self, live: &'v Value) -> Option<&'v Value> {
        get(live, &self.path)
    }

    /// Whether `live` has what was there before the change.
    pub fn is_before(&self, live: &Value) -> bool {
        holds(self.before, self.live(live))
    }

    /// Whether `live` has what the change put there. An image of the same digest from elsewhere is the same artifact, unless
    /// it is that digest that stood there before.
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

    /// Whether the change makes a difference at all.
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

/// Whether `live` has everything that `wanted` says: of a map, its keys; of a list whose elements have a key, its elements.
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
