//! What the deployer may do, and what a dry run of each component shows, before anything is entered.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Observer;
use super::memory::{Captured as Kept, Memory, Remembered, backoff};
use crate::api::reasons;
use crate::api::release::{Component, Promotion};
use crate::cluster::Trouble;
use crate::cluster::deployer::{Form, Mode, Object};
use crate::cluster::requests::{Requests, Targets};
use crate::decide::facts::{Inspected, Inspection, Live, Observed, Refusal, Setting};
use crate::decide::prestate::Captured;
use crate::decide::{Change, before_entry, deploying, patches, paths, plan};

/// How long an inspection made with the claim in hand stands, until the entry.
const CAPTURED_STANDS: SignedDuration = SignedDuration::from_secs(2);

/// When a promotion is inspected. With the claim in hand, everything is read again; the claim is named by its uid.
pub(super) enum Moment {
    Waiting,
    /// To keep the pre-state.
    Capturing(String),
    /// The pre-state is kept.
    Entering(String),
}

impl<C: Requests> Observer<C> {
    /// The inspection of a promotion that has not entered. Until the claim is taken it is remembered until the plan, the
    /// Environment or a watched target changes, or, where it refuses, until it is time to look again.
    pub(super) async fn inspection(
        &self,
        o: &Observed,
        p: &Promotion,
        setting: &Setting,
        moment: Moment,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Arc<Inspection> {
        let live = !matches!(moment, Moment::Waiting);
        let captured = memory.captured.remove(&p.name);
        let namespace = setting.environment.spec.target_namespace(o.namespace());
        let fingerprint = self.fingerprint(o, p, setting, &namespace);
        let known = memory
            .inspections
            .get(&p.name)
            .filter(|k| k.fingerprint == fingerprint);
        if let Some(known) = known.filter(|k| !live && k.inspection.again_at.is_none_or(|at| now < at)) {
            return Arc::clone(&known.inspection);
        }
        // What was captured a moment ago, under this very claim, is what enters. Whoever writes to a target in between is
        // found out like one who writes between the entry and the change: what stands there is compared with the pre-state.
        if let (Moment::Entering(claim), Some(captured)) = (&moment, captured)
            && captured.fingerprint == fingerprint
            && captured.claim == *claim
            && (captured.at..captured.at + CAPTURED_STANDS).contains(&now)
        {
            return captured.inspection;
        }
        let before = known.map_or(0, |k| k.tries);
        let deployer = self.deployer(&namespace, &o.release_path(), &p.name, p.attempt);
        let mut inspector = Inspector {
            observer: self,
            o,
            p,
            setting,
            deployer,
            namespace: &namespace,
            live,
        };
        let mut inspection = inspector.inspect().await;
        let refused =
            inspection.refusal.is_some() || inspection.components.iter().any(|c| c.refusal.is_some());
        inspection.again_at = refused.then(|| now + backoff(before));
        let inspection = Arc::new(inspection);
        // A Retry is looked at once more: what it finds changed is for people to decide.
        if let (Moment::Capturing(claim), false, 1) = (moment, refused, p.attempt) {
            let captured = Kept {
                at: now,
                claim,
                fingerprint: fingerprint.clone(),
                inspection: Arc::clone(&inspection),
            };
            memory.captured.insert(p.name.clone(), captured);
        }
        // A refusal counts however it was come by, else a claim would be taken and given back without end; and one that
        // comes back after a success is not the first.
        if !live || refused {
            let remembered = Remembered {
                fingerprint,
                inspection: Arc::clone(&inspection),
                tries: if refused { before + 1 } else { before },
            };
            memory.inspections.insert(p.name.clone(), remembered);
        }
        inspection
    }

    fn fingerprint(&self, o: &Observed, p: &Promotion, setting: &Setting, namespace: &str) -> String {
        let index = self.index();
        let targets: Vec<String> = o
            .release
            .spec
            .components
            .iter()
            .map(|c| {
                let object = index.workload(&c.target.kind, namespace, &c.target.name);
                object.map_or_else(String::new, |o| format!("{}@{:?}", o.uid, o.generation))
            })
            .collect();
        format!(
            "{} {} {}",
            p.plan_hash,
            setting.environment.metadata.generation.unwrap_or(0),
            targets.join(" ")
        )
    }
}

struct Inspector<'a, C: Requests> {
    observer: &'a Observer<C>,
    o: &'a Observed,
    p: &'a Promotion,
    setting: &'a Setting,
    deployer: C::Deployer,
    namespace: &'a str,
    live: bool,
}

impl<C: Requests> Inspector<'_, C> {
    async fn inspect(&mut self) -> Inspection {
        // A binding may outlive its ServiceAccount, and impersonating one that is not there still works.
        let absent = if self.live {
            None
        } else {
            self.missing_deployer().await
        };
        if let Some(refusal) = absent {
            return Inspection {
                refusal: Some(refusal),
                components: vec![],
                size: 0,
                again_at: None,
            };
        }
        let mut components: Vec<Inspected> = Vec::new();
        let mut stamps: Vec<(String, String)> = Vec::new();
        for component in &self.o.release.spec.components {
            let allowed = &self.setting.environment.spec.allowed_kinds;
            let target = &component.target;
            if !allowed
                .iter()
                .any(|k| k.api_version == target.api_version && k.kind == target.kind)
            {
                components.push(Inspected::refused(
                    component,
                    refusal(reasons::KIND_NOT_ALLOWED, "its kind is not allowed here".into()),
                ));
                continue;
            }
            let restarted_for = (!component.restart_on.is_empty()).then(|| {
                let named = component
                    .restart_on
                    .iter()
                    .filter_map(|r| stamps.iter().find(|(n, _)| n == r));
                plan::hex(
                    &named
                        .map(|(_, stamp)| stamp.as_str())
                        .collect::<Vec<_>>()
                        .join("/"),
                    16,
                )
            });
            let (inspected, result) = match self.component(component, restarted_for).await {
                Ok(done) => done,
                Err(refusal) => (Inspected::refused(component, refusal), None),
            };
            if let Some(result) = result {
                stamps.push((component.name.clone(), plan::configuration_stamp(&result)));
            }
            components.push(inspected);
        }
        let size = before_entry::size(&components);
        Inspection {
            refusal: None,
            components,
            size,
            again_at: None,
        }
    }

    async fn component(
        &self,
        component: &Component,
        restarted_for: Option<String>,
    ) -> Result<(Inspected, Option<Value>), Refusal> {
        let target = &component.target;
        let object = Object {
            api_version: &target.api_version,
            kind: &target.kind,
            name: &target.name,
        };
        let stated = patches::overlay(component.patch.as_ref(), component.override_for(&self.p.name));
        let live = match self.deployer.get(object).await {
            Ok(live) => Some(live),
            Err(Trouble::NotFound) => None,
            Err(trouble) => return Err(self.refuse("get", component, trouble)),
        };
        if let Some(live) = &live {
            self.lint(component, stated.as_ref(), live)?;
        } else if !stated
            .as_ref()
            .is_some_and(|s| patches::names_in_full(&target.api_version, &target.kind, &target.name, s))
        {
            let sentence = format!(
                "{target} does not exist in {}: correct the name, or, to create it, state apiVersion, kind and metadata.name in component {}'s patch",
                self.namespace, component.name
            );
            return Err(refusal(reasons::TARGET_MISSING, sentence));
        }
        self.may(component, live.is_none()).await?;

        let captured = Captured {
            name: component.name.clone(),
            target: target.clone(),
            uid: None,
            resource_version: None,
            restarted_for: restarted_for.clone(),
            changes: vec![],
        };
        let known = live.clone().map_or(Live::Absent, |l| Live::Present(Arc::new(l)));
        let change = deploying::forward(self.o, &self.p.name, self.p.attempt, component, &captured, &known)
            .map_err(|sentence| {
            refusal(
                reasons::CONTAINER_MISSING,
                format!("component {}: {sentence}; correct its images", component.name),
            )
        })?;
        let result = match &change {
            Change::Patch { patch, .. } => {
                self.deployer
                    .patch(object, Form::StrategicMerge, patch, Mode::DryRun)
                    .await
            }
            Change::Create { object: body } => self.deployer.create(object, body, Mode::DryRun).await,
            Change::Restore { .. } | Change::Delete { .. } => {
                return Err(refusal(reasons::CONFLICT, "not a forward change".into()));
            }
        };
        let result = match result {
            Ok(result) => result,
            // Somebody wrote between the read and the dry run: the next pass reads again.
            Err(Trouble::Conflict(_)) => {
                let sentence = format!("{target} changed while it was read");
                return Err(Refusal {
                    reason: reasons::CONFLICT,
                    message: sentence,
                    unknown: true,
                });
            }
            Err(trouble) => {
                let verb = if live.is_none() { "create" } else { "patch" };
                return Err(self.refuse(verb, component, trouble));
            }
        };
        let text = |pointer: &str| {
            live.as_ref()
                .and_then(|l| l.pointer(pointer))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let changes = match &live {
            Some(live) => paths::difference(live, &result),
            None => before_entry::creation_changes(&change, &result),
        };
        let inspected = Inspected {
            name: component.name.clone(),
            refusal: None,
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            changes,
            restarted_for,
            images_before: live.as_ref().map(patches::images).unwrap_or_default(),
            images_after: patches::images(&result),
            result: self.live.then(|| Arc::new(result.clone())),
        };
        Ok((inspected, Some(result)))
    }

    /// What is wrong with the component, given the live object.
    fn lint(&self, component: &Component, stated: Option<&Value>, live: &Value) -> Result<(), Refusal> {
        for pointer in &component.remove {
            patches::remove_through_maps_only(pointer, live).map_err(|sentence| {
                refusal(
                    reasons::PATCH_NOT_ALLOWED,
                    format!("component {}: {sentence}", component.name),
                )
            })?;
        }
        let states_replicas = stated.is_some_and(|s| s.pointer("/spec/replicas").is_some());
        let writes = live.pointer("/metadata/managedFields").and_then(Value::as_array);
        let scaled = writes.into_iter().flatten().find(|w| w["subresource"] == "scale");
        if let Some(scaled) = scaled.filter(|_| states_replicas) {
            let sentence = format!(
                "component {} states spec.replicas, but {} scales {}: take replicas out of the patch",
                component.name,
                scaled["manager"].as_str().unwrap_or("an autoscaler"),
                component.target
            );
            return Err(refusal(reasons::REPLICAS_AUTOSCALED, sentence));
        }
        Ok(())
    }

    /// Asks the API server, as the deployer, for the rights that going forward and back needs besides those that the dry
    /// run shows itself: to patch what is there, and to create what is not.
    async fn may(&self, component: &Component, create: bool) -> Result<(), Refusal> {
        if self.live || !create {
            return Ok(());
        }
        let target = &component.target;
        let object = Object {
            api_version: &target.api_version,
            kind: &target.kind,
            name: &target.name,
        };
        for verb in ["patch", "delete"] {
            match self.deployer.may(verb, object).await {
                Ok(true) => {}
                Ok(false) => return Err(self.not_permitted(verb, component, "")),
                Err(trouble) => return Err(self.refuse(verb, component, trouble)),
            }
        }
        Ok(())
    }

    fn refuse(&self, verb: &str, component: &Component, trouble: Trouble) -> Refusal {
        let target = &component.target;
        match trouble {
            Trouble::Forbidden(why) => self.not_permitted(verb, component, &why),
            Trouble::Invalid(why) => refusal(
                reasons::PATCH_REFUSED,
                format!(
                    "component {}: the API server refuses the patch of {target}: {why}",
                    component.name
                ),
            ),
            other => Refusal {
                reason: reasons::UNREADABLE,
                message: format!("{target} in {} could not be read: {other}", self.namespace),
                unknown: true,
            },
        }
    }

    fn not_permitted(&self, verb: &str, component: &Component, why: &str) -> Refusal {
        let target = &component.target;
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(" ({why})")
        };
        refusal(
            reasons::NOT_PERMITTED,
            format!(
                "the deployer {} may not {verb} {target} in {}: bind its Role there{why}",
                self.observer.settings().deployer,
                self.namespace
            ),
        )
    }

    /// A missing deployer answers with the same 403 as missing rights; the message has to name the cause.
    async fn missing_deployer(&self) -> Option<Refusal> {
        let name = &self.observer.settings().deployer;
        match self
            .observer
            .client()
            .has_service_account(self.namespace, name)
            .await
        {
            Ok(true) => None,
            Ok(false) => {
                let sentence = format!(
                    "there is no ServiceAccount {name} in {}: create it with its Role and RoleBinding, or list {} in the chart's deployer.namespaces",
                    self.namespace, self.namespace
                );
                Some(refusal(reasons::DEPLOYER_MISSING, sentence))
            }
            Err(error) => {
                tracing::warn!(namespace = self.namespace, %error, "the deployer's ServiceAccount could not be read");
                None
            }
        }
    }
}

fn refusal(reason: &'static str, message: String) -> Refusal {
    Refusal {
        reason,
        message,
        unknown: false,
    }
}

impl Inspected {
    fn refused(component: &Component, refusal: Refusal) -> Self {
        Self {
            name: component.name.clone(),
            refusal: Some(refusal),
            uid: None,
            resource_version: None,
            changes: vec![],
            restarted_for: None,
            images_before: vec![],
            images_after: vec![],
            result: None,
        }
    }
}
