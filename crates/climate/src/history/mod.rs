//! The history: readings, alert state and undelivered messages in one SQLite file.

mod backup;
mod store;

pub use backup::{back_up, restore};
pub use store::{Batch, FILE, Point, Series, Store, Summary, open_or_set_aside};
