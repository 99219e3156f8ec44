use super::*;
use crate::lock::GenerationsLock;
use durable::scratch;
use protocol::status::Standing;

#[test]
fn nothing_known_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let status = collect(&Root::new(dir.path()));
    assert_eq!(
        (status.standing, status.soc_celsius, status.data),
        (Standing::Unknown, None, None)
    );
    assert!(
        status
            .to_string()
            .contains("next boot   unknown: no valid boot state"),
        "{status}"
    );
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}

#[test]
fn the_boards_own_sensors_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    root.put("sys/class/thermal/thermal_zone0/type", "rp1\n");
    root.put("sys/class/thermal/thermal_zone0/temp", "1000\n");
    root.put("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
    root.put("sys/class/thermal/thermal_zone1/temp", "48312\n");
    root.put("sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    root.put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    root.put("proc/uptime", "93.51 180.00\n");
    let status = collect(&root);
    assert_eq!(
        (status.soc_celsius, status.undervoltage, status.throttled),
        (Some(48.312), Some(true), None)
    );
    assert_eq!(status.uptime_seconds, Some(93));
}

/// A service's `/metrics` and `lichenctl status` report the same about a machine.
#[test]
fn metrics_and_status_agree_on_the_soc() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    let agree = |what: &str| {
        let (service, status) = (kit::Soc::at(root.at("sys")), collect(&root));
        assert_eq!(service.temperature(), status.soc_celsius, "{what}");
        assert_eq!(service.under_voltage(), status.undervoltage, "{what}");
        let throttled = service.throttling().map(|share| share > 0.0);
        assert_eq!(throttled, status.throttled, "{what}");
        status
    };
    agree("no sensor");
    root.put("sys/class/thermal/thermal_zone0/type", "battery\n");
    root.put("sys/class/thermal/thermal_zone0/temp", "20000\n");
    agree("no sensor of the processor");
    root.put("sys/class/hwmon/hwmon0/name", "rpi_volt\n");
    root.put("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0\n");
    let cooler = "sys/class/thermal/cooling_device0";
    root.put(format!("{cooler}/type"), "cpufreq-cpu0\n");
    root.put(format!("{cooler}/cur_state"), "0\n");
    root.put(format!("{cooler}/max_state"), "4\n");
    let well = agree("all is well");
    assert_eq!(
        (well.undervoltage, well.throttled),
        (Some(false), Some(false))
    );
    root.put(format!("{cooler}/cur_state"), "1\n");
    root.put("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n");
    let held_back = agree("held back");
    assert_eq!(
        (held_back.undervoltage, held_back.throttled),
        (Some(true), Some(true))
    );
}

#[test]
fn who_holds_the_lock_is_busy() {
    let dir = scratch();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let root = Root::new(dir.path());
    let busy = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        root.put("proc/locks", &locks);
        collect(&root).busy
    };
    assert_eq!(collect(&root).busy, None, "the kernel does not say");
    assert_eq!(busy(), Some(false), "there never was a lock");
    let lock = GenerationsLock::take(&root).unwrap();
    assert_eq!(busy(), Some(true));
    drop(lock);
    assert_eq!(busy(), Some(false));
}
