#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

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
