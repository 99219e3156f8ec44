//! A rack planner.
pub mod plan;
