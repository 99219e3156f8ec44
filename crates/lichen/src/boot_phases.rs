//! Where the seconds of a boot go: U-Boot, kernel, initrd, userspace.
//!
//! The device tells by its own clock, which begins with the kernel, and the host how long it all took by its own. What
//! the two differ by is what came before the kernel.

use std::time::Duration;

/// What to run on the device, as root, once it has answered. Its clock is read last: what [`of`] calls `asked` is when
/// the answer to this was there.
pub const SCRIPT: &str = "dmesg | grep -F 'Run /init as init process'; \
     systemctl show -p UserspaceTimestampMonotonic; systemd-analyze blame --no-pager | head -n 5; \
     sed 's/^/uptime /' /proc/uptime";

/// One boot, from power on until the appliance answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phases {
    /// Firmware and U-Boot: until the kernel's clock began.
    pub loader: Duration,
    /// The kernel by itself, until it started the initrd.
    pub kernel: Duration,
    /// The initrd, until systemd began.
    pub initrd: Duration,
    /// systemd and all it starts, until the appliance answered.
    pub userspace: Duration,
    /// The units that took longest to start, with systemd's words for how long: they overlap.
    pub slowest: Vec<(String, String)>,
}

impl Phases {
    /// The phases as rows of a table.
    pub fn rows(&self, show: impl Fn(Duration) -> String) -> Vec<(String, String)> {
        let phases = [
            ("U-Boot", self.loader),
            ("kernel", self.kernel),
            ("initrd", self.initrd),
            ("userspace until it answers", self.userspace),
        ];
        let units = self
            .slowest
            .iter()
            .map(|(unit, took)| (format!("boot, unit {unit}"), took.clone()));
        phases
            .map(|(phase, took)| (format!("boot, {phase}"), show(took)))
            .into_iter()
            .chain(units)
            .collect()
    }
}

/// Reads what [`SCRIPT`] said. `answered` and `asked` are how long after power on the appliance answered, and the script
/// had ended. None if something is missing or cannot be.
pub fn of(answered: Duration, asked: Duration, said: &str) -> Option<Phases> {
    let kernel = said
        .lines()
        .find_map(|line| seconds(line.strip_prefix('[')?.split_once(']')?.0))?;
    let systemd = said.lines().find_map(|line| {
        let micros = line.strip_prefix("UserspaceTimestampMonotonic=")?;
        Some(Duration::from_micros(micros.trim().parse().ok()?))
    })?;
    let uptime = said
        .lines()
        .find_map(|line| seconds(line.strip_prefix("uptime ")?.split_whitespace().next()?))?;
    let loader = asked.checked_sub(uptime)?;
    Some(Phases {
        loader,
        kernel,
        initrd: systemd.checked_sub(kernel)?,
        userspace: answered.checked_sub(loader)?.checked_sub(systemd)?,
        slowest: said.lines().filter_map(blamed).collect(),
    })
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// A line of `systemd-analyze blame`: how long, in one word or several, and the unit.
fn blamed(line: &str) -> Option<(String, String)> {
    let (took, unit) = line.trim().rsplit_once(' ')?;
    let is_unit = [".service", ".mount", ".swap", ".socket", ".device"]
        .iter()
        .any(|kind| unit.ends_with(kind));
    is_unit.then(|| (unit.to_owned(), took.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a first boot of climate said it.
    const SAID: &str = "\
[    1.690412] Run /init as init process
UserspaceTimestampMonotonic=3754755
    4.400s nftables.service
1min 2.139s lichen-register.service
     936ms systemd-modules-load.service
uptime 18.40 12.31
";

    fn millis(phases: &Phases) -> [u128; 4] {
        [
            phases.loader,
            phases.kernel,
            phases.initrd,
            phases.userspace,
        ]
        .map(|phase| phase.as_millis())
    }

    #[test]
    fn the_phases_of_a_boot_add_up_to_all_of_it() {
        let (answered, asked) = (Duration::from_millis(22_200), Duration::from_millis(22_800));
        let phases = of(answered, asked, SAID).unwrap();
        assert_eq!(millis(&phases), [4400, 1690, 2064, 14_045]);
        let all = phases.loader + phases.kernel + phases.initrd + phases.userspace;
        assert_eq!(all, answered);
        assert_eq!(
            phases.rows(|took| format!("{:.1} s", took.as_secs_f64()))[..5],
            [
                ("boot, U-Boot", "4.4 s"),
                ("boot, kernel", "1.7 s"),
                ("boot, initrd", "2.1 s"),
                ("boot, userspace until it answers", "14.0 s"),
                ("boot, unit nftables.service", "4.400s"),
            ]
            .map(|(what, took)| (what.to_owned(), took.to_owned()))
        );
        assert_eq!(phases.slowest[1].1, "1min 2.139s");
    }

    #[test]
    fn what_does_not_fit_together_is_no_boot() {
        let second = Duration::from_secs(1);
        assert_eq!(of(second, second * 2, SAID), None, "up before power on");
        for missing in ["Run /init", "Userspace", "uptime"] {
            assert!(SCRIPT.contains(missing), "nobody asks for {missing}");
            let rest: Vec<_> = SAID.lines().filter(|l| !l.contains(missing)).collect();
            assert_eq!(of(second * 22, second * 22, &rest.join("\n")), None);
        }
    }
}
