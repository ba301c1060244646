//! The only reader: what the watches have shown, and live reads where a stale one could hurt, become [`Observed`].

pub mod claims;
pub mod index;
mod inspect;
pub mod kept;
mod live;
pub mod memory;
pub mod queue;
pub mod trust;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use serde_json::Value;

use crate::api::environment::{DefaultWindow, Environment, Gate, WindowKind};
use crate::api::release::{Promotion, State};
use crate::api::{Decision, Release, reasons};
use crate::cluster::Trouble;
use crate::cluster::requests::Requests;
use crate::decide::calendar::{self, Calendar};
use crate::decide::facts::{
    Claim, JobState, KeptPreState, NamespaceState, Observed, Place, Refusal, Rival, Setting, Settings, Trust,
};
use crate::decide::prestate::PreState;
use crate::decide::version::Version;
use crate::decide::{accepted, before_entry, decisions, plan, promotion, readiness};
use crate::expressions;
use crate::mutation::{self, Mutation};
use index::Index;
use inspect::Moment;
pub use live::{said, target_key};
use memory::{Evaluated, Memory};
use queue::Queue;

/// What takes longer is followed by rests, so that all expressions over one Release have a twentieth of a processor at most,
/// whatever changes how often.
const SLOW_EXPRESSION: std::time::Duration =
    std::time::Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });
const SHARE_OF_EXPRESSIONS: u32 = 20;
const ROW_OF_EXPRESSIONS: std::time::Duration = std::time::Duration::from_millis(500);
const LONGEST_REST: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
/// Compiled expressions that are kept.
const MOST_EXPRESSIONS: usize = 1024;

/// Reads the world.
pub struct Observer<C = Client> {
    client: C,
    index: RwLock<Index>,
    queue: Queue,
    settings: Arc<Settings>,
    expected: trust::Expected,
    /// What follows from the policies, and how many changes of them that takes in.
    trust: Mutex<Option<(u64, Trust)>>,
    memories: Mutex<HashMap<String, Memory>>,
    /// How often this process has begun to lead.
    term: AtomicU64,
    expressions: Mutex<HashMap<String, Result<expressions::Expression, String>>>,
}

impl<C: Requests> Observer<C> {
    #[must_use]
    pub fn new(client: C, queue: Queue, settings: Arc<Settings>, expected: trust::Expected) -> Self {
        Self {
            client,
            index: RwLock::default(),
            queue,
            settings,
            expected,
            trust: Mutex::default(),
            memories: Mutex::default(),
            term: AtomicU64::new(0),
            expressions: Mutex::default(),
        }
    }

    /// The index, for reading; never held across an await.
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something seen or written into the index, and wakes whom it concerns.
    pub fn see(&self, change: impl FnOnce(&mut Index) -> Vec<index::Key>) {
        let keys = change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        self.queue.wake(keys);
    }

    /// [`Self::see`] for what a pass over `own` has written: it goes on by itself.
    pub fn wrote(&self, own: Option<&index::Key>, change: impl FnOnce(&mut Index) -> Vec<index::Key>) {
        let mut keys = change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        keys.retain(|key| Some(key) != own);
        self.queue.wake(keys);
    }

    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What can be trusted now.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trusted(&self.index())
    }

    fn trusted(&self, index: &Index) -> Trust {
        let mut known = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((seen, trust)) if *seen == index.policies_seen() => trust.clone(),
            _ => known
                .insert((index.policies_seen(), self.expected.judge(index)))
                .1
                .clone(),
        }
    }

    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    #[must_use]
    pub fn client(&self) -> &C {
        &self.client
    }

    /// What is remembered of a Release. One pass at a time has it in hand.
    #[must_use]
    pub fn recall(&self, uid: &str) -> Memory {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(uid).unwrap_or_else(|| Memory {
            term: self.term.load(Ordering::Relaxed),
            ..Memory::default()
        })
    }

    /// This process begins to lead. Nothing is remembered any more: while another one led, what is not watched may have
    /// changed.
    pub fn begin_term(&self) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        self.term.fetch_add(1, Ordering::Relaxed);
        memories.clear();
    }

    /// Keeps it until the next pass. What a pass of an earlier term brings back is dropped.
    pub fn remember(&self, uid: &str, memory: Memory) {
        let index = self.index();
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        if memories.len() >= index.count().max(1) {
            // Releases may go without a pass of their own.
            let there: HashSet<&str> = index
                .releases()
                .filter_map(|r| r.metadata.uid.as_deref())
                .collect();
            memories.retain(|uid, _| there.contains(uid.as_str()));
        }
        if memory.term == self.term.load(Ordering::Relaxed) {
            memories.insert(uid.to_owned(), memory);
        }
    }

    /// Before the first effect of a term that rests on the status alone. What this process has not written another one may have, which led
    /// until a moment ago, and a watch may not have shown it yet: the Release is read live, once. From then on nobody else
    /// moves it, and what this process writes it knows.
    ///
    /// # Errors
    /// [`Trouble::Conflict`] where the Release is not as it was observed.
    pub async fn look_before_first(&self, o: &Observed, memory: &mut Memory) -> Result<(), Trouble> {
        if memory.seen_live || mutation::is(Mutation::WatchBelieved) {
            return Ok(());
        }
        self.live_release(o).await?;
        memory.seen_live = true;
        Ok(())
    }

    /// The deployer of `namespace`, on behalf of this promotion.
    #[must_use]
    pub fn deployer(&self, namespace: &str, release: &str, environment: &str, attempt: i64) -> C::Deployer {
        let promotion = format!("{release}/{environment}/{attempt}");
        self.client
            .deployer(&self.settings.deployer, namespace, &promotion)
    }

    /// Everything that decides about a Release; `None` where it does not exist any more.
    ///
    /// # Errors
    /// A read that could not be made and without which nothing can be decided.
    pub async fn release(
        &self,
        namespace: &str,
        name: &str,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Option<Observed>, Trouble> {
        let Some(mut observed) = self.known(namespace, name) else {
            return Ok(None);
        };
        observed.plan_hashes = memory.plan_hashes.of(&observed.release);
        let accepted = accepted::judge(&observed).holds();
        let listed = promotion::listed(&observed);
        memory.plan_hashes.keep(&observed, &listed);
        for promotion in listed {
            let place = self
                .place(&mut observed, &promotion, accepted, memory, now)
                .await?;
            if let Some(place) = place {
                observed.places.insert(promotion.name.clone(), place);
            }
        }
        Ok(Some(observed))
    }

    fn known(&self, namespace: &str, name: &str) -> Option<Observed> {
        let index = self.index();
        let release = index.whole(namespace, name)?;
        let siblings = index.siblings(&release);
        let uid = release.metadata.uid.clone().unwrap_or_default();
        let older = siblings
            .iter()
            .filter(|s| is_older(s, &release))
            .filter_map(|s| s.metadata.uid.as_deref());
        let pre_states = older
            .chain([uid.as_str()])
            .flat_map(|uid| index.pre_states_of(uid))
            .cloned()
            .collect();
        let own_claims = index.claims_of(&uid).cloned().collect();
        Some(Observed {
            settings: Arc::clone(&self.settings),
            environments: index.environments(),
            decisions: index.decisions(namespace, name),
            reviews: index.reviews(namespace, name),
            trust: self.trusted(&index),
            namespace_labels: index
                .namespace(namespace)
                .map(|n| n.labels.clone())
                .unwrap_or_default(),
            places: BTreeMap::new(),
            plan_hashes: Arc::default(),
            siblings,
            pre_states,
            own_claims,
            release,
        })
    }

    async fn place(
        &self,
        o: &mut Observed,
        p: &Promotion,
        accepted: bool,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Option<Place>, Trouble> {
        if p.state.before_entry() {
            return self.before_entry(o, p, accepted, memory, now).await;
        }
        if let (State::AwaitingDecision, Some(entered)) = (p.state, &p.entered) {
            // Only whether its claim still stands.
            return Ok(Some(self.indexed(o, p, &entered.target_namespace)));
        }
        let acts = match p.state {
            State::Deploying | State::Verifying | State::Observing | State::BackingOut => true,
            // Finished states are looked at again only when somebody asks for a backout.
            State::Succeeded => decisions::pending(o, p, &[crate::api::Action::BackOut])
                .0
                .is_some(),
            _ => false,
        };
        if !acts {
            return Ok(None);
        }
        self.after_entry(o, p, memory, now).await.map(Some)
    }

    async fn before_entry(
        &self,
        o: &mut Observed,
        p: &Promotion,
        accepted: bool,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Option<Place>, Trouble> {
        let Some(setting) = o.environments.get(&p.name).cloned().filter(|_| accepted) else {
            return Ok(None);
        };
        if before_entry::upstream_done(o, &setting.environment).is_err() {
            return Ok(None);
        }
        let namespace = setting.environment.spec.target_namespace(o.namespace());
        let mut place = self.indexed(o, p, &namespace);
        let upstream = setting.environment.spec.promotes_from.iter();
        place.unproved = upstream
            .flat_map(|from| &from.environments)
            .filter(|name| {
                let upstream = o.release.promotion(name);
                upstream.is_some_and(|p| p.state == State::Succeeded)
            })
            .find_map(|name| promotion::unproved(o, name))
            .map(|message| Refusal {
                reason: reasons::NOT_VOUCHED_FOR,
                message,
                unknown: false,
            });
        if let Some(claim) = &mut place.claim {
            self.prove_absent(claim).await?;
        }
        let own = place.claim.as_ref().and_then(|c| c.holder.as_ref()) == Some(&o.holder(&p.name, p.attempt))
            || mutation::is(Mutation::ClaimNotNeeded);
        let kept = plan::pre_state_name(o.uid(), &p.name, p.attempt);
        let captured = own && self.index().has_pre_state(&kept);
        let mut setting = setting;
        // With the claim in hand, what is captured is read live; nothing enters before the pre-state is read back.
        place.live = own;
        if captured {
            setting = self.about_to_enter(o, p, &namespace, setting, &mut place).await?;
            place.pre_state = self.live_pre_state(&kept).await?;
            // Its content never changes: after the entry it need not be read a third time.
            match &place.pre_state {
                Some(found) => memory.pre_states.insert(kept, found.clone()),
                None => memory.pre_states.remove(&kept),
            };
        }
        if let Some(name) = decisions::predecessor(o, p) {
            place.predecessor = self.predecessor(&name, memory).await?;
            if place.predecessor.is_none() {
                let message = format!(
                    "the pre-state {name} of the attempt before is missing: what stood before that attempt is not known, so \
                     that a retry could not be backed out; put the targets right by hand, then release a new version"
                );
                place.unproved = Some(Refusal {
                    reason: reasons::PRE_STATE_MISSING,
                    message,
                    unknown: false,
                });
            }
        }
        if place.namespace == NamespaceState::Present
            && before_entry::may_ask(&setting.environment, o).is_ok()
        {
            let claim = || place.claim.as_ref().map(|c| c.uid.clone()).unwrap_or_default();
            let moment = match (own, captured) {
                (false, _) => Moment::Waiting,
                (true, false) => Moment::Capturing(claim()),
                (true, true) => Moment::Entering(claim()),
            };
            place.inspection = Some(self.inspection(o, p, &setting, moment, memory, now).await);
        }
        self.gates(o, p, &setting.environment.spec.gates, &mut place, memory, now)
            .await;
        if captured && !mutation::is(Mutation::EntryOfOldRelease) {
            // Last of all: what was read before it was read while this promotion had not entered.
            self.live_release(o).await?;
            memory.seen_live = true;
        }
        Ok(Some(place))
    }

    /// Everything that a stale read could get wrong is read again.
    async fn about_to_enter(
        &self,
        o: &mut Observed,
        p: &Promotion,
        namespace: &str,
        setting: Setting,
        place: &mut Place,
    ) -> Result<Setting, Trouble> {
        if !mutation::is(Mutation::EntryWithoutLiveClaim) {
            place.claim = self.live_claim(namespace).await?;
        }
        let setting = self.live_environment(o, &p.name, setting).await?;
        if setting.environment.spec.target_namespace(o.namespace()) != namespace {
            // The claim is of another namespace than the Environment now names: begin again with what is live.
            let live = (*setting.environment).clone();
            self.see(|index| index.put_environment(Arc::new(live)));
            return Err(Trouble::Conflict(format!(
                "Environment {} was redirected",
                p.name
            )));
        }
        self.live_newer(o, p).await?;
        let approvals = setting.environment.spec.gates.iter();
        if approvals.filter_map(|g| g.approval.as_ref()).next().is_some() {
            self.live_decisions(o).await?;
        }
        Ok(setting)
    }

    fn indexed(&self, o: &Observed, p: &Promotion, namespace: &str) -> Place {
        let index = self.index();
        let mut rivals: Vec<Rival> = index
            .queue(namespace)
            .iter()
            .filter(|(release, _)| release.metadata.uid.as_deref() != Some(o.uid()))
            .map(|(release, environment)| Rival::of(release, environment))
            .collect();
        rivals.sort();
        // Who goes on after a failure finds what that one has left behind.
        let looks = p.state.before_entry() && p.attempt == 1;
        let unhealthy = o
            .release
            .spec
            .components
            .iter()
            .filter(|_| looks)
            .filter_map(|c| index.workload(&c.target.kind, namespace, &c.target.name))
            .filter_map(|kept| readiness::healthy_before(&kept.object()).err())
            .collect();
        Place {
            namespace: match index.namespace(namespace) {
                None => NamespaceState::Missing,
                Some(n) if n.terminating => NamespaceState::Terminating,
                Some(_) => NamespaceState::Present,
            },
            claim: index.claim(namespace).cloned(),
            unclaimed: index.unclaimed(namespace, o.uid()),
            rivals,
            unhealthy,
            ..Place::default()
        }
    }

    /// A holder that the index does not know may be gone: a live read proves it.
    async fn prove_absent(&self, claim: &mut Claim) -> Result<(), Trouble> {
        let Some((namespace, name)) = claim.release.split_once('/') else {
            claim.holder_absent = true;
            return Ok(());
        };
        let uid = claim.holder.as_ref().map(|h| h.release_uid.clone());
        if self
            .index()
            .release(namespace, name)
            .is_some_and(|r| r.metadata.uid == uid)
        {
            return Ok(());
        }
        let found = self.client.release_metadata(namespace, name).await?;
        claim.holder_absent = found.is_none_or(|f| f.uid != uid);
        Ok(())
    }

    async fn live_claim(&self, namespace: &str) -> Result<Option<Claim>, Trouble> {
        let home = &self.settings.operator_namespace;
        let lease = self.client.lease(home, &plan::claim_name(namespace)).await?;
        Ok(lease.as_ref().and_then(claims::read))
    }

    /// Whether this promotion has entered already, as another process knows that led until a moment ago: what was kept then
    /// would differ from what stands on the targets now, and must not be taken for something to keep again.
    async fn live_release(&self, o: &Observed) -> Result<(), Trouble> {
        let Some(live) = self.client.release(o.namespace(), o.name()).await? else {
            return Err(Trouble::NotFound);
        };
        if live.metadata.resource_version == o.release.metadata.resource_version {
            return Ok(());
        }
        self.see(|index| index.put_release(Arc::new(live)));
        Err(Trouble::Conflict(format!(
            "{} has been changed since it was observed",
            o.release_path()
        )))
    }

    async fn live_environment(
        &self,
        o: &mut Observed,
        name: &str,
        known: Setting,
    ) -> Result<Setting, Trouble> {
        let Some(live) = self.client.environment(name).await? else {
            return Err(Trouble::NotFound);
        };
        if live.spec == known.environment.spec
            && live.metadata.deletion_timestamp == known.environment.metadata.deletion_timestamp
        {
            return Ok(known);
        }
        let setting = Setting {
            calendar: Arc::new(calendar_of(&live)),
            environment: Arc::new(live),
        };
        Arc::make_mut(&mut o.environments).insert(name.to_owned(), setting.clone());
        Ok(setting)
    }

    /// A Reject that the watch has not shown yet still blocks.
    async fn live_decisions(&self, o: &mut Observed) -> Result<(), Trouble> {
        let mut decisions: Vec<Arc<Decision>> = self
            .client
            .decisions(o.namespace())
            .await?
            .into_iter()
            .filter(|d| d.spec.release == o.name())
            .map(Arc::new)
            .collect();
        decisions.sort_by_key(|d| (d.metadata.creation_timestamp.clone(), d.metadata.uid.clone()));
        o.decisions = decisions;
        Ok(())
    }

    /// Newer versions that list this environment: has one Succeeded there that the watch has not shown yet?
    async fn live_newer(&self, o: &mut Observed, p: &Promotion) -> Result<(), Trouble> {
        for sibling in &mut o.siblings {
            let listed = sibling.spec.environments.contains(&p.name);
            let succeeded = sibling
                .promotion(&p.name)
                .is_some_and(|q| q.state == State::Succeeded);
            if listed
                && !succeeded
                && is_older(&o.release, sibling)
                && let Some(live) = self
                    .client
                    .release(
                        sibling.metadata.namespace.as_deref().unwrap_or_default(),
                        sibling.metadata.name.as_deref().unwrap_or_default(),
                    )
                    .await?
            {
                *sibling = Arc::new(live);
            }
        }
        Ok(())
    }

    async fn live_pre_state(&self, name: &str) -> Result<Option<KeptPreState>, Trouble> {
        let home = &self.settings.operator_namespace;
        let Some(kept) = self.client.revision(home, name).await? else {
            return Ok(None);
        };
        let data = kept.data.map(|d| d.0).unwrap_or_default();
        match serde_json::from_value::<PreState>(data) {
            Ok(content) => Ok(Some(KeptPreState {
                name: name.to_owned(),
                uid: kept.metadata.uid.unwrap_or_default(),
                content: Arc::new(content),
            })),
            // What cannot be read cannot be restored: as good as missing, and said so.
            Err(error) => {
                tracing::error!(pre_state = name, %error, "a pre-state cannot be read");
                Ok(None)
            }
        }
    }

    async fn predecessor(&self, name: &str, memory: &mut Memory) -> Result<Option<Arc<PreState>>, Trouble> {
        if let Some(known) = memory.predecessors.get(name) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(kept) = self.live_pre_state(name).await? else {
            return Ok(None);
        };
        memory
            .predecessors
            .insert(name.to_owned(), Arc::clone(&kept.content));
        Ok(Some(kept.content))
    }

    async fn gates(
        &self,
        o: &Observed,
        p: &Promotion,
        gates: &[Gate],
        place: &mut Place,
        memory: &mut Memory,
        now: Timestamp,
    ) {
        let namespace = &o
            .environment(&p.name)
            .map(|e| e.spec.target_namespace(o.namespace()))
            .unwrap_or_default();
        for gate in gates {
            if gate.job.is_some() {
                let state = self.job(o, p, &gate.name, namespace, memory);
                place.jobs.insert(gate.name.clone(), state);
            }
            if let Some(expression) = &gate.expression {
                let result = self
                    .expression(o, p, &gate.name, &expression.pass_when, memory, now)
                    .await;
                place.expressions.insert(gate.name.clone(), result);
            }
        }
    }

    fn job(&self, o: &Observed, p: &Promotion, check: &str, namespace: &str, memory: &Memory) -> JobState {
        let name = plan::job_name(o.uid(), &p.name, p.attempt, check, &p.plan_hash);
        if let Some(job) = self.index().job(namespace, &name) {
            return job_state(&job.object());
        }
        match memory.jobs.get(&format!("{}/{check}", p.name)) {
            Some(retried) => JobState::Trouble(retried.trouble.clone()),
            None => JobState::Absent,
        }
    }

    async fn expression(
        &self,
        o: &Observed,
        p: &Promotion,
        check: &str,
        text: &str,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<bool, String> {
        let Some(environment) = o.environment(&p.name) else {
            return Err(format!("Environment {} is not there any more", p.name));
        };
        // What they are made of may be as large as the API server takes, and every pass asks: that it is the same is told by less.
        let asked = plan::hex(
            &format!(
                "{text}\n{:?}\n{:?}",
                given(&o.release.metadata),
                given(&environment.metadata)
            ),
            32,
        );
        let key_of_check = format!("{}/{check}", p.name);
        let known = memory.expressions.get(&key_of_check).filter(|e| e.asked == asked);
        if let Some(known) = known.filter(|e| e.stands(now)) {
            return known.result.clone();
        }
        let before = known.map_or(0, |e| e.tries);
        if let Some(until) = memory.expressions_rest.filter(|until| now < *until) {
            let left = std::time::Duration::try_from(until.duration_since(now)).unwrap_or_default();
            let key = index::Key::release(o.namespace(), o.name());
            self.queue.wake_after(key, left);
            // What failed before is still no yes, and saying so again writes nothing.
            let failed = memory
                .expressions
                .get(&key_of_check)
                .and_then(|e| e.result.clone().err());
            return Err(
                failed.unwrap_or_else(|| "expressions over this release take long, and take turns".into())
            );
        }
        let (result, took) = match self.compiled(text) {
            Ok(compiled) => {
                let release = Arc::new(expressions::release_value(&o.release));
                let environment = Arc::new(expressions::environment_value(environment));
                self.client.evaluate(compiled, release, environment).await
            }
            Err(why) => (Err(why), std::time::Duration::ZERO),
        };
        if took > SLOW_EXPRESSION {
            memory.expressions_work += took;
        }
        // Several in a row, then a long rest: each row is one write of what may be a large status.
        if memory.expressions_work > ROW_OF_EXPRESSIONS {
            let work = std::mem::take(&mut memory.expressions_work);
            let rest = jiff::SignedDuration::try_from(work * SHARE_OF_EXPRESSIONS).unwrap_or(LONGEST_REST);
            memory.expressions_rest = Some(now + rest.min(LONGEST_REST));
        }
        let tries = if result.is_ok() { 0 } else { before + 1 };
        let evaluated = Evaluated {
            asked,
            result: result.clone(),
            at: now,
            tries,
        };
        if result.is_err() {
            let key = index::Key::release(o.namespace(), o.name());
            let after = std::time::Duration::try_from(evaluated.failure_stands()).unwrap_or_default();
            self.queue.wake_after(key, after);
        }
        memory.expressions.insert(key_of_check, evaluated);
        result
    }

    /// Compiled once: an evaluation that is late is known by its expression.
    pub fn compiled(&self, text: &str) -> Result<expressions::Expression, String> {
        let mut known = self.expressions.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_EXPRESSIONS && !known.contains_key(text) {
            known.clear();
        }
        known
            .entry(text.to_owned())
            .or_insert_with(|| expressions::Expression::compile(text))
            .clone()
    }
}

/// What tells one object that expressions look at from another: the generation stands for its spec.
fn given(metadata: &ObjectMeta) -> impl std::fmt::Debug + '_ {
    let ObjectMeta {
        name,
        namespace,
        uid,
        generation,
        labels,
        ..
    } = metadata;
    (name, namespace, uid, generation, labels)
}

/// Whether `a` is an older version than `b`.
fn is_older(a: &Release, b: &Release) -> bool {
    match (
        a.spec.version.parse::<Version>(),
        b.spec.version.parse::<Version>(),
    ) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}

/// An Environment's windows, parsed.
#[must_use]
pub fn calendar_of(environment: &Environment) -> Calendar {
    let windows: Vec<calendar::Window> = environment
        .spec
        .windows
        .iter()
        .map(|w| calendar::Window {
            name: w.name.clone(),
            kind: match w.kind {
                WindowKind::Allow => calendar::WindowKind::Allow,
                WindowKind::Deny => calendar::WindowKind::Deny,
            },
            when: match (&w.from, &w.to) {
                (Some(from), Some(to)) => calendar::When::Once {
                    from: from.0,
                    to: to.0,
                },
                _ => calendar::When::Recurring {
                    schedule: w.schedule.clone().unwrap_or_default(),
                    duration: w
                        .duration
                        .as_ref()
                        .map_or(jiff::SignedDuration::ZERO, crate::api::GoDuration::get),
                    time_zone: w.time_zone.clone().unwrap_or_default(),
                },
            },
        })
        .collect();
    let default = match environment.spec.default_window() {
        DefaultWindow::Open => calendar::DefaultWindow::Open,
        DefaultWindow::Closed => calendar::DefaultWindow::Closed,
    };
    Calendar::new(&windows, default)
}

/// What a Job's status says.
fn job_state(job: &Value) -> JobState {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    let holds = |kind: &str| {
        conditions
            .into_iter()
            .flatten()
            .find(|c| c["type"] == kind && c["status"] == "True")
    };
    if holds("Complete").is_some() {
        return JobState::Succeeded;
    }
    if let Some(failed) = holds("Failed") {
        let reason = failed["reason"].as_str().unwrap_or(reasons::FAILED);
        let message = failed["message"].as_str().unwrap_or_default();
        return JobState::Failed(format!("{reason}: {message}"));
    }
    let created = job.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    JobState::Running {
        started: created.and_then(|t| t.parse().ok()),
    }
}
