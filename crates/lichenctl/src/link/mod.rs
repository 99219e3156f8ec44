//! A link that heals: while no gateway answers, the device connects again, loads the driver of its radio again, and reboots,
//! each after its time and for ever. [`heal`] watches; the page says how patient it is.
//!
//! Nothing is done as long as one gateway answers. A reboot goes through [`recovery`], which counts it and may refuse it.

mod command;
mod decide;
mod gateway;
mod interface;
mod publish;
mod tunnel;

pub use publish::published;
pub use tunnel::tunnels;

use self::decide::{Healer, Patience, Reach};
use self::gateway::Ip;
use self::publish::Kept;
use crate::journal;
use crate::provision;
use crate::recovery;
use crate::root::Root;
use anyhow::{Context, Result};
use protocol::link::{Gateway, Outage, Step};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const SETTINGS: &str = "etc/lichen/link.json";
const IWD: &str = "etc/iwd/main.conf";
/// From one look to the next, at most.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a program may take to connect anew.
const CONNECTING: Duration = Duration::from_secs(60);
/// How often iwd is asked what it has joined, while all is well.
const JOINED: Duration = Duration::from_secs(10 * 60);

/// What the page says.
#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(flatten)]
    patience: Patience,
    /// The interfaces that count; all if none is named.
    interfaces: Vec<String>,
    /// The peers whose endpoints the page gives.
    tunnels: Vec<tunnel::Named>,
}

/// Watches the network, for ever.
pub fn heal(root: &Root) -> Result<()> {
    let text = fs::read(root.at(SETTINGS)).with_context(|| format!("cannot read /{SETTINGS}"))?;
    let settings = serde_json::from_slice(&text).with_context(|| format!("in /{SETTINGS}"))?;
    let mut watch = Watch::new(root, settings);
    let pause = PAUSE.min(watch.settings.patience.look_every());
    let ip = Ip::new();
    loop {
        let now = Duration::from_secs(root.uptime()?);
        let gateways = ip.gateways(root, &watch.settings.interfaces);
        watch.look(now, gateways, &mut Hands { root });
        sleep(pause);
    }
}

/// What is done on a device, and seen of it; a test does and sees something else.
trait Device {
    fn interfaces(
        &mut self,
        named: &[String],
        answered: &BTreeSet<String>,
    ) -> Vec<interface::Interface>;
    fn joined(&mut self) -> Result<BTreeSet<(String, String)>>;
    /// Has the interface connect again.
    fn reconfigure(&mut self, interface: &str) -> Result<()>;
    /// Has all radios join a network again.
    fn restart_iwd(&mut self) -> Result<()>;
    fn reload(&mut self, driver: &str) -> Result<()>;
    /// Says whether it is allowed.
    fn reboot(&mut self, why: &str) -> Result<bool>;
}

struct Hands<'a> {
    root: &'a Root,
}

impl Device for Hands<'_> {
    fn interfaces(
        &mut self,
        named: &[String],
        answered: &BTreeSet<String>,
    ) -> Vec<interface::Interface> {
        interface::interfaces(self.root, named, answered)
    }

    fn joined(&mut self) -> Result<BTreeSet<(String, String)>> {
        interface::joined()
    }

    fn reconfigure(&mut self, interface: &str) -> Result<()> {
        let networkctl = ["networkctl".to_owned()];
        command::run(&networkctl, &["reconfigure", interface], CONNECTING).map(drop)
    }

    fn restart_iwd(&mut self) -> Result<()> {
        let systemctl = ["systemctl".to_owned()];
        command::run(&systemctl, &["restart", "iwd.service"], CONNECTING).map(drop)
    }

    fn reload(&mut self, driver: &str) -> Result<()> {
        interface::reload(driver)
    }

    fn reboot(&mut self, why: &str) -> Result<bool> {
        recovery::reboot(self.root, why)
    }
}

/// What is remembered from one look to the next.
struct Watch<'a> {
    root: &'a Root,
    settings: Settings,
    healer: Healer,
    kept: Kept,
    /// Also of radios that have gone since.
    drivers: BTreeSet<String>,
    /// As they were found last.
    gateways: Vec<Gateway>,
    tunnels: tunnel::Watch,
    last_outage: Option<Outage>,
    /// When iwd was asked last what it has joined, in this time of answers.
    asked: Option<Duration>,
    complaint: String,
}

impl<'a> Watch<'a> {
    fn new(root: &'a Root, settings: Settings) -> Self {
        let mut kept = Kept::load(root);
        if kept.reloading {
            // This reset helped as little as a reboot.
            kept.in_vain = kept.in_vain.saturating_add(1);
            (kept.reloading, kept.reload_resets) = (false, true);
        }
        Self {
            root,
            healer: Healer::new(settings.patience),
            settings,
            kept,
            drivers: BTreeSet::new(),
            gateways: Vec::new(),
            tunnels: tunnel::Watch::default(),
            last_outage: None,
            asked: None,
            complaint: String::new(),
        }
    }

    fn look(&mut self, now: Duration, gateways: Result<Vec<Gateway>>, device: &mut dyn Device) {
        let gateways = match gateways {
            Ok(gateways) => gateways,
            Err(error) => {
                self.complain(&error);
                return self.blind(now, device);
            }
        };
        self.gateways.clone_from(&gateways);
        let interfaces = device.interfaces(&self.settings.interfaces, &self.kept.answered);
        let drivers = interfaces.iter().filter_map(|i| i.driver.clone());
        self.drivers.extend(drivers);

        let reach = gateway::reach(&gateways);
        let before = self.healer.silence();
        let reboots = self.reboots();
        // A radio that has no network to join is not what is missing.
        let radio = !self.drivers.is_empty()
            && !self.kept.reload_resets
            && provision::knows_wifi(self.root);
        let step = self.healer.observe(now, reach, radio, reboots);
        if reach == Reach::Answers {
            self.answers(now, before);
            let there = gateways.iter().filter(|g| g.answers == Some(true));
            let there = there.map(|g| g.interface.clone());
            self.kept.answered.extend(there);
            let by_radio = |g: &Gateway| {
                let radio = |i: &interface::Interface| i.radio && i.name == g.interface;
                g.answers == Some(true) && interfaces.iter().any(radio)
            };
            if gateways.iter().any(by_radio) {
                self.remember_wifi(now, device);
            }
        } else if reach == Reach::Silent {
            self.asked = None;
        }
        if let Some(step) = step {
            let since = self.healer.silence().map_or(now, |(since, _)| since);
            self.take(step, now.saturating_sub(since), &interfaces, device);
        }
        for result in self.tunnels.renew(&self.settings.tunnels, now) {
            match result {
                Ok(moved) => self.kept.counts.endpoints += u64::from(moved),
                Err(error) => self.complain(&error),
            }
        }
        self.tell(true);
    }

    /// The gateways cannot be looked at. No other program is started then, which might hang as well.
    fn blind(&mut self, now: Duration, device: &mut dyn Device) {
        for gateway in &mut self.gateways {
            gateway.answers = None;
        }
        let reboots = self.reboots();
        if let Some(long) = self.healer.blind(now, reboots) {
            let why = format!("the network cannot be looked at for {}", words(long));
            if let Err(error) = self.reboot(&why, long, device) {
                self.complain(&error);
            }
        }
        self.tell(false);
    }

    /// How many reboots in a row were in vain; none if no gateway has ever answered.
    fn reboots(&self) -> Option<u32> {
        (!self.kept.answered.is_empty()).then_some(self.kept.in_vain)
    }

    /// `seen`: whether the gateways were looked at.
    fn tell(&mut self, seen: bool) {
        let silent = self.healer.silence().map(|(since, _)| since.as_secs());
        let link = publish::link(self.gateways.clone(), silent, self.last_outage, &self.kept);
        let told = self.kept.save(self.root);
        if let Err(error) = told.and_then(|()| publish::publish(self.root, &link, seen)) {
            self.complain(&error);
        }
    }

    /// A gateway answers; `before`: the silence until now.
    fn answers(&mut self, now: Duration, before: Option<(Duration, Option<Step>)>) {
        let rebooted = (self.kept.in_vain > 0).then_some(Step::Reboot);
        let since = before.map_or(Duration::ZERO, |(since, _)| since);
        if let Some(after) = before.and_then(|(_, last)| last).or(rebooted) {
            let seconds = self.kept.silent + now.saturating_sub(since).as_secs();
            self.kept.counts.healed += 1;
            self.last_outage = Some(Outage { seconds, after });
            journal::log(&format!(
                "a gateway answers again, after {seconds} s without"
            ));
        }
        (self.kept.in_vain, self.kept.silent) = (0, 0);
        self.kept.reload_resets = false;
    }

    /// The Wi-Fi that works is kept, whatever is provisioned later.
    fn remember_wifi(&mut self, now: Duration, device: &mut dyn Device) {
        if self.asked.is_some_and(|then| now < then + JOINED) {
            return;
        }
        self.asked = Some(now);
        let remembered = device.joined().and_then(|networks| {
            let mut networks = networks.iter();
            networks.try_for_each(|(ssid, kind)| provision::wifi_works(self.root, ssid, kind))
        });
        if let Err(error) = remembered {
            self.complain(&error);
        }
    }

    /// Does what is due.
    fn take(
        &mut self,
        step: Step,
        silent: Duration,
        interfaces: &[interface::Interface],
        device: &mut dyn Device,
    ) {
        let why = format!("no gateway has answered for {}", words(silent));
        let done = match step {
            Step::Reconnect => self.reconnect(&why, interfaces, device),
            Step::ReloadDriver => self.reload(&why, device),
            Step::Reboot => self.reboot(&why, silent, device),
        };
        if let Err(error) = done {
            self.complain(&error);
        }
    }

    fn reconnect(
        &mut self,
        why: &str,
        interfaces: &[interface::Interface],
        device: &mut dyn Device,
    ) -> Result<()> {
        // Without a cable, or a network to join, there is nothing to connect. Nor is there in a network that never had a
        // gateway, whose connections would only be cut.
        let answered = &self.kept.answered;
        let cables = interfaces.iter();
        let cables = cables.filter(|i| !i.radio && i.carrier && answered.contains(&i.name));
        let mut cables = cables.map(|i| i.name.as_str()).peekable();
        let iwd = interfaces.iter().any(|i| i.radio)
            && self.root.at(IWD).exists()
            && provision::knows_wifi(self.root);
        if cables.peek().is_none() && !iwd {
            return Ok(());
        }
        journal::log(&format!("{why}: connecting again"));
        self.kept.counts.reconnects += 1;
        let mut done = Ok(());
        for name in cables {
            done = done.and(device.reconfigure(name));
        }
        if iwd {
            let other = provision::other_wifi_passphrase(self.root);
            // iwd joins what it can reach of what it knows. Told to disconnect, it would not join anything by itself.
            done = done.and(other).and(device.restart_iwd());
        }
        done
    }

    fn reload(&mut self, why: &str, device: &mut dyn Device) -> Result<()> {
        // Written first: a driver that panics would do so again after each boot.
        self.kept.counts.reloads += 1;
        self.kept.reloading = true;
        let saved = self.kept.save(self.root);
        if saved.is_err() {
            self.kept.reloading = false;
            return saved;
        }
        let names: Vec<&str> = self.drivers.iter().map(String::as_str).collect();
        journal::log(&format!("{why}: loading {} again", names.join(", ")));
        let mut done = Ok(());
        for driver in names {
            done = done.and(device.reload(driver));
        }
        self.kept.reloading = false;
        done.and(self.kept.save(self.root))
    }

    fn reboot(&mut self, why: &str, silent: Duration, device: &mut dyn Device) -> Result<()> {
        let before = self.kept.clone();
        // Written first: a reboot that is not counted could come too soon again.
        self.kept.in_vain += 1;
        self.kept.silent += silent.as_secs();
        self.kept.counts.reboots += 1;
        let saved = self.kept.save(self.root);
        let rebooting = saved.and_then(|()| device.reboot(why));
        if !matches!(rebooting, Ok(true)) {
            self.kept = before;
        }
        match rebooting? {
            true => Ok(()),
            false => anyhow::bail!(
                "{why}, and no reboot is allowed now: the device stays up and keeps trying to connect"
            ),
        }
    }

    /// Reports an error; the same one only once.
    fn complain(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if text != self.complaint {
            journal::error(&text);
            self.complaint = text;
        }
    }
}

fn words(silent: Duration) -> String {
    match silent.as_secs() / 60 {
        minutes @ 0..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

#[cfg(test)]
mod tests;
