//! Switching a device to a toplevel that it has already, and finding out how that ended.
//!
//! A switch may cut the connection over which it was requested, and a trial boot always does. Therefore the result is what
//! the device reports afterwards over a new connection. That this connection gets through is also the confirmation.

use super::{Device, Ended, Lost};
use crate::failure::Reverted;
use crate::ui;
use anyhow::{Context, Result};
use protocol::command::{Command, Outcome, Verb};
use protocol::progress::{Event, Listener};
use protocol::status::{Standing, Status};
use std::time::{Duration, Instant};

/// Long enough for three boots of a generation that does not become healthy in time, and for the boot after them.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_secs(2);
/// The exit status that `flock` is told to use if the lock is taken; none of its other failures has this status.
const TAKEN: i32 = 75;

/// A device's report of its state after a switch.
#[derive(Debug, Clone)]
struct Answer {
    boot_id: String,
    /// Whether a lichenctl is changing generations.
    busy: bool,
    status: Status,
}

/// What the report means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// The switch has not ended yet.
    Wait(&'static str),
    /// The toplevel runs.
    Runs(String),
    /// The previous generation runs again.
    Back,
}

/// Switches the device, and returns in a few words what runs now. With `confirm`, the new toplevel stays only if a new
/// connection gets through within that many seconds.
pub fn activate(
    device: &Device,
    verb: Verb,
    toplevel: &str,
    confirm: Option<u64>,
) -> Result<String> {
    let boot_id = device.ask(BOOT_ID, b"")?.trim().to_owned();
    let order = Command::Apply {
        verb,
        toplevel,
        // Whoever chooses the generation for the next boot is not waiting then to confirm it.
        confirm_within: confirm.filter(|_| verb != Verb::Boot),
    };
    let mut listener = Listener::default();
    let mut heard = |line: &str| match listener.hear(line) {
        Some(Event::Said { text }) => ui::say(format!("{}: {text}", device.host)),
        Some(Event::AwaitingConfirmation { within }) => {
            ui::say(format!(
                "{}: it is healthy; confirming within {within} s over a new connection",
                device.host
            ));
            if let Err(error) = confirm_anew(device) {
                ui::warn(format!("{error:#}"));
            }
        }
        _ => {}
    };
    let ended = match device.run(&order.line(), &mut |_| Ok(()), &mut heard) {
        Err(error) if error.is::<Lost>() => {
            ui::say(format!("{error}; finding out how the switch ended"));
            return settle(device, toplevel, &boot_id);
        }
        ended => ended?,
    };
    if Outcome::of(ended.code) == Outcome::Unsuccessful {
        return Err(Reverted {
            host: device.host.clone(),
            why: listener.failure().error,
        }
        .into());
    }
    device.success(ended)?;
    if verb == Verb::Boot {
        return Ok("boots next".into());
    }
    // The old connection will do, if it still exists: that the device can be reached has been proved already.
    match device.ask("readlink /run/current-system", b"") {
        Ok(running) if running.trim() == toplevel => Ok(words_of(verb)),
        _ => settle(device, toplevel, &boot_id),
    }
}

/// Confirms over a new connection, since this is what has to be proved: that a new connection gets through.
fn confirm_anew(device: &Device) -> Result<Ended> {
    let ended = device
        .anew(&Command::Confirm.line())
        .and_then(|ended| device.success(ended));
    ended.context("cannot confirm, so the device will go back to the previous generation")
}

fn words_of(verb: Verb) -> String {
    let until = if verb == Verb::Test {
        ", until its next boot"
    } else {
        ""
    };
    format!("runs and is healthy{until}")
}

/// Prints the kernel's ID of the boot, and the number of soft-reboots since then.
const BOOT_ID: &str =
    "echo $(cat /proc/sys/kernel/random/boot_id) $(systemctl show -P SoftRebootsCount)";

/// Asks the device until it is clear what runs.
fn settle(device: &Device, toplevel: &str, boot_id: &str) -> Result<String> {
    let start = Instant::now();
    let mut live = ui::Live::new();
    let mut last = String::new();
    while start.elapsed() < PATIENCE {
        match ask(device) {
            Ok(answer) => match verdict(&answer, toplevel, boot_id) {
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
        "{}: it is still not clear after {} what runs: {last}",
        device.host,
        ui::duration(PATIENCE)
    );
}

fn ask(device: &Device) -> Result<Answer> {
    let (boot_id, status) = confirm_and_ask(device)?;
    let (busy, status) = match status.busy {
        Some(busy) => (busy, status),
        // An older lichenctl does not report this. The lock is checked before the status is read again, so that the
        // status is not older than the answer about the lock.
        None => (is_locked(device)?, confirm_and_ask(device)?.1),
    };
    Ok(Answer {
        boot_id,
        busy,
        status,
    })
}

/// Confirms, and returns the ID of the boot and the status. Where no confirmation is awaited, `lichenctl confirm` prints an
/// error, which is discarded.
fn confirm_and_ask(device: &Device) -> Result<(String, Status)> {
    let (confirm, status) = (Command::Confirm.line(), Command::Status.line());
    let command = format!("{confirm} 2> /dev/null; {BOOT_ID}; {status}");
    let said = device.success(device.anew(&command)?)?.stdout;
    let (boot_id, status) = said.split_once('\n').unwrap_or_default();
    let status = serde_json::from_str(status)
        .with_context(|| format!("{}: cannot read its status", device.host))?;
    Ok((boot_id.to_owned(), status))
}

/// Whether a lichenctl of any version holds its lock.
fn is_locked(device: &Device) -> Result<bool> {
    let ended = device.anew(&format!("flock -n -E {TAKEN} /run/lichen/lock true"))?;
    match ended.code {
        TAKEN => Ok(true),
        _ => device.success(ended).map(|_| false),
    }
}

fn verdict(answer: &Answer, toplevel: &str, boot_id: &str) -> Verdict {
    let status = &answer.status;
    let rebooted = answer.boot_id != boot_id;
    if status.toplevel.as_deref() != Some(toplevel) {
        let to_come = status.next_boot != status.generation || status.soft_reboot.is_some();
        return match (rebooted, answer.busy) {
            (true, _) => Verdict::Back,
            (false, true) => Verdict::Wait("it is still switching"),
            (false, false) if to_come => Verdict::Wait("it is about to reboot"),
            (false, false) => Verdict::Back,
        };
    }
    if answer.busy || status.confirmation.is_some() {
        return Verdict::Wait("it runs, and is not confirmed yet");
    }
    let number = status.generation.map_or_else(
        || "a toplevel on test".to_owned(),
        |g| format!("generation {g}"),
    );
    match status.standing {
        Standing::Good => Verdict::Runs(format!("{number} runs and is good")),
        _ if rebooted => Verdict::Wait("it has booted, and is not blessed yet"),
        _ => Verdict::Runs(format!("{number} runs and is healthy")),
    }
}

/// The reason why the device went back, from its journal.
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
#[path = "activate_tests.rs"]
mod tests;
