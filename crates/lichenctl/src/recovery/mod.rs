//! Recovery in levels: what happens when systemd has given up starting a service, and why the device was reset.
//!
//! The first levels are systemd's own: a service that dies or freezes is restarted. When three restarts in ten minutes did not
//! help, its unit fails, and [`recover`] decides about the next level: a reboot, an earlier generation, or to stay up. Every
//! such reboot is written to the ledger before it happens; one that cannot be written does not happen, since it could be
//! repeated for ever.
//!
//! The ledger also holds the reason of each reset: what was [announced](announce), or else what the hardware tells.

mod decide;
mod evidence;
mod ledger;
mod publish;

pub use publish::{PUBLISHED, published};

use self::decide::{Situation, Step, decide};
use self::evidence::Evidence;
use self::ledger::{Boot, Ledger};
use crate::apply;
use crate::fallback;
use crate::generations::{self, Booted, Running};
use crate::journal::{self, note};
use crate::lock::GenerationsLock;
use crate::record;
use crate::root::Root;
use crate::state::{BootState, Generation};
use crate::systemd;
use anyhow::{Context, Result};
use protocol::recovery::Reason;
use std::fs;

/// The timer that counts time and starts services again, while there is a reason to.
const TIMER: &str = "lichen-recovery.timer";
/// The exit status of a service whose configuration is wrong.
const MISCONFIGURED: u64 = 64;

/// Says in the ledger, before it happens, why the device is about to be reset. It never fails: the reset is more important.
pub fn announce(root: &Root, reason: Reason, why: &str) {
    let announced = Ledger::change(root, |ledger| ledger.end(reason, why.to_owned()));
    if let Err(error) = announced {
        journal::error(&format!("the reason of the reset is not kept: {error:#}"));
    }
}

/// Reboots since `why`, where no service is to blame: a network, for instance, that nothing else brings back. Like each reboot
/// by recovery, it is written down before it happens and counts for the limit. Says whether it happens: not beyond half of the
/// limit, so that services keep the other half, nor while a generation is on trial, whose blessing decides.
pub fn reboot(root: &Root, why: &str) -> Result<bool> {
    // A change of generation that is under way may be the cause, and undoes itself.
    let _lock = GenerationsLock::wait(root)?;
    let left = count(root)?.spent() < publish::limit(root).div_ceil(2);
    let may = left && !on_trial(root, Running::read(root).generation);
    if may {
        reboot_from(root, None, why)?;
    }
    Ok(may)
}

/// Records that `generation` was blessed; until then, `good` was the good one.
pub fn blessed(root: &Root, good: Generation, generation: Generation) -> Result<()> {
    Ledger::change(root, |ledger| ledger.bless(good, generation)).map(drop)
}

/// Runs at every boot, and after a soft-reboot: finds out why the device was reset.
pub fn begin(root: &Root) -> Result<()> {
    let boot = Boot {
        id: text(root, "proc/sys/kernel/random/boot_id")?,
        generation: Booted::read(root).generation,
        at: record::now(),
    };
    let begun = Ledger::change(root, |ledger| {
        ledger.begin(&boot, |ending| Evidence::read(root).judge(ending))
    });
    let (ledger, reset) = begun?;
    let told = publish::publish(root, &ledger)?;
    if let Some(last) = told.resets.last().filter(|_| reset) {
        note(&format!("the device was reset: {last}"));
    }
    watch(root, &ledger)
}

/// Runs when userspace ends in good order. Unless somebody has said why, it was asked for; the last login tells by whom.
pub fn end(root: &Root) -> Result<()> {
    let uptime = uptime(root)?;
    let known = Ledger::load(root).ends();
    let who = (!known && root.is_device())
        .then(last_login)
        .unwrap_or_default();
    Ledger::change(root, |ledger| {
        ledger.run_until(uptime);
        ledger.end(Reason::Asked, who);
    })
    .map(drop)
}

/// Runs every ten minutes after a reboot by recovery: counts the time, and tries again what is given up.
pub fn tick(root: &Root) -> Result<()> {
    let waiting = count(root)?.waiting.clone();
    for unit in &waiting {
        if let Err(error) = act(root, unit, true) {
            journal::error(&format!("{error:#}"));
        }
    }
    let ledger = count(root)?;
    publish::publish(root, &ledger)?;
    if !ledger.is_at_work() {
        systemd::tell("stop", &[TIMER.to_owned()])?;
    }
    Ok(())
}

/// Decides what to do about a service that systemd has given up starting, and does it.
pub fn recover(root: &Root, unit: &str) -> Result<()> {
    act(root, unit, false)
}

/// The same; a service without which the device stays up is started again only if it is its `turn`.
fn act(root: &Root, unit: &str, turn: bool) -> Result<()> {
    // A change of generation that is under way may be the cause, and undoes itself.
    let lock = GenerationsLock::wait(root)?;
    let running = Running::read(root);
    let ledger = count(root)?;
    let waited = ledger.waiting.contains(unit);
    let now = situation(root, &ledger, running.generation, unit)?;
    let what = format!("{unit} does not stay up");
    match decide(now) {
        Step::Leave => forget(root, unit)?,
        Step::Start => {
            note(&format!(
                "{unit} was started too often: starting it once more"
            ));
            forget(root, unit)?;
            start(unit)?;
        }
        Step::StayUp if waited => {
            if turn {
                start(unit)?;
            }
        }
        Step::StayUp => {
            let waits = |ledger: &mut Ledger| ledger.waiting.insert(unit.to_owned());
            let (ledger, _) = Ledger::change(root, waits)?;
            publish::publish(root, &ledger)?;
            journal::error(&format!(
                "{what}, and no reboot is allowed or helps: the device stays up without it"
            ));
            watch(root, &ledger)?;
        }
        Step::Reboot => reboot_from(root, running.generation, &what)?,
        Step::GoBack(to) => {
            let why = format!("{what}, and reboots did not help: back to generation {to}");
            spend(root, running.generation, &why)?;
            note(&why);
            if let Err(error) = go_back(root, &running, to, &lock) {
                journal::error(&format!("cannot go back to generation {to}: {error:#}"));
            } else if let Some(from) = running.generation {
                fallback::fell_back(root, from, &why);
            }
            systemd::reboot_soon()?;
        }
    }
    Ok(())
}

/// Reboots, which `generation` is to blame for, if one is.
fn reboot_from(root: &Root, generation: Option<Generation>, why: &str) -> Result<()> {
    spend(root, generation, why)?;
    note(&format!("{why}: rebooting"));
    match root.is_device() {
        true => systemd::reboot_soon(),
        false => Ok(()),
    }
}

/// The earlier generation boots next, on trial: if it does not become healthy either, the one that runs boots again.
fn go_back(root: &Root, from: &Running, to: Generation, lock: &GenerationsLock) -> Result<()> {
    if let Some(from) = from.generation {
        Ledger::change(root, |ledger| ledger.leave(from))?;
    }
    apply::try_earlier(root, to, lock)?;
    let left = from.toplevel.as_deref();
    left.map_or(Ok(()), |left| record::rolled_back(root, left))
}

fn situation(
    root: &Root,
    ledger: &Ledger,
    running: Option<Generation>,
    unit: &str,
) -> Result<Situation> {
    let there = generations::on_boot(root).unwrap_or_default();
    let there: Vec<_> = there
        .into_iter()
        .map(|(generation, _)| generation)
        .collect();
    let failure = systemd::failure(unit)?;
    Ok(Situation {
        failed: failure.failed,
        restarts: failure.restarts,
        misconfigured: failure.exit_status == MISCONFIGURED,
        on_trial: on_trial(root, running),
        spent: ledger.spent(),
        limit: publish::limit(root),
        in_vain: ledger.in_vain(running),
        before: running.and_then(|running| ledger.before(running, &there)),
    })
}

/// Whether the running generation was booted and is not blessed yet.
fn on_trial(root: &Root, running: Option<Generation>) -> bool {
    let booted = Booted::read(root).generation;
    let state = BootState::load(&root.at("boot"));
    running == booted && state.is_ok_and(|state| booted != Some(state.state().good))
}

/// Writes down a reboot by recovery.
fn spend(root: &Root, generation: Option<Generation>, why: &str) -> Result<()> {
    Ledger::change(root, |ledger| {
        ledger.spend(generation);
        ledger.end(Reason::Recovery, why.to_owned());
    })
    .map(drop)
    .context("a reboot that cannot be counted is not made")
}

/// The service is not waited for any more.
fn forget(root: &Root, unit: &str) -> Result<()> {
    Ledger::change(root, |ledger| ledger.waiting.remove(unit)).map(drop)
}

fn start(unit: &str) -> Result<()> {
    let unit = [unit.to_owned()];
    // systemd refuses to start a unit that failed too often until its failures are reset.
    systemd::tell("reset-failed", &unit)?;
    systemd::run("systemctl", &["start", "--no-block", "--", &unit[0]]).map(drop)
}

fn count(root: &Root) -> Result<Ledger> {
    let uptime = uptime(root)?;
    let (ledger, ()) = Ledger::change(root, |ledger| ledger.run_until(uptime))?;
    Ok(ledger)
}

/// Has time counted while there is a reason to.
fn watch(root: &Root, ledger: &Ledger) -> Result<()> {
    match root.is_device() && ledger.is_at_work() {
        true => systemd::run("systemctl", &["start", "--no-block", TIMER]).map(drop),
        false => Ok(()),
    }
}

/// Who has logged in last, in this boot.
fn last_login() -> String {
    let arguments = [
        "-b",
        "-q",
        "-o",
        "cat",
        "-t",
        "sshd-session",
        "-g",
        "^Accepted ",
        "-n",
        "1",
    ];
    let said = systemd::run("journalctl", &arguments).unwrap_or_default();
    match login(&said) {
        Some(who) => format!("the last login was by {who}"),
        None => "nobody had logged in".to_owned(),
    }
}

/// `Accepted publickey for root from 10.0.2.2 port 4321 ssh2: …` → `root from 10.0.2.2`.
fn login(said: &str) -> Option<String> {
    let mut words = said.split_whitespace().skip_while(|word| *word != "for");
    let (_, who) = (words.next()?, words.next()?);
    let (_, whence) = (words.next()?, words.next()?);
    Some(format!("{who} from {whence}"))
}

/// Seconds since the kernel started, which no clock moves.
pub(crate) fn uptime(root: &Root) -> Result<u64> {
    let uptime = text(root, "proc/uptime")?;
    let seconds = uptime.split('.').next().and_then(|s| s.parse().ok());
    seconds.with_context(|| format!("/proc/uptime says {uptime:?}"))
}

fn text(root: &Root, path: &str) -> Result<String> {
    let text = fs::read_to_string(root.at(path)).with_context(|| format!("cannot read /{path}"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
