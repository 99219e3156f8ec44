//! Tokens, cookies, and those who guess.

use std::future::Future;
use std::net::Ipv4Addr;

use axum::http::HeaderValue;
use futures_util::FutureExt;

use super::*;

const TOKEN: &str = "a-token-for-tests";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2));

fn access() -> Access {
    Access::new(Some(Secret::new(TOKEN)), "recorder.bearer-token".into())
}

/// What is answered without a pause.
fn now<V>(answer: impl Future<Output = V>) -> V {
    answer.now_or_never().expect("nobody has to wait")
}

fn cookie_of(access: &Access) -> String {
    let value = access.sign(clock::now_ms() + LIFETIME_MS).unwrap();
    format!("{COOKIE}={value}")
}

fn headers(all: &[(header::HeaderName, &str)]) -> HeaderMap {
    let all = all.iter();
    all.map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[test]
fn the_token_opens_and_nothing_else_does() {
    let access = access();
    let asks = |value: &str| {
        let headers = headers(&[(header::AUTHORIZATION, value)]);
        now(access.check(&Method::POST, &headers, HERE))
    };
    assert_eq!(asks("Bearer a-token-for-tests"), Ok(()));
    assert_eq!(asks("bearer  a-token-for-tests "), Ok(()));
    assert_eq!(asks("Bearer another"), Err(Refusal::Wrong));
    assert_eq!(asks("Bearer "), Err(Refusal::Wrong));
    assert_eq!(asks("Basic a-token-for-tests"), Err(Refusal::Missing));
    let nothing = now(access.check(&Method::GET, &HeaderMap::new(), HERE));
    assert_eq!(nothing, Err(Refusal::Missing));
}

#[test]
fn without_a_token_on_the_device_nobody_gets_in() {
    let closed = Access::new(None, "recorder.bearer-token".into());
    for all in [vec![], vec![(header::AUTHORIZATION, "Bearer x")]] {
        let asked = now(closed.check(&Method::GET, &headers(&all), HERE));
        assert_eq!(asked, Err(Refusal::NoToken));
    }
    assert_eq!(closed.sign(i64::MAX), None);
    assert!(!now(closed.standing(&HeaderMap::new(), HERE)).token);
}

#[test]
fn those_who_are_logged_in_do_not_suffer_from_those_who_guess() {
    let access = access();
    let cookie = cookie_of(&access);
    for _ in 0..10 {
        let wrong = now(access.try_token("guess", HERE));
        assert_eq!(wrong, Err(Refusal::Wrong));
    }
    let headers = headers(&[(header::COOKIE, &cookie)]);
    let asked = now(access.check(&Method::GET, &headers, HERE));
    assert_eq!(asked, Ok(()));
    assert!(now(access.standing(&headers, HERE)).allowed);
}

#[test]
fn a_cookie_is_good_until_its_time_and_only_as_it_was_given() {
    let access = access();
    let value = access.sign(1_000_000).unwrap();
    assert!(access.is_good(&value, 999_999));
    assert!(!access.is_good(&value, 1_000_000));
    // It was given by a clock that was years ahead.
    assert!(!access.is_good(&value, 1_000_000 - 2 * LIFETIME_MS));
    let later = value.replacen('1', "2", 1);
    let (until, tag) = value.split_once('.').unwrap();
    for forged in [
        "",
        ".",
        "2000000",
        &later,
        &format!("{until}."),
        &format!("{until}.{}", &tag[..62]),
        &format!("{until}.{tag}00"),
        &format!("{until}.{}", "g".repeat(64)),
        &format!("{until}.é{}", &tag[2..]),
    ] {
        assert!(!access.is_good(forged, 0), "{forged}");
    }
    let other = Access::new(Some(Secret::new("another")), String::new());
    assert!(!other.is_good(&value, 0), "a new token ends all sessions");
}

#[test]
fn a_cookie_is_found_among_others_and_does_not_serve_other_sites() {
    let access = access();
    let cookie = format!("a=b; {}; c=d", cookie_of(&access));
    let asks = |method: Method, origin: Option<&str>| {
        let mut all = vec![
            (header::COOKIE, cookie.as_str()),
            (header::HOST, "gym:8083"),
        ];
        all.extend(origin.map(|origin| (header::ORIGIN, origin)));
        now(access.check(&method, &headers(&all), HERE))
    };
    assert_eq!(asks(Method::GET, Some("http://elsewhere")), Ok(()));
    assert_eq!(asks(Method::POST, Some("http://gym:8083")), Ok(()));
    // No browser.
    assert_eq!(asks(Method::POST, None), Ok(()));
    for foreign in ["http://gym:8080", "http://elsewhere", "null"] {
        let asked = asks(Method::POST, Some(foreign));
        assert_eq!(asked, Err(Refusal::Foreign), "{foreign}");
    }
}
