//! The state of the system-on-chip: its temperature, and whether it is throttled.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

/// The start of the hardware simulation (`--simulate`) in this process, if it is active.
static SIMULATED: OnceLock<Instant> = OnceLock::new();

/// The system-on-chip as described in /sys, as in `lichenctl status`; values that the kernel does not offer are none.
#[derive(Debug, Clone)]
pub struct Soc(Source);

#[derive(Debug, Clone)]
enum Source {
    Sys(soc::Soc),
    MadeUp(Instant),
}

/// From now on, [`Soc::new`] returns a simulated, healthy system-on-chip in this process.
pub(crate) fn simulate() {
    SIMULATED.get_or_init(Instant::now);
}

impl Soc {
    /// The system-on-chip of this machine.
    pub fn new() -> Self {
        match SIMULATED.get() {
            Some(since) => Soc(Source::MadeUp(*since)),
            None => Soc::at("/sys"),
        }
    }

    /// The system-on-chip described below `sys` (for tests).
    pub fn at(sys: impl Into<PathBuf>) -> Self {
        Soc(Source::Sys(soc::Soc::at(sys)))
    }

    /// The temperature in °C: of the processor's zone, else of the first zone.
    pub fn temperature(&self) -> Option<f64> {
        match &self.0 {
            Source::Sys(soc) => soc.temperature(),
            Source::MadeUp(since) => {
                Some(48.0 + 3.0 * (since.elapsed().as_secs_f64() / 60.0).sin())
            }
        }
    }

    /// Whether the power supply is too weak now (Raspberry Pi only).
    pub fn under_voltage(&self) -> Option<bool> {
        match &self.0 {
            Source::Sys(soc) => soc.under_voltage(),
            Source::MadeUp(_) => Some(false),
        }
    }

    /// How far the processor is throttled now: 0 is full speed, 1 is the slowest.
    pub fn throttling(&self) -> Option<f64> {
        match &self.0 {
            Source::Sys(soc) => soc.throttling(),
            Source::MadeUp(_) => Some(0.0),
        }
    }
}

impl Default for Soc {
    fn default() -> Self {
        Soc::new()
    }
}
