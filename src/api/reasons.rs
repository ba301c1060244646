//! Reasons that stand on conditions, checks and Events: one word, one meaning, everywhere.

macro_rules! reasons {
    ($($name:ident = $text:literal;)*) => { $(pub const $name: &str = $text;)* };
}

reasons! {
    // Acceptance
    ACCEPTED = "Accepted";
    INVALID = "Invalid";
    DUPLICATE_VERSION = "DuplicateVersion";
    UNKNOWN_ENVIRONMENT = "UnknownEnvironment";
    UPSTREAM_NOT_LISTED = "UpstreamNotListed";
    CYCLE = "Cycle";
    KIND_UNSUPPORTED = "KindUnsupported";
    PATCH_NOT_ALLOWED = "PatchNotAllowed";
    // Promotion
    ENTERED = "Entered";
    SUCCEEDED = "Succeeded";
    FAILED = "Failed";
    AWAITING_DECISION = "AwaitingDecision";
    BACKING_OUT = "BackingOut";
    BACKED_OUT = "BackedOut";
    RETRIED = "Retried";
    WITHDRAWN = "Withdrawn";
    SUPERSEDED = "Superseded";
    DRIFT = "Drift";
    HELD = "Held";
    WAITING = "Waiting";
    PENDING = "Pending";
    // Checks
    SATISFIED = "Satisfied";
    NOT_READ_YET = "NotReadYet";
    DEPLOYER_MISSING = "DeployerMissing";
    NOT_PERMITTED = "NotPermitted";
    KIND_NOT_ALLOWED = "KindNotAllowed";
    RELEASE_NAMESPACE_NOT_ALLOWED = "ReleaseNamespaceNotAllowed";
    TARGET_MISSING = "TargetMissing";
    CONTAINER_MISSING = "ContainerMissing";
    PATCH_REFUSED = "PatchRefused";
    PRE_STATE_TOO_LARGE = "PreStateTooLarge";
    REPLICAS_AUTOSCALED = "ReplicasAutoscaled";
    UNREADABLE = "Unreadable";
    NAMESPACE_MISSING = "NamespaceMissing";
    NAMESPACE_INVALID = "NamespaceInvalid";
    NAMESPACE_TERMINATING = "NamespaceTerminating";
    ENVIRONMENT_DELETED = "EnvironmentDeleted";
    TARGET_UNHEALTHY = "TargetUnhealthy";
    UNSETTLED = "Unsettled";
    IMAGE_NOT_PINNED = "ImageNotPinned";
    DIGEST_DIFFERS = "DigestDiffers";
    NEWER_VERSION_SUCCEEDED = "NewerVersionSucceeded";
    PLAN_INCOMPLETE = "PlanIncomplete";
    NOT_BEFORE = "NotBefore";
    APPROVALS_MISSING = "ApprovalsMissing";
    REJECTED = "Rejected";
    NOT_VOUCHED_FOR = "NotVouchedFor";
    SOAKING = "Soaking";
    SOAK_NOT_POSSIBLE = "SoakNotPossible";
    EXPRESSION_FALSE = "ExpressionFalse";
    EXPRESSION_UNKNOWN = "ExpressionUnknown";
    JOB_PENDING = "JobPending";
    JOB_RUNNING = "JobRunning";
    JOB_SUCCEEDED = "JobSucceeded";
    JOB_FAILED = "JobFailed";
    JOB_TIMED_OUT = "JobTimedOut";
    JOB_TROUBLE = "JobTrouble";
    // Trouble on the way
    PROGRESSING = "Progressing";
    CONFLICT = "Conflict";
    TARGET_GONE = "TargetGone";
    FIELDS_CHANGED = "FieldsChanged";
    HEALTH_LOST = "HealthLost";
    READY_TOO_LATE = "ReadyTooLate";
    VERIFICATION_FAILED = "VerificationFailed";
    PRE_STATE_MISSING = "PreStateMissing";
    CLAIM_LOST = "ClaimLost";
    // Environment
    READY = "Ready";
    WINDOW_INVALID = "WindowInvalid";
    EXPRESSION_INVALID = "ExpressionInvalid";
    AVAILABLE = "Available";
}

/// Whether an Event with this reason is a warning.
#[must_use]
pub fn is_warning(reason: &str) -> bool {
    matches!(
        reason,
        FAILED | AWAITING_DECISION | BACKING_OUT | BACKED_OUT | DRIFT | CYCLE
    )
}
