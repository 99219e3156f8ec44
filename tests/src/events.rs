//! Events that an appliance must survive at any time.

use testbed::{Context, Machine, Result};

use crate::{BOOT, healthy};

/// Something that the appliance has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its owner reboots it.
    Reboot,
    /// Someone pulls the plug, and puts it back.
    PowerCut,
    /// The service is restarted.
    ServiceRestart,
}

impl Event {
    /// Triggers it; returns when SSH answers again.
    pub fn happen(self, machine: &Machine) -> Result<()> {
        match self {
            Self::Reboot => machine.reboot(BOOT),
            Self::PowerCut => {
                machine.pull_plug()?;
                machine.power_on()?;
                machine.wait_for_ssh(BOOT)
            }
            Self::ServiceRestart => machine.sh("systemctl restart climate").map(drop),
        }
    }
}

/// After every one of `events` the appliance has to be healthy, and `still` has to hold.
pub fn for_each_event(
    machine: &Machine,
    events: impl IntoIterator<Item = Event>,
    still: impl Fn(&Machine) -> Result<()>,
) -> Result<()> {
    still(machine).context("before anything happened")?;
    for event in events {
        let check = || -> Result<()> {
            event.happen(machine)?;
            healthy(machine)?;
            still(machine)
        };
        check().with_context(|| format!("after {event:?}"))?;
    }
    Ok(())
}
