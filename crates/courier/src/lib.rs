//! Carries a device's metrics and logs away, and never loses them.

pub mod clock;
pub mod config;
pub mod labels;
mod mark;
pub mod queue;
pub mod scrape;
pub mod stats;
