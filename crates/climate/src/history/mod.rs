//! The history: readings, alert state and undelivered messages in one SQLite file.

mod backup;
mod keeper;
mod reader;
mod store;

pub use backup::{back_up, restore};
pub use keeper::{History, Settings};
pub use store::{Batch, FILE, Point, Series, Store, Summary};
