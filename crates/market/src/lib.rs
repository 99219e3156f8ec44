//! A market for tests: a feed that misbehaves as told, a bucket that does so too, and what was kept in the end.

mod bucket;
mod feed;
mod kept;

pub use bucket::{Bucket, KEY, NAME, SECRET};
pub use feed::{Feed, Format, Mischief, Sent, Session, price, size};
pub use kept::{Kept, kept};
