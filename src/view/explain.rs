//! A Release, explained: what its status says, as data. Everything that prints something about a Release uses this module.
//!
//! It is pure and never parses a sentence. A status has its facts in fields, and `Display` makes sentences of them last.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::api::decision::DecisionSpec;
use crate::api::environment::ControlName;
use crate::api::reasons::{self, Clears};
use crate::api::release::{
    Backout, Check, CheckState, ComponentState, ComponentStatus, Entered, Hold, Promotion, Rag, ReviewStatus,
    State,
};
use crate::api::{Release, Time};

/// What people read about a Release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation<'a> {
    /// Namespace of the Release; empty if it has none.
    pub namespace: &'a str,
    /// Name of the Release; empty if it has none.
    pub name: &'a str,
    /// `spec.product` of the Release.
    pub product: &'a str,
    /// `spec.version` of the Release.
    pub version: &'a str,
    /// `spec.requestedBy` of the Release, the user who requests it.
    pub requested_by: &'a str,
    /// The hold in its spec, for all or some environments. Absent if it is not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<&'a Hold>,
    /// Why the operator does not accept it. Absent if it does, or has not judged it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'a str>,
    /// The colour, and the reasons for it. Absent before the operator has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rag: Option<&'a Rag>,
    /// The last environment in order that Succeeded. Absent if none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub furthest: Option<&'a str>,
    /// `status.review` of the Release. Absent before the operator has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<&'a ReviewStatus>,
    /// In promotion order.
    pub environments: Vec<InEnvironment<'a>>,
}

/// What people read about a Release in one environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InEnvironment<'a> {
    /// Name of the Environment.
    pub environment: &'a str,
    /// The state of the promotion.
    pub state: State,
    /// When it entered this state (UTC). Absent if its status does not record it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// One sentence that begins with the environment.
    pub summary: String,
    /// Whether the Release's spec holds it here.
    pub held: bool,
    /// What holds it.
    pub blocks: Vec<Block>,
    /// Absent once it waits for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// `message` of the promotion. Absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// Decisions that do not count, and why. Absent if all count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<&'a str>,
    /// `message` and `not_counted` in one. Absent if both are.
    #[serde(skip)]
    pub says: Option<String>,
    /// When the attempt entered (UTC). Absent before entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered_at: Option<Timestamp>,
    /// When the promotion finished (UTC). Absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The earliest time at which it can enter if only time is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Timestamp>,
    /// What was copied from the Environment at entry. Absent before entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered: Option<&'a Entered>,
    /// The components as status records them. Empty before the first entry.
    pub components: &'a [ComponentStatus],
    /// The checks of the verification, once it runs.
    pub verification: &'a [Check],
    /// The backout as status records it. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backout: Option<&'a Backout>,
}

/// Something that holds a promotion. As text it is a sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Block {
    /// A control or a gate, before the entry.
    Check(Held),
    /// A component that is being changed.
    Component {
        name: String,
        state: ComponentState,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Something could not be evaluated or done.
    Trouble {
        reason: String,
        message: String,
        since: Timestamp,
    },
}

/// A check that is not satisfied.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// The check as status records it. In JSON its fields are those of this object.
    #[serde(flatten)]
    pub check: Check,
    /// Who or what clears it. Absent if the reason is not one of Signalbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clears: Option<Clears>,
}

/// What a promotion waits for. As text, and in JSON, it is the part after `waits for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The environments from which it promotes.
    Upstream,
    /// Time, until this instant if that is known.
    Time(Option<Timestamp>),
    /// An approval.
    Approval,
    /// A Job of a gate or of verification.
    Job,
    /// Another release, which holds the lock of the target namespace.
    Queue,
    /// Targets, which have to become ready.
    Workloads,
    /// A Decision on what failed.
    Decision,
    /// A fix of what a check reports.
    Fix,
}

/// Explains `release`.
#[must_use]
pub fn explain(release: &Release) -> Explanation<'_> {
    let (metadata, spec, status) = (&release.metadata, &release.spec, release.status.as_ref());
    let refused = status.into_iter().flat_map(|s| &s.conditions);
    let mut refused = refused.filter(|c| c.type_ == "Accepted" && c.status == "False");
    let promotions = status.into_iter().flat_map(|s| &s.environments);
    Explanation {
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        name: metadata.name.as_deref().unwrap_or_default(),
        product: &spec.product,
        version: &spec.version,
        requested_by: &spec.requested_by,
        hold: spec.hold.as_ref(),
        refused: refused.next().map(|c| c.message.as_str()),
        rag: status.and_then(|s| s.rag.as_ref()),
        furthest: status.and_then(|s| s.furthest.as_deref()),
        review: status.and_then(|s| s.review.as_deref()),
        environments: promotions.map(|p| in_environment(release, p)).collect(),
    }
}

/// A Decision in words: its action, its author, the role if it has one, and the reason.
#[must_use]
pub fn signature(decision: &DecisionSpec) -> String {
    let role = decision.role.as_ref().map(|role| format!(" as {role}"));
    let reason = decision.reason.as_ref().map(|reason| format!(": {reason}"));
    let (role, reason) = (role.unwrap_or_default(), reason.unwrap_or_default());
    format!("{} by {}{role}{reason}", decision.action.as_str(), decision.by)
}

/// Explains `release` in the environment of `p`.
#[must_use]
pub fn in_environment<'a>(release: &Release, p: &'a Promotion) -> InEnvironment<'a> {
    let instant = |time: &Option<Time>| time.as_ref().map(|t| t.0);
    let blocks = blocks(p);
    InEnvironment {
        environment: &p.name,
        state: p.state,
        since: instant(&p.since),
        attempt: p.attempt,
        summary: p.summary(),
        held: release.held_from(&p.name).is_some(),
        waits_for: waits_for(p, &blocks),
        blocks,
        message: p.message.as_deref(),
        not_counted: p.not_counted.as_deref(),
        says: p.says(),
        entered_at: instant(&p.started_at),
        finished_at: instant(&p.finished_at),
        earliest: p.forecast.as_ref().and_then(|f| instant(&f.earliest)),
        entered: p.entered.as_ref(),
        components: &p.components,
        verification: &p.verification,
        backout: p.backout.as_deref(),
    }
}

/// The checks first, then components, then trouble.
fn blocks(p: &Promotion) -> Vec<Block> {
    let checks = p.held_by().map(|check| Block::Check(check.into()));
    let components = p.not_ready().map(|component| Block::Component {
        name: component.name.clone(),
        state: component.state,
        message: component.message.clone(),
    });
    let trouble = p.inconclusive.iter().map(|trouble| Block::Trouble {
        reason: trouble.reason.clone(),
        message: trouble.message.clone(),
        since: trouble.since.0,
    });
    checks.chain(components).chain(trouble).collect()
}

fn waits_for(p: &Promotion, blocks: &[Block]) -> Option<WaitsFor> {
    Some(match p.state {
        State::Pending => WaitsFor::Upstream,
        State::Queued => WaitsFor::Queue,
        State::Waiting => return blocks.iter().find_map(Block::check).map(Held::waits_for),
        State::Deploying | State::BackingOut => WaitsFor::Workloads,
        State::Verifying => WaitsFor::Job,
        State::Observing => {
            let began = p.verified_at.as_ref().or(p.deployed_at.as_ref());
            let observation = p.entered.as_ref().and_then(|e| e.observation.as_ref());
            WaitsFor::Time(began.zip(observation).map(|(began, d)| began.0 + d.get()))
        }
        State::AwaitingDecision | State::Failed => WaitsFor::Decision,
        State::Succeeded | State::BackedOut | State::Superseded | State::Withdrawn => return None,
    })
}

impl Block {
    /// The name of the check or of the component, or the reason of the trouble.
    #[must_use]
    pub fn subject(&self) -> &str {
        match self {
            Self::Check(held) => &held.check.name,
            Self::Component { name, .. } => name,
            Self::Trouble { reason, .. } => reason,
        }
    }

    /// The check, if it is one.
    #[must_use]
    pub fn check(&self) -> Option<&Held> {
        match self {
            Self::Check(held) => Some(held),
            Self::Component { .. } | Self::Trouble { .. } => None,
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(held) => held.fmt(f),
            Self::Component { name, .. } => write!(f, "{name} is not ready yet."),
            Self::Trouble { reason, message, .. } => write!(f, "{reason}: {message}"),
        }
    }
}

impl From<&Check> for Held {
    fn from(check: &Check) -> Self {
        Self {
            check: check.clone(),
            clears: reasons::find(&check.reason).map(|reason| reason.clears),
        }
    }
}

impl Held {
    /// Whether it stays until a user acts. An `until` does not change that if it is the expiry of an approval, or the end of the
    /// forecast for windows that are all too short.
    #[must_use]
    pub fn for_good(&self) -> bool {
        let Check {
            state, reason, until, ..
        } = &self.check;
        let helped_by_time = until.is_some()
            && !matches!(
                reason.as_str(),
                reasons::APPROVALS_MISSING | reasons::WINDOW_TOO_SHORT
            );
        *state == CheckState::Failed || !helped_by_time
    }

    fn waits_for(&self) -> WaitsFor {
        let waits = self.check.state == CheckState::Waiting;
        let until = self.check.until.as_ref().map(|t| t.0);
        match self.clears {
            Some(Clears::People) => WaitsFor::Approval,
            Some(Clears::Job) => WaitsFor::Job,
            // A fixed target has to stay healthy for a while, too. If no window opens within the forecast, its owner has to act.
            _ if waits && until.is_some() && self.check.reason != reasons::WINDOW_TOO_SHORT => {
                WaitsFor::Time(until)
            }
            Some(Clears::Time) if waits && self.check.name != ControlName::WindowOpen.as_str() => {
                WaitsFor::Time(None)
            }
            _ => WaitsFor::Fix,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.check.says())
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream => f.write_str("an earlier environment"),
            Self::Time(None) => f.write_str("time"),
            Self::Time(Some(until)) => write!(f, "time, until {until}"),
            Self::Approval => f.write_str("an approval"),
            Self::Job => f.write_str("a Job"),
            Self::Queue => f.write_str("the release before it"),
            Self::Workloads => f.write_str("workloads"),
            Self::Decision => f.write_str("a Decision"),
            Self::Fix => f.write_str("a fix"),
        }
    }
}

impl Serialize for WaitsFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
