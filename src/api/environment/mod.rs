//! An Environment: where releases go, and what must be true before anything comes in.

mod spec;
mod status;

pub use spec::{
    AllowedKind, Approval, BackoutRules, Control, ControlName, DefaultWindow, Enforcement, Environment,
    EnvironmentSpec, Expression, Gate, JobTemplate, MaxOccupancy, Owner, Permission, PromotesFrom, Require,
    ServiceAccounts, Soak, Stage, Then, Verification, Window, WindowKind,
};
pub use status::{EnvironmentStatus, InventoryItem, Occupant, SharedTargets, WindowStatus};
