//! The state of the system-on-chip: its temperature, and whether it is throttled.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

/// The start of the hardware simulation (`--simulate`) in this process, if it is active.
static SIMULATED: OnceLock<Instant> = OnceLock::new();

/// The system-on-chip as described in /sys, as in `lichenctl status`; values that the kernel does not offer are none.
#[derive(Debug, Clone)]
pub struct Soc {
    sys: soc::Soc,
    /// Since when the values are made up.
    simulated: Option<Instant>,
}

/// From now on, [`Soc::default`] is a simulated, healthy system-on-chip in this process.
pub(crate) fn simulate() {
    SIMULATED.get_or_init(Instant::now);
}

/// Whether the hardware is simulated in this process.
pub(crate) fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

impl Default for Soc {
    /// The system-on-chip of this machine.
    fn default() -> Self {
        Soc {
            simulated: SIMULATED.get().copied(),
            ..Soc::at("/sys")
        }
    }
}

impl Soc {
    /// The system-on-chip described below `sys` (for tests).
    pub fn at(sys: impl Into<PathBuf>) -> Self {
        Soc {
            sys: soc::Soc::at(sys),
            simulated: None,
        }
    }

    /// The temperature in °C: of the processor's zone, else of the first zone.
    pub fn temperature(&self) -> Option<f64> {
        let made_up = |since: Instant| 48.0 + 3.0 * (since.elapsed().as_secs_f64() / 60.0).sin();
        let simulated = self.simulated.map(made_up);
        simulated.or_else(|| self.sys.temperature())
    }

    /// Whether the power supply is too weak now (Raspberry Pi only).
    pub fn under_voltage(&self) -> Option<bool> {
        let simulated = self.simulated.map(|_| false);
        simulated.or_else(|| self.sys.under_voltage())
    }

    /// How far the processor is throttled now: 0 is full speed, 1 is the slowest.
    pub fn throttling(&self) -> Option<f64> {
        let simulated = self.simulated.map(|_| 0.0);
        simulated.or_else(|| self.sys.throttling())
    }
}
