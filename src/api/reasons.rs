//! The reasons of conditions, checks and Events: one word, one meaning, everywhere. [`TABLE`] is the only list of them;
//! a test compares the tables of docs/reference.md with it.

use Clears::{Fix, Job, Nothing, People, Time};
use serde::Serialize;

/// A reason and its properties.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// The word in the API.
    pub word: &'static str,
    /// Where it is used.
    pub on: On,
    /// Who or what resolves it.
    pub clears: Clears,
    /// It follows from the manifest alone: neither time nor a person nor the cluster changes it.
    pub last: bool,
    /// What to do, in Markdown: a table cell, without a full stop at its end.
    pub advice: &'static str,
}

/// Where a reason is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The condition `Accepted`.
    Accepted,
    /// A check, or a condition of an Environment; its name, in Markdown.
    Check(&'static str),
    /// A problem of a promotion after its entry; what it leads to, in Markdown.
    Trouble(&'static str),
    /// An Event on the Release, or its condition `Ready`.
    Event,
    /// An Event of type Warning on the Release.
    Warning,
}

/// Who or what resolves a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Clears {
    /// There is nothing to resolve.
    Nothing,
    /// Time alone.
    Time,
    /// A Decision.
    People,
    /// A Job that is running or will run.
    Job,
    /// A change to a manifest, to permissions or to the cluster.
    Fix,
}

macro_rules! reasons {
    ($($name:ident = $word:literal, $on:expr, $clears:expr, $last:expr, $advice:literal;)*) => {
        $(pub const $name: &str = $word;)*
        /// Every reason, in the order in which docs/reference.md lists them.
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
    CYCLE = "Cycle", On::Accepted, Fix, false, "an environment owner must break the circle in `promotesFrom`";
    KIND_UNSUPPORTED = "KindUnsupported", On::Accepted, Fix, false, "Signalbox has no readiness check for this kind: deploy it in another way";
    PATCH_NOT_ALLOWED = "PatchNotAllowed", On::Accepted, Fix, false, "correct the path that the message names";
    PATCHES_TOO_LARGE = "PatchesTooLarge", On::Accepted, Fix, false, "split the Release: its patches, overrides included, may have 256 KiB in total. A Release that is no longer needed can be withdrawn (`spec.withdrawn`). Releases that entered before this limit existed, or were overtaken, are not checked";
    // Checks, and conditions of Environments
    SATISFIED = "Satisfied", On::Check("any"), Nothing, false, "nothing";
    NOT_READ_YET = "NotReadYet", On::Check("any"), Time, false, "wait. If it persists, check TargetsAllowed, on which it depends";
    NAMESPACE_NOT_WATCHED = "NamespaceNotWatched", On::Check("TargetsAllowed"), Fix, false, "have the target namespace added to the chart's value `watch.namespaces`";
    RELEASE_NAMESPACE_NOT_ALLOWED = "ReleaseNamespaceNotAllowed", On::Check("TargetsAllowed"), Fix, true, "add the labels that `releaseNamespaces` requires to the namespace";
    NOT_ACCEPTED = "NotAccepted", On::Check("TargetsAllowed"), Fix, false, "the target namespace does not accept Releases of that namespace through that Environment, or its annotation cannot be read. Its owner runs the command in the message. See [Consent](#consent)";
    KIND_NOT_ALLOWED = "KindNotAllowed", On::Check("TargetsAllowed"), Fix, true, "ask the environment's owner to add the kind to `allowedKinds`";
    TEMPLATE_TARGETED = "TemplateTargeted", On::Check("TargetsAllowed"), Fix, true, "a component targets the CronJob that is the template of a Job of a gate or verification (of any Environment with that target namespace), or a Job with a reserved name. Remove the component, or ask that Environment's owner for a template of another name";
    DEPLOYER_MISSING = "DeployerMissing", On::Check("TargetsAllowed"), Fix, false, "create the ServiceAccount in the target namespace, with its Role";
    NOT_PERMITTED = "NotPermitted", On::Check("TargetsAllowed"), Fix, false, "RBAC refuses: add the verb and kind that the message names to the deployer's Role";
    RUNS_AS_DEPLOYER = "RunsAsDeployer", On::Check("TargetsAllowed"), Fix, false, "pods of a target would run as the deployer and have its permissions: give them another ServiceAccount";
    TARGET_MISSING = "TargetMissing", On::Check("TargetsAllowed"), Fix, false, "correct the name, or set apiVersion, kind and metadata.name in the patch to have it created";
    CONTAINER_MISSING = "ContainerMissing", On::Check("TargetsAllowed"), Fix, false, "correct `images[].container`";
    PATCH_REFUSED = "PatchRefused", On::Check("TargetsAllowed, and during the rollout"), Fix, false, "the API server, an admission policy, a webhook or a quota refuses the change; the message has its answer. If fields conflict that the patch does not state, use `remove` or `replace`";
    CHANGE_IRREVERSIBLE = "ChangeIrreversible", On::Check("TargetsAllowed"), Fix, false, "a backout could not restore it: do what the message says instead. These are `immutable: true` on an existing ConfigMap, and a greater `storage` or a first `volumeAttributesClassName` of a PersistentVolumeClaim. What the API server refuses to change at all is PatchRefused";
    PRE_STATE_TOO_LARGE = "PreStateTooLarge", On::Check("TargetsAllowed"), Fix, false, "split the Release: at most 512 KiB can be stored for one. Or the Releases of its namespace use all that may be stored for them together (`preStateLimit`): the message names the largest. A newer version or a Retry can still enter if its success frees as much as it stores and the limit is not exceeded yet. Otherwise delete finished Releases that need no backout (this requires the verb `forget`), or have the chart's value `preStateLimit` raised";
    REPLICAS_AUTOSCALED = "ReplicasAutoscaled", On::Check("TargetsAllowed"), Fix, false, "remove `spec.replicas` from the patch: the HorizontalPodAutoscaler that the message names owns it. If the operator may not list autoscalers, the check reports it";
    UNREADABLE = "Unreadable", On::Check("TargetsAllowed"), Time, false, "wait: it is read again. If it persists, check the API server";
    NAMESPACE_MISSING = "NamespaceMissing", On::Check("EnvironmentAvailable"), Fix, false, "have the namespace created, or the Environment's `namespace` corrected";
    NAMESPACE_INVALID = "NamespaceInvalid", On::Check("EnvironmentAvailable"), Fix, false, "have the namespace created, or the Environment's `namespace` corrected";
    NAMESPACE_TERMINATING = "NamespaceTerminating", On::Check("EnvironmentAvailable"), Fix, false, "have the namespace created, or the Environment's `namespace` corrected";
    ENVIRONMENT_DELETED = "EnvironmentDeleted", On::Check("EnvironmentAvailable"), Fix, false, "no release can enter it: ask its owner";
    TARGET_UNHEALTHY = "TargetUnhealthy", On::Check("EnvironmentAvailable"), Fix, false, "fix the workload first; it must then stay healthy for `healthGrace`. Or create a Decision Accept with subject `EnvironmentAvailable`, which admits this release with the targets as they are";
    UNSETTLED = "Unsettled", On::Check("the target"), People, false, "create a Decision: Retry or BackOut for the release that failed there, or Accept for this one";
    IMAGE_NOT_PINNED = "ImageNotPinned", On::Check("DigestPinned"), Fix, true, "use `name@sha256:…` for every container";
    DIGEST_DIFFERS = "DigestDiffers", On::Check("SameArtifact"), Fix, false, "release the same images everywhere; a new image needs a new version. The same digest from another registry is the same image";
    NEWER_VERSION_SUCCEEDED = "NewerVersionSucceeded", On::Check("NoDowngrade"), Fix, false, "back out the newer release instead. If that Release no longer exists, it is recorded in a ControllerRevision in the operator's namespace, named `succeeded-` and 16 hex digits; delete that to drop the record";
    PLAN_INCOMPLETE = "PlanIncomplete", On::Check("DeploymentPlanDocumented, BackoutPlanDocumented"), Fix, true, "fill in the fields that the message names";
    NOT_BEFORE = "NotBefore", On::Check("WindowOpen"), Time, false, "wait, or change `schedule.start`";
    WINDOW_CLOSED = "WindowClosed", On::Check("WindowOpen"), Time, false, "wait for `until`, the next opening";
    DENY_WINDOW = "DenyWindow", On::Check("WindowOpen"), Time, false, "wait until the window ends";
    WINDOW_CLOSING = "WindowClosing", On::Check("WindowOpen"), Time, false, "not enough time is left: wait for the next opening, or plan a shorter deployment or backout";
    WINDOW_TOO_SHORT = "WindowTooShort", On::Check("WindowOpen"), Fix, false, "no coming opening is long enough: plan a shorter deployment or backout, or ask for a longer window";
    WINDOW_INVALID = "WindowInvalid", On::Check("WindowOpen, Environment Ready"), Fix, false, "the environment's owner must correct the window";
    APPROVALS_MISSING = "ApprovalsMissing", On::Check("approval gate"), People, false, "create a Decision Approve; the message has its subject, role and planHash, and names the Decisions that do not count";
    REJECTED = "Rejected", On::Check("approval gate"), Fix, false, "change the plan; the Reject is final for this one, even if the Release is deleted and created again";
    NOT_VOUCHED_FOR = "NotVouchedFor", On::Check("approval gate"), Fix, false, "reinstall the chart's policies and bindings, then create the Decisions again. Create a Release again that is older than the policies. If `requestedBy` is a ServiceAccount and the gate has `serviceAccounts: Deny`, set `requestedBy` to the person who requested the Release";
    SOAKING = "Soaking", On::Check("soak gate"), Time, false, "wait for `until`";
    SOAK_INTERRUPTED = "SoakInterrupted", On::Check("soak gate"), Fix, false, "another version or image runs there: release the newer version, or restore what the message names; the soak then starts again";
    SOAK_NOT_POSSIBLE = "SoakNotPossible", On::Check("soak gate"), Fix, true, "add the environment to `spec.environments`";
    EXPRESSION_FALSE = "ExpressionFalse", On::Check("expression"), Fix, true, "do what the expression requires, or ask the environment's owner";
    EXPRESSION_UNKNOWN = "ExpressionUnknown", On::Check("expression"), Fix, true, "the expression failed, took too long or is not a boolean: the environment's owner must correct it";
    EXPRESSION_INVALID = "ExpressionInvalid", On::Check("Environment Ready"), Fix, false, "the environment's owner must correct the expression";
    OTHER_TENANTS = "OtherTenants", On::Check("Environment SharedTargets"), Fix, false, "agree with the owners of the Environments that it names: use other namespaces, the same gates, or one Environment less. See [Consent](#consent)";
    WEAKER_CONTROLS = "WeakerControls", On::Check("Environment SharedTargets"), Fix, false, "agree with the owners of the Environments that it names: use other namespaces, the same gates, or one Environment less. See [Consent](#consent)";
    JOB_PENDING = "JobPending", On::Check("job"), Job, false, "wait: it starts when all other checks are satisfied";
    JOB_RUNNING = "JobRunning", On::Check("job"), Job, false, "wait. If the message says that a Job does not count, see [Jobs of gates and verification](#jobs-of-gates-and-verification)";
    JOB_SUCCEEDED = "JobSucceeded", On::Check("job"), Nothing, false, "nothing";
    JOB_FAILED = "JobFailed", On::Check("job"), Fix, false, "check the Job's pods; for a gate, create a Decision Retry";
    JOB_TIMED_OUT = "JobTimedOut", On::Check("job"), Fix, false, "check the Job's pods; for a gate, create a Decision Retry";
    JOB_TROUBLE = "JobTrouble", On::Check("job"), Fix, false, "the Job could not be created; the message says why. Usually correct the CronJob or the deployer's permissions";
    // Problems after the entry
    READY_TOO_LATE = "ReadyTooLate", On::Trouble("a backout, or a Decision"), Fix, false, "find out why the workload did not become ready; raise `readyWithin` if it is only slow";
    HEALTH_LOST = "HealthLost", On::Trouble("a backout, or a Decision"), Fix, false, "check the workload: the message names pods, containers and how they ended (OOMKilled, exit code, the signal that also follows a failed liveness probe)";
    VERIFICATION_FAILED = "VerificationFailed", On::Trouble("a backout, or a Decision"), Fix, false, "check the Job or expression";
    FIELDS_CHANGED = "FieldsChanged", On::Trouble("a backout, or a Decision"), Fix, false, "find the other writer that the message names";
    FAILED = "Failed", On::Trouble("a backout, or a Decision"), Fix, false, "the workload reports a final failure: check it";
    TARGET_GONE = "TargetGone", On::Trouble("a Decision"), Fix, false, "the target was deleted, or deleted and created again: restore it by hand, then create a Decision Accept or Abandon";
    PRE_STATE_MISSING = "PreStateMissing", On::Trouble("a Decision"), Fix, false, "the ControllerRevision was deleted: restore the targets by hand, then create a Decision Accept or Abandon";
    CLAIM_LOST = "ClaimLost", On::Trouble("a Decision"), Fix, false, "the lock (a Lease) was taken over: find out what else changes the namespace";
    OCCUPIED_TOO_LONG = "OccupiedTooLong", On::Trouble("a Decision, and then what `maxOccupancy.then` says"), Fix, false, "the release has taken longer than the Environment's `maxOccupancy`: find out why, then create a Decision BackOut, Accept or Abandon";
    CONFLICT = "Conflict", On::Trouble("a Decision"), Fix, false, "the plan changed after the entry, or another writer changed status: create the Decision that the message names";
    // Events, and the condition Ready
    ENTERED = "Entered", On::Event, Nothing, false, "the first target may be changed";
    SUCCEEDED = "Succeeded", On::Event, Nothing, false, "nothing";
    RETRIED = "Retried", On::Event, Nothing, false, "another attempt begins";
    WITHDRAWN = "Withdrawn", On::Event, Nothing, false, "nothing more enters";
    SUPERSEDED = "Superseded", On::Event, Nothing, false, "a newer version has Succeeded there";
    ENTRY_ACCEPTED = "EntryAccepted", On::Event, Nothing, false, "a Decision Accept admits it";
    AWAITING_DECISION = "AwaitingDecision", On::Warning, People, false, "create a Decision BackOut, Accept or Abandon";
    BACKING_OUT = "BackingOut", On::Warning, Nothing, false, "the pre-state is being restored";
    BACKED_OUT = "BackedOut", On::Warning, Nothing, false, "the pre-state is restored: Retry, or release a new version";
    DRIFT = "Drift", On::Warning, Fix, false, "find the writer that it names. It is reported at most once an hour for each writer";
    HELD = "Held", On::Event, People, false, "remove `spec.hold`, or the environment from `spec.hold.environments`";
    WAITING = "Waiting", On::Event, Time, false, "see the checks";
    PENDING = "Pending", On::Event, Time, false, "wait for the upstream environments, or see `Accepted`";
    PROGRESSING = "Progressing", On::Event, Time, false, "wait";
    READY = "Ready", On::Event, Nothing, false, "nothing";
    AVAILABLE = "Available", On::Event, Nothing, false, "nothing";
}

/// The properties of the reason `word`; `None` for words that are not Signalbox's, such as that of a readiness condition.
#[must_use]
pub fn find(word: &str) -> Option<&'static Reason> {
    TABLE.iter().find(|reason| reason.word == word)
}

/// Whether a check with this reason reports a Job.
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
