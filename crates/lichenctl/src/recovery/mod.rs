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

pub use publish::{known, published};

use self::decide::{Situation, Step, decide};
use self::evidence::Evidence;
use self::ledger::{Boot, Ledger};
use crate::apply;
use crate::fallback;
use crate::generations::{self, Booted, Running};
use crate::journal::{self, note};
use crate::lock::{Busy, GenerationsLock};
use crate::record;
use crate::root::Root;
use crate::state::Generation;
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
/// limit, so that services keep the other half, nor while a generation is on trial, whose blessing decides, nor while BOOT
/// cannot be read.
pub fn reboot(root: &Root, why: &str) -> Result<bool> {
    // A change of generation that is under way may be the cause, and undoes itself. It may also be waiting for a sender whom
    // the network keeps away, so nobody waits for it.
    let lock = GenerationsLock::take(root);
    if lock.as_ref().is_err_and(|error| error.is::<Busy>()) {
        return Ok(false);
    }
    let _lock = lock?;
    let left = count(root)?.spent() < publish::limit(root).div_ceil(2);
    let may = left && on_boot(root).is_some_and(|boot| !boot.on_trial);
    if may {
        reboot_from(root, None, why)?;
    }
    Ok(may)
}

/// Sets off a reset that was [announced](announce). If that fails, the boot goes on, and what was said does not count.
pub fn set_off(root: &Root, by: impl FnOnce() -> Result<()>) -> Result<()> {
    by().inspect_err(|_| {
        if let Err(error) = Ledger::change(root, Ledger::go_on) {
            journal::error(&format!(
                "a reset that failed is still announced: {error:#}"
            ));
        }
    })
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
        let evidence = Evidence::read(root, &mut ledger.records);
        ledger.begin(&boot, |ending| evidence.judge(ending))
    });
    let (ledger, reset) = begun?;
    publish::publish(root, &ledger)?;
    if let Some(last) = ledger.last().filter(|_| reset) {
        note(&format!("the device was reset: {last}"));
    }
    watch(root, &ledger)
}

/// Runs when userspace ends in good order. Unless somebody has said why, it was asked for; the last login tells by whom.
pub fn end(root: &Root) -> Result<()> {
    let uptime = root.uptime()?;
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
            set_off(root, systemd::reboot_soon)?;
        }
    }
    Ok(())
}

/// Reboots, which `generation` is to blame for, if one is.
fn reboot_from(root: &Root, generation: Option<Generation>, why: &str) -> Result<()> {
    spend(root, generation, why)?;
    note(&format!("{why}: rebooting"));
    match root.is_device() {
        true => set_off(root, systemd::reboot_soon),
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
    let boot = on_boot(root);
    let bootable = boot.is_some();
    let OnBoot { on_trial, there } = boot.unwrap_or_default();
    let failure = systemd::failure(unit)?;
    Ok(Situation {
        failed: failure.failed,
        refused: failure.refused,
        restarts: failure.restarts,
        misconfigured: failure.exit_status == MISCONFIGURED,
        on_trial,
        bootable,
        spent: ledger.spent(),
        limit: publish::limit(root),
        in_vain: ledger.in_vain(running),
        before: running.and_then(|running| ledger.before(running, &there)),
    })
}

/// What BOOT says.
#[derive(Default)]
struct OnBoot {
    /// Whether the generation that was booted is on trial.
    on_trial: bool,
    /// The generations that can be booted.
    there: Vec<Generation>,
}

/// Reads it. None if that fails: nobody knows then whether a reboot would find anything to boot.
fn on_boot(root: &Root) -> Option<OnBoot> {
    let read = || {
        let on_trial = apply::on_trial(root)?.is_some();
        let there = generations::on_boot(root)?;
        let there = there.into_iter().map(|(generation, _)| generation);
        anyhow::Ok(OnBoot {
            on_trial,
            there: there.collect(),
        })
    };
    let read = read().inspect_err(|error| {
        journal::error(&format!(
            "recovery does not reboot, as there may be nothing to boot: {error:#}"
        ));
    });
    read.ok()
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
    let uptime = root.uptime()?;
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

fn text(root: &Root, path: &str) -> Result<String> {
    let text = fs::read_to_string(root.at(path)).with_context(|| format!("cannot read /{path}"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
