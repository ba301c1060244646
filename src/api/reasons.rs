//! Reasons that stand on conditions, checks and Events: one word, one meaning, everywhere. [`TABLE`] is the one list of them;
//! the tables of docs/reference.md are made from it.

use Clears::{Fix, Job, Nothing, People, Time};
use serde::Serialize;

/// A reason, and what there is to know about it.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// As it stands on the API.
    pub word: &'static str,
    /// Where it stands.
    pub on: On,
    /// Who or what clears it.
    pub clears: Clears,
    /// It follows from the manifest alone: no time, no person and nothing in a cluster changes it.
    pub last: bool,
    /// What to do, in Markdown.
    pub advice: &'static str,
}

/// Where a reason stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The condition `Accepted`.
    Accepted,
    /// A check, or a condition of an Environment; which, in Markdown.
    Check(&'static str),
    /// A promotion after its entry that leads to a backout or asks people; to what, in Markdown.
    Trouble(&'static str),
    /// An Event on the Release, or its condition `Ready`.
    Event,
    /// An Event of type Warning on the Release.
    Warning,
}

/// Who or what clears a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Clears {
    /// There is nothing to clear.
    Nothing,
    /// Time alone.
    Time,
    /// A Decision.
    People,
    /// A Job that runs, or will.
    Job,
    /// A change of a manifest, of rights, or of what stands in the cluster.
    Fix,
}

macro_rules! reasons {
    ($($name:ident = $word:literal, $on:expr, $clears:expr, $last:expr, $advice:literal;)*) => {
        $(pub const $name: &str = $word;)*
        /// Every reason, in the order in which docs/reference.md tells of them.
        pub const TABLE: &[Reason] = &[
            $(Reason { word: $name, on: $on, clears: $clears, last: $last, advice: $advice },)*
        ];
    };
}

reasons! {
    // The condition Accepted
    ACCEPTED = "Accepted", On::Accepted, Nothing, false, "nothing";
    INVALID = "Invalid", On::Accepted, Fix, false, "correct the field that the message names";
    DUPLICATE_VERSION = "DuplicateVersion", On::Accepted, Fix, false, "raise `spec.version`: a version is released once";
    UNKNOWN_ENVIRONMENT = "UnknownEnvironment", On::Accepted, Fix, false, "correct the name, or have the Environment created";
    UPSTREAM_NOT_LISTED = "UpstreamNotListed", On::Accepted, Fix, false, "add what the environment promotes from to `spec.environments`";
    CYCLE = "Cycle", On::Accepted, Fix, false, "an environment owner has to break the circle in `promotesFrom`";
    KIND_UNSUPPORTED = "KindUnsupported", On::Accepted, Fix, false, "Signalbox does not know when that kind counts as deployed: release it otherwise";
    PATCH_NOT_ALLOWED = "PatchNotAllowed", On::Accepted, Fix, false, "correct the path that the message names";
    PATCHES_TOO_LARGE = "PatchesTooLarge", On::Accepted, Fix, false, "split the Release: its patches, overrides included, are at most 256 KiB in all. One that is of no use any more can be withdrawn (`spec.withdrawn`); what has entered before there was this bound, or was overtaken, is not told";
    // Checks, and conditions of Environments
    SATISFIED = "Satisfied", On::Check("any"), Nothing, false, "nothing";
    NOT_READ_YET = "NotReadYet", On::Check("any"), Time, false, "wait; if it stays, look at TargetsAllowed, on which it depends";
    NAMESPACE_NOT_WATCHED = "NamespaceNotWatched", On::Check("TargetsAllowed"), Fix, false, "have the target namespace added to the chart's value `watch.namespaces`";
    RELEASE_NAMESPACE_NOT_ALLOWED = "ReleaseNamespaceNotAllowed", On::Check("TargetsAllowed"), Fix, true, "have the namespace labelled as `releaseNamespaces` asks";
    NOT_ACCEPTED = "NotAccepted", On::Check("TargetsAllowed"), Fix, false, "the target namespace does not accept Releases of that namespace by that Environment, or its annotation cannot be read: its owner runs the command that the message has. See [Consent](#consent)";
    KIND_NOT_ALLOWED = "KindNotAllowed", On::Check("TargetsAllowed"), Fix, true, "ask the environment's owner for `allowedKinds`";
    TEMPLATE_TARGETED = "TemplateTargeted", On::Check("TargetsAllowed"), Fix, true, "a component targets the CronJob from which a gate's or verification's Job is made, of whichever Environment leads to that namespace, or a Job of a name that Signalbox gives: take it out, or ask that Environment's owner for a template of another name";
    DEPLOYER_MISSING = "DeployerMissing", On::Check("TargetsAllowed"), Fix, false, "create the ServiceAccount in the target namespace, with its Role";
    NOT_PERMITTED = "NotPermitted", On::Check("TargetsAllowed"), Fix, false, "RBAC says no: extend the deployer's Role by the verb and kind that the message names";
    RUNS_AS_DEPLOYER = "RunsAsDeployer", On::Check("TargetsAllowed"), Fix, false, "pods of a target would run as the deployer, and so with its rights: give them another ServiceAccount";
    TARGET_MISSING = "TargetMissing", On::Check("TargetsAllowed"), Fix, false, "correct the name, or state apiVersion, kind and metadata.name to have it created";
    CONTAINER_MISSING = "ContainerMissing", On::Check("TargetsAllowed"), Fix, false, "correct `images[].container`";
    PATCH_REFUSED = "PatchRefused", On::Check("TargetsAllowed, and on the way"), Fix, false, "the API server, an admission policy, a webhook or a quota refuses the change; the message begins with their words. Where fields clash that the patch does not state, `remove` or `replace`";
    CHANGE_IRREVERSIBLE = "ChangeIrreversible", On::Check("TargetsAllowed"), Fix, false, "no backout could put it back: do what the message says instead. Known are `immutable: true` on an existing ConfigMap, and of a PersistentVolumeClaim a greater `storage` and a first `volumeAttributesClassName`; what the API server refuses to change at all is PatchRefused";
    PRE_STATE_TOO_LARGE = "PreStateTooLarge", On::Check("TargetsAllowed"), Fix, false, "split the Release: at most 512 KiB can be kept for one. Or the Releases of its namespace have all that may be kept for them together (`preStateLimit`): the message names the largest. A newer version, or a Retry, enters all the same if its success frees as much as it keeps and the limit is not exceeded yet. Otherwise have Releases that are over and need no backout deleted, which asks for `forget`, or the chart's value `preStateLimit` raised";
    REPLICAS_AUTOSCALED = "ReplicasAutoscaled", On::Check("TargetsAllowed"), Fix, false, "take `spec.replicas` out of the patch: the HorizontalPodAutoscaler that the message names owns it. Where the operator may not list them, the check says so";
    UNREADABLE = "Unreadable", On::Check("TargetsAllowed"), Time, false, "wait: it is read again; if it stays, look at the API server";
    NAMESPACE_MISSING = "NamespaceMissing", On::Check("EnvironmentAvailable"), Fix, false, "have the namespace created, or the Environment's `namespace` corrected";
    NAMESPACE_INVALID = "NamespaceInvalid", On::Check("EnvironmentAvailable"), Fix, false, "have the namespace created, or the Environment's `namespace` corrected";
    NAMESPACE_TERMINATING = "NamespaceTerminating", On::Check("EnvironmentAvailable"), Fix, false, "have the namespace created, or the Environment's `namespace` corrected";
    ENVIRONMENT_DELETED = "EnvironmentDeleted", On::Check("EnvironmentAvailable"), Fix, false, "nothing enters any more: ask its owner";
    TARGET_UNHEALTHY = "TargetUnhealthy", On::Check("EnvironmentAvailable"), Fix, false, "put the workload right first, after which it has to stay well for `healthGrace`; or Accept, with subject `EnvironmentAvailable`, lets this release in as it is";
    UNSETTLED = "Unsettled", On::Check("the target"), People, false, "Retry or BackOut the release that left it, or Accept for this one";
    IMAGE_NOT_PINNED = "ImageNotPinned", On::Check("DigestPinned"), Fix, true, "`name@sha256:…`, for every container";
    DIGEST_DIFFERS = "DigestDiffers", On::Check("SameArtifact"), Fix, false, "release the same images everywhere; a new image is a new version. The same digest from another registry is the same image";
    NEWER_VERSION_SUCCEEDED = "NewerVersionSucceeded", On::Check("NoDowngrade"), Fix, false, "back the newer release out instead; where its Release is gone, a ControllerRevision `succeeded-` and 16 hex digits in the operator's namespace remembers it, and deleting that forgets it";
    PLAN_INCOMPLETE = "PlanIncomplete", On::Check("DeploymentPlanDocumented, BackoutPlanDocumented"), Fix, true, "fill in the fields that the message names";
    NOT_BEFORE = "NotBefore", On::Check("WindowOpen"), Time, false, "wait, or change `schedule.start`";
    WINDOW_CLOSED = "WindowClosed", On::Check("WindowOpen"), Time, false, "wait for `until`, the next opening";
    DENY_WINDOW = "DenyWindow", On::Check("WindowOpen"), Time, false, "wait until it ends";
    WINDOW_CLOSING = "WindowClosing", On::Check("WindowOpen"), Time, false, "not enough time is left: wait for the next opening, or plan shorter";
    WINDOW_TOO_SHORT = "WindowTooShort", On::Check("WindowOpen"), Fix, false, "no opening in sight is long enough: plan shorter, or ask for a longer window";
    WINDOW_INVALID = "WindowInvalid", On::Check("WindowOpen, Environment Ready"), Fix, false, "the environment's owner has to correct the window";
    APPROVALS_MISSING = "ApprovalsMissing", On::Check("approval gate"), People, false, "create a Decision; the message has subject, role and planHash, and names those that do not count";
    REJECTED = "Rejected", On::Check("approval gate"), Fix, false, "change the plan; the Reject is final for this one, also when the Release is deleted and created again";
    NOT_VOUCHED_FOR = "NotVouchedFor", On::Check("approval gate"), Fix, false, "put the chart's policies and bindings back, then decide again; a Release that is older than they are is created again; where `requestedBy` is a ServiceAccount and the gate says `serviceAccounts: Deny`, set it to the person who asked";
    SOAKING = "Soaking", On::Check("soak gate"), Time, false, "wait for `until`";
    SOAK_INTERRUPTED = "SoakInterrupted", On::Check("soak gate"), Fix, false, "something else runs there: release the newer version, or put back what the message names, and it soaks anew";
    SOAK_NOT_POSSIBLE = "SoakNotPossible", On::Check("soak gate"), Fix, true, "add the environment to `spec.environments`";
    EXPRESSION_FALSE = "ExpressionFalse", On::Check("expression"), Fix, true, "do what the rule asks, or ask its owner";
    EXPRESSION_UNKNOWN = "ExpressionUnknown", On::Check("expression"), Fix, true, "its owner has to correct it: it failed, took too long, or is no boolean";
    EXPRESSION_INVALID = "ExpressionInvalid", On::Check("Environment Ready"), Fix, false, "the environment's owner has to correct the expression";
    OTHER_TENANTS = "OtherTenants", On::Check("Environment SharedTargets"), Fix, false, "talk to the owners of the Environments that it names: other namespaces, the same gates, or one Environment less. See [Consent](#consent)";
    WEAKER_CONTROLS = "WeakerControls", On::Check("Environment SharedTargets"), Fix, false, "talk to the owners of the Environments that it names: other namespaces, the same gates, or one Environment less. See [Consent](#consent)";
    JOB_PENDING = "JobPending", On::Check("job"), Job, false, "runs once everything else holds";
    JOB_RUNNING = "JobRunning", On::Check("job"), Job, false, "wait; where the message says that a Job does not count, see [Jobs that judge](#jobs-that-judge)";
    JOB_SUCCEEDED = "JobSucceeded", On::Check("job"), Nothing, false, "nothing";
    JOB_FAILED = "JobFailed", On::Check("job"), Fix, false, "look at the Job's pods; for a gate create a Decision Retry";
    JOB_TIMED_OUT = "JobTimedOut", On::Check("job"), Fix, false, "look at the Job's pods; for a gate create a Decision Retry";
    JOB_TROUBLE = "JobTrouble", On::Check("job"), Fix, false, "it could not be created, the message says why: usually the CronJob or the deployer's rights";
    // Trouble on the way
    READY_TOO_LATE = "ReadyTooLate", On::Trouble("backout, or a decision"), Fix, false, "see why the workload did not become ready; raise `readyWithin` if it is only slow";
    HEALTH_LOST = "HealthLost", On::Trouble("backout, or a decision"), Fix, false, "look at the workload: the message names pods, containers and how they ended (OOMKilled, exit code, the signal that also follows a failed liveness probe)";
    VERIFICATION_FAILED = "VerificationFailed", On::Trouble("backout, or a decision"), Fix, false, "look at the Job or expression";
    FIELDS_CHANGED = "FieldsChanged", On::Trouble("backout, or a decision"), Fix, false, "find the other writer that the message names";
    FAILED = "Failed", On::Trouble("a backout, or a decision"), Fix, false, "the workload reports a definite failure";
    TARGET_GONE = "TargetGone", On::Trouble("a decision"), Fix, false, "the target was deleted, or created again: put it back by hand, then Accept or Abandon";
    PRE_STATE_MISSING = "PreStateMissing", On::Trouble("a decision"), Fix, false, "somebody deleted the ControllerRevision: restore by hand, then Accept or Abandon";
    CLAIM_LOST = "ClaimLost", On::Trouble("a decision"), Fix, false, "somebody took the Lease over: find out what else is in the namespace";
    OCCUPIED_TOO_LONG = "OccupiedTooLong", On::Trouble("a decision, and then what `maxOccupancy.then` says"), Fix, false, "it has taken longer than the Environment's `maxOccupancy`: see why, then BackOut, Accept or Abandon";
    CONFLICT = "Conflict", On::Trouble("a decision"), Fix, false, "the plan changed while it was entering, or somebody else wrote status";
    // Events, and the condition Ready
    ENTERED = "Entered", On::Event, Nothing, false, "the first target may be changed";
    SUCCEEDED = "Succeeded", On::Event, Nothing, false, "nothing";
    RETRIED = "Retried", On::Event, Nothing, false, "another attempt begins";
    WITHDRAWN = "Withdrawn", On::Event, Nothing, false, "nothing more enters";
    SUPERSEDED = "Superseded", On::Event, Nothing, false, "a newer version has Succeeded there";
    ENTRY_ACCEPTED = "EntryAccepted", On::Event, Nothing, false, "an Accept lets it in";
    AWAITING_DECISION = "AwaitingDecision", On::Warning, People, false, "decide BackOut, Accept or Abandon";
    BACKING_OUT = "BackingOut", On::Warning, Nothing, false, "what ran before is put back";
    BACKED_OUT = "BackedOut", On::Warning, Nothing, false, "what ran before runs again; Retry, or release a new version";
    DRIFT = "Drift", On::Warning, Fix, false, "find the writer that it names; at most once an hour and writer";
    HELD = "Held", On::Event, People, false, "set `spec.hold` to false";
    WAITING = "Waiting", On::Event, Time, false, "see the checks";
    PENDING = "Pending", On::Event, Time, false, "upstream comes first, or `Accepted` says why";
    PROGRESSING = "Progressing", On::Event, Time, false, "wait";
    READY = "Ready", On::Event, Nothing, false, "nothing";
    AVAILABLE = "Available", On::Event, Nothing, false, "nothing";
}

/// What there is to know about the reason `word`; `None` for words of others, as of a readiness condition.
#[must_use]
pub fn find(word: &str) -> Option<&'static Reason> {
    TABLE.iter().find(|reason| reason.word == word)
}

/// Whether a check with this reason tells of a Job.
#[must_use]
pub fn is_of_job(word: &str) -> bool {
    find(word).is_some_and(|reason| reason.on == On::Check("job"))
}

/// Whether an Event with this reason is a warning.
#[must_use]
pub fn is_warning(word: &str) -> bool {
    matches!(word, FAILED | OCCUPIED_TOO_LONG | REJECTED)
        || find(word).is_some_and(|reason| reason.on == On::Warning)
}

/// The tables of docs/reference.md, by the heading above each.
#[must_use]
pub fn documented() -> Vec<(&'static str, String)> {
    let table = |title: &'static str, second: Option<&str>, column: fn(On) -> Option<&'static str>| {
        let mut text = match second {
            Some(second) => format!("| reason | {second} | what to do |\n| --- | --- | --- |\n"),
            None => "| reason | what to do |\n| --- | --- |\n".to_owned(),
        };
        for reason in TABLE {
            let Some(on) = column(reason.on) else { continue };
            let middle = if on.is_empty() {
                String::new()
            } else {
                format!(" {on} |")
            };
            text.push_str(&format!("| {} |{middle} {} |\n", reason.word, reason.advice));
        }
        (title, text)
    };
    vec![
        table("### Refused manifests (`Accepted`)", None, |on| {
            (on == On::Accepted).then_some("")
        }),
        table("### Checks", Some("check"), |on| match on {
            On::Check(check) => Some(check),
            _ => None,
        }),
        table("### Failures after entry", Some("leads to"), |on| match on {
            On::Trouble(to) => Some(to),
            _ => None,
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_once() {
        for (place, reason) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|other| other.word == reason.word);
            assert_eq!(first, Some(place), "{}", reason.word);
            assert!(!reason.advice.is_empty(), "{}", reason.word);
        }
    }

    #[test]
    fn the_reference_tells_of_every_reason_as_the_table_does() {
        let reference = include_str!("../../docs/reference.md");
        for (title, table) in documented() {
            let below = reference.split_once(title).map_or("", |(_, below)| below);
            assert!(below.trim_start().starts_with(&table), "{title}: write\n{table}");
        }
    }
}
