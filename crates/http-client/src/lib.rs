//! The one HTTP client, used by all services and by `lichen publish`.
//!
//! Time limits, redirects, proxies, trusted authorities and the user agent are decided here, once. A caller states its
//! request and gets an [`Answer`] with any status, or an [`Error`] that names the host, describes the problem in plain
//! words, and tells whether the same request may succeed later.
//!
//! A client blocks the calling thread: services use the network from worker threads, so that a slow server delays
//! nothing else. It keeps connections for the next request, and threads may share it.

mod address;
mod body;
mod engine;
mod error;
mod trust;

use std::io::Read;
use std::time::Duration;

pub use address::Address;
pub use body::{Body, FilePart, Watch};
pub use bytes::Bytes;
pub use error::{Cause, Error, Stage};
pub use http::Method;

/// The longest pause that a server may request, so that a mistake there cannot silence a device for a year.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The limits and the name of a client.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name in `User-Agent`; the version is added.
    pub name: &'static str,
    /// The time limit for a connection, TLS included.
    pub connect: Duration,
    /// The time limit for a whole request, from the DNS lookup to the last byte of the answer. `None` is for bodies of
    /// any size; [`Options::idle`] then ends stalled requests.
    pub whole: Option<Duration>,
    /// How long a connection may transfer nothing.
    pub idle: Duration,
    /// How many redirects of a GET or HEAD are followed; a request with a body is never redirected. With 0, a redirect
    /// is an ordinary answer.
    pub redirects: u32,
    /// The size of the two buffers that each connection has while it is kept. Smaller ones cost time where much is
    /// transferred; the head of an answer has to fit in.
    pub buffer: usize,
}

impl Options {
    /// Limits that suit a slow line, with at most `whole` for the whole request.
    pub fn new(name: &'static str, whole: Duration) -> Self {
        Options {
            name,
            connect: whole.min(Duration::from_secs(10)),
            whole: Some(whole),
            idle: whole.min(Duration::from_secs(60)),
            redirects: 10,
            buffer: 128 * 1024,
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Request {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    /// A GET request for `url`.
    pub fn get(url: impl Into<String>) -> Self {
        Request::new(Method::GET, url)
    }

    /// A request that sends `body` to `url`.
    pub fn post(url: impl Into<String>, body: impl Into<Body>) -> Self {
        Request::new(Method::POST, url).body(body)
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }
}

/// An HTTP client.
#[derive(Debug)]
pub struct Client {
    engine: engine::Engine,
}

impl Client {
    /// Creates a client with these options. It uses the proxies in `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY`. It trusts the authorities in the file named by `SSL_CERT_FILE`, or else Mozilla's. If that file
    /// cannot be used, it trusts nobody, and says so when TLS is needed.
    pub fn new(options: &Options) -> Self {
        let agent = format!("{}/{}", options.name, env!("CARGO_PKG_VERSION"));
        Client {
            engine: engine::Engine::new(options, agent),
        }
    }

    /// Sends a request once. Every answer is returned as such, whatever its status.
    pub fn send(&self, request: Request) -> Result<Answer, Error> {
        let address = Address::parse(&request.url).ok_or_else(|| Error {
            host: String::new(),
            cause: Cause::BadAddress,
        })?;
        let host = address.authority();
        let distrust = self.engine.distrust().filter(|_| address.uses_tls());
        let sent = match distrust {
            Some(cause) => Err(cause.clone()),
            None => self.engine.send(request),
        };
        let (head, body) = sent.map_err(|cause| Error {
            host: host.clone(),
            cause,
        })?;
        Ok(Answer { host, head, body })
    }
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    host: String,
    head: http::response::Parts,
    body: engine::Incoming,
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// Its status with the reason phrase, such as `404 Not Found`.
    pub fn status_line(&self) -> String {
        self.head.status.to_string()
    }

    /// Whether its status is a success (2xx).
    pub fn is_success(&self) -> bool {
        self.head.status.is_success()
    }

    /// The value of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The value of a header that is a number of seconds, or a date until which there are so many; at most an hour. They are
    /// counted by the server's own clock, as the device's may be wrong.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        let value = self.header(name)?.trim();
        let pause = match value.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let until = httpdate::parse_http_date(value).ok()?;
                let now = httpdate::parse_http_date(self.header("date")?.trim()).ok()?;
                until.duration_since(now).unwrap_or_default()
            }
        };
        Some(pause.min(LONGEST_RETRY_AFTER))
    }

    /// Reads the body incrementally.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.body
            .read(buffer)
            .map_err(|error| self.failed(error.into()))
    }

    /// The whole body, if it has at most `limit` bytes.
    pub fn bytes(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        self.append_to(&mut all, limit)?;
        Ok(all)
    }

    /// Appends the body to `all`, if it has at most `limit` bytes. After an error, the bytes before it are in `all`.
    pub fn append_to(&mut self, all: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let before = all.len();
        let most = (limit as u64).saturating_add(1);
        let read = (&mut self.body).take(most).read_to_end(all);
        read.map_err(|error| self.failed(error.into()))?;
        match all.len() - before > limit {
            true => Err(self.failed(Cause::TooLong(limit))),
            false => Ok(()),
        }
    }

    /// The beginning of the body as text, for an error message; unreadable bytes are left out.
    pub fn excerpt(mut self, limit: u64) -> String {
        let mut said = Vec::new();
        let _ = (&mut self.body).take(limit).read_to_end(&mut said);
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    fn failed(&self, cause: Cause) -> Error {
        Error {
            host: self.host.clone(),
            cause,
        }
    }
}
