//! What fails, and where: how workloads and Jobs behave once the operator has changed or created them.

use jiff::SignedDuration;

/// How a workload behaves after its template was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Ready after this time.
    Ready { after: SignedDuration },
    /// Never ready, and its controller never says so.
    Never,
    /// Its pods crash, so that its controller gives up after this time.
    Crashes { after: SignedDuration },
    /// Ready after a time, unhealthy some time later, and perhaps healthy again after a while.
    LosesHealth {
        ready_after: SignedDuration,
        lost_after: SignedDuration,
        back_after: Option<SignedDuration>,
    },
    /// The same, but one pod only loses its readiness, and none crashes.
    LosesReadiness {
        ready_after: SignedDuration,
        lost_after: SignedDuration,
        back_after: Option<SignedDuration>,
    },
    /// Ready after a time, and again immediately after each of so many crashes.
    CrashesWhileReady {
        ready_after: SignedDuration,
        every: SignedDuration,
        times: i32,
    },
}

/// How a Job finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobBehaviour {
    /// It gets the condition Complete after this time.
    Succeeds { after: SignedDuration },
    /// It gets the condition Failed after this time.
    Fails { after: SignedDuration },
    /// It never finishes.
    Hangs,
}

/// What is scripted: a component, or a gate or verification, of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// Absent: every Release.
    pub release: Option<String>,
    /// Name of the Environment.
    pub environment: String,
    /// The component's, gate's or verification's name.
    pub name: String,
}

impl Where {
    /// `name` in `environment`, of every Release.
    #[must_use]
    pub fn at(environment: &str, name: &str) -> Self {
        Self {
            release: None,
            environment: environment.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The same, of one Release only.
    #[must_use]
    pub fn of(mut self, release: &str) -> Self {
        self.release = Some(release.to_owned());
        self
    }

    fn is(&self, release: &str, environment: &str, name: &str) -> bool {
        self.release.as_deref().is_none_or(|r| r == release)
            && self.environment == environment
            && self.name == name
    }
}

/// What is not scripted succeeds. The first match counts.
#[derive(Clone, Debug)]
pub struct Script {
    /// Workloads that a promotion changes.
    pub rollouts: Vec<(Where, Behaviour)>,
    /// Workloads that a backout restores.
    pub backouts: Vec<(Where, Behaviour)>,
    /// Jobs of gates and verification.
    pub jobs: Vec<(Where, JobBehaviour)>,
    /// How long a success takes.
    pub takes: SignedDuration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            rollouts: vec![],
            backouts: vec![],
            jobs: vec![],
            takes: SignedDuration::from_secs(5),
        }
    }
}

impl Script {
    /// How a rollout behaves, `forward` or in a backout.
    pub(crate) fn rollout(
        &self,
        forward: bool,
        release: &str,
        environment: &str,
        component: &str,
    ) -> Behaviour {
        let scripted = if forward { &self.rollouts } else { &self.backouts };
        let found = scripted
            .iter()
            .find(|(w, _)| w.is(release, environment, component));
        found.map_or(Behaviour::Ready { after: self.takes }, |(_, behaviour)| {
            *behaviour
        })
    }

    /// How the Job of a check behaves.
    pub(crate) fn job(&self, release: &str, environment: &str, check: &str) -> JobBehaviour {
        let found = self.jobs.iter().find(|(w, _)| w.is(release, environment, check));
        found.map_or(JobBehaviour::Succeeds { after: self.takes }, |(_, behaviour)| {
            *behaviour
        })
    }
}
