//! Making a toplevel that is on a device run there, and finding out what became of it.
//!
//! A switch may cut the very connection that asked for it, and a trial boot surely does: what counts is what the
//! device says about itself afterwards, over a new connection. Being reached by that is the confirmation, too.

use super::{Device, Lost, quoted, words};
use crate::ui;
use anyhow::{Context, Result};
use lichenctl::confirm::AWAITED;
use lichenctl::status::{Standing, Status};
use std::time::{Duration, Instant};

/// Three tries of a generation whose userspace is given its time to become healthy, and the boot after them.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_secs(2);
/// lichenctl's own exit status for it, and ours.
pub const UNSUCCESSFUL: i32 = 4;

/// What is to become of a toplevel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Run it now, and from now on.
    Switch,
    /// Run it now, until the next boot.
    Test,
    /// Run it from the next boot on.
    Boot,
}

/// The device runs what it ran before.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {why}")]
pub struct Reverted {
    host: String,
    why: String,
}

impl Reverted {
    /// What to look at.
    pub fn hint(&self) -> String {
        format!("`lichen logs {}` shows what its units said", self.host)
    }
}

/// What a device says when it is asked what became of it.
#[derive(Debug, Clone)]
struct Look {
    boot_id: String,
    /// Whether a lichenctl is changing generations.
    busy: bool,
    status: Status,
}

/// What to make of that.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is not over.
    Wait(&'static str),
    /// It runs.
    Runs(String),
    /// What ran before does.
    Back,
}

/// Does it; says in a few words what runs now. With `confirm`, what runs stays only if a new connection gets through
/// within so many seconds.
pub fn activate(
    device: &Device,
    verb: Verb,
    toplevel: &str,
    confirm: Option<u64>,
) -> Result<String> {
    let boot_id = device.ask(BOOT_ID, b"")?.trim().to_owned();
    let name = match verb {
        Verb::Switch => "switch",
        Verb::Test => "test",
        Verb::Boot => "boot",
    };
    let mut command = format!("lichenctl {name} {}", quoted(toplevel));
    // Who asks for the next boot is not there to confirm it.
    if let Some(seconds) = confirm.filter(|_| verb != Verb::Boot) {
        command += &format!(" --confirm-within {seconds}");
    }
    let mut heard = |line: &str| {
        if !line.starts_with("error: ") && !line.starts_with("hint: ") {
            ui::say(format!("{}: {line}", device.host));
        }
        if line.starts_with(AWAITED)
            && let Err(error) = device
                .anew("lichenctl confirm")
                .and_then(|ended| device.success(ended))
        {
            ui::warn(format!("cannot confirm: {error:#}"));
        }
    };
    let ended = match device.run(&command, &mut |_| Ok(()), &mut heard) {
        Err(error) if error.is::<Lost>() => {
            ui::say(format!("{error}; finding out what became of it"));
            return settle(device, toplevel, &boot_id);
        }
        ended => ended?,
    };
    if ended.code == UNSUCCESSFUL {
        return Err(Reverted {
            host: device.host.clone(),
            why: words(&ended.stderr).0,
        }
        .into());
    }
    device.success(ended)?;
    if verb == Verb::Boot {
        return Ok("boots next".into());
    }
    // Over the old connection, as long as there is one: it is not what has to be proved any more.
    match device.ask("readlink /run/current-system", b"") {
        Ok(running) if running.trim() == toplevel => Ok(words_of(verb)),
        _ => settle(device, toplevel, &boot_id),
    }
}

fn words_of(verb: Verb) -> String {
    let until = if verb == Verb::Test {
        ", until its next boot"
    } else {
        ""
    };
    format!("runs and is healthy{until}")
}

/// The kernel's number of the boot, and how often userspace has started over since.
const BOOT_ID: &str =
    "echo $(cat /proc/sys/kernel/random/boot_id) $(systemctl show -P SoftRebootsCount)";

/// Asks until it is clear what runs.
fn settle(device: &Device, toplevel: &str, boot_id: &str) -> Result<String> {
    let start = Instant::now();
    let mut live = ui::Live::new();
    let mut last = String::new();
    while start.elapsed() < PATIENCE {
        match look(device) {
            Ok(look) => match verdict(&look, toplevel, boot_id) {
                Verdict::Wait(what) => last = what.to_owned(),
                Verdict::Runs(words) => {
                    live.clear();
                    return Ok(words);
                }
                Verdict::Back => {
                    live.clear();
                    return Err(Reverted {
                        host: device.host.clone(),
                        why: reason(device),
                    }
                    .into());
                }
            },
            Err(error) => last = format!("{error:#}"),
        }
        live.update(&format!(
            "{}: {last}, {}",
            device.host,
            ui::duration(start.elapsed())
        ));
        std::thread::sleep(PAUSE);
    }
    live.clear();
    crate::fail!(
        hint: format!("lichen status {}", device.host),
        "{}: after {} it is not clear what runs: {last}",
        device.host,
        ui::duration(PATIENCE)
    );
}

fn look(device: &Device) -> Result<Look> {
    // That this gets through is what there was to confirm; where nothing is awaited it says so, to no one.
    let command = format!(
        "lichenctl confirm 2> /dev/null; {BOOT_ID}; flock -n /run/lichen/lock echo idle || echo busy; lichenctl status --json"
    );
    let said = device.success(device.anew(&command)?)?.stdout;
    let mut parts = said.splitn(3, '\n');
    let (boot_id, idle, status) = (parts.next(), parts.next(), parts.next());
    Ok(Look {
        boot_id: boot_id.unwrap_or_default().to_owned(),
        busy: idle != Some("idle"),
        status: serde_json::from_str(status.unwrap_or_default())
            .context("its status makes no sense")?,
    })
}

fn verdict(look: &Look, toplevel: &str, boot_id: &str) -> Verdict {
    let status = &look.status;
    let rebooted = look.boot_id != boot_id;
    if status.toplevel.as_deref() != Some(toplevel) {
        let to_come = status.next_boot != status.generation || status.soft_reboot.is_some();
        return match (rebooted, look.busy) {
            (true, _) => Verdict::Back,
            (false, true) => Verdict::Wait("it is at it"),
            (false, false) if to_come => Verdict::Wait("it is about to reboot"),
            (false, false) => Verdict::Back,
        };
    }
    if look.busy || status.confirmation.is_some() {
        return Verdict::Wait("it runs, and is not confirmed yet");
    }
    let number = status.generation.map_or_else(
        || "a toplevel on test".to_owned(),
        |g| format!("generation {g}"),
    );
    match status.standing {
        Standing::Good => Verdict::Runs(format!("{number} runs and is good")),
        _ if rebooted => Verdict::Wait("it was booted, and is not blessed yet"),
        _ => Verdict::Runs(format!("{number} runs and is healthy")),
    }
}

/// Why the device went back: its journal knows.
fn reason(device: &Device) -> String {
    let command = "journalctl -b -t lichenctl -p err -o cat -n 1 --no-pager";
    let said = device
        .anew(command)
        .map(|ended| ended.stdout)
        .unwrap_or_default();
    match said.trim() {
        "" => "what ran before runs again".to_owned(),
        reason => format!("what ran before runs again: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lichenctl::state::Generation;

    const NEW: &str = "/nix/store/new-lichen-x";

    fn look(change: impl FnOnce(&mut Look)) -> Verdict {
        let status = serde_json::json!({
            "hostname": null, "generation": 2, "toplevel": NEW, "booted": 1, "standing": "trial", "boot": null, "boot_error": null,
            "next_boot": 2, "failed_trial": null, "system": null, "failed_units": null, "uptime_seconds": null, "provision": null,
            "data": null, "soc_celsius": null, "undervoltage": null, "throttled": null
        });
        let mut look = Look {
            boot_id: "1".into(),
            busy: false,
            status: serde_json::from_value(status).unwrap(),
        };
        change(&mut look);
        verdict(&look, NEW, "1")
    }

    #[test]
    fn after_a_live_switch_what_was_asked_for_runs() {
        assert_eq!(
            look(|_| {}),
            Verdict::Runs("generation 2 runs and is healthy".into())
        );
        assert!(
            matches!(look(|l| l.busy = true), Verdict::Wait(_)),
            "its health is still judged"
        );
        assert!(matches!(
            look(|l| {
                l.busy = true;
                l.status.toplevel = Some("old".into())
            }),
            Verdict::Wait(_)
        ));
    }

    #[test]
    fn what_went_back_is_told_from_what_is_about_to_reboot() {
        let old = |l: &mut Look| {
            l.status.toplevel = Some("old".into());
            l.status.generation = l.status.booted
        };
        assert!(
            matches!(look(old), Verdict::Wait(_)),
            "the next boot is another"
        );
        assert_eq!(
            look(|l| {
                old(l);
                l.status.next_boot = l.status.booted
            }),
            Verdict::Back
        );
        assert_eq!(
            look(|l| {
                old(l);
                l.boot_id = "2".into()
            }),
            Verdict::Back,
            "the trial is over"
        );
    }

    #[test]
    fn a_soft_reboot_is_waited_for_though_the_next_boot_is_of_the_good_one() {
        let before = |l: &mut Look| {
            l.status.toplevel = Some("old".into());
            l.status.generation = Some(Generation(1));
            l.status.next_boot = l.status.generation;
        };
        let about_to = look(|l| {
            before(l);
            l.status.soft_reboot = Some(Generation(2));
        });
        assert!(matches!(about_to, Verdict::Wait(_)));
        let arrived = |l: &mut Look| {
            l.boot_id = "1 1".into();
            l.status.next_boot = Some(Generation(1));
        };
        assert!(matches!(look(arrived), Verdict::Wait(_)), "not blessed yet");
        let reset = look(|l| {
            before(l);
            l.boot_id = "2".into();
        });
        assert_eq!(reset, Verdict::Back);
    }

    #[test]
    fn a_trial_boot_is_over_when_it_is_blessed() {
        assert!(matches!(look(|l| l.boot_id = "2".into()), Verdict::Wait(_)));
        let blessed = look(|l| {
            l.boot_id = "2".into();
            l.status.standing = Standing::Good
        });
        assert_eq!(
            blessed,
            Verdict::Runs("generation 2 runs and is good".into())
        );
    }
}
