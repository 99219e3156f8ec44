//! Making a toplevel that is on a device run there, and finding out what became of it.
//!
//! A switch may cut the very connection that asked for it, and a trial boot surely does: what counts is what the
//! device says about itself afterwards, over a new connection. Being reached by that is the confirmation, too.

use super::{Device, Ended, Lost};
use crate::failure::Reverted;
use crate::ui;
use anyhow::{Context, Result};
use protocol::command::{Command, Outcome, Verb};
use protocol::progress::{Event, Listener};
use protocol::status::{Standing, Status};
use std::time::{Duration, Instant};

/// Three tries of a generation whose userspace is given its time to become healthy, and the boot after them.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_secs(2);
/// How `flock` ends, when it is told to, if the lock is taken; no other failure of it ends so.
const TAKEN: i32 = 75;

/// What a device says when it is asked what became of it.
#[derive(Debug, Clone)]
struct Answer {
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
    let order = Command::Apply {
        verb,
        toplevel,
        // Who asks for the next boot is not there to confirm it.
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
            ui::say(format!("{error}; finding out what became of it"));
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
    // Over the old connection, as long as there is one: it is not what has to be proved any more.
    match device.ask("readlink /run/current-system", b"") {
        Ok(running) if running.trim() == toplevel => Ok(words_of(verb)),
        _ => settle(device, toplevel, &boot_id),
    }
}

/// Over a connection of its own, as it is that which there is to prove.
fn confirm_anew(device: &Device) -> Result<Ended> {
    let ended = device
        .anew(&Command::Confirm.line())
        .and_then(|ended| device.success(ended));
    ended.context("cannot confirm, so that the device is about to go back")
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
        "{}: after {} it is not clear what runs: {last}",
        device.host,
        ui::duration(PATIENCE)
    );
}

fn ask(device: &Device) -> Result<Answer> {
    let (boot_id, status) = confirm_and_ask(device)?;
    let (busy, status) = match status.busy {
        Some(busy) => (busy, status),
        // A lichenctl from before its status told that. The lock comes first: what is done then has left the status
        // that is read afterwards.
        None => (is_locked(device)?, confirm_and_ask(device)?.1),
    };
    Ok(Answer {
        boot_id,
        busy,
        status,
    })
}

/// The boot, and the device's status. That this gets through is what there was to confirm; where nothing is awaited,
/// `lichenctl confirm` says so, to no one.
fn confirm_and_ask(device: &Device) -> Result<(String, Status)> {
    let (confirm, status) = (Command::Confirm.line(), Command::Status.line());
    let command = format!("{confirm} 2> /dev/null; {BOOT_ID}; {status}");
    let said = device.success(device.anew(&command)?)?.stdout;
    let (boot_id, status) = said.split_once('\n').unwrap_or_default();
    let status = serde_json::from_str(status)
        .with_context(|| format!("{}: cannot read its status", device.host))?;
    Ok((boot_id.to_owned(), status))
}

/// Whether a lichenctl holds its lock, of any age.
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
#[path = "activate_tests.rs"]
mod tests;
