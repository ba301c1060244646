//! Status that is derived from the promotions.

pub mod backout_plan;
pub mod conditions;
pub mod environment;
pub mod forecast;
pub mod rag;
pub mod review;
