//! The results of deploys.

use std::time::{Duration, Instant};

use testbed::{Machine, Result, ensure, figures};

use crate::{BOOT, healthy, running, status};

/// The time limit for three boots that fail and one that succeeds.
const FALL_BACK: Duration = Duration::from_secs(600);

/// Waits until this generation is the good one.
pub fn blessed(machine: &Machine, generation: u64) -> Result<()> {
    machine.wait_until("the generation to be blessed", BOOT, || {
        let good = &status(machine)?["boot"]["good"];
        ensure!(*good == generation, "the good one is {good}");
        Ok(())
    })
}

/// Runs a bad deploy, waits until the generation before it is healthy again, and prints the time this took from the
/// command on as the figure `what`.
pub fn survives<T>(machine: &Machine, what: &str, bad: impl FnOnce() -> Result<T>) -> Result<T> {
    let old = running(machine)?;
    let begin = Instant::now();
    let happened = bad()?;
    machine.wait_until("the old generation to be back", FALL_BACK, || {
        let now = running(machine).inspect_err(|_| machine.ssh().hang_up())?;
        ensure!(now == old, "it runs {now}");
        Ok(())
    })?;
    healthy(machine)?;
    let seconds = begin.elapsed().as_secs_f64();
    figures(format!(
        "bad deploys: {what}: healthy on the old generation {seconds:.1} s after the command"
    ));
    Ok(happened)
}
