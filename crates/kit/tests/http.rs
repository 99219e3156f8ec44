//! What the kit does for every service that serves HTTP, on port 0.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use kit::testing::{Bare, Running, call, eventually};
use kit::{Condition, HttpSettings, Kit};
use serde_json::json;
use tokio::net::TcpListener;

const CSP: &str = "content-security-policy";

fn service(settings: HttpSettings) -> Running {
    service_with(settings, |_| {})
}

/// A service whose handlers are slow, big or broken when asked to be, after `prepare` has had a hand in its kit.
fn service_with(settings: HttpSettings, prepare: impl FnOnce(&Kit) + Send + 'static) -> Running {
    let run = async |_: Bare, kit: Kit| {
        prepare(&kit);
        let never = || async { std::future::pending::<()>().await };
        let shutdown = kit.shutdown().clone();
        let at_the_end = async move || {
            shutdown.requested().await;
            "done"
        };
        let routes = Router::new()
            .route("/hello", get(|| async { "hello" }))
            .route("/never", get(never))
            .route("/at-the-end", get(at_the_end))
            .route("/map", get(|| async { ([(CSP, "img-src tiles")], "map") }))
            .route("/echo", post(|body: String| async { body }));
        kit.serve(routes).await
    };
    Running::start("hello", Bare { http: settings }, None, run)
}

fn connect(service: &Running) -> TcpStream {
    let stream = TcpStream::connect(service.address).unwrap();
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).unwrap();
    stream
}

/// Sends a request on a connection of its own, and does not wait for the answer.
fn ask(service: &Running, path: &str) -> TcpStream {
    let mut stream = connect(service);
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Everything that is answered until the connection closes.
fn rest_of(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// Reads one short answer, leaving the connection open.
fn one_answer(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn every_answer_has_security_headers_and_an_id() {
    let service = service(HttpSettings::default());
    for path in ["/hello", "/nowhere", "/health", "/metrics"] {
        let headers = service.get(path).headers;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers[CSP].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!headers["x-request-id"].is_empty(), "{path}");
    }
    service.stop();
}

#[test]
fn too_many_connections_are_told_so_and_places_become_free_again() {
    let service = service(HttpSettings {
        max_connections: 2,
        ..HttpSettings::default()
    });
    // This machine has four seats besides those that everybody has.
    let kept = [(); 2 + 4].map(|()| {
        eventually("there is a free place", || {
            let mut stream = ask(&service, "/hello");
            let answer = one_answer(&mut stream);
            answer.starts_with("HTTP/1.1 200").then_some(stream)
        })
    });
    let refusal = rest_of(connect(&service));
    assert!(
        refusal.starts_with("HTTP/1.1 503")
            && refusal.ends_with(r#"{"error":"too many connections"}"#),
        "{refusal}"
    );
    drop(kept);
    eventually("the places are free again", || {
        let answer = one_answer(&mut ask(&service, "/hello"));
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
    let metrics = service.get("/metrics").text;
    assert!(metrics.contains("http_connections_refused_total"));
    service.stop();
}

#[test]
fn an_idle_connection_gives_its_place_back() {
    let service = service(HttpSettings {
        idle_timeout_seconds: 1,
        ..HttpSettings::default()
    });
    let started = Instant::now();
    let (silent, mut talked) = (connect(&service), ask(&service, "/hello"));
    one_answer(&mut talked);
    rest_of(silent);
    rest_of(talked);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    service.stop();
}

#[test]
fn a_request_that_takes_too_long_is_ended() {
    let service = service(HttpSettings {
        request_timeout_seconds: 1,
        ..HttpSettings::default()
    });
    assert_eq!(service.get("/never").status, 503);
    service.stop();
}

#[test]
fn a_body_that_is_too_big_is_refused() {
    let service = service(HttpSettings {
        max_body_bytes: 10,
        ..HttpSettings::default()
    });
    let post = |body| service.call("POST", "/echo", &[], body);
    assert_eq!(post("small").text, "small");
    assert_eq!(post("far too big").status, 413);
    service.stop();
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let service = service(HttpSettings::default());
    let stream = ask(&service, "/at-the-end");
    // Once another request, sent later, has been answered, this one is being handled.
    service.get("/hello");
    service.stop();
    let answer = rest_of(stream);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
}

#[test]
fn a_request_that_never_ends_delays_the_end_only_so_long() {
    let service = service(HttpSettings {
        drain_seconds: 1,
        ..HttpSettings::default()
    });
    let _stream = ask(&service, "/never");
    service.get("/hello");
    let started = Instant::now();
    service.stop();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn health_follows_latches_loops_and_components() {
    let service = service(HttpSettings::default());
    let kit = &service.kit;
    let status = |path: &str| service.get(path).status;
    assert_eq!(status("/health"), 200);

    let stuck = kit.heartbeat("stuck", Duration::ZERO);
    for (path, expected) in [
        ("/health", 503),
        ("/health/live", 503),
        ("/health/startup", 200),
    ] {
        assert_eq!(status(path), expected, "{path}");
    }
    drop(stuck);
    assert_eq!(status("/health/live"), 200);

    let part = kit.component("part");
    part.degraded("tired");
    let health = service.get("/health");
    let reason = &health.json()["components"]["part"]["reason"];
    assert_eq!((health.status, reason), (200, &"tired".into()));
    part.failed("dead");
    let paths = ["/health", "/health/ready", "/health/live"];
    assert_eq!(paths.map(status), [503, 503, 200]);
    part.ok();
    assert_eq!(status("/health"), 200);
    service.stop();
}

#[test]
fn metrics_say_what_runs_since_when_and_whether_it_is_well() {
    let service = service(HttpSettings::default());
    let sensor = service.kit.component("sensor");
    let tells = |lines: &[&str]| {
        let metrics = service.get("/metrics").text;
        for line in lines {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    };
    tells(&[
        "service_health{status=\"ok\"} 1.0",
        "service_health{status=\"degraded\"} 0.0",
        "service_component_up{component=\"sensor\"} 1.0",
        "service_info{service=\"hello\",version=\"test\",toplevel=",
        "process_start_time_seconds 1",
    ]);
    sensor.degraded("unplugged");
    tells(&[
        "service_health{status=\"degraded\"} 1.0",
        "service_component_up{component=\"sensor\"} 0.0",
    ]);
    service.stop();
}

#[test]
fn a_page_may_have_a_policy_of_its_own_and_keeps_the_other_headers() {
    let service = service(HttpSettings::default());
    let headers = service.get("/map").headers;
    assert_eq!(headers.get_all(CSP).iter().count(), 1);
    assert_eq!(headers[CSP], "img-src tiles");
    assert_eq!(headers["x-frame-options"], "DENY");
    service.stop();
}

#[test]
fn metrics_on_a_port_of_their_own_are_not_told_to_who_uses_the_api() {
    let watched = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    watched.set_nonblocking(true).unwrap();
    let address = watched.local_addr().unwrap();
    let service = service_with(HttpSettings::default(), |kit| {
        kit.serve_metrics_on(TcpListener::from_std(watched).unwrap());
    });
    let paths = ["/metrics", "/hello", "/health"];
    let of_service = paths.map(|path| service.get(path).status);
    assert_eq!(of_service, [404, 200, 200]);
    let of_metrics = paths.map(|path| call(address, "GET", path, &[], "").status);
    assert_eq!(of_metrics, [200, 404, 200]);
    // This listener is drained, too.
    service.stop();
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn a_check_is_told_from_memory_and_one_that_hangs_is_degraded() {
    let (say, said) = tokio::sync::watch::channel(Some(Condition::Ok));
    let service = service_with(HttpSettings::default(), |kit| {
        let (period, limit) = (Duration::from_millis(1), Duration::from_millis(20));
        // The name is made at run time, as for components that the configuration lists.
        kit.check(format!("feed {}", 7), period, limit, move || {
            let said = said.borrow().clone();
            async {
                match said {
                    Some(condition) => condition,
                    None => std::future::pending().await,
                }
            }
        });
    });
    let becomes = |says: Option<Condition>, status: u16, reason: Option<&str>| {
        say.send(says).unwrap();
        eventually("the check is told", || {
            let asked = Instant::now();
            let health = service.get("/health");
            assert!(asked.elapsed() < Duration::from_secs(1), "nobody waits");
            let told = &health.json()["components"]["feed 7"]["reason"];
            (told.as_str() == reason && health.status == status).then_some(())
        });
    };
    becomes(Some(Condition::Ok), 200, None);
    becomes(None, 200, Some("no answer within 20ms"));
    let unplugged = Condition::Failed("unplugged".into());
    becomes(Some(unplugged), 503, Some("unplugged"));
    becomes(Some(Condition::Ok), 200, None);
    service.stop();
}

#[test]
fn a_check_that_panics_is_failed_from_then_on() {
    let broken = Arc::new(AtomicBool::new(false));
    let looked_at = Arc::clone(&broken);
    let service = service_with(HttpSettings::default(), |kit| {
        let (period, limit) = (Duration::from_millis(1), Duration::from_secs(10));
        kit.check("rain gauge", period, limit, move || {
            let broken = looked_at.load(Ordering::Relaxed);
            async move {
                assert!(!broken, "as the test wants");
                Condition::Ok
            }
        });
    });
    broken.store(true, Ordering::Relaxed);
    let health = eventually("the panic is told", || {
        let health = service.get("/health");
        (health.status == 503).then(|| health.json())
    });
    let told = json!({ "status": "failed", "reason": "its check has panicked" });
    assert_eq!(health["components"]["rain gauge"], told);
    service.stop();
}
