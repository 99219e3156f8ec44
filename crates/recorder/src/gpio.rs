//! Buttons and LEDs on the GPIO, through version 2 of its character device.
//!
//! Chips are found by their label and lines by name or offset, because numbers differ between boards and kernels. A chip
//! that is not there is looked for again; meanwhile everything else works.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use gpiocdev::Request;
use gpiocdev::chip::Chip;
use gpiocdev::line::{Bias, EdgeDetection, Offset, Value};
use kit::{Actor, Component, Kit, within};
use serde::Deserialize;

use crate::control::{Control, Does};
use crate::leds::{self, Pattern, Patterns};

/// The time limit for a turn.
const BEAT: Duration = Duration::from_secs(20);

/// How long it takes at most until the LEDs show what has changed: nobody sees it.
const TURN: Duration = Duration::from_millis(200);

/// How often a chip that is not there is looked for.
const RETRY: Duration = Duration::from_secs(5);

kit::settings! {
    /// Buttons and LEDs.
    pub struct GpioSettings {
        /// The labels of chips, such as `pinctrl-rp1`; the first one that is there is used.
        pub chips: Vec<String> = Vec::new();
        /// The buttons.
        pub buttons: Vec<Button> = Vec::new();
        /// The LEDs.
        pub leds: LedSettings = LedSettings::default();
    }

    /// The LEDs.
    pub struct LedSettings {
        /// The one that shows that it is ready and, blinking, that it records.
        pub ready: Option<Led> = None;
        /// The one that shows that something is the matter.
        pub error: Option<Led> = None;
        /// The one that shows whether there is a network.
        pub network: Option<Led> = None;
    }
}

/// A line of a chip.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// By its number on the chip.
    Offset(Offset),
    /// By its name.
    Name(String),
}

/// Which resistor keeps an open line at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// To 3.3 V.
    Up,
    /// To ground.
    Down,
    /// None, or one outside.
    None,
}

/// A button.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// Its line.
    pub line: Line,
    /// What pressing it does.
    #[serde(default = "toggle")]
    pub does: Does,
    /// Whether it connects the line to ground.
    #[serde(default = "yes")]
    pub active_low: bool,
    /// The resistor.
    #[serde(default = "up")]
    pub pull: Pull,
    /// How long it has to stay pressed to count.
    #[serde(default = "debounce")]
    pub debounce_ms: u32,
}

/// An LED.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Led {
    /// Its line.
    pub line: Line,
    /// Whether it is lit when the line is at ground.
    #[serde(default)]
    pub active_low: bool,
    /// How it shines, instead of how LEDs of its name do.
    pub patterns: Option<Patterns>,
}

fn toggle() -> Does {
    Does::Toggle
}

fn yes() -> bool {
    true
}

fn up() -> Pull {
    Pull::Up
}

fn debounce() -> u32 {
    30
}

impl GpioSettings {
    /// The first invalid setting, named by its field.
    pub fn check(&self) -> Result<(), String> {
        if self.chips.is_empty() && self.is_used() {
            return Err("chips: must name the chip of the buttons and LEDs".into());
        }
        let times = self.buttons.iter().map(|button| {
            let name = "buttons: debounce_ms";
            (name, button.debounce_ms, 0..=10_000)
        });
        within(times)
    }

    fn leds(&self) -> Vec<(Led, Patterns)> {
        let LedSettings {
            ready,
            error,
            network,
        } = &self.leds;
        let named = [
            (ready, leds::ready as fn() -> Patterns),
            (error, leds::error),
            (network, leds::network),
        ];
        let leds = named.into_iter().filter_map(|(led, usual)| {
            let led = led.clone()?;
            let patterns = led.patterns.clone().unwrap_or_else(usual);
            Some((led, patterns))
        });
        leds.collect()
    }

    fn is_used(&self) -> bool {
        !self.buttons.is_empty() || !self.leds().is_empty()
    }
}

/// Starts the worker of the buttons and LEDs, if there are any.
pub fn start(kit: &Kit, settings: &GpioSettings, control: Control) -> anyhow::Result<()> {
    if !settings.is_used() {
        return Ok(());
    }
    let (settings, leds) = (settings.clone(), settings.leds());
    kit.worker("gpio", BEAT, |component| Panel {
        settings,
        leds,
        control,
        component,
        lines: None,
        retry_at: Instant::now(),
        started: Instant::now(),
    })?;
    Ok(())
}

struct Panel {
    settings: GpioSettings,
    leds: Vec<(Led, Patterns)>,
    control: Control,
    component: Component,
    lines: Option<Lines>,
    retry_at: Instant,
    started: Instant,
}

/// The lines, as long as this process has them.
struct Lines {
    request: Request,
    buttons: Vec<Offset>,
    leds: Vec<(Offset, Pattern, Option<bool>)>,
}

impl Actor for Panel {
    fn turn(&mut self) -> Duration {
        if self.lines.is_none() {
            if Instant::now() < self.retry_at {
                return self.retry_at - Instant::now();
            }
            match self.open() {
                Ok(lines) => {
                    self.component.ok();
                    self.lines = Some(lines);
                }
                Err(error) => return self.failed(&error),
            }
        }
        match self.look() {
            Ok(()) => Duration::ZERO,
            Err(error) => self.failed(&error),
        }
    }

    fn stop(mut self) -> anyhow::Result<()> {
        // Nobody is there any more who would switch them off.
        if let Some(lines) = &mut self.lines {
            for (led, _, _) in &lines.leds {
                let _ = lines.request.set_value(*led, Value::Inactive);
            }
        }
        Ok(())
    }
}

impl Panel {
    fn failed(&mut self, error: &anyhow::Error) -> Duration {
        self.lines = None;
        self.component.degraded(format!("{error:#}"));
        self.retry_at = Instant::now() + RETRY;
        RETRY
    }

    /// Takes the lines.
    fn open(&self) -> anyhow::Result<Lines> {
        let chip = find(&self.settings.chips)?;
        let mut builder = Request::builder();
        builder.on_chip(chip.path()).with_consumer("recorder");
        let mut buttons = Vec::new();
        for button in &self.settings.buttons {
            let offset = offset(&chip, &button.line)?;
            let bias = match button.pull {
                Pull::Up => Bias::PullUp,
                Pull::Down => Bias::PullDown,
                Pull::None => Bias::Disabled,
            };
            builder
                .with_line(offset)
                .as_input()
                .with_bias(bias)
                .with_debounce_period(Duration::from_millis(button.debounce_ms.into()))
                .with_edge_detection(EdgeDetection::RisingEdge);
            match button.active_low {
                true => builder.as_active_low(),
                false => builder.as_active_high(),
            };
            buttons.push(offset);
        }
        let mut leds = Vec::new();
        for (led, _) in &self.leds {
            let offset = offset(&chip, &led.line)?;
            builder.with_line(offset).as_output(Value::Inactive);
            match led.active_low {
                true => builder.as_active_low(),
                false => builder.as_active_high(),
            };
            leds.push((offset, Pattern::Off, None));
        }
        let label = chip.info()?.label;
        let request = builder
            .request()
            .with_context(|| format!("cannot take the lines of GPIO chip {label}"))?;
        Ok(Lines {
            request,
            buttons,
            leds,
        })
    }

    /// Sets the LEDs, and waits a little for buttons.
    fn look(&mut self) -> anyhow::Result<()> {
        let Some(lines) = &mut self.lines else {
            return Ok(());
        };
        let cases = leds::cases(&self.control.status());
        let at_ms = self.started.elapsed().as_millis() as u64;
        for ((_, patterns), (offset, pattern, shown)) in self.leds.iter().zip(&mut lines.leds) {
            *pattern = leds::pattern(patterns, &cases);
            let lit = pattern.is_lit(at_ms);
            if *shown != Some(lit) {
                let set = lines.request.set_value(*offset, Value::from(lit));
                set.with_context(|| format!("cannot set GPIO line {offset}"))?;
                *shown = Some(lit);
            }
        }
        let changes = lines
            .leds
            .iter()
            .filter_map(|(_, pattern, _)| pattern.changes_in(at_ms));
        let wait = changes.map(Duration::from_millis).fold(TURN, Duration::min);
        let pressed = lines.request.wait_edge_event(wait);
        if !pressed.context("cannot wait for buttons")? {
            return Ok(());
        }
        let event = lines.request.read_edge_event();
        let event = event.context("cannot read a button")?;
        let button = lines.buttons.iter().position(|b| *b == event.offset);
        if let Some(button) = button.map(|index| &self.settings.buttons[index]) {
            tracing::info!(line = ?button.line, does = ?button.does, "button pressed");
            self.control.press(button.does);
        }
        Ok(())
    }
}

/// Finds a chip by its label.
fn find(labels: &[String]) -> anyhow::Result<Chip> {
    let paths: Vec<PathBuf> = gpiocdev::chip::chips().unwrap_or_default();
    let labelled = |path: &PathBuf| {
        let chip = Chip::from_path(path).ok()?;
        Some((chip.info().ok()?.label, path.clone()))
    };
    let there: Vec<(String, PathBuf)> = paths.iter().filter_map(labelled).collect();
    let path = chosen(labels, &there)?;
    Chip::from_path(path).with_context(|| format!("cannot open {}", path.display()))
}

/// The first of the wanted chips that is there.
fn chosen<'a>(labels: &[String], there: &'a [(String, PathBuf)]) -> anyhow::Result<&'a Path> {
    let found = |label: &String| there.iter().find(|(name, _)| name == label);
    if let Some((_, path)) = labels.iter().find_map(found) {
        return Ok(path);
    }
    let names: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    let there = match names.is_empty() {
        true => "there are no GPIO chips that this service may use".into(),
        false => format!("there are {}", names.join(", ")),
    };
    bail!("there is no GPIO chip {}; {there}", labels.join(" or "))
}

fn offset(chip: &Chip, line: &Line) -> anyhow::Result<Offset> {
    let label = chip.info()?.label;
    match line {
        Line::Offset(offset) if *offset < chip.info()?.num_lines => Ok(*offset),
        Line::Offset(offset) => bail!("GPIO chip {label} has no line {offset}"),
        Line::Name(name) => {
            let found = chip.find_line_info(name);
            let unnamed = || format!("GPIO chip {label} has no line with the name {name}");
            Ok(found.with_context(unnamed)?.offset)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_wanted_chips_that_is_there_is_taken() {
        let labels = ["pinctrl-rp1", "pinctrl-bcm2711"].map(String::from);
        let there = |labels: &[&str]| {
            let chip = |label: &&str| (label.to_string(), PathBuf::from(format!("/dev/{label}")));
            labels.iter().map(chip).collect::<Vec<_>>()
        };
        let of_pi_4 = there(&["raspberrypi-exp-gpio", "pinctrl-bcm2711"]);
        let path = chosen(&labels, &of_pi_4).unwrap();
        assert_eq!(path, Path::new("/dev/pinctrl-bcm2711"));
        let missing = chosen(&labels, &there(&["gpio-sim.0"])).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "there is no GPIO chip pinctrl-rp1 or pinctrl-bcm2711; there are gpio-sim.0"
        );
        assert!(chosen(&labels, &[]).is_err());
    }

    #[test]
    fn buttons_without_a_chip_are_refused() {
        let settings =
            r#"{ "buttons": [{ "line": 17 }], "leds": { "error": { "line": "GPIO22" } } }"#;
        let mut settings: GpioSettings = serde_json::from_str(settings).unwrap();
        assert!(settings.check().unwrap_err().starts_with("chips:"));
        settings.chips = vec!["pinctrl-rp1".into()];
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.leds().len(), 1);
    }
}
