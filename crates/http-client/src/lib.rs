//! The one HTTP client of services and of `lichen publish`.
//!
//! How long to wait, how many redirects to follow, which proxy to use, whom to trust and how to introduce itself is
//! decided here, once. A caller says what it asks for, and gets an [`Answer`] of whatever status, or an [`Error`] that
//! names the host, says in plain words what went wrong, and tells whether the same request may succeed later.
//!
//! A client blocks the thread that asks: services talk to the network from worker threads of their own, so that
//! a slow server delays nobody else. It keeps connections for the next request, and may be shared by threads.

mod address;
mod body;
mod engine;
mod error;
mod trust;

use std::io::Read;
use std::time::Duration;

pub use address::Address;
pub use body::{Body, FilePart};
pub use bytes::Bytes;
pub use error::{Cause, Error, Stage};
pub use http::Method;

/// The longest pause that a server may ask for: a mistake there must not silence a device for a year.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How patient a client is, and what it calls itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name in `User-Agent`; the version is added.
    pub name: &'static str,
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// For the whole of a request, from the look-up of its host to the last byte of the answer. `None` is for bodies
    /// that take as long as they take; [`Options::idle`] ends those that have come to a standstill.
    pub whole: Option<Duration>,
    /// How long nothing may arrive or leave.
    pub idle: Duration,
    /// How many redirects of a GET or HEAD are followed; what has a body is never sent elsewhere. With 0, a redirect is
    /// an answer like any other.
    pub redirects: u32,
}

impl Options {
    /// Patient enough for a slow line, and no longer than `whole` in all.
    pub fn new(name: &'static str, whole: Duration) -> Self {
        Options {
            name,
            connect: whole.min(Duration::from_secs(10)),
            whole: Some(whole),
            idle: whole.min(Duration::from_secs(60)),
            redirects: 10,
        }
    }
}

/// What to ask for.
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

    /// A request for what is at `url`.
    pub fn get(url: impl Into<String>) -> Self {
        Request::new(Method::GET, url)
    }

    /// A request that brings `body` to `url`.
    pub fn post(url: impl Into<String>, body: impl Into<Body>) -> Self {
        Request::new(Method::POST, url).body(body)
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }
}

/// Someone who asks.
#[derive(Debug)]
pub struct Client {
    engine: engine::Engine,
}

impl Client {
    /// A client with these options. `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` hold for it; it trusts the
    /// authorities in the file that `SSL_CERT_FILE` names, and Mozilla's if it names none.
    pub fn new(options: &Options) -> Self {
        let agent = format!("{}/{}", options.name, env!("CARGO_PKG_VERSION"));
        Client {
            engine: engine::Engine::new(options, agent),
        }
    }

    /// Asks once. An answer is an answer, whatever its status.
    pub fn send(&self, request: Request) -> Result<Answer, Error> {
        let address = Address::parse(&request.url).ok_or_else(|| Error {
            host: String::new(),
            cause: Cause::BadAddress,
        })?;
        let host = address.authority();
        let sent = self.engine.send(request);
        let (head, body) = sent.map_err(|cause| Error {
            host: host.clone(),
            cause,
        })?;
        Ok(Answer { host, head, body })
    }
}

/// What a server says.
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

    /// Its status and the words for it, as `404 Not Found`.
    pub fn status_line(&self) -> String {
        self.head.status.to_string()
    }

    /// Whether its status is one of success.
    pub fn is_success(&self) -> bool {
        self.head.status.is_success()
    }

    /// The value of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// A header that is a number of seconds; no more than an hour.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds = self.header(name)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
    }

    /// Reads the body bit by bit.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.body
            .read(buffer)
            .map_err(|error| self.failed(error.into()))
    }

    /// The whole body, if it has no more than `limit` bytes.
    pub fn bytes(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        self.append_to(&mut all, limit)?;
        Ok(all)
    }

    /// Appends the body to `all`, if it has no more than `limit` bytes. After an error, what came before it is there.
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

    /// The beginning of the body as text, for an error message: what can't be read is left out.
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
