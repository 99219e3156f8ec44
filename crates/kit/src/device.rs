//! What the device tells of itself: `lichenctl` puts it into /run, and every service passes it on.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::clock;
use crate::soc;

const FOLDER: &str = "/run/lichen";
/// What a device tells that had a power cut and is well.
const SIMULATED: &str = concat!(
    include_str!("device.metrics"),
    include_str!("link.metrics"),
    include_str!("vitals.metrics")
);
/// Each is written by a program of its own.
const METRICS: [&str; 3] = ["metrics", "link.metrics", VITALS];
/// This one is written every minute.
const VITALS: &str = "vitals.metrics";
/// What is older is not true any more, and no value at all can be noticed.
const FRESH: Duration = Duration::from_secs(10 * 60);

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
    let now = UNIX_EPOCH + Duration::from_millis(clock::now_ms() as u64);
    let read = |name: &str| {
        let file = folder.join(name);
        let written = fs::metadata(&file).and_then(|file| file.modified()).ok()?;
        // The clock may have been set back since.
        let age = now.duration_since(written).unwrap_or_default();
        let current = name != VITALS || age < FRESH;
        current.then(|| fs::read_to_string(file).ok()).flatten()
    };
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

    #[test]
    fn what_is_not_told_every_minute_any_more_is_not_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, age: Duration| {
            let file = fs::File::create_new(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name), format!("{}\n", &name[..1])).unwrap();
            let now = UNIX_EPOCH + Duration::from_millis(clock::now_ms() as u64);
            file.set_modified(now - age).unwrap();
            let text = metrics_of(folder.path());
            fs::remove_file(folder.path().join(name)).unwrap();
            text
        };
        assert_eq!(told(VITALS, FRESH / 2), "v\n");
        assert_eq!(told(VITALS, FRESH), "");
        assert_eq!(
            told("metrics", FRESH),
            "m\n",
            "this is told when it changes"
        );
    }
}
