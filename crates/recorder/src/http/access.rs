//! Who may see pictures and start recordings: whoever has the token, as a header or, in a browser, as a cookie that was given
//! for it.
//!
//! The cookie holds no secret: it says until when it is good, signed with the token. So nothing of it has to be kept, it
//! outlives a restart, and a new token ends all of them.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kit::api::Problem;
use kit::{Secret, clock};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::Api;

const COOKIE: &str = "recorder-session";
const LIFETIME_MS: i64 = 30 * 24 * 3600 * 1000;
/// So many wrong tokens in a minute are answered; after that, no token is looked at until the minute is over.
const ATTEMPTS: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The token, and what is known of those who tried it.
pub(super) struct Access {
    token: Option<(Secret, hmac::Key)>,
    name: String,
    wrong: Mutex<Wrong>,
}

/// Wrong tokens since the beginning of a minute.
#[derive(Default)]
struct Wrong {
    since: Option<Instant>,
    count: u32,
}

/// How a caller stands, for the page.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    /// Whether pictures may be seen.
    allowed: bool,
    /// Whether that is by a cookie.
    cookie: bool,
    /// Whether this device has a token at all.
    token: bool,
    /// The name of the secret.
    token_name: String,
}

/// Why a caller is not let in.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    Missing,
    Wrong,
    /// For so many seconds.
    TooMany(u64),
    /// Another site's page sends this browser's cookie.
    Foreign,
}

impl Access {
    /// Access with a token, whose secret has this name.
    pub(super) fn new(token: Option<Secret>, name: String) -> Self {
        let signed = |token: Secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
            (token, key)
        };
        Access {
            token: token.map(signed),
            name,
            wrong: Mutex::default(),
        }
    }

    /// How the sender of these headers stands. A wrong token counts here, too: this answer would tell whether it is right.
    pub(super) fn standing(&self, headers: &HeaderMap) -> Standing {
        let cookie = self.cookie(headers);
        Standing {
            allowed: cookie || self.holds(headers),
            cookie,
            token: self.token.is_some(),
            token_name: self.name.clone(),
        }
    }

    /// Whether a request may pass.
    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(guess) = bearer(headers) {
            return self.try_token(guess, Instant::now());
        }
        if self.token.is_none() {
            return Err(Refusal::NoToken);
        }
        match self.cookie(headers) {
            true if method.is_safe() || is_own(headers) => Ok(()),
            true => Err(Refusal::Foreign),
            false => Err(Refusal::Missing),
        }
    }

    fn try_token(&self, guess: &str, now: Instant) -> Result<(), Refusal> {
        let (token, _) = self.token.as_ref().ok_or(Refusal::NoToken)?;
        let mut wrong = self.wrong.lock().expect("no panic while held");
        let passed = wrong
            .since
            .map(|since| now.saturating_duration_since(since));
        match passed {
            Some(passed) if passed < MINUTE => {
                if wrong.count >= ATTEMPTS {
                    let left = MINUTE - passed;
                    return Err(Refusal::TooMany(left.as_secs() + 1));
                }
            }
            _ => *wrong = Wrong::default(),
        }
        if token.matches(guess) {
            return Ok(());
        }
        wrong.since.get_or_insert(now);
        wrong.count += 1;
        if wrong.count == ATTEMPTS {
            tracing::warn!(
                "{ATTEMPTS} wrong tokens within a minute: no token is looked at until it is over"
            );
        }
        Err(Refusal::Wrong)
    }

    fn holds(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|guess| self.try_token(guess, Instant::now()).is_ok())
    }

    /// A new cookie's value.
    fn sign(&self, until_ms: i64) -> Option<String> {
        let (_, key) = self.token.as_ref()?;
        let tag = hmac::sign(key, until_ms.to_string().as_bytes());
        let tag: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Some(format!("{until_ms}.{tag}"))
    }

    /// Whether there is a cookie that is good.
    fn cookie(&self, headers: &HeaderMap) -> bool {
        let all = headers.get_all(header::COOKIE).iter();
        let all = all.filter_map(|line| line.to_str().ok());
        all.flat_map(|line| line.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .any(|(_, value)| self.is_good(value, clock::now_ms()))
    }

    fn is_good(&self, value: &str, now_ms: i64) -> bool {
        let (Some((_, key)), Some((until, tag))) = (&self.token, value.split_once('.')) else {
            return false;
        };
        let is_signed =
            unhex(tag).is_some_and(|tag| hmac::verify(key, until.as_bytes(), &tag).is_ok());
        is_signed && until.parse::<i64>().is_ok_and(|until| now_ms < until)
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let problem = |status, what, details: &str| Problem::new(status, what, details);
        match refusal {
            Refusal::NoToken => {
                let hint = format!("set the secret {} in lichen.toml", self.name);
                problem(
                    StatusCode::FORBIDDEN,
                    "no bearer token is configured",
                    &hint,
                )
                .into_response()
            }
            Refusal::Missing => {
                let hint = "log in on the page, or send the header Authorization: Bearer …";
                problem(StatusCode::UNAUTHORIZED, "not logged in", hint).into_response()
            }
            Refusal::Wrong => {
                let hint = format!("it is the secret {} of this device", self.name);
                problem(StatusCode::UNAUTHORIZED, "wrong token", &hint).into_response()
            }
            Refusal::TooMany(seconds) => {
                let hint = format!("try again in {seconds} s");
                let problem = problem(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many wrong tokens",
                    &hint,
                );
                ([(header::RETRY_AFTER, seconds.to_string())], problem).into_response()
            }
            Refusal::Foreign => {
                let hint = "the header Origin names another site than Host";
                problem(
                    StatusCode::FORBIDDEN,
                    "this request comes from another site",
                    hint,
                )
                .into_response()
            }
        }
    }
}

/// Lets through who may pass.
pub(super) async fn guard(
    State(Api(sources)): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    match sources.access.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => sources.access.refuse(refusal),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// `POST /api/login`: gives a cookie for the token.
pub(super) async fn log_in(State(Api(sources)): State<Api>, body: Bytes) -> Response {
    let login: Login = match serde_json::from_slice(&body) {
        Ok(login) => login,
        Err(error) => {
            return Problem::bad_query(format!("{{ \"token\": … }} is wanted: {error}"))
                .into_response();
        }
    };
    if let Err(refusal) = sources.access.try_token(login.token.trim(), Instant::now()) {
        return sources.access.refuse(refusal);
    }
    let value = sources.access.sign(clock::now_ms() + LIFETIME_MS);
    with_cookie(&value.unwrap_or_default(), LIFETIME_MS / 1000)
}

/// `POST /api/logout`: takes the cookie back from this browser.
pub(super) async fn log_out() -> Response {
    with_cookie("", 0)
}

fn with_cookie(value: &str, seconds: i64) -> Response {
    // Not `Secure`: the appliance speaks HTTP, and what is far away is reached through WireGuard.
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a page of this very service asks. Browsers name the origin of whatever may change something; SameSite alone would
/// let in pages of other ports of this device.
fn is_own(headers: &HeaderMap) -> bool {
    let (origin, host) = (headers.get(header::ORIGIN), headers.get(header::HOST));
    let Some(origin) = origin else { return true };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| host.is_some_and(|host| host == origin))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !text.is_ascii() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
