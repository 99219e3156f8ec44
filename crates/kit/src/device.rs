//! What the device tells of itself: `lichenctl` puts it into /run, and every service passes it on.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::soc;

const FOLDER: &str = "/run/lichen";
/// What a device tells that had a power cut and is well.
const SIMULATED: &str = concat!(include_str!("device.metrics"), include_str!("link.metrics"));
/// Each is written by a program of its own.
const METRICS: [&str; 2] = ["metrics", "link.metrics"];

/// The device's metrics, in the OpenMetrics format without its end; empty where there are none.
pub(crate) fn metrics() -> String {
    match soc::is_simulated() {
        true => SIMULATED.to_owned(),
        false => metrics_of(Path::new(FOLDER)),
    }
}

/// Why the device was reset, and what recovery has done; null where nothing is told.
pub(crate) fn recovery() -> Value {
    recovery_of(Path::new(FOLDER))
}

fn metrics_of(folder: &Path) -> String {
    let read = |name| fs::read_to_string(folder.join(name)).ok();
    // A line that is cut off would spoil those of the service after it.
    let whole = |text: &String| text.ends_with('\n');
    METRICS.into_iter().filter_map(read).filter(whole).collect()
}

fn recovery_of(folder: &Path) -> Value {
    let text = fs::read(folder.join("recovery.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test's files need not be durable"
)]
mod tests {
    use super::*;

    #[test]
    fn what_the_device_tells_is_passed_on_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(metrics_of(folder.path()), "");
        assert_eq!(recovery_of(folder.path()), Value::Null);
        put("metrics", "lichen_recovery_reboots 1\n");
        put("recovery.json", "{\"reboots\":1}");
        assert_eq!(metrics_of(folder.path()), "lichen_recovery_reboots 1\n");
        assert_eq!(recovery_of(folder.path())["reboots"], 1);
        put("metrics", "lichen_recovery_reboots 1\nlichen_rec");
        put("link.metrics", "lichen_link_up 1\n");
        put("recovery.json", "{\"reboots\":");
        assert_eq!(metrics_of(folder.path()), "lichen_link_up 1\n");
        assert_eq!(recovery_of(folder.path()), Value::Null);
    }
}
