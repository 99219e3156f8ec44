//! An exchange for tests: a feed that misbehaves as told, and what was kept of it in the end.

mod feed;
mod kept;

pub use feed::{Feed, Format, Mischief, Sent, Session, price, size};
pub use kept::{Kept, kept};
