//! The objects in target namespaces, and what the deployer and controllers write there.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{FIELD_MANAGER, time};
use crate::cluster::RequestError;
use crate::cluster::requests::{Form, Mode, Object};
use crate::world::changes::{Change, Deed, Spot, Touch, kind_of, watched};
use crate::world::objects::{Answer, Objects};
use crate::world::ownership::{Writer, differing, note_owner};
use crate::world::patching;
use crate::world::pod::Doing;
use crate::world::workloads::{done, rolls_out};

impl Objects {
    /// A live read of a target.
    ///
    /// # Errors
    /// `Forbidden` where the deployer is refused, `NotFound`.
    pub(crate) fn get(&self, namespace: &str, object: Object<'_>) -> Answer<Value> {
        self.permitted(namespace)?;
        let found = self.targets.get(&spot(namespace, object));
        found.map(|o| (**o).clone()).ok_or(RequestError::NotFound)
    }

    /// The HorizontalPodAutoscalers of a target namespace.
    ///
    /// # Errors
    /// `Forbidden` where the deployer is refused.
    pub(crate) fn autoscalers(&self, namespace: &str) -> Answer<Vec<Value>> {
        self.permitted(namespace)?;
        let here = self
            .targets
            .iter()
            .filter(|((home, kind, _), _)| home == namespace && kind == "HorizontalPodAutoscaler");
        Ok(here.map(|(_, autoscaler)| (**autoscaler).clone()).collect())
    }

    /// Whether the deployer may do anything there.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn permitted(&self, namespace: &str) -> Answer<()> {
        if self.refuses.contains(namespace) {
            return Err(RequestError::Forbidden(format!(
                "the deployer has no rights in {namespace}"
            )));
        }
        Ok(())
    }

    /// A patch of a target: promotion and namespace come first.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `Invalid`, and `Conflict` where the patch names another resourceVersion.
    pub(crate) fn patch(
        &mut self,
        (promotion, namespace): (&str, &str),
        object: Object<'_>,
        form: Form,
        patch: &Value,
        mode: Mode,
    ) -> Answer<Value> {
        self.permitted(namespace)?;
        let spot = spot(namespace, object);
        if mode == Mode::DryRun {
            self.controller_comes_between(&spot);
        }
        let before = self.targets.get(&spot).cloned().ok_or(RequestError::NotFound)?;
        let mut after = (*before).clone();
        match form {
            Form::StrategicMerge => patching::merge(&mut after, patch),
            Form::JsonPatch => patching::operate(&mut after, patch).map_err(RequestError::Invalid)?,
        }
        if version(&after) != version(&before) {
            return Err(RequestError::Conflict(format!(
                "{} has been changed since it was read",
                spot.2
            )));
        }
        let requested = after.clone();
        self.admitted(&spot, Some(&before), &mut after, mode);
        if mode == Mode::DryRun {
            return Ok(after);
        }
        if after == *before {
            self.writes += 1;
            self.deeds.push(Deed::Idle(promotion.to_owned(), spot));
            return Ok(after);
        }
        let after = self.stamp(after, Some(&before), &requested, FIELD_MANAGER.into());
        self.keep_target(Touch {
            promotion: Some(promotion.to_owned()),
            spot,
            before: Some(before),
            after: Some(Arc::clone(&after)),
            requested: Some(requested.into()),
            back: form == Form::JsonPatch,
        });
        Ok((*after).clone())
    }

    /// Creates a target: promotion and namespace come first.
    ///
    /// # Errors
    /// `Forbidden`, `AlreadyExists`.
    pub(crate) fn create(
        &mut self,
        (promotion, namespace): (&str, &str),
        object: Object<'_>,
        body: &Value,
        mode: Mode,
    ) -> Answer<Value> {
        self.permitted(namespace)?;
        let spot = spot(namespace, object);
        if self.targets.contains_key(&spot) {
            return Err(RequestError::AlreadyExists);
        }
        let mut created = body.clone();
        created["metadata"]["namespace"] = json!(namespace);
        defaulted(&mut created);
        let requested = created.clone();
        self.admitted(&spot, None, &mut created, mode);
        if mode == Mode::DryRun {
            return Ok(created);
        }
        let created = self.stamp(created, None, &requested, FIELD_MANAGER.into());
        self.keep_target(Touch {
            promotion: Some(promotion.to_owned()),
            spot,
            before: None,
            after: Some(Arc::clone(&created)),
            requested: Some(requested.into()),
            back: false,
        });
        Ok((*created).clone())
    }

    /// Deletes a target or a pod: promotion and namespace come first.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, and `Conflict` where the uid is another one.
    pub(crate) fn delete(
        &mut self,
        (promotion, namespace): (&str, &str),
        object: Object<'_>,
        uid: &str,
    ) -> Answer<()> {
        self.permitted(namespace)?;
        let spot = spot(namespace, object);
        let pod = (namespace.to_owned(), spot.2.clone());
        let found = if spot.1 == "Pod" {
            self.pods.get(&pod)
        } else {
            self.targets.get(&spot)
        };
        let before = found.cloned().ok_or(RequestError::NotFound)?;
        if before["metadata"]["uid"] != json!(uid) {
            return Err(RequestError::Conflict(format!("{} has another uid", spot.2)));
        }
        self.keep_target(Touch {
            promotion: Some(promotion.to_owned()),
            spot,
            before: Some(before),
            after: None,
            requested: None,
            back: true,
        });
        Ok(())
    }

    /// What the API server adds to the object that `writer` has `requested` and admission has changed: resourceVersion, generation if the
    /// spec changed, managedFields. Ownership that is written explicitly is taken as it is.
    pub(crate) fn stamp(
        &mut self,
        mut object: Value,
        before: Option<&Value>,
        requested: &Value,
        writer: Writer<'_>,
    ) -> Arc<Value> {
        let serial = self.next_serial();
        let generation = before.and_then(|b| b.pointer("/metadata/generation").and_then(Value::as_i64));
        let now = json!(time(self.now));
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(serial.to_string());
        if before.is_none() {
            metadata["uid"] = json!(format!("uid-{serial}"));
            metadata["creationTimestamp"] = now.clone();
        }
        if !before.is_some_and(|before| only_owners_differ(before, requested)) {
            let mut entries = match metadata["managedFields"].take() {
                Value::Array(entries) => entries,
                _ => vec![],
            };
            note_owner(&mut entries, writer, &now, &differing(before, Some(requested)));
            metadata["managedFields"] = json!(entries);
        }
        if object.get("spec").is_some() {
            let changed = before.is_none_or(|b| b.get("spec") != object.get("spec"));
            let generation = generation.unwrap_or(0) + i64::from(changed);
            object["metadata"]["generation"] = json!(generation.max(1));
        }
        Arc::new(object)
    }

    /// Stores a change, shows it on the watches, and makes the controllers react.
    pub(crate) fn keep_target(&mut self, touch: Touch) {
        match &touch.after {
            Some(object) => {
                self.targets.insert(touch.spot.clone(), Arc::clone(object));
                self.show_target(&touch.spot, object);
            }
            None => {
                self.targets.remove(&touch.spot);
                if touch.spot.1 == "Pod" {
                    self.pod_deleted(&touch.spot);
                }
                match kind_of(&touch.spot.1) {
                    Some("Job") => self.changed(Change::JobGone(touch.spot.clone())),
                    Some(kind) => self.changed(Change::WorkloadGone(kind, touch.spot.clone())),
                    None => {}
                }
            }
        }
        self.react(&touch);
        if touch.promotion.is_some() {
            self.writes += 1;
        }
        self.deeds.push(Deed::Target(touch.clone()));
        self.others_react(&touch);
    }

    /// Shows it on the stream of its kind, if that kind is watched.
    pub(crate) fn show_target(&mut self, spot: &Spot, object: &Arc<Value>) {
        if let Some(change) = watched(spot, object) {
            self.changed(change);
        }
    }

    /// A status that a controller writes.
    pub(crate) fn put_target_status(&mut self, spot: &Spot, status: Value) {
        let Some(object) = self.targets.get(spot) else {
            return;
        };
        if object.get("status") == Some(&status) {
            return;
        }
        let mut object = (**object).clone();
        object["status"] = status;
        object["metadata"]["resourceVersion"] = json!(self.next_serial().to_string());
        let object = Arc::new(object);
        self.targets.insert(spot.clone(), Arc::clone(&object));
        self.show_target(spot, &object);
    }

    /// A target that exists from the beginning. It runs unless its status says otherwise.
    pub(crate) fn place_target(&mut self, namespace: &str, mut object: Value) {
        object["metadata"]["namespace"] = json!(namespace);
        defaulted(&mut object);
        let requested = object.clone();
        let object = self.stamp(object, None, &requested, "kubectl".into());
        let mut object = (*object).clone();
        let runs = object.get("status").is_none();
        if runs && let Some(status) = done(&object, None) {
            object["status"] = status;
        }
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let spot = (namespace.to_owned(), text("kind"), name);
        let object = Arc::new(object);
        self.targets.insert(spot.clone(), Arc::clone(&object));
        self.show_target(&spot, &object);
        if runs && rolls_out(&spot.1) {
            self.renew_pods(&spot, &object, i64::MAX, Doing::Ready);
        }
    }
}

fn only_owners_differ(before: &Value, after: &Value) -> bool {
    if before.pointer("/metadata/managedFields") == after.pointer("/metadata/managedFields") {
        return false;
    }
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        object
    };
    without(before) == without(after)
}

/// What the API server fills in and readiness reads.
fn defaulted(object: &mut Value) {
    if object["kind"] == "Deployment" {
        let spec = &mut object["spec"];
        for (field, value) in [("replicas", 1), ("progressDeadlineSeconds", 600)] {
            if spec[field].is_null() {
                spec[field] = json!(value);
            }
        }
    }
}

/// Namespace and name; empty if there is none.
fn spot(namespace: &str, object: Object<'_>) -> Spot {
    (
        namespace.to_owned(),
        object.kind.to_owned(),
        object.name.to_owned(),
    )
}

fn version(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
}
