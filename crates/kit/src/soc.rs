//! What the system-on-chip says of itself: its temperature, and whether it is held back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// Since when this process simulates its hardware (`--simulate`), if it does.
static SIMULATED: OnceLock<Instant> = OnceLock::new();

/// The system-on-chip as seen in /sys; what the kernel does not offer is none.
#[derive(Debug, Clone)]
pub struct Soc(Source);

#[derive(Debug, Clone)]
enum Source {
    Sys(PathBuf),
    MadeUp(Instant),
}

/// From now on [`Soc::new`] is a made-up one, well and lukewarm, in this process.
pub(crate) fn simulate() {
    SIMULATED.get_or_init(Instant::now);
}

impl Soc {
    /// The system-on-chip of this machine.
    pub fn new() -> Self {
        match SIMULATED.get() {
            Some(since) => Soc(Source::MadeUp(*since)),
            None => Soc::at("/sys"),
        }
    }

    /// The system-on-chip described below `sys` (for tests).
    pub fn at(sys: impl Into<PathBuf>) -> Self {
        Soc(Source::Sys(sys.into()))
    }

    /// Temperature in °C: of the zone that is the processor's, else of the first zone.
    pub fn temperature(&self) -> Option<f64> {
        let sys = match &self.0 {
            Source::Sys(sys) => sys,
            Source::MadeUp(since) => {
                return Some(48.0 + 3.0 * (since.elapsed().as_secs_f64() / 60.0).sin());
            }
        };
        let mut zones = entries(&sys.join("class/thermal"), "thermal_zone");
        zones.sort_by_key(|zone| (!is_processor(zone), zone.clone()));
        zones.iter().find_map(|zone| {
            let millidegrees: f64 = read(&zone.join("temp"))?.parse().ok()?;
            Some(millidegrees / 1000.0)
        })
    }

    /// Whether the supply is too weak now (Raspberry Pi only).
    pub fn under_voltage(&self) -> Option<bool> {
        let Source::Sys(sys) = &self.0 else {
            return Some(false);
        };
        let sensors = entries(&sys.join("class/hwmon"), "hwmon");
        let supply = sensors
            .iter()
            .find(|s| read(&s.join("name")).as_deref() == Some("rpi_volt"))?;
        Some(read(&supply.join("in0_lcrit_alarm"))? != "0")
    }

    /// By how much the processor is slowed down now: 0 is full speed, 1 is as slow as it gets.
    pub fn throttling(&self) -> Option<f64> {
        let Source::Sys(sys) = &self.0 else {
            return Some(0.0);
        };
        let mut coolers = entries(&sys.join("class/thermal"), "cooling_device");
        coolers.retain(|cooler| {
            read(&cooler.join("type")).is_some_and(|kind| kind.contains("cpufreq"))
        });
        coolers
            .iter()
            .filter_map(|cooler| {
                let state: f64 = read(&cooler.join("cur_state"))?.parse().ok()?;
                let most: f64 = read(&cooler.join("max_state"))?.parse().ok()?;
                (most > 0.0).then_some(state / most)
            })
            .reduce(f64::max)
    }
}

impl Default for Soc {
    fn default() -> Self {
        Soc::new()
    }
}

fn is_processor(zone: &Path) -> bool {
    read(&zone.join("type")).is_some_and(|kind| kind.contains("cpu") || kind.contains("soc"))
}

fn entries(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    entries
        .flatten()
        .filter(named)
        .map(|entry| entry.path())
        .collect()
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;

    fn sys(files: &[(&str, &str)]) -> (tempfile::TempDir, Soc) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let soc = Soc::at(directory.path());
        (directory, soc)
    }

    #[test]
    fn the_processor_s_zone_is_preferred() {
        let (_keep, soc) = sys(&[
            ("class/thermal/thermal_zone0/type", "battery\n"),
            ("class/thermal/thermal_zone0/temp", "20000\n"),
            ("class/thermal/thermal_zone1/type", "cpu-thermal\n"),
            ("class/thermal/thermal_zone1/temp", "48312\n"),
        ]);
        assert_eq!(soc.temperature(), Some(48.312));
    }

    #[test]
    fn a_weak_supply_and_a_slowed_processor_are_seen() {
        let (_keep, soc) = sys(&[
            ("class/hwmon/hwmon0/name", "cpu_thermal\n"),
            ("class/hwmon/hwmon1/name", "rpi_volt\n"),
            ("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n"),
            ("class/thermal/cooling_device0/type", "cpufreq-cpu0\n"),
            ("class/thermal/cooling_device0/cur_state", "1\n"),
            ("class/thermal/cooling_device0/max_state", "4\n"),
        ]);
        assert_eq!(soc.under_voltage(), Some(true));
        assert_eq!(soc.throttling(), Some(0.25));
    }

    #[test]
    fn a_machine_without_any_of_it_says_nothing() {
        let soc = Soc::at("/nonexistent");
        assert_eq!(
            (soc.temperature(), soc.under_voltage(), soc.throttling()),
            (None, None, None)
        );
    }
}
