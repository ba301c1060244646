//! One run of one scenario, with at most one violent death in it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::CronJob;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use signalbox::api::environment::EnvironmentSpec;
use signalbox::api::release::State;
use signalbox::api::{Action, Release};

use crate::end::{self, End, Start};
use crate::kit::{
    IMAGE, Kill, Operator, ReleaseBuilder, Stage, Write, approval_gate, decision, state_of, wait_until,
};

/// Long enough for a busy machine; a test that passes never waits for it.
pub const LONG: Duration = Duration::from_secs(60);
/// An operator that has asked for nothing for so long has nothing in hand.
pub const SILENCE: Duration = Duration::from_millis(300);

const NEVER_READY: &str = "registry.example.com/ledger-unready@sha256:3333333333333333333333333333333333333333333333333333333333333333";

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Approved by bob, config before ledger, verified by a Job.
    Promotion,
    /// The ledger never becomes ready, and everything is put back without anybody's help.
    Backout,
}

impl Scenario {
    fn release(self, stage: &Stage) -> ReleaseBuilder {
        let release = stage.release("1").into(&["sit"]).config(
            "config",
            "ledger-config",
            json!({ "FEATURE_X": "on", "NEW_KEY": "new" }),
        );
        match self {
            Self::Promotion => release.image("ledger", IMAGE),
            Self::Backout => release.image("ledger", NEVER_READY).ready_within("2s"),
        }
        .after(&["config"])
        .restart_on(&["config"])
    }

    pub fn ends_in(self) -> State {
        match self {
            Self::Promotion => State::Succeeded,
            Self::Backout => State::BackedOut,
        }
    }

    async fn stage(self) -> Stage {
        let with = move |spec: &mut EnvironmentSpec| {
            spec.verification = serde_json::from_value(
                json!([{ "name": "smoke", "job": { "template": "smoke", "timeout": "1m" } }]),
            )
            .unwrap();
            if self == Self::Promotion {
                spec.gates.push(approval_gate("board", "board", 1));
            }
        };
        let stage = Stage::new("crash").only(&["sit"]).with("sit", with).await;
        let template: CronJob = serde_json::from_value(json!({
            "metadata": { "name": "smoke" },
            "spec": {
                "suspend": true, "schedule": "0 0 1 1 *",
                "jobTemplate": { "spec": { "template": { "spec": {
                    "restartPolicy": "Never", "containers": [{ "name": "smoke", "image": "registry.example.com/smoke:1" }],
                } } } },
            },
        }))
        .unwrap();
        let templates: Api<CronJob> = stage.in_target("sit");
        templates.create(&PostParams::default(), &template).await.unwrap();
        if self == Self::Promotion {
            stage
                .grant("bob", "approve", "environments/board", &stage.environment("sit"))
                .await;
        }
        stage
    }

    /// What people do, whether or not an operator is alive.
    async fn people(self, stage: &Stage, release: &str) {
        if self == Self::Promotion {
            let hash = stage.plan_hash(release, "sit").await;
            let approval = decision(Action::Approve, release, &stage.environment("sit"))
                .named("board-says-yes")
                .at_gate("board", "board", &hash);
            stage.create_as("bob", &approval.build()).await.expect("bob may");
        }
    }
}

/// A run that has come to its end; an operator is still there.
pub struct Played {
    pub stage: Stage,
    pub release: String,
    pub start: Start,
    pub end: End,
    /// What the first operator wrote, the fatal write last.
    pub writes: Vec<Write>,
    /// Whether it was killed.
    pub killed: bool,
    pub operator: Operator,
}

/// Plays `scenario`; where the operator dies, one with empty memory takes its place.
pub async fn play(scenario: Scenario, kill: Option<Kill>) -> Played {
    let stage = scenario.stage().await;
    let start = end::start(&stage).await;
    let first = Operator::start(kill).await;
    let killer = first.killer.clone();
    let release = stage.submit(scenario.release(&stage)).await;
    let (operator, killed) = lives(scenario, &stage, &release, first).await;
    let end = end::read(&stage, &release, &start).await;
    Played {
        writes: killer.writes(),
        stage,
        release,
        start,
        end,
        killed,
        operator,
    }
}

/// Until everything is at rest: the operator that is left, and whether it is the second.
async fn lives(scenario: Scenario, stage: &Stage, release: &str, mut operator: Operator) -> (Operator, bool) {
    let environment = stage.environment("sit");
    let ends = || async {
        wait_until(&stage.api::<Release>(), release, LONG, |release| {
            state_of(release, &environment) == Some(scenario.ends_in())
        })
        .await;
    };
    let killer = operator.killer.clone();
    let mut people = std::pin::pin!(scenario.people(stage, release));
    let mut asked = false;
    {
        let mut alive = std::pin::pin!(async {
            ends().await;
            killer.silent(SILENCE).await;
        });
        loop {
            tokio::select! {
                biased;
                () = killer.killed() => break,
                () = &mut people, if !asked => asked = true,
                () = &mut alive => return (operator, false),
            }
        }
    }
    operator.killed().await;
    operator = Operator::start(None).await;
    if !asked {
        people.await;
    }
    ends().await;
    operator.killer.silent(SILENCE).await;
    (operator, true)
}

impl Played {
    /// An operator that knows nothing yet finds nothing to do.
    pub async fn restarted(mut self) -> Self {
        self.operator.killed().await;
        self.operator = Operator::start(None).await;
        self.operator.killer.silent(SILENCE).await;
        let writes: Vec<_> = self.operator.killer.writes().iter().map(Write::what).collect();
        assert_eq!(writes, Vec::<String>::new(), "a settled system writes nothing");
        self
    }

    pub async fn finish(self) {
        self.stage.finish().await;
        self.operator.killed().await;
    }
}
