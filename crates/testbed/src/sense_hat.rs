//! A Sense HAT that a story controls.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Machine;
use crate::inputs::input;

const PROGRAM: &str = "/run/fake-hat";
const SOCKET: &str = "/run/fake-hat.sock";
const PLUG: Duration = Duration::from_secs(60);

/// A fake Sense HAT on a real I²C bus of the machine: the kernel's own driver, with `fake-hat` behind it.
#[derive(Debug)]
pub struct SenseHat<'m> {
    machine: &'m Machine,
}

impl Machine {
    /// Plugs in a Sense HAT that measures this air: °C, % relative humidity, hPa.
    pub fn plug_sense_hat(
        &self,
        temperature: f64,
        humidity: f64,
        pressure: f64,
    ) -> Result<SenseHat<'_>> {
        let binary = input("fake-hat")?;
        let contents = fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
        self.write_file(PROGRAM, &contents)?;
        self.sh(&format!(
            "chmod 700 {PROGRAM} && modprobe -a uhid hid-cp2112 i2c-dev && \
             systemd-run --quiet --collect --unit=fake-hat {PROGRAM} serve {SOCKET}"
        ))?;
        self.wait_until("the fake HAT to take orders", PLUG, || {
            self.sh(&format!("test -S {SOCKET}"))
        })?;
        let hat = SenseHat { machine: self };
        hat.set_air(temperature, humidity, pressure)?;
        hat.plug()?;
        Ok(hat)
    }
}

impl SenseHat<'_> {
    /// Plugs it in again; returns once the bus is there.
    pub fn plug(&self) -> Result<()> {
        self.tell("plug")?;
        self.machine
            .wait_until("the HAT's I²C bus", PLUG, || self.bus())
            .map(drop)
    }

    /// Pulls it off its pins, bus and all.
    pub fn unplug(&self) -> Result<()> {
        self.tell("unplug")
    }

    /// °C from now on.
    pub fn set_temperature(&self, celsius: f64) -> Result<()> {
        self.tell(&format!("temperature {celsius}"))
    }

    /// % relative humidity from now on.
    pub fn set_humidity(&self, percent: f64) -> Result<()> {
        self.tell(&format!("humidity {percent}"))
    }

    /// hPa from now on.
    pub fn set_pressure(&self, hectopascal: f64) -> Result<()> {
        self.tell(&format!("pressure {hectopascal}"))
    }

    /// All three at once.
    pub fn set_air(&self, temperature: f64, humidity: f64, pressure: f64) -> Result<()> {
        self.set_temperature(temperature)?;
        self.set_humidity(humidity)?;
        self.set_pressure(pressure)
    }

    /// Makes its chips answer nonsense.
    pub fn talk_garbage(&self) -> Result<()> {
        self.tell("fault garbage")
    }

    /// Makes its chips not answer at all, while the bus stays.
    pub fn fall_silent(&self) -> Result<()> {
        self.tell("fault silent")
    }

    /// Ends its faults.
    pub fn repair(&self) -> Result<()> {
        self.tell("fault none")
    }

    /// The bus it is on, as `i2c-N`.
    pub fn bus(&self) -> Result<String> {
        let name = self.machine.sh(
            "for name in /sys/class/i2c-dev/*/name; do grep -q CP2112 $name && basename ${name%/name}; done",
        )?;
        let name = name.trim();
        ensure!(!name.is_empty(), "no bus is named after the bridge");
        self.machine.sh(&format!("test -c /dev/{name}"))?;
        Ok(name.to_owned())
    }

    fn tell(&self, order: &str) -> Result<()> {
        self.machine
            .sh(&format!("{PROGRAM} tell {SOCKET} {order}"))
            .map(drop)
    }
}
