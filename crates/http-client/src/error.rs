//! Why a request failed: as values for callers, and as messages for people.

use std::io;
use std::time::Duration;

/// Why there is no answer, or only a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{cause}", match host.as_str() { "" => String::new(), host => format!("{host}: ") })]
pub struct Error {
    /// The requested host, with the port if the address names one.
    pub host: String,
    /// The cause.
    pub cause: Cause,
}

/// The cause of a failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The address is not an HTTP address.
    #[error("not an http or https address")]
    BadAddress,
    /// DNS does not know the host, or does not answer.
    #[error("no address was found for this host: its name is wrong, or DNS is not answering")]
    NoSuchHost,
    /// Nothing listens at this address.
    #[error("the connection was refused")]
    Refused,
    /// There is no route to the host.
    #[error("no route to this host: {0}")]
    NoRoute(String),
    /// A time limit was exceeded.
    #[error("{0} within {seconds} s", seconds = .1.as_secs_f64())]
    Slow(Stage, Duration),
    /// The connection ended before the answer was complete.
    #[error("the connection was cut: {0}")]
    Cut(String),
    /// The file of authorities that the environment names cannot be used.
    #[error("nobody is trusted: {0}")]
    Authorities(String),
    /// The server's certificate is not trusted.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// The server's certificate is not valid yet, which often means that this device's clock is wrong.
    #[error("its certificate is not valid yet: check this device's clock")]
    NotValidYet,
    /// TLS failed for another reason.
    #[error("no TLS: {0}")]
    Tls(String),
    /// There were too many redirects.
    #[error("too many redirects")]
    Redirects,
    /// The proxy named in the environment refused the connection.
    #[error("the proxy refused the connection: {0}")]
    Proxy(String),
    /// The body is longer than this many bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The request body could not be read locally.
    #[error("cannot read the data to send: {0}")]
    Unreadable(String),
    /// The answer is not HTTP, or the request cannot be expressed in HTTP.
    #[error("{0}")]
    Other(String),
}

/// The time limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stage {
    /// For establishing the connection.
    #[error("no connection")]
    Connect,
    /// For the complete answer.
    #[error("no whole answer")]
    Whole,
    /// For the time between two bytes.
    #[error("nothing came or could be sent")]
    Idle,
}

impl Error {
    /// Whether the same request may succeed later without any change on this device.
    pub fn is_transient(&self) -> bool {
        match self.cause {
            Cause::BadAddress
            | Cause::Authorities(_)
            | Cause::Untrusted(_)
            | Cause::Redirects
            | Cause::TooLong(_)
            | Cause::Unreadable(_) => false,
            // A host name that does not exist looks like a network that is not up yet. The clock is set once there is a
            // network, and the server's operator renews an expired certificate.
            Cause::NoSuchHost
            | Cause::Refused
            | Cause::NoRoute(_)
            | Cause::Slow(..)
            | Cause::Cut(_)
            | Cause::NotValidYet
            | Cause::Tls(_)
            | Cause::Proxy(_)
            | Cause::Other(_) => true,
        }
    }

    /// Whether a time limit was exceeded.
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause, Cause::Slow(..))
    }
}

/// An error while reading a request body, which must be told from network errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BodyError(pub io::Error);

impl From<io::Error> for Cause {
    /// The message of the system, of TLS or of a body.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::*;
        if let Some(inner) = error.get_ref() {
            let inner: &(dyn std::error::Error + 'static) = inner;
            if let Some(cause) = known(inner) {
                return cause;
            }
        }
        match error.kind() {
            ConnectionRefused => Cause::Refused,
            HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => {
                Cause::NoRoute(error.to_string())
            }
            ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | NotConnected => {
                Cause::Cut(error.to_string())
            }
            _ => Cause::Other(error.to_string()),
        }
    }
}

/// Finds the cause behind `error`, if it is of a known kind.
fn known(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = error.downcast_ref::<Cause>() {
            return Some(cause.clone());
        }
        if let Some(BodyError(error)) = error.downcast_ref() {
            return Some(Cause::Unreadable(error.to_string()));
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(of_tls(error));
        }
        next = error.source();
    }
    None
}

pub(crate) fn of_tls(error: &rustls::Error) -> Cause {
    use rustls::{CertificateError, Error};
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Cause::NotValidYet,
        Error::InvalidCertificate(why) => Cause::Untrusted(why.to_string()),
        other => Cause::Tls(other.to_string()),
    }
}
