//! A history: what people, controllers, clocks and crashes do, one sentence each, and how it is run.

use std::fmt;

use jiff::Timestamp;
use serde_json::json;

use crate::api::release::{Because, Hold, State};
use crate::api::{Action, ON_DELETE, Release, time};
use crate::decide::fixtures::seconds;
use crate::decide::plan;
use crate::world::operator::Operator;
use crate::world::ownership::put_element;
use crate::world::reactions::Then;
use crate::world::tests::invariants::{Broken, Invariants, Verdict};
use crate::world::tests::seam::{Answering, Seam};
use crate::world::tests::step::{ACTIONS, Fate, Field, Hash, PEOPLE, Step};
use crate::world::tests::town::{self, ENVIRONMENTS, HOME, Pipeline, release_name};
use crate::world::{Behaviour, JobBehaviour, Script, Spot, Where, World};

/// The number of reconciles in a row after which a step ends.
const MOST_PASSES: usize = 80;
/// The number of edges within which everything has to finish once nothing disturbs any more.
const MOST_EDGES: usize = 400;
/// The number of edges in a row, each less than a second after the last one, that only an operator reaches that does not come to rest.
const MOST_WITHIN_SECONDS: usize = 25;

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut says = vec![format!("{} environments", self.environments)];
        let mut with = |holds: bool, what: &str| {
            if holds {
                says.push(what.to_owned());
            }
        };
        with(self.job, "a Job gate");
        with(self.soak, "a soak of five minutes");
        with(self.verification, "a verification");
        with(self.observation, "ten minutes of observation");
        with(self.closed, "closed for the first hour");
        with(self.shared, "SIT and UAT in one namespace");
        with(self.automatic, "backed out automatically");
        with(!self.same_artifact, "images not compared with upstream");
        with(self.approvals > 0, "approvals");
        with(true, self.workload);
        with(self.deletes_pods, "stuck pods are deleted");
        with(
            self.max_occupancy.is_some(),
            &format!(
                "occupied for twice 20 minutes at most, then {:?}",
                self.max_occupancy
            ),
        );
        with(
            self.admission.is_some(),
            &format!("admission {:?}", self.admission),
        );
        with(
            self.reloader.is_some(),
            &format!("a reloader {:?}", self.reloader),
        );
        f.write_str(&says.join(", "))
    }
}

/// A world in which a history runs, and its invariants.
pub(crate) struct Play {
    pub world: World,
    pipeline: Pipeline,
    pub invariants: Invariants,
    seam: Seam,
    operators: [Option<Operator<Answering>>; 2],
    /// The next reconcile begins with everything shown.
    sees_all: bool,
}

impl Play {
    pub(crate) fn of(pipeline: Pipeline, seam: Seam) -> Self {
        let script = Script {
            takes: seconds(5),
            ..Script::default()
        };
        let mut world = town::world(&pipeline, script, true);
        world.put_release_unasked(town::release(&pipeline, 1));
        let invariants = Invariants::of(&world.objects());
        (seam.lays)(&world);
        Self {
            world,
            pipeline,
            invariants,
            seam,
            operators: [None, None],
            sees_all: false,
        }
    }

    fn namespace(&self, environment: usize) -> String {
        let name = ENVIRONMENTS[environment.min(self.pipeline.environments - 1)];
        let objects = self.world.objects();
        objects.environments[name].spec.namespace.clone()
    }

    fn workload(&self, environment: usize) -> Spot {
        (
            self.namespace(environment),
            self.pipeline.workload.to_owned(),
            "ledger".to_owned(),
        )
    }

    fn name(&self, environment: usize) -> &'static str {
        ENVIRONMENTS[environment.min(self.pipeline.environments - 1)]
    }

    fn operator(&mut self, which: usize) -> &mut Operator<Answering> {
        let (world, seam) = (&self.world, self.seam);
        self.operators[which]
            .get_or_insert_with(|| seam.start(&world.cluster.of(which), &world.settings, &world.expected))
    }

    /// Checks what has been written since.
    fn judge(&mut self) -> Verdict {
        let mut objects = self.world.cluster.objects();
        if objects.deeds.is_empty() {
            return Ok(());
        }
        let deeds = std::mem::take(&mut objects.deeds);
        self.invariants.judge(&objects, &deeds)
    }

    /// A reconcile begins: it may not have read what comes later.
    fn begins(&mut self) {
        if self
            .operators
            .iter()
            .flatten()
            .any(|operator| operator.is_under_way())
        {
            return;
        }
        let objects = self.world.cluster.objects();
        self.invariants.began = Some(objects.now);
        self.invariants.claims_when_began = objects.claims();
        self.invariants.rejects_since.clear();
    }

    /// It leads from now on, and its watches have shown it everything.
    fn leads(&mut self, which: usize) {
        if self.world.objects().leader != which {
            self.invariants.another_process();
        }
        let led = std::mem::replace(&mut self.world.objects().leader, which);
        if led == which {
            self.operator(which).see_all();
        } else {
            self.operator(which).lead();
        }
    }

    /// Runs whole reconciles. False if nothing was due.
    fn pass(&mut self, which: usize) -> Result<bool, Broken> {
        let now = self.world.now();
        let sees_all = std::mem::take(&mut self.sees_all);
        self.invariants.sees_all = sees_all && !self.operator(which).is_under_way();
        self.begins();
        if !self.operator(which).begin(now) {
            return Ok(false);
        }
        while !self.operator(which).go_on(now) {
            self.judge()?;
        }
        self.judge()?;
        self.invariants.sees_all = false;
        Ok(true)
    }

    fn controllers(&mut self) {
        let mut objects = self.world.objects();
        objects.controllers_act();
    }

    /// Everything that is due now, by operator 0, without the others.
    fn due(&mut self) -> Verdict {
        for _ in 0..MOST_PASSES {
            self.controllers();
            self.leads(0);
            self.sees_all = true;
            if !self.pass(0)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn to(&mut self, at: Timestamp) -> Verdict {
        // A reconcile takes no time: an operator that is in the middle of one finishes it first.
        let now = self.world.now();
        for which in 0..2 {
            while self.operators[which].as_mut().is_some_and(|o| !o.go_on(now)) {
                self.judge()?;
            }
        }
        self.judge()?;
        self.world.move_to(at);
        self.controllers();
        Ok(())
    }

    fn next_edge(&mut self) -> Option<Timestamp> {
        let now = self.world.now();
        let reaction = self.world.objects().next_reaction();
        let operator = self.operator(0).next(now);
        crate::domain::time::earliest(reaction, operator)
    }

    pub(crate) fn step(&mut self, step: Step) -> Verdict {
        match step {
            Step::Works { operator, passes } => {
                self.controllers();
                self.leads(operator);
                for _ in 0..passes {
                    self.sees_all = true;
                    self.pass(operator)?;
                    self.operator(operator).see_all();
                }
            }
            Step::WorksBlind { operator, passes } => {
                for _ in 0..passes {
                    self.pass(operator)?;
                }
            }
            Step::GoesPartOfTheWay { operator, requests } => {
                let now = self.world.now();
                self.begins();
                if self.operator(operator).begin(now) {
                    for _ in 0..requests {
                        if self.operator(operator).go_on(now) {
                            break;
                        }
                        self.judge()?;
                    }
                    self.judge()?;
                }
            }
            Step::Sees {
                operator,
                stream,
                changes,
            } => self.operator(operator).see(stream, changes),
            Step::Dies { operator } => {
                self.operators[operator] = None;
                self.invariants.another_process();
            }
            Step::NextEdge => {
                self.due()?;
                if let Some(edge) = self.next_edge() {
                    self.to(edge)?;
                }
            }
            Step::Away { minutes } => {
                let at = self.world.now() + seconds(60 * minutes);
                self.to(at)?;
            }
            step => self.people(step),
        }
        self.judge()
    }

    fn release(&self, number: usize) -> Option<std::sync::Arc<Release>> {
        self.world.known(number)
    }

    /// What people do with Releases. What the API server would refuse is left out.
    fn people(&mut self, step: Step) {
        match step {
            Step::Creates { release } => {
                if self.release(release).is_none() {
                    let release = town::release(&self.pipeline, release);
                    self.world.put_release_unasked(release);
                }
            }
            Step::Approves {
                person,
                release,
                environment,
                hash,
            } => {
                self.answers("Approve", PEOPLE[person], release, environment, hash);
            }
            Step::Rejects {
                person,
                release,
                environment,
            } => {
                self.answers("Reject", PEOPLE[person], release, environment, Hash::Current);
                self.note_reject();
            }
            Step::Decides {
                action,
                release,
                environment,
                wrong_attempt,
            } => {
                let name = self.name(environment);
                let Some(known) = self.release(release) else {
                    return;
                };
                let attempt = known.promotion(name).map_or(1, |p| p.attempt) + i64::from(wrong_attempt);
                self.world.decide_unasked(json!({
                    "release": release_name(release), "environment": name, "action": ACTIONS[action], "by": "bob",
                    "attempt": attempt,
                }));
            }
            Step::EditsPlan { release, value } => self.edits(release, |spec| {
                spec.components[0].patch = Some(json!({ "data": { "limit": value.to_string() } }));
            }),
            Step::Holds { release } => self.edits(release, |spec| {
                spec.hold = match spec.hold {
                    Some(_) => None,
                    None => Some(Hold::default()),
                };
            }),
            Step::Withdraws { release } => {
                self.edits(release, |spec| spec.withdrawn = Some(Because::default()));
            }
            Step::Deletes { release, back_out } => {
                let Some(known) = self.release(release) else {
                    return;
                };
                let mut objects = self.world.objects();
                if known.metadata.deletion_timestamp.is_none() {
                    let mut known = (*known).clone();
                    known.metadata.deletion_timestamp = Some(time(objects.now));
                    if back_out {
                        let annotation = (ON_DELETE.to_owned(), "BackOut".to_owned());
                        known.metadata.annotations = Some([annotation].into());
                    }
                    objects.edited(&mut known.metadata);
                    objects.keep_release(known);
                }
            }
            other => self.others(other),
        }
    }

    /// From now on the last Reject counts.
    fn note_reject(&mut self) {
        let objects = self.world.cluster.objects();
        let last = objects.decisions.values().max_by_key(|d| {
            d.metadata
                .resource_version
                .as_ref()
                .map(|v| v.parse::<u64>().ok())
        });
        let last = last.filter(|d| d.spec.action == Action::Reject).cloned();
        let uid = last.as_ref().and_then(|d| d.metadata.uid.clone());
        self.invariants.rejects_since.extend(uid);
        self.invariants.rejects.extend(last);
    }

    /// Another writer changes the workload.
    fn writes(&mut self, environment: usize, field: Field) {
        let serial = self.world.objects().next_serial();
        let namespace = self.namespace(environment);
        let edit = |object: &mut serde_json::Value| {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            let entry = |name: &str| json!({ "name": name, "value": format!("other-{serial}") });
            match field {
                Field::Image => container["image"] = json!("another/writer:1"),
                Field::OurEnv => put_element(&mut container["env"], entry("RELEASE")),
                Field::OtherEnv => put_element(&mut container["env"], entry("OTHER")),
                Field::OtherKey => container["tty"] = json!(container["tty"] != json!(true)),
            }
        };
        self.world
            .edit_target(&namespace, self.pipeline.workload, "ledger", edit)
            .expect("it is there");
    }

    /// What other writers do in target namespaces.
    fn others(&mut self, step: Step) {
        match step {
            Step::WritesTarget { environment, field } => {
                self.writes(environment, field);
            }
            Step::Scales {
                environment,
                up,
                room,
            } => {
                if self.pipeline.workload != "DaemonSet" {
                    let spot = self.workload(environment);
                    let room = (!room).then_some(2);
                    self.world.objects().scaled(&spot, if up { 4 } else { 2 }, room);
                }
            }
            Step::Reverts { environment, always } => {
                let spot = self.workload(environment);
                self.world
                    .objects()
                    .owned(&spot, if always { u32::MAX } else { 1 });
            }
            Step::LosesNode { environment } => {
                let spot = self.workload(environment);
                let mut objects = self.world.objects();
                // During a rollout there are no ready pods to lose.
                if objects.reactions.values().all(|r| *r.spot() != spot) {
                    objects.happens(
                        &spot,
                        vec![(seconds(0), Then::LosesNode), (seconds(300), Then::NodeIsBack)],
                    );
                }
            }
            Step::PodsLinger { environment } => {
                let namespace = self.namespace(environment);
                self.world.objects().neighbours.lingering.insert(namespace);
            }
            Step::DeletesPod { environment } => {
                let spot = self.workload(environment);
                let mut objects = self.world.objects();
                let Some(object) = objects.targets.get(&spot).cloned() else {
                    return;
                };
                let last = objects.pods_of(&spot, &object).pop();
                if let Some(((namespace, name), _)) = last {
                    objects.pod_deleted(&(namespace, "Pod".to_owned(), name));
                }
            }
            Step::DeletesClaim { environment } => {
                let namespace = self.namespace(environment);
                let name = plan::claim_name(&namespace);
                let mut objects = self.world.cluster.objects();
                if let Some(claim) = objects.claim(&name) {
                    self.invariants.vandalised.insert(namespace);
                    objects
                        .delete_lease(&name, &claim.uid, &claim.resource_version)
                        .expect("it is there");
                    // The operator did not write this.
                    objects.deeds.pop();
                    objects.writes -= 1;
                }
            }
            Step::SpoilsTemplate { environment } => {
                let namespace = self.namespace(environment);
                let edit = |object: &mut serde_json::Value| {
                    let suspended = object["spec"]["suspend"] == json!(true);
                    object["spec"]["suspend"] = json!(!suspended);
                };
                self.world
                    .edit_target(&namespace, "CronJob", "smoke", edit)
                    .expect("it is there");
            }
            circumstance => self.circumstance(circumstance),
        }
    }

    /// How workloads and Jobs behave from now on.
    fn circumstance(&mut self, step: Step) {
        match step {
            Step::TakesRights { environment } => {
                let namespace = self.namespace(environment);
                self.world.objects().refuses.insert(namespace);
            }
            Step::GivesRights { environment } => {
                let namespace = self.namespace(environment);
                self.world.objects().refuses.remove(&namespace);
            }
            Step::Rollouts { environment, fate } => {
                let at = Where::at(self.name(environment), "ledger");
                let mut objects = self.world.objects();
                objects.script.rollouts.insert(0, (at, behaviour(fate)));
            }
            Step::Backouts { environment, fate } => {
                let at = Where::at(self.name(environment), "ledger");
                let mut objects = self.world.objects();
                objects.script.backouts.insert(0, (at, behaviour(fate)));
            }
            Step::Jobs { fails, hangs } => {
                let job = match (hangs, fails) {
                    (true, _) => JobBehaviour::Hangs,
                    (false, true) => JobBehaviour::Fails { after: seconds(5) },
                    (false, false) => JobBehaviour::Succeeds { after: seconds(5) },
                };
                let last = self.name(usize::MAX);
                let mut objects = self.world.objects();
                objects.script.jobs = vec![(Where::at(last, "smoke"), job), (Where::at(last, "probe"), job)];
            }
            Step::Works { .. }
            | Step::WorksBlind { .. }
            | Step::GoesPartOfTheWay { .. }
            | Step::Sees { .. }
            | Step::Dies { .. }
            | Step::NextEdge
            | Step::Away { .. }
            | Step::Creates { .. }
            | Step::Approves { .. }
            | Step::Rejects { .. }
            | Step::Decides { .. }
            | Step::EditsPlan { .. }
            | Step::Holds { .. }
            | Step::Withdraws { .. }
            | Step::Deletes { .. }
            | Step::WritesTarget { .. }
            | Step::Scales { .. }
            | Step::Reverts { .. }
            | Step::LosesNode { .. }
            | Step::PodsLinger { .. }
            | Step::DeletesPod { .. }
            | Step::DeletesClaim { .. }
            | Step::SpoilsTemplate { .. } => unreachable!("{step:?} is done elsewhere"),
        }
    }

    fn answers(&mut self, action: &str, by: &str, release: usize, environment: usize, hash: Hash) {
        let name = self.name(environment);
        let Some(known) = self.release(release) else {
            return;
        };
        let Some(p) = known.promotion(name).filter(|p| !p.plan_hash.is_empty()) else {
            return;
        };
        let hash = match hash {
            Hash::Current => p.plan_hash.clone(),
            Hash::Old => plan::hash(&known, name, Some(&self.namespace(environment)), p.attempt + 7),
        };
        self.world.decide_unasked(json!({
            "release": release_name(release), "environment": name, "action": action, "by": by,
            "subject": "board", "role": "board", "planHash": hash,
        }));
    }

    /// An edit of the spec. Only the few rules of the definition that matter here are applied.
    fn edits(&mut self, release: usize, edit: impl FnOnce(&mut crate::api::ReleaseSpec)) {
        let Some(known) = self.release(release) else {
            return;
        };
        let mut after = (*known).clone();
        edit(&mut after.spec);
        let entered = known
            .status
            .iter()
            .flat_map(|s| &s.environments)
            .any(|p| p.entered.is_some());
        let frozen = entered && after.spec.components != known.spec.components;
        if frozen || after.spec == known.spec {
            return;
        }
        let mut objects = self.world.objects();
        objects.edited(&mut after.metadata);
        objects.keep_release(after);
    }

    /// Nothing disturbs any more: everything comes to rest, no Release is left waiting, and nothing is written after that.
    pub(crate) fn rest(&mut self) -> Verdict {
        self.operators = [None, None];
        self.invariants.another_process();
        self.fix();
        let (mut at_rest, mut in_a_row) = (false, 0);
        for _ in 0..MOST_EDGES {
            self.due()?;
            let Some(edge) = self.next_edge() else {
                at_rest = true;
                break;
            };
            in_a_row = if edge < self.world.now() + seconds(1) {
                in_a_row + 1
            } else {
                0
            };
            if in_a_row == MOST_WITHIN_SECONDS {
                break;
            }
            self.to(edge)?;
        }
        let broken = |what: String| Broken {
            invariant: "I7",
            what,
        };
        if !at_rest {
            return Err(broken(format!("it does not come to rest: {}", self.tells())));
        }
        let objects = self.world.cluster.objects();
        self.invariants.no_dead_end(&objects)?;
        let writes = objects.writes;
        drop(objects);
        self.operators = [None, None];
        self.invariants.another_process();
        self.due()?;
        let after = self.world.objects().writes;
        if after != writes {
            return Err(broken(format!(
                "a successor writes although everything was at rest: {}",
                self.tells()
            )));
        }
        Ok(())
    }

    /// Fixes what was broken by hand. Workloads behave as scripted.
    fn fix(&mut self) {
        let mut objects = self.world.objects();
        objects.refuses.clear();
        drop(objects);
        for environment in 0..self.pipeline.environments {
            let namespace = self.namespace(environment);
            let fix = |object: &mut serde_json::Value| object["spec"]["suspend"] = json!(true);
            self.world
                .edit_target(&namespace, "CronJob", "smoke", fix)
                .expect("it is there");
        }
    }

    /// The state of everything, in a line.
    pub(crate) fn tells(&self) -> String {
        let releases = self.world.releases();
        let now = self.world.now();
        let told = releases.iter().map(|r| {
            let states = r.status.iter().flat_map(|s| &s.environments);
            let states: Vec<String> = states
                .map(|p| {
                    let message = p.message.as_deref().unwrap_or_default();
                    let told = p.state.needs_decision() || p.state == State::Queued;
                    format!(
                        "{} {} {}{}",
                        p.name,
                        p.attempt,
                        p.state.as_str(),
                        if told {
                            format!(" ({message})")
                        } else {
                            String::new()
                        }
                    )
                })
                .collect();
            format!(
                "{}: {}",
                r.metadata.name.as_deref().unwrap_or_default(),
                states.join(", ")
            )
        });
        format!("at {now}: {}", told.collect::<Vec<_>>().join("; "))
    }
}

fn behaviour(fate: Fate) -> Behaviour {
    match fate {
        Fate::Ready => Behaviour::Ready { after: seconds(5) },
        Fate::Slow => Behaviour::Ready { after: seconds(660) },
        Fate::Never => Behaviour::Never,
        Fate::Crashes => Behaviour::Crashes { after: seconds(30) },
        Fate::LosesHealth => Behaviour::LosesHealth {
            ready_after: seconds(5),
            lost_after: seconds(30),
            back_after: Some(seconds(300)),
        },
        Fate::LosesReadiness => Behaviour::LosesReadiness {
            ready_after: seconds(5),
            lost_after: seconds(30),
            back_after: None,
        },
        // It has recovered each time before the grace ends.
        Fate::CrashesWhileReady => Behaviour::CrashesWhileReady {
            ready_after: seconds(5),
            every: seconds(150),
            times: 6,
        },
    }
}

/// Runs a history to its end.
pub(crate) fn play(pipeline: Pipeline, steps: &[Step], seam: Seam) -> Verdict {
    debug_assert_eq!(HOME, "payments");
    let mut play = Play::of(pipeline, seam);
    for step in steps {
        play.step(*step)?;
    }
    play.rest()
}
