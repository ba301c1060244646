//! Names that this API gives to what is not a kind: its group, finalizers, labels, annotations and the field manager.

/// API group of every kind.
pub const GROUP: &str = "signalbox.dev";
/// On every Release: it is not forgotten before its claims and pre-states are.
pub const RELEASE_FINALIZER: &str = "signalbox.dev/release";
/// On every Environment: an occupied one cannot vanish.
pub const OCCUPIED_FINALIZER: &str = "signalbox.dev/occupied";
/// Annotation on a Release: `BackOut` restores what ran before when the Release is deleted.
pub const ON_DELETE: &str = "signalbox.dev/on-delete";
/// Annotation on a target namespace, or on the deployer's ServiceAccount in it: whose Releases may be led there.
pub const ACCEPT: &str = "signalbox.dev/accept";
/// Labels on everything that the operator creates.
pub const LABEL_RELEASE: &str = "signalbox.dev/release";
/// The uid of the Release that a pre-state, or what is remembered, belongs to.
pub const LABEL_RELEASE_UID: &str = "signalbox.dev/release-uid";
/// The environment that it belongs to.
pub const LABEL_ENVIRONMENT: &str = "signalbox.dev/environment";
/// The attempt that it was made in, from 1.
pub const LABEL_ATTEMPT: &str = "signalbox.dev/attempt";
/// The component, gate or verification that it was made for.
pub const LABEL_COMPONENT: &str = "signalbox.dev/component";
/// Annotation on pod templates: the hash of the configuration that the pods were restarted for.
pub const RESTARTED_FOR: &str = "signalbox.dev/restarted-for";
/// Annotation on claims: a decision is owed before anybody else may enter this namespace.
pub const UNSETTLED: &str = "signalbox.dev/unsettled";
/// Field manager of every write.
pub const FIELD_MANAGER: &str = "signalbox";
/// `observedGeneration` of what the operator has not looked at yet: the definitions' default, so that tools that compare it with
/// the generation, as kstatus does, do not take a status that is not there for a good one.
pub const NOT_OBSERVED: i64 = -1;
