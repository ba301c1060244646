//! A walk through `decide`: every step is carried out on plain values, and what was done is written down.
//!
//! It models our own writes, not the API server: a patch gives what its dry run had shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{Promotion, State};
use crate::api::{Decision, Release};
use crate::decide::expressions::NoAnswer;
use crate::decide::facts::{
    Claim, JobState, Live, LiveComponent, LivePreState, NamespaceState, Observed, OwnJob, Place, Rival,
    StoredPreState,
};
use crate::decide::fixtures::{inspection, observed_of, rolled_out, running, sibling};
use crate::decide::job_start::Start;
use crate::decide::licence::{How, TargetChange};
use crate::decide::prestate::PreState;
use crate::decide::step::{Effect, Step};
use crate::decide::{decide, decisions, plan};

pub(crate) struct Walk {
    pub observed: Observed,
    pub now: Timestamp,
    /// Everything that was written, in order.
    pub log: Vec<String>,
    /// Every Event, in order: reason and note.
    pub told: Vec<String>,
    /// Target objects by namespace and component.
    pub objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Leases by target namespace.
    pub claims: BTreeMap<String, Claim>,
    pub pre_states: BTreeMap<String, (String, PreState)>,
    pub jobs: BTreeMap<String, JobState>,
    pub own_jobs: BTreeMap<String, OwnJob>,
    pub expressions: BTreeMap<String, Result<bool, NoAnswer>>,
    pub rivals: Vec<Rival>,
    pub unhealthy_since: Option<Timestamp>,
    /// What controllers make of a changed target.
    pub controller: fn(Value) -> Value,
    pub gone: bool,
    /// Every edge of the state machine that was taken.
    pub edges: BTreeSet<(State, State)>,
    serial: u32,
}

impl Walk {
    pub(crate) fn of(release: Release) -> Self {
        let mut observed = observed_of(release);
        // An older version ran here before, so that no review is required for a first release.
        observed.siblings = vec![sibling("2026.8", "r0", &[("sit", State::Succeeded)])];
        let namespaces = ["payments-sit", "payments-uat", "payments"];
        Self {
            observed,
            now: crate::decide::fixtures::morning(),
            log: vec![],
            told: vec![],
            objects: namespaces.map(|n| (n.to_owned(), running())).into(),
            claims: BTreeMap::new(),
            pre_states: BTreeMap::new(),
            jobs: BTreeMap::new(),
            own_jobs: BTreeMap::new(),
            expressions: BTreeMap::new(),
            rivals: vec![],
            unhealthy_since: None,
            controller: rolled_out,
            gone: false,
            edges: BTreeSet::new(),
            serial: 10,
        }
    }

    pub(crate) fn promotion(&self, environment: &str) -> &Promotion {
        self.observed.release.promotion(environment).expect(environment)
    }

    pub(crate) fn state(&self, environment: &str) -> State {
        self.promotion(environment).state
    }

    pub(crate) fn state_if_any(&self, environment: &str) -> Option<State> {
        self.observed.release.promotion(environment).map(|p| p.state)
    }

    pub(crate) fn release(&mut self) -> &mut Release {
        Arc::make_mut(&mut self.observed.release)
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Release)) {
        let release = self.release();
        change(release);
        *release.metadata.generation.get_or_insert(0) += 1;
    }

    pub(crate) fn decides(&mut self, decision: Decision) {
        self.observed.decisions.push(Arc::new(decision));
    }

    /// What was written since the last time this was asked.
    pub(crate) fn written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(crate) fn later(&mut self, by: SignedDuration) -> &mut Self {
        self.now += by;
        self
    }

    /// Steps until there is nothing to do but to wait.
    pub(crate) fn settle(&mut self) -> Option<Timestamp> {
        for _ in 0..100 {
            if self.gone {
                return None;
            }
            if let Some(until) = self.step() {
                return until;
            }
        }
        panic!("does not settle: {:#?}", self.log);
    }

    /// Settles, sleeps until the next edge, and so on until no edge is left.
    pub(crate) fn run(&mut self) {
        for _ in 0..50 {
            match self.settle() {
                Some(until) => {
                    assert!(until > self.now, "an edge in the past: {until} at {}", self.now);
                    self.now = until;
                }
                None => return,
            }
        }
        panic!("never comes to rest: {:#?}", self.log);
    }

    /// One step; the inner value is the edge of a Wait.
    #[allow(clippy::option_option)]
    pub(crate) fn step(&mut self) -> Option<Option<Timestamp>> {
        self.observe();
        let step = decide(&self.observed, self.now);
        assert_eq!(
            step,
            decide(&self.observed, self.now),
            "the same facts, the same step"
        );
        match step {
            Step::Wait(wait) => return Some(wait.until),
            Step::Act(actions) => actions.into_iter().for_each(|action| self.act(action)),
            Step::Transition(transition) => {
                self.write_down(&transition.status.environments);
                let told = transition.announcements.iter();
                self.told.extend(told.map(|a| format!("{} {}", a.reason, a.note)));
                let status = serde_json::to_value(&transition.status).expect("a status");
                let read_back = serde_json::from_value(status).expect("a status");
                self.release().status = Some(read_back);
                self.observe();
                let next = decide(&self.observed, self.now);
                assert_ne!(next, Step::Transition(transition), "the same Transition again");
            }
        }
        None
    }

    fn write_down(&mut self, next: &[Promotion]) {
        let mut moves = Vec::new();
        for p in next {
            let was = self.observed.release.promotion(&p.name);
            let from = was.map(|w| w.state).unwrap_or_default();
            let next_attempt = was.is_some_and(|w| w.attempt != p.attempt);
            assert!(
                from.may_become(p.state, next_attempt),
                "{}: {from:?} → {:?} is no edge",
                p.name,
                p.state
            );
            if from != p.state {
                self.edges.insert((from, p.state));
            }
            if was.is_none_or(|w| w.state != p.state) {
                moves.push(format!("{} {}", p.name, p.state.as_str()));
            }
        }
        let what = if moves.is_empty() {
            "-".to_owned()
        } else {
            moves.join(", ")
        };
        self.log.push(format!("status: {what}"));
    }

    /// Reads everything as a step would.
    pub(crate) fn look(&mut self) {
        self.observe();
    }

    fn observe(&mut self) {
        let release = Arc::clone(&self.observed.release);
        for name in &release.spec.environments {
            let name = name.as_str();
            let blank = Promotion {
                name: name.to_owned(),
                attempt: 1,
                ..Promotion::default()
            };
            let promotion = release.promotion(name).unwrap_or(&blank);
            let entered = promotion.entered.as_ref().map(|e| e.target_namespace.clone());
            let stated = || {
                let setting = self.observed.environments.get(name)?;
                Some(
                    setting
                        .environment
                        .spec
                        .target_namespace(self.observed.namespace()),
                )
            };
            let Some(namespace) = entered.or_else(stated) else {
                continue;
            };
            let objects = self.objects.entry(namespace.clone()).or_default();
            let own = match &promotion.backout {
                Some(backout) if !promotion.state.before_entry() => backout.pre_state.clone(),
                _ => plan::pre_state_name(self.observed.uid(), name, promotion.attempt),
            };
            let kept = |wanted: &str| self.pre_states.get(wanted);
            let pre_state = kept(&own);
            let components = release.spec.components.iter().map(|c| LiveComponent {
                unhealthy_since: self.unhealthy_since.filter(|_| c.name == "ledger"),
                ..LiveComponent::seen(
                    &c.name,
                    objects
                        .get(&c.name)
                        .map_or(Live::Absent, |o| Live::Present(Arc::new(o.clone()))),
                )
            });
            let place = Place {
                namespace: NamespaceState::Present,
                claim: self.claims.get(&namespace).cloned(),
                rivals: self.rivals.clone(),
                inspection: Some(Arc::new(inspection(&release, name, objects))),
                pre_state: pre_state.map(|(uid, content)| LivePreState {
                    name: own.clone(),
                    uid: uid.clone(),
                    content: Arc::new(content.clone()),
                }),
                predecessor: decisions::predecessor(&self.observed, promotion)
                    .and_then(|n| kept(&n).map(|(_, content)| Arc::new(content.clone()))),
                components: if promotion.entered.is_some() {
                    components.collect()
                } else {
                    vec![]
                },
                jobs: self.jobs.clone(),
                own_jobs: self.own_jobs.clone(),
                expressions: self.expressions.clone(),
                unhealthy: vec![],
                live: true,
                ..Place::default()
            };
            self.observed.places.insert(name.to_owned(), place);
        }
        self.observed.pre_states = self
            .pre_states
            .iter()
            .map(|(name, (uid, content))| StoredPreState {
                name: name.clone(),
                uid: uid.clone(),
                namespace: String::new(),
                release: String::new(),
                release_uid: content.release_uid.clone(),
                environment: content.environment.clone(),
                bytes: 0,
            })
            .collect();
        let own = self.claims.values().filter(|c| {
            c.holder
                .as_ref()
                .is_some_and(|h| h.release_uid == self.observed.uid())
        });
        self.observed.own_claims = own.cloned().collect();
    }

    fn next_serial(&mut self) -> String {
        self.serial += 1;
        self.serial.to_string()
    }

    fn act(&mut self, action: Effect) {
        let said = match action {
            Effect::AddFinalizer => {
                let finalizers = &mut self.release().metadata.finalizers;
                finalizers
                    .get_or_insert_default()
                    .push(crate::api::RELEASE_FINALIZER.to_owned());
                "finalizer".to_owned()
            }
            Effect::RemoveFinalizer => {
                self.gone = true;
                "let go".to_owned()
            }
            Effect::Claim {
                environment,
                namespace,
                holder,
            } => {
                assert!(
                    !self.claims.contains_key(&namespace),
                    "the claim of another holder is not changed"
                );
                let claim = crate::decide::fixtures::claim(
                    &namespace,
                    &holder.release_uid,
                    &environment,
                    holder.attempt,
                );
                self.claims.insert(namespace.clone(), claim);
                format!("claim {namespace}")
            }
            Effect::TakeOver { claim, holder, .. } => {
                let path = self.observed.release_path();
                let taken = self.held(&claim);
                (taken.holder, taken.unsettled, taken.holder_absent) = (Some(holder), false, false);
                taken.release = path;
                format!("take over {}", claim.namespace)
            }
            Effect::MarkUnsettled { claim, .. } => {
                self.held(&claim).unsettled = true;
                format!("unsettled {}", claim.namespace)
            }
            Effect::ReleaseClaim { claim, .. } => {
                self.held(&claim);
                self.claims.remove(&claim.namespace);
                format!("release {}", claim.namespace)
            }
            Effect::Capture {
                environment,
                name,
                pre_state,
            } => {
                let uid = format!("p{}", self.next_serial());
                let before = self.pre_states.insert(name, (uid, *pre_state));
                assert!(before.is_none(), "a pre-state is never overwritten");
                format!("capture {environment}")
            }
            Effect::Remember(what) => {
                let said = format!("remember {} {}", what.environment, what.version);
                self.observed.remembered.push(*what);
                said
            }
            Effect::StopJob { name, .. } => format!("stop {name}"),
            Effect::DeletePreState { name, uid } => {
                let (was, content) = self.pre_states.remove(&name).expect("a pre-state that exists");
                assert_eq!(was, uid);
                format!("forget {} {}", content.environment, content.attempt)
            }
            Effect::Change(TargetChange {
                namespace,
                component,
                change,
                environment,
                attempt,
                ..
            }) => {
                let said = match &change {
                    How::Patch { .. } => "patch",
                    How::Create { .. } => "create",
                    How::Restore { .. } => "restore",
                    How::Delete { .. } => "delete",
                    How::GiveBack { .. } => "give back",
                };
                let own = plan::pre_state_name(self.observed.uid(), &environment, attempt);
                self.change(&namespace, &component, change, &own);
                format!("{said} {namespace}/{component}")
            }
            Effect::StartJob(Start {
                check,
                template,
                name,
                ..
            }) => {
                let own = OwnJob {
                    name,
                    uid: format!("job-{}", self.next_serial()),
                    template_digest: Some(format!("sha256:{template}")),
                };
                self.own_jobs.insert(check.clone(), own);
                self.jobs.insert(
                    check.clone(),
                    JobState::Running {
                        started: Some(self.now),
                    },
                );
                format!("job {check} from {template}")
            }
            Effect::Adopt { decision, .. } => format!("adopt {decision}"),
            Effect::Disown { decision, .. } => format!("disown {decision}"),
        };
        self.log.push(said);
    }

    fn held(&mut self, seen: &Claim) -> &mut Claim {
        let claim = self.claims.get_mut(&seen.namespace).expect("a claim");
        assert_eq!(claim, seen, "precondition");
        claim
    }

    fn change(&mut self, namespace: &str, component: &str, change: How, pre_state: &str) {
        let serial = self.next_serial();
        let controller = self.controller;
        let content = self.pre_states.get(pre_state).map(|(_, content)| content.clone());
        let objects = self.objects.get_mut(namespace).expect("a namespace");
        let mut object = objects.remove(component).unwrap_or_else(|| json!({}));
        match change {
            How::Delete { uid, .. } => {
                assert_eq!(object["metadata"]["uid"], json!(uid));
                return;
            }
            How::Create { object: created } => {
                object = created;
                object["metadata"]["uid"] = json!(format!("u{serial}"));
            }
            How::Restore { operations, .. } | How::GiveBack { operations, .. } => {
                let patch: json_patch::Patch = serde_json::from_value(operations).expect("a JSON Patch");
                json_patch::patch(&mut object, &patch).expect("a patch that applies");
            }
            How::Patch { patch, .. } => {
                assert_eq!(
                    patch["metadata"]["resourceVersion"],
                    object["metadata"]["resourceVersion"]
                );
                let content = content.expect("a pre-state before the first change");
                for path in &content.component(component).expect("a capture").changes {
                    let (parent, key) = path.path.rsplit_once('/').expect("a pointer");
                    let parent = object
                        .pointer_mut(parent)
                        .and_then(Value::as_object_mut)
                        .expect("a map");
                    match &path.after {
                        Some(after) => parent.insert(key.to_owned(), after.clone()),
                        None => parent.remove(key),
                    };
                }
            }
        }
        object["metadata"]["resourceVersion"] = json!(serial);
        if let Some(generation) = object["metadata"]["generation"].as_i64() {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        objects.insert(component.to_owned(), controller(object));
    }
}
