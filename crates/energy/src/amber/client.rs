//! How Amber is asked: one request at a time, never for long, never more often than it allows.

use std::time::Duration;

use http_client::{Answer, Client, Options, Request};
use jiff::civil::Date;
use kit::Secret;
use serde_json::Value;

use super::{Price, Rows, Site, Usage, price, rows, site, usage};
use crate::config::AmberSettings;

/// A week of two channels in intervals of 5 minutes is 2 MB.
const LARGEST_BODY: usize = 16 << 20;
/// Attempts at one request, if it is the other side that fails.
const ATTEMPTS: u32 = 3;

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AmberError {
    /// 401 or 403.
    #[error("Amber refuses the token (status {0})")]
    Refused(u16),
    /// 404.
    #[error("Amber does not know this site")]
    NoSuchSite,
    /// 429, and for how long.
    #[error("Amber's rate limit is reached: retry after {} s", .0.as_secs())]
    TooMany(Duration),
    /// 5xx, after several attempts, and for how long not to come back if it said so.
    #[error("Amber's server failed (status {0})")]
    OutOfOrder(u16, Option<Duration>),
    /// Any other status: a request that Amber does not understand.
    #[error("Amber answered with status {0}: {1}")]
    Unexpected(u16, String),
    /// No answer within the time limit.
    #[error("Amber did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// No connection, for a reason that the journal has.
    #[error("cannot reach Amber")]
    Unreachable(String),
    /// An answer that is no list of anything, with what is wrong with it.
    #[error("Amber's answer is not valid")]
    Nonsense(String),
}

impl AmberError {
    /// What the message leaves out, as it tells people in a kitchen nothing.
    pub fn detail(&self) -> Option<&str> {
        match self {
            AmberError::Unreachable(detail) | AmberError::Nonsense(detail) => Some(detail),
            _ => None,
        }
    }
}

/// What is left of the requests that Amber allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests left before the window ends.
    pub remaining: u64,
    /// Until the window ends.
    pub reset: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct Answered<T> {
    /// What it holds.
    pub rows: Rows<T>,
    /// What is left of the requests that Amber allows, if it says so.
    pub limit: Option<Limit>,
}

/// Someone who asks Amber.
#[derive(Debug)]
pub struct Amber {
    client: Client,
    url: String,
    token: Secret,
    timeout: Duration,
    /// How long a second between attempts lasts; tests are in a hurry.
    second: Duration,
}

impl Amber {
    /// Asks as configured, with the token of the account.
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

    /// The places of the account.
    pub fn sites(&self) -> Result<Answered<Site>, AmberError> {
        self.list("/sites", site)
    }

    /// Prices of the interval that runs, and of some before and after it.
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

    /// Prices of days of the market, at most 7.
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

    /// Usage of days of the market, at most 7.
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
            // What says how long it will last is not asked again before.
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
        // A body that breaks off is used as far as it goes.
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
        // Without a word it is the window of 300 s.
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
