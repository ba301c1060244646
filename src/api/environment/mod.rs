//! An Environment: a target of releases, and the conditions for entering it.

mod spec;
mod status;

pub use spec::{
    AllowedKind, Approval, BackoutRules, Control, ControlName, DefaultWindow, Enforcement, Environment,
    EnvironmentSpec, Expression, Gate, JobTemplate, MaxOccupancy, Owner, Permission, PromotesFrom, Require,
    ServiceAccounts, Soak, Stage, Then, Verification, Window, WindowKind,
};
pub use status::{EnvironmentStatus, InventoryItem, Occupant, SharedTargets, WindowStatus};
