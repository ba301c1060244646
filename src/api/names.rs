//! Names of this API other than kinds: its group, finalizers, labels, annotations and the field manager.

/// API group of all kinds.
pub const GROUP: &str = "signalbox.dev";
/// Finalizer on every Release: its claims and pre-states are deleted before it.
pub const RELEASE_FINALIZER: &str = "signalbox.dev/release";
/// Finalizer on every Environment: an occupied one is not deleted.
pub const OCCUPIED_FINALIZER: &str = "signalbox.dev/occupied";
/// Annotation on a Release: `BackOut` restores the pre-state when the Release is deleted.
pub const ON_DELETE: &str = "signalbox.dev/on-delete";
/// Annotation on a target namespace, or on the deployer's ServiceAccount in it: the namespaces whose Releases may enter.
pub const ACCEPT: &str = "signalbox.dev/accept";
/// Label on every object that the operator creates: the name of the Release.
pub const LABEL_RELEASE: &str = "signalbox.dev/release";
/// Label: the uid of the Release to which a pre-state or other stored object belongs.
pub const LABEL_RELEASE_UID: &str = "signalbox.dev/release-uid";
/// Label: the environment to which the object belongs.
pub const LABEL_ENVIRONMENT: &str = "signalbox.dev/environment";
/// Label: the attempt for which the object was created, from 1.
pub const LABEL_ATTEMPT: &str = "signalbox.dev/attempt";
/// Label: the component, gate or verification for which the object was created.
pub const LABEL_COMPONENT: &str = "signalbox.dev/component";
/// Annotation on pod templates: the hash of the configuration for which the pods were restarted.
pub const RESTARTED_FOR: &str = "signalbox.dev/restarted-for";
/// Annotation on claims (the Leases that lock target namespaces): a Decision is required before another release may enter.
pub const UNSETTLED: &str = "signalbox.dev/unsettled";
/// Field manager of every write of the operator.
pub const FIELD_MANAGER: &str = "signalbox";
/// `observedGeneration` of an object that the operator has not reconciled yet. It is the default in the CRDs, so that tools such as
/// kstatus, which compare it with the generation, do not treat an absent status as a current one.
pub const NOT_OBSERVED: i64 = -1;
