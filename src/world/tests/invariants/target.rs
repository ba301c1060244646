//! What a promotion may write to a target.

use serde_json::Value;

use crate::api::Release;
use crate::api::release::{Component, ComponentState, State};
use crate::decide::plan;
use crate::decide::prestate::PreState;
use crate::domain::paths;
use crate::world::Touch;
use crate::world::objects::Objects;
use crate::world::ownership::{compare, differing};
use crate::world::tests::invariants::{Invariants, Verdict, check, foreign, jobs_stand_still, within};

impl Invariants {
    /// I1, I2, I4 and I9: what a promotion may write to a target.
    pub(crate) fn target(&mut self, objects: &Objects, touch: &Touch) -> Verdict {
        let Some(promotion) = &touch.promotion else {
            return Ok(());
        };
        let parts: Vec<&str> = promotion.split('/').collect();
        let [home, name, environment, attempt] = parts[..] else {
            return check(false, "I9", || format!("{promotion} is no promotion"));
        };
        let release = objects.releases.get(&(home.to_owned(), name.to_owned()));
        let Some((release, p)) = release.and_then(|r| Some((r, r.promotion(environment)?))) else {
            return check(false, "I9", || {
                format!("{promotion} wrote a target and does not exist")
            });
        };
        let entered = p.entered.as_ref().map(|e| e.target_namespace.as_str());
        check(entered == Some(touch.spot.0.as_str()), "I9", || {
            format!("{promotion} wrote to {}", touch.spot.0)
        })?;
        self.not_in_a_loop(promotion, &touch.spot)?;
        let uid = release.metadata.uid.clone().unwrap_or_default();
        if touch.back {
            jobs_stand_still(objects, name, environment, attempt)?;
            self.only_ours_goes_back(promotion, (&uid, environment), touch)?;
            return check(p.state == State::BackingOut, "I1", || {
                format!("{promotion} restored a target while {}", p.state.as_str())
            });
        }
        check(p.state == State::Deploying, "I1", || {
            format!("{promotion} changed a target while {}", p.state.as_str())
        })?;
        let component = release
            .spec
            .components
            .iter()
            .find(|c| c.target.kind == touch.spot.1 && c.target.name == touch.spot.2);
        let Some(component) = component else {
            return check(false, "I1", || {
                format!("{promotion} changed what it does not list")
            });
        };
        let ready = |name: &String| {
            let mut statuses = p.components.iter();
            statuses.any(|c| c.name == *name && c.state == ComponentState::Ready)
        };
        check(component.after.iter().all(ready), "I1", || {
            format!("{promotion} changed {} before its turn", component.name)
        })?;
        only_what_is_stated(promotion, component, touch)?;
        self.same_artifact(&uid, &p.name, touch)?;
        self.kept_before(objects, (release, environment, attempt), component, touch)
    }

    /// I4: captured before the first change, and as it was then.
    fn kept_before(
        &mut self,
        objects: &Objects,
        (release, environment, attempt): (&Release, &str, &str),
        component: &Component,
        touch: &Touch,
    ) -> Verdict {
        let promotion = touch.promotion.as_deref().unwrap_or_default();
        let uid = release.metadata.uid.clone().unwrap_or_default();
        let kept = plan::pre_state_name(&uid, environment, attempt.parse().unwrap_or(0));
        let content = objects
            .revisions
            .get(&kept)
            .and_then(|r| PreState::read(r.data.as_ref()?.0.clone()).ok());
        let Some(captured) = content
            .as_ref()
            .and_then(|c| c.component(&component.name))
            .cloned()
        else {
            return check(false, "I4", || {
                format!("{promotion} changed {} and stored nothing", component.name)
            });
        };
        let key = (uid, environment.to_owned(), touch.spot.clone());
        let first = !self.originals.contains_key(&key);
        let original = self.originals.entry(key).or_default();
        let before = touch.before.as_deref();
        if first {
            original.created = before.is_none();
        }
        for change in differing(before, touch.requested.as_deref()) {
            original.paths.entry(change.path).or_insert(change.before);
        }
        for change in &captured.changes {
            let mut leaves = Vec::new();
            let name = change.path.rsplit('/').next().unwrap_or_default();
            compare(
                name,
                &change.path,
                change.before.as_ref(),
                change.after.as_ref(),
                &mut leaves,
            );
            for leaf in leaves {
                let was = match original.paths.get(&leaf.path) {
                    Some(was) => was.as_ref(),
                    None => before.and_then(|b| paths::get(b, &leaf.path)),
                };
                check(captured.created() || leaf.before.as_ref() == was, "I4", || {
                    format!(
                        "{promotion} kept {:?} of {} {} where {was:?} had stood",
                        leaf.before, component.name, leaf.path
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// The paths and values that a component states, as they are in an object.
pub(crate) fn stated(component: &Component) -> Vec<(String, Value)> {
    let mut stated = Vec::new();
    if let Some(patch) = &component.patch {
        leaves("", "", patch, &mut stated);
    }
    for (container, image) in component.image_pairs() {
        let path = format!("/spec/template/spec/containers[name={container}]/image");
        stated.push((path, Value::String(image.clone())));
    }
    stated
}

fn leaves(name: &str, path: &str, value: &Value, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| path.is_empty() || *key != "name") {
                leaves(key, &paths::below(path, key), value, all);
            }
        }
        Value::Array(elements) if paths::keyed::merge_key(name, &[elements]) == Some("name") => {
            for element in elements {
                let id = element["name"].as_str().unwrap_or_default();
                leaves("", &paths::keyed::below(path, "name", id), element, all);
            }
        }
        value => all.push((path.to_owned(), value.clone())),
    }
}

/// I10, forward: what changes is stated by the Release, or lies below.
fn only_what_is_stated(promotion: &str, component: &Component, touch: &Touch) -> Verdict {
    if touch.before.is_none() {
        return Ok(());
    }
    let stated = stated(component);
    for change in differing(touch.before.as_deref(), touch.requested.as_deref()) {
        // A new element appears whole.
        let ours = stated
            .iter()
            .any(|(path, _)| within(&change.path, path) || within(path, &change.path));
        check(ours, "I10", || foreign(promotion, touch, &change))?;
    }
    Ok(())
}
