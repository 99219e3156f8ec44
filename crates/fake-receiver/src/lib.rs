//! Receivers of metrics and logs for tests: they take and refuse as Prometheus and Loki do, and remember what came, how often,
//! and in which order. A [`Target`] knows how often it was scraped.
//!
//! What they are sent is read by the published schemas, written down here once more: a sender that has them wrong is not
//! understood. A request that no sender may make (labels that are not sorted, samples that are not in order, another value for
//! a sample that is there) panics.

mod loki;
mod messages;
mod prometheus;
mod server;
mod target;

pub use loki::Loki;
pub use prometheus::{LABELS, Prometheus, Takes};
pub use server::{Answer, Asked, Server};
pub use target::Target;
