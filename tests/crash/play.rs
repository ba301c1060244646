//! One run of one scenario, with the faults of a script.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::environment::EnvironmentSpec;
use signalbox::api::release::State;
use signalbox::api::{Action, Release};
use tokio::sync::{OnceCell, RwLock, Semaphore};

use crate::end::{self, End, Start, differences};
use crate::history::{Effects, History};
use crate::kit::{
    Counts, IMAGE, IMAGE_BEFORE, Kill, Ledger, Operator, ReleaseBuilder, Scope, Script, Stage, Write,
    approval_gate, decision, gone, state_of, wait_until,
};

/// Long enough for a busy machine. A test that passes never waits that long.
pub const LONG: Duration = Duration::from_secs(120);
/// An operator that has sent no request for this time is idle: an Environment is written two seconds after the objects from which
/// it is derived.
pub const SILENCE: Duration = Duration::from_secs(3);

/// Plays with their own scope run side by side. An operator that watches the whole cluster runs alone.
pub static CLUSTER: RwLock<()> = RwLock::const_new(());
/// The number of parallel plays. They wait far more than they compute.
pub static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(14));

pub const NEVER_READY: &str = "registry.example.com/ledger-unready@sha256:3333333333333333333333333333333333333333333333333333333333333333";
pub const READY_LATE: &str = "registry.example.com/ledger-slow@sha256:4444444444444444444444444444444444444444444444444444444444444444";
const PREDECESSOR: &str =
    "registry.example.com/ledger@sha256:5555555555555555555555555555555555555555555555555555555555555555";
const SMOKE: &str = "registry.example.com/smoke:1";
const SMOKE_FAILS: &str = "registry.example.com/smoke:fail";

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Approved by bob, config before ledger, verified by a Job, after another release that it supersedes.
    Promotion,
    /// The ledger never becomes ready, and everything is restored automatically.
    Backout,
    /// Verification failed and everything was restored. The test is fixed, and bob retries the promotion.
    Retry,
    /// The Release is deleted in the middle of Deploying, with on-delete: BackOut.
    Deletion,
    /// The ledger takes five seconds to become ready, and the config is changed after it.
    Slow,
}

impl Scenario {
    pub fn release(self, stage: &Stage) -> ReleaseBuilder {
        let release = stage.release("2").into(&["sit"]);
        let config = json!({ "FEATURE_X": "on", "NEW_KEY": "new" });
        let configured = release.clone().config("config", "ledger-config", config.clone());
        match self {
            Self::Promotion | Self::Retry => configured.image("ledger", IMAGE),
            Self::Backout => configured.image("ledger", NEVER_READY).ready_within("2s"),
            Self::Deletion => configured.image("ledger", NEVER_READY).ready_within("10m").with(
                "/metadata/annotations",
                json!({ "signalbox.dev/on-delete": "BackOut" }),
            ),
            Self::Slow => {
                return release
                    .image("ledger", READY_LATE)
                    .config("config", "ledger-config", config)
                    .after(&["ledger"]);
            }
        }
        .after(&["config"])
        .restart_on(&["config"])
    }

    /// The state at the end, and the attempt; none if the Release is deleted.
    pub fn ends_in(self) -> Option<(State, i64)> {
        match self {
            Self::Promotion | Self::Slow => Some((State::Succeeded, 1)),
            Self::Backout => Some((State::BackedOut, 1)),
            Self::Retry => Some((State::Succeeded, 2)),
            Self::Deletion => None,
        }
    }

    /// In its own scope or, if one is given, in that of another stage.
    pub async fn stage(self, beside: Option<&Stage>) -> Stage {
        let builder = self.builder();
        match beside {
            Some(other) => self.fitted(builder.beside(other).await).await,
            None => self.fitted(builder.alone().await).await,
        }
    }

    /// For operators that watch the whole cluster.
    pub async fn shared_stage(self) -> Stage {
        self.fitted(self.builder().await).await
    }

    fn builder(self) -> crate::kit::StageBuilder {
        let with = move |spec: &mut EnvironmentSpec| {
            spec.verification = serde_json::from_value(
                json!([{ "name": "smoke", "job": { "template": "smoke", "timeout": "1m" } }]),
            )
            .unwrap();
            if self == Self::Promotion {
                spec.gates.push(approval_gate("board", "board", 1));
            }
        };
        Stage::new("crash").only(&["sit"]).with("sit", with)
    }

    async fn fitted(self, stage: Stage) -> Stage {
        let image = if self == Self::Retry { SMOKE_FAILS } else { SMOKE };
        let template: CronJob = serde_json::from_value(json!({
            "metadata": { "name": "smoke" },
            "spec": { "suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": smoke(image) },
        }))
        .unwrap();
        let templates: Api<CronJob> = stage.in_target("sit");
        templates.create(&PostParams::default(), &template).await.unwrap();
        let environment = stage.environment("sit");
        match self {
            Self::Promotion => {
                stage
                    .grant("bob", "approve", "environments/board", &environment)
                    .await
            }
            Self::Retry => stage.grant("bob", "retry", "environments", &environment).await,
            Self::Deletion => {
                stage
                    .grant("alice", "backout", "environments", &environment)
                    .await
            }
            _ => {}
        }
        stage
    }

    /// Everything before the play, with the operator that then plays. Its script has effect from now on.
    pub async fn set(self, script: Script, way: Way) -> Set {
        let stage = self.stage(None).await;
        let mut scope = Scope::of([&stage]);
        scope.server = way.server;
        if let Some(listen) = way.listen {
            scope = scope.listen(listen);
        }
        let operator = Operator::disarmed(&scope, script).await;
        let mut release = None;
        match self {
            Self::Promotion => {
                let first = stage.release("1").into(&["sit"]).image("ledger", PREDECESSOR);
                let first = stage.submit(first).await;
                approve(&stage, &first).await;
                stage.reaches(&first, "sit", State::Succeeded).await;
            }
            Self::Retry => {
                let name = stage.submit(self.release(&stage)).await;
                stage.reaches(&name, "sit", State::BackedOut).await;
                let templates: Api<CronJob> = stage.in_target("sit");
                let fixed = Patch::Merge(json!({ "spec": { "jobTemplate": smoke(SMOKE) } }));
                templates
                    .patch("smoke", &PatchParams::default(), &fixed)
                    .await
                    .unwrap();
                release = Some(name);
            }
            Self::Deletion => {
                let name = stage.submit(self.release(&stage)).await;
                let ledgers: Api<Deployment> = stage.in_target("sit");
                wait_until(&ledgers, "ledger", LONG, |ledger| {
                    ledger.metadata.generation == Some(2)
                })
                .await;
                release = Some(name);
            }
            // The first requests of the operator are part of the play.
            Self::Backout | Self::Slow => operator.faults.arm(),
        }
        if release.is_some() || self == Self::Promotion {
            operator.faults.silent(SILENCE).await;
            operator.faults.arm();
        }
        let start = end::start(&stage).await;
        let history = History::begin(&stage).await;
        Set {
            scenario: self,
            stage,
            start,
            release,
            history,
            scope,
            operator,
        }
    }

    /// The actions of users, whether or not an operator runs.
    pub async fn people(self, stage: &Stage, release: &str) {
        if self == Self::Promotion {
            approve(stage, release).await;
        }
    }
}

fn smoke(image: &str) -> Value {
    json!({ "spec": { "backoffLimit": 0, "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "smoke", "image": image }],
    } } } })
}

async fn approve(stage: &Stage, release: &str) {
    let hash = stage.plan_hash(release, "sit").await;
    let approval = decision(Action::Approve, release, &stage.environment("sit"))
        .named(&format!("board-says-yes-to-{release}"))
        .at_gate("board", "board", &hash);
    stage.create_as("bob", &approval.build()).await.expect("bob may");
}

/// A stage on which the play can begin.
pub struct Set {
    scenario: Scenario,
    pub stage: Stage,
    pub start: Start,
    /// If it exists already.
    release: Option<String>,
    history: History,
    scope: Scope,
    operator: Operator,
}

impl Set {
    /// Starts the play.
    async fn begin(&self) -> String {
        let Some(release) = self.release.clone() else {
            return self.stage.submit(self.scenario.release(&self.stage)).await;
        };
        if self.scenario == Scenario::Deletion {
            let releases = self.stage.api::<Release>();
            releases.delete(&release, &DeleteParams::default()).await.unwrap();
        } else {
            let again = decision(Action::Retry, &release, &self.stage.environment("sit"))
                .named("once-more")
                .attempt(1)
                .because("the smoke test is fixed");
            self.stage
                .create_as("bob", &again.build())
                .await
                .expect("bob may");
        }
        release
    }
}

/// The operators of a play.
#[derive(Clone, Default)]
pub struct Cast {
    /// The script of the first one, and of each that replaces it.
    pub first: Script,
    pub next: Script,
    /// A second one is on standby, with another name, and leads when the Lease of the first one has expired.
    pub stands_by: bool,
    pub way: Way,
}

/// The connection of the operator to the API server.
#[derive(Clone, Default)]
pub struct Way {
    /// If it is not a direct one.
    pub server: Option<http::Uri>,
    pub listen: Option<SocketAddr>,
}

impl From<Script> for Cast {
    fn from(first: Script) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }
}

/// A finished run, without its operator.
pub struct Played {
    pub stage: Stage,
    pub release: String,
    pub start: Start,
    pub end: End,
    pub effects: Effects,
    /// Violations during the run.
    pub unlawful: Vec<String>,
    /// The writes of the first operator, the fatal one last.
    pub writes: Vec<Write>,
    /// The faults in all lives.
    pub counts: Counts,
    /// Whether it was killed.
    pub killed: bool,
}

impl Played {
    /// The differences from the clean run, in words.
    pub fn differs(&self, clean: &Clean) -> Vec<String> {
        let mut all = differences(&clean.end, &self.end);
        if self.effects != clean.effects {
            all.push(format!(
                "effects: {:?} instead of {:?}",
                self.effects, clean.effects
            ));
        }
        all.extend(self.unlawful.iter().map(|what| format!("unlawful: {what}")));
        all
    }
}

/// The result of the clean run, which is played once for each scenario.
#[derive(Debug)]
pub struct Clean {
    pub end: End,
    pub effects: Effects,
    pub writes: Vec<Write>,
}

/// The clean run of a scenario.
pub async fn clean(scenario: Scenario) -> &'static Clean {
    static CLEAN: LazyLock<BTreeMap<Scenario, OnceCell<Clean>>> = LazyLock::new(|| {
        let all = [
            Scenario::Promotion,
            Scenario::Backout,
            Scenario::Retry,
            Scenario::Deletion,
            Scenario::Slow,
        ];
        all.into_iter()
            .map(|scenario| (scenario, OnceCell::new()))
            .collect()
    });
    CLEAN[&scenario]
        .get_or_init(|| async {
            let played = play(scenario, Cast::default(), None).await;
            assert_eq!(played.unlawful, Vec::<String>::new());
            assert_clean(scenario, &played);
            let (end, effects, writes) = (played.end, played.effects, played.writes);
            ended(vec![played.stage]).await;
            Clean { end, effects, writes }
        })
        .await
}

/// Checks the clean run, with which all others are compared.
fn assert_clean(scenario: Scenario, played: &Played) {
    let (before, end) = (&played.start, &played.end);
    assert_eq!(end.claims, Vec::<Value>::new());
    let done = (end.ledger_changes, end.config_changes, played.effects.jobs);
    let new = json!({ "FEATURE_X": "on", "NEW_KEY": "new", "OLD_KEY": "old" });
    match scenario {
        Scenario::Promotion | Scenario::Slow | Scenario::Retry => {
            assert_eq!(done, (1, 1, 1));
            assert_eq!(end.config, new);
            let kept: Vec<_> = end.pre_states.iter().map(|p| p["release"].clone()).collect();
            assert_eq!(
                kept,
                [json!(format!("STAGE/{}", played.release))],
                "only its own pre-state is left"
            );
        }
        Scenario::Backout => {
            // For a ConfigMap each write counts, also the one that releases the ownership in managedFields.
            assert_eq!(done, (2, 3, 0));
            assert_eq!((&end.config, &end.ledger), (&before.config, &before.ledger));
            assert_eq!(end.pre_states.len(), 1);
        }
        Scenario::Deletion => {
            assert_eq!(done, (1, 2, 0), "earlier changes are restored");
            assert_eq!(end.release, Value::Null);
            assert_eq!(end.config, json!({ "FEATURE_X": "off", "OLD_KEY": "old" }));
            assert_eq!(
                end.ledger.pointer("/template/spec/containers/0/image"),
                Some(&json!(IMAGE_BEFORE))
            );
            assert_eq!(end.pre_states, Vec::<Value>::new());
        }
    }
}

/// Plays. If the operator dies, one with an empty cache replaces it, or the standby. The play is finished when everything is as in the
/// clean run, or when the operator has been idle for a long time.
pub async fn play(scenario: Scenario, cast: Cast, clean: Option<&Clean>) -> Played {
    play_while(scenario, cast, clean, async |_, _| {}).await
}

/// [`play`], with other actions on the stage and the release at the same time.
pub async fn play_while(
    scenario: Scenario,
    cast: Cast,
    clean: Option<&Clean>,
    meanwhile: impl AsyncFnOnce(&Stage, &str),
) -> Played {
    let set = scenario.set(cast.first, cast.way).await;
    let scope = set.scope.clone();
    let stands_by = match cast.stands_by {
        true => Some(Operator::start(&scope.clone().identity("stands-by"), cast.next.clone()).await),
        false => None,
    };
    let release = set.begin().await;
    let mut lives: Vec<Operator> = [Some(set.operator), stands_by].into_iter().flatten().collect();
    let first = lives[0].faults.clone();
    let (stage, start) = (&set.stage, &set.start);
    let mut people = Box::pin(async {
        scenario.people(stage, &release).await;
        meanwhile(stage, &release).await;
    });
    let (mut asked, mut killed) = (false, false);
    let end = loop {
        let leads = lives.last().expect("there is one").faults.clone();
        let leads = if cast.stands_by && !killed {
            first.clone()
        } else {
            leads
        };
        let comes = comes_to_an_end(
            set.scenario,
            stage,
            &release,
            start,
            &leads,
            clean.map(|c| &c.end),
        );
        let mut comes = Box::pin(comes);
        let end = loop {
            tokio::select! {
                biased;
                () = first.killed(), if !killed => break None,
                () = &mut people, if !asked => asked = true,
                end = &mut comes, if asked => break Some(end),
            }
        };
        if let Some(end) = end {
            break end;
        }
        killed = true;
        if !cast.stands_by {
            lives.push(Operator::start(&scope, cast.next.clone()).await);
        }
    };
    drop(people);
    let mut counts = Counts::default();
    for life in lives {
        counts = counts.and(life.faults.counts());
        life.killed().await;
    }
    let (unlawful, effects) = set.history.judged().await;
    Played {
        writes: first.writes(),
        stage: set.stage,
        release,
        start: set.start,
        end,
        effects,
        unlawful,
        counts,
        killed,
    }
}

async fn comes_to_an_end(
    scenario: Scenario,
    stage: &Stage,
    release: &str,
    start: &Start,
    operator: &crate::kit::Faults,
    clean: Option<&End>,
) -> End {
    let environment = stage.environment("sit");
    let releases = stage.api::<Release>();
    // With many random faults, the pauses between retries add up.
    let long = if clean.is_some() { LONG * 3 } else { LONG };
    match scenario.ends_in() {
        Some((state, attempt)) => {
            wait_until(&releases, release, long, |release| {
                state_of(release, &environment) == Some(state)
                    && release
                        .promotion(&environment)
                        .is_some_and(|p| p.attempt == attempt)
            })
            .await;
        }
        None => gone(&releases, release, long).await,
    }
    let is_clean = async {
        let Some(clean) = clean else {
            return std::future::pending().await;
        };
        let mut activity = operator.activity();
        loop {
            activity.mark_unchanged();
            let end = end::read(stage, release, start).await;
            if end == *clean {
                return end;
            }
            // A request of the operator precedes each of its writes. A write of a controller has no such signal.
            let _ = tokio::time::timeout(SILENCE, activity.changed()).await;
        }
    };
    // After faults an operator may wait for its next retry. A play that passes does not wait that long.
    let patience = if clean.is_some() { SILENCE * 7 } else { SILENCE };
    tokio::select! {
        end = is_clean => end,
        () = operator.silent(patience) => end::read(stage, release, start).await,
    }
}

/// Deletes stages, each with an operator that can still release their claims.
pub async fn ended(stages: Vec<Stage>) {
    let ending: FuturesUnordered<_> = stages
        .into_iter()
        .map(|stage| async move {
            let operator = Operator::start(&Scope::of([&stage]), None).await;
            stage.finish().await;
            operator.killed().await;
        })
        .collect();
    ending.collect::<Vec<_>>().await;
}

impl Played {
    /// An operator with an empty cache finds nothing to do and writes nothing, and nothing changes. A stage that differs from the clean
    /// run is left for inspection.
    pub async fn judged(self, clean: &Clean) -> Vec<String> {
        let operator = Operator::start(&Scope::of([&self.stage]), None).await;
        operator.faults.silent(SILENCE).await;
        let writes = operator.faults.writes();
        let end = end::read(&self.stage, &self.release, &self.start).await;
        let wrote = writes
            .iter()
            .map(|write| format!("a successor wrote {}", write.what()));
        let mut all = self.differs(clean);
        all.extend(differences(&clean.end, &end));
        all.extend(wrote);
        all.dedup();
        if all.is_empty() {
            self.stage.finish().await;
        } else {
            self.stage.left();
        }
        operator.killed().await;
        all
    }
}

/// The writes of a ledger.
pub fn of(ledger: Ledger, writes: &[Write]) -> Vec<Write> {
    writes
        .iter()
        .filter(|write| write.ledger == ledger)
        .cloned()
        .collect()
}

/// Kills the operator at this write.
pub fn killed_at(kill: Kill) -> Cast {
    Script::from(kill).into()
}
