//! What time it is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What time it is, in µs since 1970; tests and simulations have their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The time of this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock of ticker, which counts in µs"
)]
pub fn real_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_micros() as i64)
    })
}
