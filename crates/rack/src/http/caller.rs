//! Who asks, and whether they may: a handler says by its argument which role it is for.
//!
//! A browser shows a cookie, and a program shows a token. Both are looked up in the database, and remembered for a moment; what was
//! remembered also serves reads while the database is away.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use kit::{Secret, clock};

use super::refusal::Refusal;
use super::{Api, token};
use crate::plan::model::Id;
use crate::store::{Role, User, Who};

/// The name of the cookie.
pub(super) const COOKIE: &str = "rack_session";
/// The name of the header in which a page shows that it is ours.
const CSRF: &str = "x-csrf-token";
const REQUEST_ID: &str = "x-request-id";

/// For so long what is known of a caller is believed without a look into the database: a session that was ended through another
/// process is refused after this time.
const BELIEVED: Duration = Duration::from_secs(5);
/// For so long it is believed while the database does not answer.
const BELIEVED_IN_NEED: Duration = Duration::from_secs(3600);
/// So many callers are remembered.
const REMEMBERED: usize = 10_000;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The user; none if everybody may look and nobody is logged in.
    pub(super) user: Option<User>,
    /// What they may do: of a token, no more than its user may.
    pub(super) role: Role,
    /// What proved it.
    pub(super) by: By,
    /// When the proof ends, in milliseconds since 1970.
    pub(super) until_ms: Option<i64>,
    /// The number of the request, as it is in the journals.
    request: String,
}

/// What proved who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    /// The cookie with the token of a session.
    Session(String),
    /// The token of a program.
    Token,
    /// Nothing.
    Nothing,
}

impl Caller {
    /// As whom the database writes it down.
    pub(super) fn who(&self) -> Who {
        let name = self.user.as_ref().map(|user| user.name.clone());
        Who {
            user: name.unwrap_or_default(),
            request: self.request.clone(),
        }
    }

    /// The user's number.
    pub(super) fn id(&self) -> Option<Id> {
        self.user.as_ref().map(|user| user.id)
    }
}

/// Someone who may look.
pub(super) struct View(pub(super) Caller);
/// Someone who may change things.
pub(super) struct Edit(pub(super) Caller);
/// Someone who may do everything.
pub(super) struct Admin(pub(super) Caller);

macro_rules! may {
    ($($who:ident)+) => {$(
        impl FromRequestParts<Api> for $who {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
                permitted(parts, api, Role::$who).await.map($who)
            }
        }
    )+};
}

may! { View Edit Admin }

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// The address of the browser or program; of IPv6, its network.
    pub(super) address: IpAddr,
    /// Whether it came by TLS.
    pub(super) is_secure: bool,
}

impl Origin {
    /// What the connection says, or, if it is that of a proxy that is trusted, what the proxy says.
    fn of(parts: &Parts, trusted: &[IpAddr]) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip());
        let peer = peer.to_canonical();
        let is_trusted = peer.is_loopback() || trusted.contains(&peer);
        let said = |name: &str| {
            let value = parts.headers.get(name).filter(|_| is_trusted)?;
            value.to_str().ok().map(str::trim)
        };
        let address = said("x-real-ip").and_then(|address| address.parse().ok());
        Origin {
            address: network(address.unwrap_or(peer)),
            is_secure: said("x-forwarded-proto") == Some("https"),
        }
    }
}

impl FromRequestParts<Api> for Origin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        Ok(Origin::of(parts, &api.access.trusted_proxies))
    }
}

/// Whoever has one address of IPv6 has 2⁶⁴ of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// The caller, if they may do what this role may.
async fn permitted(parts: &Parts, api: &Api, wanted: Role) -> Result<Caller, Refusal> {
    is_prepared(api)?;
    let origin = Origin::of(parts, &api.access.trusted_proxies);
    let caller = match identified(&parts.headers, api).await {
        Ok(Some(caller)) => caller,
        Ok(None) if api.access.public_view && wanted == Role::View => nobody(&parts.headers),
        Ok(None) => {
            api.limits
                .request(&format!("at:{}", origin.address))
                .await?;
            let hint = "log in, or send the header Authorization: Bearer …";
            return Err(Refusal::unauthorized(hint));
        }
        Err(refusal) => return Err(refusal),
    };
    let key = match caller.id() {
        Some(user) => format!("of:{user}"),
        None => format!("at:{}", origin.address),
    };
    api.limits.request(&key).await?;
    if let By::Session(session) = &caller.by
        && !parts.method.is_safe()
    {
        let shown = parts
            .headers
            .get(CSRF)
            .and_then(|value| value.to_str().ok());
        if !Secret::new(token::csrf(session)).matches(shown.unwrap_or_default()) {
            let hint = "send the header X-CSRF-Token with what GET /api/session says in `csrf`";
            return Err(Refusal::forbidden(hint));
        }
    }
    if caller.role < wanted {
        let (wanted, has) = (word(wanted), word(caller.role));
        let hint = format!("this needs the role {wanted}, and you have the role {has}");
        return Err(Refusal::forbidden(hint));
    }
    Ok(caller)
}

/// The name of a role.
pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::View => "view",
        Role::Edit => "edit",
        Role::Admin => "admin",
    }
}

/// Refuses what would come too early for the database.
pub(super) fn is_prepared(api: &Api) -> Result<(), Refusal> {
    match api.preparation.missing() {
        None => Ok(()),
        Some(why) => Err(Refusal::unavailable("the database is not ready", why)),
    }
}

fn nobody(headers: &HeaderMap) -> Caller {
    Caller {
        user: None,
        role: Role::View,
        by: By::Nothing,
        until_ms: None,
        request: request_id(headers),
    }
}

/// Who shows a cookie or a token that is good.
async fn identified(headers: &HeaderMap, api: &Api) -> Result<Option<Caller>, Refusal> {
    let (shown, by) = match (bearer(headers), cookie(headers)) {
        (Some(token), _) => (token, By::Token),
        (None, Some(cookie)) => (cookie, By::Session(cookie.to_owned())),
        (None, None) => return Ok(None),
    };
    let sum = token::sum(shown);
    let known = match api.callers.known(&sum, BELIEVED) {
        Some(known) => Some(known),
        None => match look_up(&sum, &by, api).await {
            Ok(found) => {
                api.callers.remember(sum, found.as_ref());
                found
            }
            Err(refusal) if refusal.is_passing() => {
                Some(api.callers.known(&sum, BELIEVED_IN_NEED).ok_or(refusal)?)
            }
            Err(refusal) => return Err(refusal),
        },
    };
    Ok(known.map(|known| Caller {
        role: known.role,
        user: Some(known.user),
        by,
        until_ms: known.until_ms,
        request: request_id(headers),
    }))
}

async fn look_up(sum: &token::Sum, by: &By, api: &Api) -> Result<Option<Known>, Refusal> {
    Ok(match by {
        By::Session(_) => api.store.session(sum).await?.map(|session| Known {
            role: session.user.role,
            user: session.user,
            until_ms: Some(session.expires_at_ms),
        }),
        By::Token | By::Nothing => api.store.token(sum).await?.map(|token| Known {
            role: token.role,
            user: token.user,
            until_ms: None,
        }),
    })
}

/// What is known of somebody who showed a cookie or a token.
#[derive(Debug, Clone)]
struct Known {
    user: User,
    role: Role,
    until_ms: Option<i64>,
}

/// Those who asked lately.
#[derive(Default)]
pub(super) struct Callers(Mutex<HashMap<token::Sum, (Known, Instant)>>);

impl Callers {
    fn known(&self, sum: &token::Sum, within: Duration) -> Option<Known> {
        let all = self.0.lock().expect("no panic while held");
        let (known, at) = all.get(sum)?;
        let has_ended = known.until_ms.is_some_and(|until| until <= clock::now_ms());
        (at.elapsed() <= within && !has_ended).then(|| known.clone())
    }

    fn remember(&self, sum: token::Sum, found: Option<&Known>) {
        let mut all = self.0.lock().expect("no panic while held");
        match found {
            None => drop(all.remove(&sum)),
            Some(found) => {
                if all.len() >= REMEMBERED {
                    all.retain(|_, (_, at)| at.elapsed() <= BELIEVED);
                }
                if all.len() < REMEMBERED {
                    all.insert(sum, (found.clone(), Instant::now()));
                }
            }
        }
    }

    /// Forgets everybody: somebody's role, password or token has changed.
    pub(super) fn forget(&self) {
        self.0.lock().expect("no panic while held").clear();
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter();
    let all = all.filter_map(|line| line.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value)
}

/// The number of the request that nginx or the caller gave it, by the kit's rule; the kit tells its own ones to nobody.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    given.filter(sane).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
