//! One receiver of what is sent, and what its answers mean.
//!
//! An answer is about what was sent, or about whether anything can be sent at the moment. Only in the first case is something
//! given up: with 400, 409, 413 and 422 the receiver says that it will never take it. Whatever else it is (no answer, 429, 5xx,
//! a password that is not right any more, a page in HTML from whoever sits in between, a redirect), the same is tried again
//! later, and nothing is lost. A redirect is never followed: it would bring data and passwords to a host that nobody named.

pub mod loki;
pub mod parts;
pub mod pause;
pub mod remote_write;

use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_client::{Address, Client, Request};
use kit::Credentials;

/// How much of an answer is worth reading.
const EXCERPT: u64 = 400;

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    client: Client,
    url: String,
    host: String,
    headers: Vec<(&'static str, String)>,
}

/// What an answer means for what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Taken,
    /// It will never be taken, for this reason.
    Refused(String),
    /// It has to be tried again, for this reason, and not before so long, if the receiver said so.
    Later(String, Option<Duration>),
}

impl Receiver {
    /// The receiver at `url`, of metrics or logs (`what`), which is also what its secrets begin with.
    pub fn new(
        what: &str,
        url: &str,
        tenant: Option<&str>,
        timeout: Duration,
        credentials: &Credentials,
    ) -> anyhow::Result<Self> {
        let address = Address::parse(url).with_context(|| format!("{what}.url: no address"))?;
        let mut headers = Vec::new();
        let secret = |name: &str| {
            let name = format!("{what}-{name}");
            let secret = credentials.get(&name);
            secret.with_context(|| format!("credential {}", credentials.full_name(&name)))
        };
        if let Some(token) = secret("token")? {
            headers.push(("authorization", format!("Bearer {}", token.expose())));
        } else {
            let missing = |name: &str, there: &str| {
                let full = |name: &str| credentials.full_name(&format!("{what}-{name}"));
                anyhow::anyhow!(
                    "there is a credential {}, but no {}: give both, or {} instead",
                    full(there),
                    full(name),
                    full("token")
                )
            };
            match (secret("user")?, secret("password")?) {
                (Some(user), Some(password)) => {
                    let both = STANDARD.encode(format!("{}:{}", user.expose(), password.expose()));
                    headers.push(("authorization", format!("Basic {both}")));
                }
                (None, None) => {}
                // Without a word, everything would be refused that is sent.
                (Some(_), None) => return Err(missing("password", "user")),
                (None, Some(_)) => return Err(missing("user", "password")),
            }
        }
        headers.extend(tenant.map(|tenant| ("x-scope-orgid", tenant.to_owned())));
        let client = crate::client(timeout);
        Ok(Receiver {
            client,
            url: url.to_owned(),
            host: address.authority(),
            headers,
        })
    }

    /// Sends a body, once.
    pub fn post(&self, body: Vec<u8>, headers: &[(&'static str, &str)]) -> Verdict {
        let mut request = Request::post(&self.url, body);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = match self.client.send(request) {
            Ok(answer) => answer,
            Err(error) => return Verdict::Later(error.to_string(), None),
        };
        let (host, status) = (&self.host, answer.status_line());
        let after = answer.seconds("retry-after");
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.trim_start().to_ascii_lowercase();
        if kind.starts_with("text/html") || kind.starts_with("application/xhtml") {
            let why = format!(
                "{host} answers {status} with a web page: it is no receiver, or something in between wants a login"
            );
            return Verdict::Later(why, after);
        }
        match answer.status() {
            200..=299 => Verdict::Taken,
            300..=399 => {
                let to = answer.header("location").and_then(Address::parse);
                let to = to.map_or("elsewhere".into(), |address| address.masked());
                let why = format!(
                    "{host} answers {status} and redirects to {to}, which is never followed; set the right address"
                );
                Verdict::Later(why, after)
            }
            // Only these are about what was sent.
            400 | 409 | 413 | 422 => {
                let said = answer.excerpt(EXCERPT);
                Verdict::Refused(format!("{host} answers {status}: {said}"))
            }
            // Any other is about who asks, where and how often. Remote-write's specification forbids to send again after any
            // 4xx but 429, lest a sender blocks itself with what will never be taken. Here that would throw away all that
            // waits, while a token that has expired is being replaced, a bill paid, or a firewall mended. It blocks nothing
            // but what would meet the same answer, is told, and what waits is bounded.
            _ => Verdict::Later(format!("{host} answers {status}"), after),
        }
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
