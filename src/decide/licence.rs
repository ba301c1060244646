//! The right to change targets. Only an attempt that has entered, and whose pre-state and claim are its own, has it, and only it makes
//! the changes that an Act carries out.

use crate::api::release::{Entered, Promotion};
use crate::decide::facts::{Claim, Observed, Place};
use crate::decide::plan;
use crate::decide::prestate::PreState;
use serde_json::Value;

/// How a target is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// A patch that carries the observed resourceVersion.
    Patch {
        api_version: String,
        kind: String,
        name: String,
        patch: Value,
    },
    /// Create a target that does not exist, with this object.
    Create { object: Value },
    /// JSON Patch whose first operation is the resourceVersion as precondition.
    Restore {
        api_version: String,
        kind: String,
        name: String,
        operations: Value,
    },
    /// Delete this object, with its uid as precondition: a target that the release created, or a stuck pod of it.
    Delete {
        api_version: String,
        kind: String,
        name: String,
        uid: String,
    },
    /// JSON Patch that restores our entry in `managedFields`, so that the previous owner of the fields can write them without force.
    /// Nothing else changes.
    GiveBack {
        api_version: String,
        kind: String,
        name: String,
        operations: Value,
    },
}

/// One change of one target, forward or back. Only a [`Licence`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetChange {
    /// Name of the Environment.
    pub environment: String,
    /// The target namespace, as it was at entry.
    pub namespace: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// Name of the component in the Release.
    pub component: String,
    /// What is sent to the API server.
    pub change: How,
    licensed: Licensed,
}

/// Cannot be made outside this file.
#[derive(Clone, Debug, PartialEq)]
struct Licensed;

/// What is shown of an attempt that may change its targets.
pub(crate) struct Licence<'a> {
    promotion: &'a Promotion,
    pub(crate) entered: &'a Entered,
    pub(crate) place: &'a Place,
    pub(crate) pre_state: &'a PreState,
}

/// Why an attempt may not change its targets.
pub(crate) enum Unlicensed<'a> {
    /// Its status does not say where it has entered.
    NotEntered,
    /// Its target namespace has not been read yet.
    NotRead,
    /// Its pre-state is missing, or another attempt's.
    NoPreState(NoPreState),
    /// Another holder has the claim of this place, or no one has.
    NoClaim(&'a Entered, &'a Place),
}

impl<'a> Licence<'a> {
    /// The licence of the attempt that `p` shows. Status alone is none: a user could have written it while the policy was unbound.
    ///
    /// # Errors
    /// [`Unlicensed`], the first that holds.
    pub(crate) fn of(o: &'a Observed, p: &'a Promotion) -> Result<Self, Unlicensed<'a>> {
        let entered = p.entered.as_ref().ok_or(Unlicensed::NotEntered)?;
        let place = place(o, p).ok_or(Unlicensed::NotRead)?;
        let pre_state = own_pre_state(o, p, place).map_err(Unlicensed::NoPreState)?;
        if own_claim(o, p, place).is_none() {
            return Err(Unlicensed::NoClaim(entered, place));
        }
        Ok(Self {
            promotion: p,
            entered,
            place,
            pre_state,
        })
    }

    /// That change of the target of `component`.
    pub(crate) fn change(&self, component: &str, change: How) -> TargetChange {
        TargetChange {
            environment: self.promotion.name.clone(),
            namespace: self.entered.target_namespace.clone(),
            attempt: self.promotion.attempt,
            component: component.to_owned(),
            change,
            licensed: Licensed,
        }
    }
}

pub(crate) fn place<'a>(o: &'a Observed, p: &Promotion) -> Option<&'a Place> {
    o.places.get(&p.name)
}

/// The claim (the Lease that locks a target namespace), if this attempt of this promotion holds it.
pub(crate) fn own_claim<'a>(o: &Observed, p: &Promotion, place: &'a Place) -> Option<&'a Claim> {
    let mine = o.holder(&p.name, p.attempt);
    place.claim.as_ref().filter(|c| c.holder.as_ref() == Some(&mine))
}

/// Nothing can be restored, so nothing is changed. A complete message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Pre-state {name} in namespace {home} is missing or belongs to another attempt. Nothing can be restored without it, so nothing is \
     changed. Correct the targets by hand, then create a Decision (Accept or Abandon)."
)]
pub(crate) struct NoPreState {
    name: String,
    home: String,
}

/// The pre-state that was captured for this promotion before it entered.
///
/// # Errors
/// [`NoPreState`] if it is missing or belongs to another attempt.
fn own_pre_state<'a>(o: &Observed, p: &Promotion, place: &'a Place) -> Result<&'a PreState, NoPreState> {
    let name = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    let kept = place.pre_state.as_ref().map(|kept| &*kept.content);
    let namespace = p.entered.as_ref().map(|e| e.target_namespace.as_str());
    // A Retry that never entered is backed out with the pre-state of the previous attempt.
    let ours = kept.filter(|c| {
        c.release_uid == o.uid()
            && c.environment == p.name
            && c.attempt <= p.attempt
            && Some(c.namespace.as_str()) == namespace
    });
    ours.ok_or_else(|| NoPreState {
        name,
        home: o.settings.operator_namespace.clone(),
    })
}

/// Why nothing is done without the claim, and what to do, as sentences.
pub(crate) fn claim_lost(o: &Observed, place: &Place, namespace: &str) -> String {
    match &place.claim {
        Some(other) => format!(
            "The lock of namespace {namespace} is held by release {}, so nothing is changed. A Decision is required (BackOut, Accept or \
             Abandon).",
            other.release
        ),
        None => format!(
            "The lock of namespace {namespace} (Lease {} in namespace {}) is missing: it was deleted, or another writer changed status. \
             Nothing is changed until there is a Decision (BackOut, Accept or Abandon).",
            plan::claim_name(namespace),
            o.settings.operator_namespace
        ),
    }
}
