//! What the deployer may do, and what a dry run of each component shows, before anything is entered.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::reasons;
use crate::api::release::{Component, Promotion, Target};
use crate::cache::memory::{CachedInspection, CapturedInspection, Memory, backoff};
use crate::cluster::paths::group;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Form, Mode, Object, Requests, Targets};
use crate::decide::ask::Moment;
use crate::decide::consent::{self, Accepts, Entering};
use crate::decide::facts::{Inspected, Inspection, Live, Observed, Refusal, Setting};
use crate::decide::licence::How;
use crate::decide::owned;
use crate::decide::prestate::Captured;
use crate::decide::states::{before_entry, deploying};
use crate::domain::readiness::{self, Was};
use crate::domain::text::clause;
use crate::domain::{digest, patches, paths};
use crate::observe::observer::Observer;

/// How often a target is read if others write to it between the read and the dry run, as controllers do during a rollout.
const MOST_READS: u32 = 5;
/// How long an inspection made under the claim is valid, until the entry.
const CAPTURED_STANDS: SignedDuration = SignedDuration::from_secs(2);

impl<C: Requests> Observer<C> {
    /// The inspection of a promotion that has not entered. Before the claim is taken it is cached until the plan, the
    /// Environment or a watched target changes or, if it refuses, until it is due to be repeated.
    pub(crate) async fn inspection(
        &self,
        o: &Observed,
        p: &Promotion,
        moment: Moment,
        claim: String,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Option<Arc<Inspection>> {
        let setting = o.environments.get(&p.name)?;
        let live = moment != Moment::Waiting;
        let captured = memory.captured.remove(&p.name);
        let namespace = setting.environment.spec.target_namespace(o.namespace());
        let fingerprint = self.fingerprint(o, p, setting, &namespace);
        let known = memory
            .inspections
            .get(&p.name)
            .filter(|k| k.fingerprint == fingerprint);
        if let Some(known) = known.filter(|k| !live && k.inspection.again_at.is_none_or(|at| now < at)) {
            return Some(Arc::clone(&known.inspection));
        }
        // What was captured a moment ago, under this very claim, is what enters. A write to a target in between is detected
        // like a write between the entry and the change: the target is compared with the pre-state.
        if let (Moment::Entering, Some(captured)) = (moment, captured)
            && captured.fingerprint == fingerprint
            && captured.claim == claim
            && (captured.at..captured.at + CAPTURED_STANDS).contains(&now)
        {
            return Some(captured.inspection);
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
            autoscalers: None,
        };
        let mut inspection = inspector.inspect().await;
        let refused =
            inspection.refusal.is_some() || inspection.components.iter().any(|c| c.refusal.is_some());
        inspection.again_at = refused.then(|| now + backoff(before));
        let inspection = Arc::new(inspection);
        // A Retry is inspected once more: if it finds a change, a Decision is required.
        if let (Moment::Capturing, false, 1) = (moment, refused, p.attempt) {
            let captured = CapturedInspection {
                at: now,
                claim,
                fingerprint: fingerprint.clone(),
                inspection: Arc::clone(&inspection),
            };
            memory.captured.insert(p.name.clone(), captured);
        }
        // A refusal is cached in either case, or a claim would be taken and released without end; and a refusal that
        // returns after a success is not the first one.
        if !live || refused {
            let remembered = CachedInspection {
                fingerprint,
                inspection: without_content(&inspection),
                tries: if refused { before + 1 } else { before },
            };
            memory.inspections.insert(p.name.clone(), remembered);
        }
        Some(inspection)
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
            "{} {} {:?} {}",
            p.plan_hash,
            setting.environment.metadata.generation.unwrap_or(0),
            index.namespace(namespace).and_then(|n| n.accepts.as_ref()),
            targets.join(" ")
        )
    }
}

/// What is kept for promotions that wait. A promotion that is about to enter reads everything again, so the content of the
/// targets, which may be large, is not held in memory during the wait.
fn without_content(inspection: &Inspection) -> Arc<Inspection> {
    let components = inspection.components.iter();
    Arc::new(Inspection {
        refusal: inspection.refusal.clone(),
        size: inspection.size,
        again_at: inspection.again_at,
        components: components
            .map(|component| Inspected {
                changes: vec![],
                result: None,
                ours: None,
                ..component.clone()
            })
            .collect(),
    })
}

struct Inspector<'a, C: Requests> {
    observer: &'a Observer<C>,
    o: &'a Observed,
    p: &'a Promotion,
    setting: &'a Setting,
    deployer: C::Deployer,
    namespace: &'a str,
    live: bool,
    /// Those of the target namespace, once listed; `None` inside where the operator may not list them.
    autoscalers: Option<Option<Vec<Value>>>,
}

impl<C: Requests> Inspector<'_, C> {
    async fn inspect(&mut self) -> Inspection {
        if let Some(refusal) = self.unprepared().await {
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
                    refusal(
                        reasons::KIND_NOT_ALLOWED,
                        format!(
                            "Component {} targets a kind that Environment {} does not list in allowedKinds.",
                            component.name, self.p.name
                        ),
                    ),
                ));
                continue;
            }
            let restarted_for = digest::restart_stamp(&component.restart_on, &stamps);
            let (inspected, result) = match self.component(component, restarted_for).await {
                Ok(done) => done,
                Err(refusal) => (Inspected::refused(component, refusal), None),
            };
            if let Some(result) = result {
                stamps.push((component.name.clone(), digest::configuration_stamp(&result)));
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

    /// What a dry run of the component shows. If another writer changes the target during that time, it is read again immediately:
    /// a queued Release would lose its place to a younger one while it waits for the next read.
    async fn component(
        &mut self,
        component: &Component,
        restarted_for: Option<String>,
    ) -> Result<(Inspected, Option<Value>), Refusal> {
        for _ in 1..MOST_READS {
            match self.read(component, restarted_for.clone()).await {
                Err(refusal) if refusal.reason == reasons::CONFLICT && refusal.unknown => {}
                read => return read,
            }
        }
        self.read(component, restarted_for).await
    }

    async fn read(
        &mut self,
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
        let (live, note) = self.found(component, object, stated.as_ref()).await?;
        self.may(component, live.is_none()).await?;

        let captured = Captured {
            name: component.name.clone(),
            target: target.clone(),
            uid: None,
            resource_version: None,
            restarted_for: restarted_for.clone(),
            ours: None,
            was: Was::default(),
            changes: vec![],
        };
        let known = live.clone().map_or(Live::Absent, |l| Live::Present(Arc::new(l)));
        let change = deploying::forward(self.o, &self.p.name, self.p.attempt, component, &captured, &known)
            .map_err(|why| {
            refusal(
                reasons::CONTAINER_MISSING,
                format!(
                    "Component {}: {}. Correct its images.",
                    component.name,
                    clause(&why.to_string())
                ),
            )
        })?;
        let result = self.dry_run(component, object, &change, live.is_some()).await?;
        self.accepts(component, live.as_ref(), &result)?;
        let text = |pointer: &str| {
            live.as_ref()
                .and_then(|l| l.pointer(pointer))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let images_after = patches::images(&result);
        // What admission or the API server adds is not ours: it is neither compared nor restored.
        let result = match (&live, &change) {
            (Some(live), How::Patch { patch, .. }) => paths::stated(live, patch, &result),
            _ => result,
        };
        let changes = match &live {
            Some(live) => paths::difference(live, &result),
            None => before_entry::creation_changes(&change, &result),
        };
        let inspected = Inspected {
            name: component.name.clone(),
            refusal: None,
            note,
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            changes,
            was: readiness::was(live.as_ref(), &result),
            restarted_for,
            images_before: live.as_ref().map(patches::images).unwrap_or_default(),
            images_after,
            result: self.live.then(|| Arc::new(result.clone())),
            ours: live
                .as_ref()
                .and_then(owned::our_entry)
                .map(|(_, entry)| entry.clone()),
        };
        Ok((inspected, Some(result)))
    }

    /// The target as it is, and a note about autoscalers; no target where it is to be created.
    async fn found(
        &mut self,
        component: &Component,
        object: Object<'_>,
        stated: Option<&Value>,
    ) -> Result<(Option<Value>, Option<String>), Refusal> {
        let target = &component.target;
        let live = match self.deployer.get(object).await {
            Ok(live) => Some(live),
            Err(RequestError::NotFound) => None,
            Err(trouble) => return Err(self.refuse("get", component, trouble)),
        };
        let mut note = None;
        if let Some(live) = &live {
            self.lint(component, live)?;
            note = self.autoscaled(component, stated, live).await?;
        } else if !stated
            .is_some_and(|s| patches::names_in_full(&target.api_version, &target.kind, &target.name, s))
        {
            let sentence = format!(
                "{target} does not exist in {}. Correct the name, or, to create it, set apiVersion, kind and metadata.name in the patch of component {}.",
                self.namespace, component.name
            );
            return Err(refusal(reasons::TARGET_MISSING, sentence));
        }
        Ok((live, note))
    }

    /// The result of `change`, by a dry run.
    async fn dry_run(
        &self,
        component: &Component,
        object: Object<'_>,
        change: &How,
        exists: bool,
    ) -> Result<Value, Refusal> {
        let target = &component.target;
        let result = match change {
            How::Patch { patch, .. } => {
                self.deployer
                    .patch(object, Form::StrategicMerge, patch, Mode::DryRun)
                    .await
            }
            How::Create { object: body } => self.deployer.create(object, body, Mode::DryRun).await,
            How::Restore { .. } | How::Delete { .. } | How::GiveBack { .. } => {
                return Err(refusal(
                    reasons::CONFLICT,
                    "This change does not go forward.".into(),
                ));
            }
        };
        match result {
            Ok(result) => Ok(result),
            // Another writer changed it between the read and the dry run.
            Err(RequestError::Conflict(_)) => {
                let sentence = format!("{target} changed while it was read. It is read again automatically.");
                Err(Refusal {
                    reason: reasons::CONFLICT,
                    message: sentence,
                    unknown: true,
                })
            }
            Err(trouble) => {
                let verb = if !exists { "create" } else { "patch" };
                Err(self.refuse(verb, component, trouble))
            }
        }
    }

    /// Refuses changes that could not be backed out, and pods that would have the deployer's rights.
    fn accepts(&self, component: &Component, live: Option<&Value>, result: &Value) -> Result<(), Refusal> {
        let target = &component.target;
        let stated_target = patches::Target::from(target);
        let sticks = live.and_then(|l| patches::irreversible(&stated_target, l, result));
        if let Some(sentence) = sticks {
            let sentence = format!("Component {}: {}.", component.name, clause(&sentence));
            return Err(refusal(reasons::CHANGE_IRREVERSIBLE, sentence));
        }
        let deployer = &self.observer.settings().deployer;
        if patches::runs_as(&target.kind, result, deployer) {
            let sentence = format!(
                "Component {}: pods of {target} would run as {deployer}, so every user who can write Releases would have the deployer's \
                 rights in {}. Set another ServiceAccount.",
                component.name, self.namespace
            );
            return Err(refusal(reasons::RUNS_AS_DEPLOYER, sentence));
        }
        Ok(())
    }

    /// What is wrong with the component, given the live object.
    fn lint(&self, component: &Component, live: &Value) -> Result<(), Refusal> {
        for pointer in &component.remove {
            patches::by_key(pointer, live).map_err(|why| {
                refusal(
                    reasons::PATCH_NOT_ALLOWED,
                    format!("Component {}: {}.", component.name, clause(&why.to_string())),
                )
            })?;
        }
        Ok(())
    }

    /// If the component states the number of replicas: whether an autoscaler sets it too. An unknown answer is a note and not a
    /// refusal: most workloads have no autoscaler, and a missing right is no proof of one.
    async fn autoscaled(
        &mut self,
        component: &Component,
        stated: Option<&Value>,
        live: &Value,
    ) -> Result<Option<String>, Refusal> {
        // Removed, the API server defaults it to one.
        let removed = component.remove.iter().any(|pointer| pointer == "/spec/replicas");
        if !removed && stated.is_none_or(|s| s.pointer("/spec/replicas").is_none()) {
            return Ok(None);
        }
        let autoscaled = |by: &str| {
            let sentence = format!(
                "Component {} {} spec.replicas, but {by} scales {}. Remove spec.replicas from {}.",
                component.name,
                if removed { "removes" } else { "states" },
                component.target,
                if removed { "`remove`" } else { "`patch`" }
            );
            Err(refusal(reasons::REPLICAS_AUTOSCALED, sentence))
        };
        let autoscalers = match self.autoscalers.take() {
            Some(known) => known,
            None => self.look_for_autoscalers(component).await?,
        };
        let autoscalers = self.autoscalers.insert(autoscalers);
        let Some(autoscalers) = autoscalers else {
            if scaled_by_the_control_plane(live) {
                return autoscaled("a HorizontalPodAutoscaler");
            }
            return Ok(Some(format!(
                "It is unknown whether an autoscaler scales {}, because the operator may not list horizontalpodautoscalers in {}. \
                 Update the chart's ClusterRole.",
                component.target, self.namespace
            )));
        };
        match autoscalers.iter().find(|a| scales(a, &component.target)) {
            Some(found) => {
                let name = found.pointer("/metadata/name").and_then(Value::as_str);
                autoscaled(&format!("HorizontalPodAutoscaler {}", name.unwrap_or_default()))
            }
            None => Ok(None),
        }
    }

    /// `None` where the operator may not list them. It uses its own right, so that no team's Role has to change.
    async fn look_for_autoscalers(&self, component: &Component) -> Result<Option<Vec<Value>>, Refusal> {
        match self.observer.client().autoscalers(self.namespace).await {
            Ok(found) => Ok(Some(found)),
            // A cluster that does not serve them has none.
            Err(RequestError::NotFound) => Ok(Some(vec![])),
            Err(RequestError::Forbidden(_)) => Ok(None),
            Err(trouble) => Err(Refusal {
                reason: reasons::UNREADABLE,
                message: format!(
                    "HorizontalPodAutoscalers in {} could not be read, so it is unknown whether one scales {}: {}.",
                    self.namespace,
                    component.target,
                    clause(&trouble.to_string())
                ),
                unknown: true,
            }),
        }
    }

    /// Checks, as the deployer, the rights that a target to be created needs later: patch and delete. The dry run itself
    /// shows the right to create it or to patch an existing one.
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

    fn refuse(&self, verb: &str, component: &Component, trouble: RequestError) -> Refusal {
        let target = &component.target;
        match trouble {
            RequestError::Forbidden(why) => self.not_permitted(verb, component, &why),
            RequestError::Denied(why) => refusal(
                reasons::PATCH_REFUSED,
                format!(
                    "An admission policy, a webhook or a quota refused to {verb} {target} in {}. Change component {}, or ask the owner \
                     of the policy, webhook or quota. The API server answered: {}.",
                    self.namespace,
                    component.name,
                    clause(&why)
                ),
            ),
            RequestError::Invalid(why) => refusal(
                reasons::PATCH_REFUSED,
                format!(
                    "The API server rejected {target} in {} as invalid. Correct component {}{}. The API server answered: {}.",
                    self.namespace,
                    component.name,
                    clause(patches::hint(&why)),
                    clause(&why)
                ),
            ),
            other => Refusal {
                reason: reasons::UNREADABLE,
                message: format!(
                    "{target} in {} could not be read: {}.",
                    self.namespace,
                    clause(&other.to_string())
                ),
                unknown: true,
            },
        }
    }

    fn not_permitted(&self, verb: &str, component: &Component, why: &str) -> Refusal {
        let target = &component.target;
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(" The API server answered: {}.", clause(why))
        };
        refusal(
            reasons::NOT_PERMITTED,
            format!(
                "ServiceAccount {} may not {verb} {target} in {}. Add the verb to its Role there and check the RoleBinding.{why}",
                self.observer.settings().deployer,
                self.namespace
            ),
        )
    }

    /// Why the namespace is not prepared: there is no deployer, or the namespace does not admit this Release.
    ///
    /// A missing deployer gives the same 403 as missing rights, and the message has to name the cause; a binding may outlive its
    /// ServiceAccount, and impersonating a ServiceAccount that does not exist still works. Under the claim, consent is checked once more, because
    /// the ServiceAccount is not watched and its annotation may have been removed since.
    async fn unprepared(&self) -> Option<Refusal> {
        let settings = self.observer.settings();
        let (name, namespace) = (&settings.deployer, self.namespace);
        let entering = Entering {
            release_namespace: self.o.namespace(),
            environment: &self.p.name,
            target: namespace,
            deployer: name,
        };
        let of_namespace = self
            .observer
            .index()
            .namespace(namespace)
            .and_then(|n| n.accepts.clone());
        let admitted = of_namespace
            .as_ref()
            .is_some_and(|a| a.admits(entering.release_namespace, entering.environment));
        if self.live && admitted {
            return None;
        }
        match self.observer.client().service_account(namespace, name).await {
            Ok(Some(annotations)) => {
                let of_deployer = Accepts::read(Some(&annotations));
                consent::judge(
                    entering,
                    of_namespace.as_ref(),
                    of_deployer.as_ref(),
                    settings.require_consent,
                )
                .err()
                .map(|not_accepted| refusal(reasons::NOT_ACCEPTED, not_accepted.to_string()))
            }
            Ok(None) => {
                let sentence = format!(
                    "ServiceAccount {name} does not exist in {namespace}. Create it with its Role and RoleBinding, or add {namespace} to the chart's deployer.namespaces."
                );
                Some(refusal(reasons::DEPLOYER_MISSING, sentence))
            }
            Err(error) if admitted => {
                tracing::warn!(namespace, %error, "The deployer's ServiceAccount could not be read.");
                None
            }
            Err(error) => Some(Refusal {
                reason: reasons::UNREADABLE,
                message: format!(
                    "ServiceAccount {name} in {namespace} could not be read, so it is unknown which Releases that namespace accepts: {}.",
                    clause(&error.to_string())
                ),
                unknown: true,
            }),
        }
    }
}

/// Whether an autoscaler scales this workload.
fn scales(autoscaler: &Value, target: &Target) -> bool {
    let of = |field: &str| {
        autoscaler
            .pointer(&format!("/spec/scaleTargetRef/{field}"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    of("kind") == target.kind
        && of("name") == target.name
        && group(of("apiVersion")) == group(&target.api_version)
}

/// Whether the control plane, and not a user, has written through the subresource `scale`: only its autoscalers do.
fn scaled_by_the_control_plane(live: &Value) -> bool {
    let writes = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    writes
        .into_iter()
        .flatten()
        .any(|w| w["subresource"] == "scale" && w["manager"] == "kube-controller-manager")
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
            note: None,
            uid: None,
            resource_version: None,
            changes: vec![],
            was: Was::default(),
            restarted_for: None,
            images_before: vec![],
            images_after: vec![],
            result: None,
            ours: None,
        }
    }
}
