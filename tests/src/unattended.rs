//! Commands that continue on a machine when the connection that started them is lost.

use std::time::Duration;

use testbed::{Machine, Result, ensure};

/// A command that was started; its output goes to a log.
#[derive(Debug)]
pub struct Unattended<'m> {
    machine: &'m Machine,
    log: String,
}

impl<'m> Unattended<'m> {
    /// Starts `command`.
    pub fn begin(machine: &'m Machine, command: &str) -> Result<Self> {
        let log = machine.sh(&format!(
            "log=$(mktemp /run/unattended.XXXXXX); nohup {command} > $log 2>&1 & echo $log"
        ))?;
        let log = log.trim().to_owned();
        Ok(Self { machine, log })
    }

    /// Waits until its output contains `what`. The connection may be lost meanwhile, and come back.
    pub fn says(&self, what: &str, within: Duration) -> Result<()> {
        let read = format!("cat {}", self.log);
        self.machine
            .wait_until(&format!("the words {what:?}"), within, || {
                let hang_up = |_: &_| self.machine.ssh().hang_up();
                let said = self.machine.sh(&read).inspect_err(hang_up)?;
                ensure!(said.contains(what), "{said}");
                Ok(())
            })
    }
}
