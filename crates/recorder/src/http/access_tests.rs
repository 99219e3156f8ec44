//! Tokens, cookies, and those who guess.

use axum::http::HeaderValue;

use super::*;

const TOKEN: &str = "a-token-for-tests";

fn access() -> Access {
    Access::new(Some(Secret::new(TOKEN)), "recorder.bearer-token".into())
}

fn headers(all: &[(header::HeaderName, &str)]) -> HeaderMap {
    let all = all.iter();
    all.map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[test]
fn the_token_opens_and_nothing_else_does() {
    let access = access();
    let asks =
        |value: &str| access.check(&Method::POST, &headers(&[(header::AUTHORIZATION, value)]));
    assert_eq!(asks("Bearer a-token-for-tests"), Ok(()));
    assert_eq!(asks("bearer  a-token-for-tests "), Ok(()));
    assert_eq!(asks("Bearer another"), Err(Refusal::Wrong));
    assert_eq!(asks("Bearer "), Err(Refusal::Wrong));
    assert_eq!(asks("Basic a-token-for-tests"), Err(Refusal::Missing));
    let nothing = access.check(&Method::GET, &HeaderMap::new());
    assert_eq!(nothing, Err(Refusal::Missing));
}

#[test]
fn without_a_token_on_the_device_nobody_gets_in() {
    let closed = Access::new(None, "recorder.bearer-token".into());
    for all in [vec![], vec![(header::AUTHORIZATION, "Bearer x")]] {
        let asked = closed.check(&Method::GET, &headers(&all));
        assert_eq!(asked, Err(Refusal::NoToken));
    }
    assert_eq!(closed.sign(i64::MAX), None);
    assert!(!closed.standing(&HeaderMap::new()).token);
}

#[test]
fn guessing_is_stopped_for_the_rest_of_a_minute() {
    let (access, start) = (access(), Instant::now());
    for second in 0..10 {
        let at = start + Duration::from_secs(second);
        assert_eq!(access.try_token("guess", at), Err(Refusal::Wrong));
        // Right ones do not count.
        assert!(second == 9 || access.try_token(TOKEN, at).is_ok());
    }
    let locked = |seconds| access.try_token(TOKEN, start + Duration::from_secs(seconds));
    assert_eq!(locked(20), Err(Refusal::TooMany(41)));
    assert_eq!(locked(59), Err(Refusal::TooMany(2)));
    assert_eq!(locked(60), Ok(()));
    let again = start + Duration::from_secs(61);
    assert_eq!(access.try_token("guess", again), Err(Refusal::Wrong));
}

#[test]
fn those_who_are_logged_in_do_not_suffer_from_those_who_guess() {
    let access = access();
    let cookie = format!("{COOKIE}={}", access.sign(i64::MAX).unwrap());
    for _ in 0..20 {
        let _ = access.try_token("guess", Instant::now());
    }
    let asked = access.check(&Method::GET, &headers(&[(header::COOKIE, &cookie)]));
    assert_eq!(asked, Ok(()));
}

#[test]
fn a_cookie_is_good_until_its_time_and_only_as_it_was_given() {
    let access = access();
    let value = access.sign(1_000_000).unwrap();
    assert!(access.is_good(&value, 999_999));
    assert!(!access.is_good(&value, 1_000_000));
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
    let cookie = format!("a=b; {COOKIE}={}; c=d", access.sign(i64::MAX).unwrap());
    let asks = |method: Method, origin: Option<&str>| {
        let mut all = vec![
            (header::COOKIE, cookie.as_str()),
            (header::HOST, "gym:8083"),
        ];
        all.extend(origin.map(|origin| (header::ORIGIN, origin)));
        access.check(&method, &headers(&all))
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
