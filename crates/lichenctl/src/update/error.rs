//! Why a device does not run what its channel names, and what to do about it.

use crate::hint::Hint;
use protocol::channel::ChannelError;

/// Why the device does not run what its channel names.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// There is nothing to follow.
    #[error("this appliance follows no channel")]
    NoChannel,
    /// Anybody could sign.
    #[error("no key is trusted on this device, so that no channel can be")]
    NoKeys,
    /// It could not be fetched.
    #[error("{url}: {why}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What happened.
        why: String,
    },
    /// The secure connection failed.
    #[error("{url}: {why}; this device's clock says {clock}")]
    Insecure {
        /// Its address.
        url: String,
        /// What happened.
        why: String,
        /// The time here.
        clock: String,
    },
    /// The server has no such file.
    #[error("{url}: the server answered {status}")]
    Status {
        /// Its address.
        url: String,
        /// The status.
        status: u16,
    },
    /// What answered is something between the device and the server.
    #[error("{url}: a web page came instead of a channel")]
    WebPage {
        /// Its address.
        url: String,
    },
    /// It is wrong, or not to be trusted.
    #[error("{url}: {error}")]
    Channel {
        /// Its address.
        url: String,
        /// What is wrong with it.
        error: ChannelError,
    },
    /// It is meant for others.
    #[error("{url} is {found}, and this device follows {wanted}")]
    Another {
        /// Its address.
        url: String,
        /// What it says it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// It is older than what was seen before.
    #[error("{url} has sequence {found}, and {accepted} was seen already: this is an old channel")]
    Old {
        /// Its address.
        url: String,
        /// Its sequence.
        found: u64,
        /// The highest one so far.
        accepted: u64,
    },
    /// It was tried, or given up by hand.
    #[error(
        "sequence {sequence} names {toplevel}, which failed on this device or was rolled back: it is not tried again"
    )]
    FailedBefore {
        /// The channel's sequence.
        sequence: u64,
        /// What it names.
        toplevel: String,
    },
    /// Nix could not.
    #[error("{toplevel} could not be copied from {url}: {why}")]
    NotCopied {
        /// What.
        toplevel: String,
        /// From where.
        url: String,
        /// Nix's words.
        why: String,
    },
}

impl Hint for UpdateError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoChannel => "services.lichen.autoUpdate makes it follow one",
            Self::NoKeys => "nix.settings.trusted-public-keys names those who may sign",
            Self::Unreachable { .. } => "what had arrived is kept; the next run goes on from there",
            Self::Insecure { .. } => {
                "is the clock right (`timedatectl`)? An authority of your own belongs into security.pki.certificates. \
                 A cache over plain http needs neither: all is signed"
            }
            Self::Status { .. } => "`lichen publish APPLIANCE --channel NAME` puts it there",
            Self::WebPage { .. } => "is there a network that wants to be logged in to first?",
            Self::Channel { error, .. } => error.hint(),
            Self::Another { .. } => "services.lichen.autoUpdate says what is followed",
            Self::Old { .. } => "publish anew; the sequence rises by itself",
            Self::FailedBefore { .. } => {
                "publish a better one; to try this one by hand all the same: `lichenctl switch TOPLEVEL`"
            }
            Self::NotCopied { .. } => "what had arrived is kept; the next run goes on from there",
        }
    }
}
