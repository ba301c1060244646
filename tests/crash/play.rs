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
/// An operator that has asked for nothing for so long has nothing in hand: an Environment is written 750 ms after what it
/// is derived from.
pub const SILENCE: Duration = Duration::from_secs(1);

const NEVER_READY: &str = "registry.example.com/ledger-unready@sha256:3333333333333333333333333333333333333333333333333333333333333333";

const READY_LATE: &str = "registry.example.com/ledger-slow@sha256:4444444444444444444444444444444444444444444444444444444444444444";

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Approved by bob, config before ledger, verified by a Job.
    Promotion,
    /// The ledger never becomes ready, and everything is put back without anybody's help.
    Backout,
    /// The ledger takes five seconds to be ready, and the config comes after it.
    Slow,
}

impl Scenario {
    pub fn release(self, stage: &Stage) -> ReleaseBuilder {
        let release = stage.release("1").into(&["sit"]);
        let config = json!({ "FEATURE_X": "on", "NEW_KEY": "new" });
        let configured = release.clone().config("config", "ledger-config", config.clone());
        match self {
            Self::Promotion => configured.image("ledger", IMAGE),
            Self::Backout => configured.image("ledger", NEVER_READY).ready_within("2s"),
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

    pub fn ends_in(self) -> State {
        match self {
            Self::Promotion | Self::Slow => State::Succeeded,
            Self::Backout => State::BackedOut,
        }
    }

    pub async fn stage(self) -> Stage {
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
    pub async fn people(self, stage: &Stage, release: &str) {
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
    pub release: String,
    /// What stood before.
    pub start: Start,
    pub end: End,
    /// What the first operator wrote, the fatal write last.
    pub writes: Vec<Write>,
    /// Whether it was killed.
    pub killed: bool,
    pub operator: Operator,
}

/// Plays `scenario` on a stage of its own; where the operator dies, one with empty memory takes its place. It has come to
/// its end once it is as in `clean`, at the latest when the operator has nothing left to do.
pub async fn play(scenario: Scenario, stage: &Stage, kill: Option<Kill>, clean: Option<&End>) -> Played {
    let start = end::start(stage).await;
    let mut operator = Operator::start(kill).await;
    let first = operator.killer.clone();
    let release = stage.submit(scenario.release(stage)).await;
    let mut people = Box::pin(scenario.people(stage, &release));
    let mut asked = false;
    let mut killed = false;
    let end = loop {
        let mut comes = Box::pin(comes_to_an_end(
            scenario, stage, &release, &start, &operator, clean,
        ));
        let end = loop {
            tokio::select! {
                biased;
                () = first.killed(), if !killed => break None,
                () = &mut people, if !asked => asked = true,
                end = &mut comes => break Some(end),
            }
        };
        if let Some(end) = end {
            break end;
        }
        killed = true;
        drop(comes);
        operator.killed().await;
        operator = Operator::start(None).await;
    };
    drop(people);
    Played {
        writes: first.writes(),
        release,
        start,
        end,
        killed,
        operator,
    }
}

async fn comes_to_an_end(
    scenario: Scenario,
    stage: &Stage,
    release: &str,
    start: &Start,
    operator: &Operator,
    clean: Option<&End>,
) -> End {
    let environment = stage.environment("sit");
    wait_until(&stage.api::<Release>(), release, LONG, |release| {
        state_of(release, &environment) == Some(scenario.ends_in())
    })
    .await;
    let is_clean = async {
        let Some(clean) = clean else {
            return std::future::pending().await;
        };
        let mut activity = operator.killer.activity();
        loop {
            activity.mark_unchanged();
            let end = end::read(stage, release, start).await;
            if end == *clean {
                return end;
            }
            activity.changed().await.expect("the killer is still there");
        }
    };
    tokio::select! {
        end = is_clean => end,
        () = operator.killer.silent(SILENCE) => end::read(stage, release, start).await,
    }
}

/// An operator with empty memory, which finds nothing to do and so writes nothing.
pub async fn restarted(before: Operator) -> Operator {
    before.killed().await;
    let operator = Operator::start(None).await;
    operator.killer.silent(SILENCE).await;
    let writes: Vec<_> = operator.killer.writes().iter().map(Write::what).collect();
    assert_eq!(writes, Vec::<String>::new(), "a settled system writes nothing");
    operator
}
