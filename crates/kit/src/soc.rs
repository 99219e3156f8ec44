//! What the system-on-chip says of itself: its temperature, and whether it is held back.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

/// Since when this process simulates its hardware (`--simulate`), if it does.
static SIMULATED: OnceLock<Instant> = OnceLock::new();

/// The system-on-chip as seen in /sys, where `lichenctl status` reads it, too; what the kernel does not offer is none.
#[derive(Debug, Clone)]
pub struct Soc(Source);

#[derive(Debug, Clone)]
enum Source {
    Sys(soc::Soc),
    MadeUp(Instant),
}

/// From now on [`Soc::new`] is a made-up one, well and lukewarm, in this process.
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

    /// Temperature in °C: of the zone that is the processor's, else of the first zone.
    pub fn temperature(&self) -> Option<f64> {
        match &self.0 {
            Source::Sys(soc) => soc.temperature(),
            Source::MadeUp(since) => {
                Some(48.0 + 3.0 * (since.elapsed().as_secs_f64() / 60.0).sin())
            }
        }
    }

    /// Whether the supply is too weak now (Raspberry Pi only).
    pub fn under_voltage(&self) -> Option<bool> {
        match &self.0 {
            Source::Sys(soc) => soc.under_voltage(),
            Source::MadeUp(_) => Some(false),
        }
    }

    /// By how much the processor is slowed down now: 0 is full speed, 1 is as slow as it gets.
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
