//! The state of the system-on-chip: its temperature, and whether it is throttled.
//!
//! Services show it in their metrics and `lichenctl` in its status. Both read it here, so that they agree.

use std::fs;
use std::path::{Path, PathBuf};

/// The system-on-chip as described in /sys; values that the kernel does not offer are none.
#[derive(Debug, Clone)]
pub struct Soc {
    sys: PathBuf,
}

impl Soc {
    /// The system-on-chip described below `sys`.
    pub fn at(sys: impl Into<PathBuf>) -> Self {
        Soc { sys: sys.into() }
    }

    /// The temperature in °C: of the processor's zone, else of the first zone.
    pub fn temperature(&self) -> Option<f64> {
        let mut zones = self.entries("class/thermal", "thermal_zone");
        zones.sort_by_key(|zone| (!is_processor(zone), zone.clone()));
        zones.iter().find_map(|zone| {
            let millidegrees: f64 = read(&zone.join("temp"))?.parse().ok()?;
            Some(millidegrees / 1000.0)
        })
    }

    /// Whether the power supply is too weak now (Raspberry Pi only).
    pub fn under_voltage(&self) -> Option<bool> {
        let sensors = self.entries("class/hwmon", "hwmon");
        let supply = sensors
            .iter()
            .find(|sensor| read(&sensor.join("name")).as_deref() == Some("rpi_volt"))?;
        Some(read(&supply.join("in0_lcrit_alarm"))? != "0")
    }

    /// How far the processor is throttled now: 0 is full speed, 1 is the slowest.
    pub fn throttling(&self) -> Option<f64> {
        let mut coolers = self.entries("class/thermal", "cooling_device");
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

    fn entries(&self, directory: &str, prefix: &str) -> Vec<PathBuf> {
        let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
        fs::read_dir(self.sys.join(directory))
            .into_iter()
            .flatten()
            .flatten()
            .filter(named)
            .map(|entry| entry.path())
            .collect()
    }
}

fn is_processor(zone: &Path) -> bool {
    read(&zone.join("type")).is_some_and(|kind| kind.contains("cpu") || kind.contains("soc"))
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests;
