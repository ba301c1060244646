//! A Release: a version of a product, the environments it is promoted to, its plans, and its status.

mod plan;
mod said;
mod spec;
mod state;
mod status;

pub use plan::{BackoutPlan, DeploymentPlan, ReviewPlan, ReviewRequired, Strategy, Trigger};
pub use said::sentence;
pub use spec::{
    Because, Change, ChangeModel, Component, Hold, Image, Override, Planned, Release, ReleaseSpec, Source,
    Target,
};
pub use state::{Class, State};
pub use status::{
    ArmedPlan, Backout, BackoutState, Check, CheckState, Colour, ComponentState, ComponentStatus, Decided,
    DriftEvent, Entered, Forecast, Inconclusive, JobRun, PlanState, Promotion, Rag, ReleaseStatus,
    ReviewState, ReviewStatus, STATE_VERSION,
};
