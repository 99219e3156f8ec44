//! Why there is no answer, as a value that callers decide by and as words that people understand.

use std::io;
use std::time::Duration;

/// Why there is no answer, or only a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{cause}", match host.as_str() { "" => String::new(), host => format!("{host}: ") })]
pub struct Error {
    /// The host that was to be asked, and its port if the address names one.
    pub host: String,
    /// What went wrong.
    pub cause: Cause,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The address is none that HTTP can reach.
    #[error("not an http or https address")]
    BadAddress,
    /// DNS knows no such host, or there is no DNS to ask.
    #[error("no address was found for this host: its name is wrong, or DNS does not answer")]
    NoSuchHost,
    /// Nobody listens there.
    #[error("the connection is refused")]
    Refused,
    /// There is no way there from here.
    #[error("no route to this host: {0}")]
    NoRoute(String),
    /// Too slow.
    #[error("{0} within {seconds} s", seconds = .1.as_secs_f64())]
    Slow(Stage, Duration),
    /// The connection ended in the middle.
    #[error("the connection was cut: {0}")]
    Cut(String),
    /// It can't be proved who is on the other side, or nothing said is secret.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// A certificate that is not valid yet: here it may be another year than elsewhere.
    #[error("its certificate is not valid yet: is the clock right?")]
    NotValidYet,
    /// TLS came to nothing, for another reason.
    #[error("no TLS: {0}")]
    Tls(String),
    /// Sent from one address to the next, and never there.
    #[error("too many redirects")]
    Redirects,
    /// The proxy that the environment names does not let us through.
    #[error("the proxy does not let us through: {0}")]
    Proxy(String),
    /// The body is longer than this many bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// What was to be sent could not be read here.
    #[error("what is to be sent can't be read: {0}")]
    Unreadable(String),
    /// What came is no HTTP, or what is asked for can't be said in it.
    #[error("{0}")]
    Other(String),
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stage {
    /// Until a connection stood.
    #[error("no connection")]
    Connect,
    /// Until all of the answer was there.
    #[error("no whole answer")]
    Whole,
    /// Between two bytes.
    #[error("nothing came or could be sent")]
    Idle,
}

impl Error {
    /// Whether the same request may succeed later, without anybody having changed anything here.
    pub fn is_transient(&self) -> bool {
        match self.cause {
            Cause::BadAddress
            | Cause::Untrusted(_)
            | Cause::Redirects
            | Cause::TooLong(_)
            | Cause::Unreadable(_) => false,
            // A name that does not exist and a network that is not up yet look alike. The clock is set once there is
            // a network; a certificate that has run out is renewed by others.
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

    /// Whether it was too slow.
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause, Cause::Slow(..))
    }
}

/// What the body of a request could not be read for; it has to be told from what the network does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BodyError(pub io::Error);

impl From<io::Error> for Cause {
    /// What the system, TLS or a body says.
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

/// The cause that is behind `error`, if it is of a kind that is told apart.
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
