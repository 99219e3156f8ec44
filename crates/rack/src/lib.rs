//! A rack planner: racks, what is in them, whether it fits, how warm it gets, and where it is better placed.
//!
//! The parts, of which lower ones know nothing of those above them, are in the crate's README.

pub mod cache;
pub mod config;
pub mod export;
pub mod health;
pub mod http;
pub mod library;
pub mod logo;
pub mod page;
pub mod plan;
pub mod store;
