use axum::http::Request;

use super::*;

fn parts(peer: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
    parts.extensions.insert(ConnectInfo(peer));
    parts
}

#[test]
fn only_a_trusted_proxy_says_where_a_request_comes_from() {
    let said = [("x-real-ip", "203.0.113.9"), ("x-forwarded-proto", "https")];
    let trusted: [IpAddr; 1] = ["10.0.0.2".parse().unwrap()];
    for (peer, address, is_secure) in [
        ("127.0.0.1", "203.0.113.9", true),
        ("::1", "203.0.113.9", true),
        ("::ffff:127.0.0.1", "203.0.113.9", true),
        ("10.0.0.2", "203.0.113.9", true),
        ("10.0.0.3", "10.0.0.3", false),
    ] {
        let origin = Origin::of(&parts(peer, &said), &trusted);
        assert_eq!(
            (origin.address.to_string().as_str(), origin.is_secure),
            (address, is_secure),
            "{peer}"
        );
    }
    let nonsense = parts("127.0.0.1", &[("x-real-ip", "here")]);
    let origin = Origin::of(&nonsense, &[]);
    assert_eq!(origin.address.to_string(), "127.0.0.1");
    assert!(!origin.is_secure);
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    for (address, told_apart) in [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(network(address).to_string(), told_apart);
    }
}

#[test]
fn a_cookie_is_found_among_others_and_a_token_in_its_header() {
    let shown = parts(
        "127.0.0.1",
        &[
            ("cookie", "a=b; rack_sessions=no"),
            ("cookie", "c=d; rack_session=yes;e=f"),
            ("authorization", "bearer  rack_1 "),
        ],
    );
    assert_eq!(cookie(&shown.headers), Some("yes"));
    assert_eq!(bearer(&shown.headers), Some("rack_1"));
    let nothing = parts(
        "127.0.0.1",
        &[("cookie", "rack_session="), ("authorization", "Basic x")],
    );
    assert_eq!(
        (cookie(&nothing.headers), bearer(&nothing.headers)),
        (None, None)
    );
}

#[test]
fn a_caller_is_believed_for_a_moment_and_not_after_the_end() {
    let callers = Callers::default();
    let known = |until_ms| Known {
        user: User {
            id: 1,
            version: 1,
            name: "ada".into(),
            role: Role::Edit,
        },
        role: Role::Edit,
        until_ms,
    };
    callers.remember([1; 32], Some(&known(None)));
    callers.remember([2; 32], Some(&known(Some(clock::now_ms() - 1))));
    assert!(callers.known(&[1; 32], BELIEVED).is_some());
    assert!(callers.known(&[1; 32], Duration::ZERO).is_none());
    assert!(callers.known(&[2; 32], BELIEVED).is_none());
    callers.remember([1; 32], None);
    assert!(callers.known(&[1; 32], BELIEVED).is_none());
    callers.remember([1; 32], Some(&known(None)));
    callers.forget();
    assert!(callers.known(&[1; 32], BELIEVED_IN_NEED).is_none());
}

#[test]
fn the_number_of_a_request_is_that_of_the_proxy_if_it_is_one() {
    let id = |value: &str| request_id(&parts("127.0.0.1", &[("x-request-id", value)]).headers);
    assert_eq!(id("a1-b_2.c"), "a1-b_2.c");
    for wrong in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert_eq!(id(wrong), "", "{wrong}");
    }
}
