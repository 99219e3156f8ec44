//! The clock that stamps records: the kit's, or one that tests and simulations make up.

use std::sync::Arc;

/// What time it is, in µs since 1970. Records are stamped in the unit of their files, which is finer than the kit's usual
/// one, and it is a value, so that whoever replays a feed says what time it was.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The time of this machine.
pub fn real_clock() -> Clock {
    Arc::new(kit::clock::now_us)
}
