//! What a channel means to this device: from what it says, what runs, and what is remembered.

use super::UpdateError;
use crate::record::Record;
use protocol::channel::Channel;

/// What the device is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toplevels {
    /// The toplevel that runs.
    pub running: Option<String>,
    /// The toplevel that the next boot will run.
    pub next_boot: Option<String>,
}

/// What to do about a channel's toplevel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it runs.
    Runs,
    /// Nothing: it boots next, when somebody reboots.
    BootsNext,
    /// Nothing: it was tried.
    Failed,
    /// Copy it and make it run.
    Take,
}

/// Whether the channel is the one that is followed, and not an old one.
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
    /// For people.
    pub fn words(self, name: &str, toplevel: &str) -> String {
        match self {
            Self::Runs => format!("{name} runs already"),
            Self::BootsNext => format!("{name} boots next, whenever somebody reboots: {toplevel}"),
            Self::Failed => format!("{name} failed on this device or was rolled back: {toplevel}"),
            Self::Take => format!("{name} is new: {toplevel}"),
        }
    }
}
