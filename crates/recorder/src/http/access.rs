//! Who may see pictures and start recordings: whoever has the token, as a header or, in a browser, as a cookie that was given
//! for it.
//!
//! The cookie holds no secret: it says until when it is good, signed with the token. So nothing of it has to be kept, it
//! outlives a restart, and a new token ends all of them.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kit::api::Problem;
use kit::{Secret, clock};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::Api;
use super::guesses::{Guesses, Turn};

const COOKIE: &str = "recorder-session";
const LIFETIME_MS: i64 = 30 * 24 * 3600 * 1000;
/// A clock that is set right takes nobody's cookie away, if it was wrong by no more than this.
const SLACK_MS: i64 = 24 * 3600 * 1000;

/// The token, and what is known of those who tried it.
pub(super) struct Access {
    token: Option<(Secret, hmac::Key)>,
    name: String,
    guesses: Mutex<Guesses>,
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
            guesses: Mutex::default(),
        }
    }

    /// How the sender of these headers stands. A wrong token counts here, too: this answer would tell whether it is right.
    pub(super) async fn standing(&self, headers: &HeaderMap, from: IpAddr) -> Standing {
        let cookie = self.cookie(headers);
        let holds = match bearer(headers) {
            Some(guess) if !cookie => self.try_token(guess, from).await.is_ok(),
            _ => false,
        };
        Standing {
            allowed: cookie || holds,
            cookie,
            token: self.token.is_some(),
            token_name: self.name.clone(),
        }
    }

    /// Whether a request may pass.
    async fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Result<(), Refusal> {
        if let Some(guess) = bearer(headers) {
            return self.try_token(guess, from).await;
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

    /// Looks at a token when it is its turn: the right one is let in, however many wrong ones others have tried.
    async fn try_token(&self, guess: &str, from: IpAddr) -> Result<(), Refusal> {
        let (token, _) = self.token.as_ref().ok_or(Refusal::NoToken)?;
        let guesses = || self.guesses.lock().expect("no panic while held");
        let turn = guesses().turn(from, Instant::now());
        match turn {
            Turn::Now => {}
            Turn::After(wait, is_first) => {
                if is_first {
                    tracing::warn!(
                        "many wrong tokens from {from}: from there they wait for their turn"
                    );
                }
                tokio::time::sleep(wait).await;
            }
            Turn::Never(wait) => return Err(Refusal::TooMany(wait.as_secs() + 1)),
        }
        if !token.matches(guess) {
            return Err(Refusal::Wrong);
        }
        guesses().was_right(from, Instant::now());
        Ok(())
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
        // One that is good for longer was given when the clock was wrong.
        let lasts = 1..=LIFETIME_MS + SLACK_MS;
        let left = |until: i64| lasts.contains(&until.saturating_sub(now_ms));
        is_signed && until.parse().is_ok_and(left)
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

/// The address from which a request came.
pub(super) struct Peer(pub(super) IpAddr);

impl Peer {
    fn of(extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        Peer(peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip()))
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Peer::of(&parts.extensions))
    }
}

/// Lets through who may pass.
pub(super) async fn guard(
    State(Api(sources)): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    let from = Peer::of(request.extensions()).0;
    let (method, headers) = (request.method(), request.headers());
    match sources.access.check(method, headers, from).await {
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
pub(super) async fn log_in(
    State(Api(sources)): State<Api>,
    Peer(from): Peer,
    body: Bytes,
) -> Response {
    let login: Login = match serde_json::from_slice(&body) {
        Ok(login) => login,
        Err(error) => {
            return Problem::bad_query(format!("{{ \"token\": … }} is wanted: {error}"))
                .into_response();
        }
    };
    if let Err(refusal) = sources.access.try_token(login.token.trim(), from).await {
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
