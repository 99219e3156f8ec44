//! Requests to Amber: one at a time, with time limits, and never more often than Amber allows.

use std::time::Duration;

use http_client::{Answer, Client, Options, Request};
use jiff::civil::Date;
use kit::Secret;
use serde_json::Value;

use super::{Price, Rows, Site, Usage, price, rows, site, usage};
use crate::config::AmberSettings;

/// The largest answer that is accepted: a week of two channels in 5-minute intervals is 2 MB.
const LARGEST_BODY: usize = 16 << 20;
/// Attempts at one request if Amber's server fails.
const ATTEMPTS: u32 = 3;

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AmberError {
    /// Status 401 or 403: the token is not accepted.
    #[error("Amber refuses the token (status {0})")]
    Refused(u16),
    /// Status 404.
    #[error("Amber does not know this site")]
    NoSuchSite,
    /// Status 429: the rate limit is reached; wait this long.
    #[error("Amber's rate limit is reached: retry after {} s", .0.as_secs())]
    TooMany(Duration),
    /// Status 5xx after several attempts; wait this long if the server said so.
    #[error("Amber's server failed (status {0})")]
    OutOfOrder(u16, Option<Duration>),
    /// Any other status: Amber rejects the request.
    #[error("Amber answered with status {0}: {1}")]
    Unexpected(u16, String),
    /// There was no answer within the time limit.
    #[error("Amber did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// There was no connection; the journal has the reason.
    #[error("cannot reach Amber")]
    Unreachable(String),
    /// The answer is not a valid list; contains the reason.
    #[error("Amber's answer is not valid")]
    Nonsense(String),
}

impl AmberError {
    /// Technical details that the message omits, because they do not help people in a kitchen.
    pub fn detail(&self) -> Option<&str> {
        match self {
            AmberError::Unreachable(detail) | AmberError::Nonsense(detail) => Some(detail),
            _ => None,
        }
    }
}

/// The remaining quota of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests left in the current window.
    pub remaining: u64,
    /// The time until the window ends.
    pub reset: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct Answered<T> {
    /// The content.
    pub rows: Rows<T>,
    /// The remaining quota of requests, if Amber reports it.
    pub limit: Option<Limit>,
}

/// A client for Amber.
#[derive(Debug)]
pub struct Amber {
    client: Client,
    url: String,
    token: Secret,
    timeout: Duration,
    /// The length of a second between attempts; tests shorten it.
    second: Duration,
}

impl Amber {
    /// Creates a client with these settings and the account's token.
    pub fn new(settings: &AmberSettings, token: Secret, second: Duration) -> Self {
        let timeout = Duration::from_secs(settings.timeout_seconds);
        Amber {
            client: Client::new(&Options::new("lichen-energy", timeout)),
            url: settings.url.trim_end_matches('/').to_owned(),
            token,
            timeout,
            second,
        }
    }

    /// The account's sites.
    pub fn sites(&self) -> Result<Answered<Site>, AmberError> {
        self.list("/sites", site)
    }

    /// Prices of the current interval, and of some intervals before and after it.
    pub fn current(
        &self,
        site: &str,
        previous: u32,
        next: u32,
        resolution: Option<u16>,
    ) -> Result<Answered<Price>, AmberError> {
        let resolution =
            resolution.map_or(String::new(), |minutes| format!("&resolution={minutes}"));
        let query = format!("previous={previous}&next={next}{resolution}");
        self.list(&format!("/sites/{site}/prices/current?{query}"), price)
    }

    /// Prices of market days, at most 7 of them.
    pub fn prices(
        &self,
        site: &str,
        (from, to): (Date, Date),
        resolution: Option<u16>,
    ) -> Result<Answered<Price>, AmberError> {
        let resolution =
            resolution.map_or(String::new(), |minutes| format!("&resolution={minutes}"));
        let query = format!("startDate={from}&endDate={to}{resolution}");
        self.list(&format!("/sites/{site}/prices?{query}"), price)
    }

    /// Usage of market days, at most 7 of them.
    pub fn usage(
        &self,
        site: &str,
        (from, to): (Date, Date),
    ) -> Result<Answered<Usage>, AmberError> {
        let query = format!("startDate={from}&endDate={to}");
        self.list(&format!("/sites/{site}/usage?{query}"), usage)
    }

    fn list<T>(
        &self,
        path: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Answered<T>, AmberError> {
        let mut attempt = 1;
        loop {
            let error = match self.ask(path, &read) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // If the server said how long the problem will last, do not retry before that.
            let may_pass = matches!(
                error,
                AmberError::OutOfOrder(_, None) | AmberError::Unreachable(_) | AmberError::Slow(_)
            );
            if !may_pass || attempt == ATTEMPTS {
                return Err(error);
            }
            let pause = self
                .second
                .mul_f64(f64::from(2u32.pow(attempt)) * (0.5 + fastrand::f64()));
            tracing::debug!(path, attempt, ?pause, "{error}; trying again");
            std::thread::sleep(pause);
            attempt += 1;
        }
    }

    fn ask<T>(
        &self,
        path: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Answered<T>, AmberError> {
        let request = Request::get(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .header("accept", "application/json");
        let mut answer = self
            .client
            .send(request)
            .map_err(|error| self.failed(&error))?;
        if answer.status() != 200 {
            return Err(refusal(answer));
        }
        let limit = limit(&answer);
        let mut body = Vec::new();
        // A truncated body is used as far as it goes.
        if let Err(error) = answer.append_to(&mut body, LARGEST_BODY) {
            tracing::debug!(path, %error, bytes = body.len(), "the connection broke before the answer was complete");
            if body.is_empty() {
                return Err(AmberError::Unreachable(error.to_string()));
            }
        }
        let rows = rows(&body, read).map_err(AmberError::Nonsense)?;
        Ok(Answered { rows, limit })
    }

    fn failed(&self, error: &http_client::Error) -> AmberError {
        match error.is_timeout() {
            true => AmberError::Slow(self.timeout),
            false => AmberError::Unreachable(error.to_string()),
        }
    }
}

fn refusal(answer: Answer) -> AmberError {
    let status = answer.status();
    let retry_after = answer.seconds("retry-after");
    match status {
        401 | 403 => AmberError::Refused(status),
        404 => AmberError::NoSuchSite,
        // Without a header, assume the whole window of 300 s.
        429 => AmberError::TooMany(
            retry_after
                .or_else(|| answer.seconds("ratelimit-reset"))
                .unwrap_or(Duration::from_secs(300)),
        ),
        500..=599 => AmberError::OutOfOrder(status, retry_after),
        _ => AmberError::Unexpected(status, answer.excerpt(300)),
    }
}

fn limit(answer: &Answer) -> Option<Limit> {
    let remaining = answer.header("ratelimit-remaining")?.trim().parse();
    Some(Limit {
        remaining: remaining.ok()?,
        reset: answer.seconds("ratelimit-reset")?,
    })
}
