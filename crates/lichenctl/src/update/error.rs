//! Why an update failed, and what to do about it.

use crate::apply::ApplyError;
use crate::hint::Hint;
use protocol::channel::ChannelError;
use protocol::vitals::Refusal;

/// Why the device does not run the toplevel that its channel names.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// No channel is configured.
    #[error("this appliance follows no channel")]
    NoChannel,
    /// Without trusted keys, anybody could sign a channel.
    #[error("no signing key is trusted on this device, so no channel can be verified")]
    NoKeys,
    /// The channel could not be fetched.
    #[error("{url}: {why}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// The TLS connection failed.
    #[error("{url}: {why}; this device's clock says {clock}")]
    Insecure {
        /// Its address.
        url: String,
        /// What went wrong.
        why: String,
        /// The time on this device.
        clock: String,
    },
    /// The server answered with an error status.
    #[error("{url}: the server answered {status}")]
    Status {
        /// Its address.
        url: String,
        /// The status.
        status: u16,
    },
    /// Something between the device and the server answered, such as a login page.
    #[error("{url}: the server sent a web page instead of a channel")]
    WebPage {
        /// Its address.
        url: String,
    },
    /// The channel is malformed or not signed by a trusted key.
    #[error("{url}: {error}")]
    Channel {
        /// Its address.
        url: String,
        /// What is wrong with it.
        error: ChannelError,
    },
    /// The channel is for another appliance or has another name.
    #[error("{url} is the channel {found}, but this device follows {wanted}")]
    Another {
        /// Its address.
        url: String,
        /// The appliance and name in the channel.
        found: String,
        /// The appliance and name that were expected.
        wanted: String,
    },
    /// The channel is older than one that was accepted before.
    #[error(
        "{url} has sequence {found}, but sequence {accepted} was already accepted: this is an old channel"
    )]
    Old {
        /// Its address.
        url: String,
        /// Its sequence.
        found: u64,
        /// The highest sequence accepted so far.
        accepted: u64,
    },
    /// The toplevel failed here before, or was rolled back by hand.
    #[error(
        "sequence {sequence} names {toplevel}, which failed on this device or was rolled back: it is not tried again"
    )]
    FailedBefore {
        /// The channel's sequence.
        sequence: u64,
        /// The toplevel that it names.
        toplevel: String,
    },
    /// Nix could not copy the toplevel.
    #[error("{toplevel} could not be copied from {url}: {why}")]
    NotCopied {
        /// The toplevel.
        toplevel: String,
        /// The cache that it was to be copied from.
        url: String,
        /// Nix's error message.
        why: String,
    },
}

impl Hint for UpdateError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoChannel => "set services.lichen.autoUpdate to make the device follow a channel",
            Self::NoKeys => "list the keys that may sign in nix.settings.trusted-public-keys",
            Self::Unreachable { .. } => {
                "what has been downloaded is kept; the next run continues from there"
            }
            Self::Insecure { .. } => {
                "check the clock with `timedatectl`; add your own certificate authority to security.pki.certificates. \
                 A cache over plain http needs neither, because everything is signed"
            }
            Self::Status { .. } => {
                "`lichen publish APPLIANCE --channel NAME` publishes the channel there"
            }
            Self::WebPage { .. } => "check whether the network requires a login first",
            Self::Channel { error, .. } => error.hint(),
            Self::Another { .. } => {
                "services.lichen.autoUpdate sets the channel that this device follows"
            }
            Self::Old { .. } => "publish again; the sequence increases automatically",
            Self::FailedBefore { .. } => {
                "publish a fixed toplevel; to try this one again by hand: `lichenctl switch TOPLEVEL`"
            }
            Self::NotCopied { .. } => {
                "what has been copied is kept; the next run continues from there"
            }
        }
    }
}

/// What kind of failure it is.
pub(super) fn refusal(error: &anyhow::Error) -> Refusal {
    if let Some(ApplyError::Unsuccessful { .. }) = error.downcast_ref() {
        return Refusal::Failed;
    }
    let Some(error) = error.downcast_ref::<UpdateError>() else {
        return Refusal::Device;
    };
    match error {
        UpdateError::NoChannel | UpdateError::NoKeys => Refusal::Device,
        UpdateError::Unreachable { .. }
        | UpdateError::Insecure { .. }
        | UpdateError::Status { .. }
        | UpdateError::WebPage { .. }
        | UpdateError::NotCopied { .. } => Refusal::Unreachable,
        UpdateError::Channel { .. } => Refusal::Untrusted,
        UpdateError::Another { .. } | UpdateError::Old { .. } => Refusal::Another,
        UpdateError::FailedBefore { .. } => Refusal::Failed,
    }
}
