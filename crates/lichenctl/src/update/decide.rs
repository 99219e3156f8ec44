//! Decides what to do about a channel: from its content, the running toplevel, and the record of updates.

use super::UpdateError;
use crate::record::Record;
use protocol::channel::Channel;

/// The state of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toplevels {
    /// The running toplevel.
    pub running: Option<String>,
    /// The toplevel that the next boot will run.
    pub next_boot: Option<String>,
}

/// What to do about a channel's toplevel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do nothing: it is running.
    Runs,
    /// Do nothing: it runs after the next reboot.
    BootsNext,
    /// Do nothing: it failed here or was rolled back.
    Failed,
    /// Copy and activate it.
    Take,
}

/// Checks that the channel is the one that is followed, and not an outdated one.
pub fn admit(
    channel: &Channel,
    (appliance, name): (&str, &str),
    record: &Record,
    url: &str,
) -> Result<(), UpdateError> {
    if (channel.appliance.as_str(), channel.channel.as_str()) != (appliance, name) {
        return Err(UpdateError::Another {
            url: url.to_owned(),
            found: format!("{} of {}", channel.channel, channel.appliance),
            wanted: format!("{name} of {appliance}"),
        });
    }
    let accepted = record.accepted(channel);
    if channel.sequence < accepted {
        return Err(UpdateError::Old {
            url: url.to_owned(),
            found: channel.sequence,
            accepted,
        });
    }
    Ok(())
}

/// Decides.
pub fn decide(toplevel: &str, here: &Toplevels, record: &Record) -> Decision {
    let is = |there: &Option<String>| there.as_deref() == Some(toplevel);
    if is(&here.running) {
        Decision::Runs
    } else if record.has_failed(toplevel) {
        Decision::Failed
    } else if is(&here.next_boot) {
        Decision::BootsNext
    } else {
        Decision::Take
    }
}

impl Decision {
    /// A description for people.
    pub fn words(self, name: &str, toplevel: &str) -> String {
        match self {
            Self::Runs => format!("{name} runs already"),
            Self::BootsNext => format!("{name} will run after the next reboot: {toplevel}"),
            Self::Failed => format!("{name} failed on this device or was rolled back: {toplevel}"),
            Self::Take => format!("{name} is new: {toplevel}"),
        }
    }
}
