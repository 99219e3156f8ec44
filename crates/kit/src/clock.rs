//! The one clock: all code that needs the current time gets it here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The current time in milliseconds since 1970 (UTC).
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// The current time in microseconds since 1970 (UTC).
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}

/// Formats a time in milliseconds since 1970 as RFC 3339 text in UTC, to the second.
pub fn rfc3339(ms: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Parses a time in a query: seconds since 1970, or RFC 3339 in UTC.
pub fn parse_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds.abs() < 1e11).then_some((seconds * 1000.0) as i64);
    }
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    time.duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(parse_ms("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(parse_ms("1700000000"), Some(1_700_000_000_000));
        assert_eq!(parse_ms("1700000000.5"), Some(1_700_000_000_500));
        assert_eq!(parse_ms("yesterday"), None);
        assert_eq!(parse_ms("inf"), None);
    }
}
