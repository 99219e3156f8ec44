//! What the kit does for every service that serves HTTP, on port 0.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use kit::{Credentials, HttpSettings, Kit};
use tokio::net::TcpListener;

const CSP: &str = "content-security-policy";

/// A service whose handlers are slow, big or broken when asked to be.
struct Service {
    address: SocketAddr,
    kit: Kit,
    thread: JoinHandle<()>,
}

fn service(settings: HttpSettings) -> Service {
    service_with(settings, |_| {})
}

/// The same, after `prepare` has had a hand in the kit.
fn service_with(settings: HttpSettings, prepare: impl FnOnce(&Kit) + Send + 'static) -> Service {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let kit = Kit::new(
                kit::Service {
                    name: "hello",
                    version: "1.2.3",
                },
                settings,
                Credentials::in_directory("hello", None),
                listener,
            );
            prepare(&kit);
            tell.send((address, kit.clone())).unwrap();
            let never = || async { std::future::pending::<()>().await };
            let soon = || async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                "done"
            };
            let routes = Router::new()
                .route("/hello", get(|| async { "hello" }))
                .route("/never", get(never))
                .route("/soon", get(soon))
                .route("/map", get(|| async { ([(CSP, "img-src tiles")], "map") }))
                .route("/echo", post(|body: String| async { body }));
            kit.serve(routes).await.unwrap();
        });
    });
    let (address, kit) = told.recv().unwrap();
    Service {
        address,
        kit,
        thread,
    }
}

impl Service {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }

    /// Everything that is answered to `request` until the connection closes.
    fn say(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        rest_of(stream)
    }

    fn get(&self, path: &str) -> String {
        self.say(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ))
    }

    fn stop(self) {
        self.kit.shutdown().request();
        self.thread.join().unwrap();
    }
}

fn rest_of(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// Reads one answer with a body of `length` bytes, leaving the connection open.
fn one_answer(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn every_answer_has_security_headers_and_an_id() {
    let service = service(HttpSettings::default());
    for path in ["/hello", "/nowhere", "/health", "/metrics"] {
        let answer = service.get(path);
        for header in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "x-request-id: ",
        ] {
            assert!(answer.contains(header), "{header} for {path} in {answer}");
        }
    }
    service.stop();
}

#[test]
fn too_many_connections_are_told_so_and_places_become_free_again() {
    let service = service(HttpSettings {
        max_connections: 2,
        ..HttpSettings::default()
    });
    let mut kept: Vec<TcpStream> = (0..2).map(|_| service.connect()).collect();
    for stream in &mut kept {
        stream
            .write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert!(one_answer(stream).starts_with("HTTP/1.1 200"));
    }
    let refusal = rest_of(service.connect());
    assert!(
        refusal.starts_with("HTTP/1.1 503")
            && refusal.ends_with(r#"{"error":"too many connections"}"#),
        "{refusal}"
    );
    kept.clear();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !service.get("/hello").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "the places never became free");
    }
    assert!(
        service
            .get("/metrics")
            .contains("http_connections_refused_total")
    );
    service.stop();
}

#[test]
fn an_idle_connection_gives_its_place_back() {
    let service = service(HttpSettings {
        idle_timeout_seconds: 1,
        ..HttpSettings::default()
    });
    let started = Instant::now();
    let silent = service.connect();
    let mut talked = service.connect();
    talked
        .write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    one_answer(&mut talked);
    rest_of(silent);
    rest_of(talked);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    service.stop();
}

#[test]
fn a_request_that_takes_too_long_is_ended() {
    let service = service(HttpSettings {
        request_timeout_seconds: 1,
        ..HttpSettings::default()
    });
    assert!(service.get("/never").starts_with("HTTP/1.1 503"));
    service.stop();
}

#[test]
fn a_body_that_is_too_big_is_refused() {
    let service = service(HttpSettings {
        max_body_bytes: 10,
        ..HttpSettings::default()
    });
    let post = |body: &str| {
        service.say(&format!(
            "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    assert!(post("small").ends_with("small"));
    assert!(post("far too big").starts_with("HTTP/1.1 413"));
    service.stop();
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let service = service(HttpSettings::default());
    let mut stream = service.connect();
    stream
        .write_all(b"GET /soon HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    // It is under way once another request, sent later, has been answered.
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
    let mut stream = service.connect();
    stream
        .write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    service.get("/hello");
    let started = Instant::now();
    service.stop();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn health_follows_latches_loops_and_components() {
    let service = service(HttpSettings::default());
    let kit = &service.kit;
    let status = |path: &str| service.get(path)[9..12].to_owned();
    assert_eq!(status("/health"), "200");

    let stuck = kit.heartbeat("stuck", Duration::ZERO);
    for (path, expected) in [
        ("/health", "503"),
        ("/health/live", "503"),
        ("/health/startup", "200"),
    ] {
        assert_eq!(status(path), expected, "{path}");
    }
    drop(stuck);
    assert_eq!(status("/health/live"), "200");

    let part = kit.component("part");
    part.degraded("tired");
    let answer = service.get("/health");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#""reason":"tired""#),
        "{answer}"
    );
    part.failed("dead");
    assert_eq!(
        (
            status("/health"),
            status("/health/ready"),
            status("/health/live")
        ),
        ("503".into(), "503".into(), "200".into())
    );
    part.ok();
    assert_eq!(status("/health"), "200");
    service.stop();
}

#[test]
fn metrics_say_what_runs_since_when_and_whether_it_is_well() {
    let service = service(HttpSettings::default());
    let sensor = service.kit.component("sensor");
    let metrics = service.get("/metrics");
    for line in [
        "service_health{status=\"ok\"} 1.0",
        "service_health{status=\"degraded\"} 0.0",
        "service_component_up{component=\"sensor\"} 1.0",
        "service_info{service=\"hello\",version=\"1.2.3\",toplevel=",
        "process_start_time_seconds 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    sensor.degraded("unplugged");
    let metrics = service.get("/metrics");
    for line in [
        "service_health{status=\"ok\"} 0.0",
        "service_health{status=\"degraded\"} 1.0",
        "service_component_up{component=\"sensor\"} 0.0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    service.stop();
}

#[test]
fn a_page_may_have_a_policy_of_its_own_and_keeps_the_other_headers() {
    let service = service(HttpSettings::default());
    let answer = service.get("/map");
    assert!(answer.contains("content-security-policy: img-src tiles\r\n"));
    assert!(!answer.contains("default-src") && answer.contains("x-frame-options: DENY"));
    service.stop();
}

/// A listener of this process, and where it is.
fn listener() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn metrics_on_a_port_of_their_own_are_not_told_to_who_uses_the_api() {
    let (watched, address) = listener();
    let mut service = service_with(HttpSettings::default(), |kit| {
        kit.serve_metrics_on(TcpListener::from_std(watched).unwrap());
    });
    assert!(service.get("/metrics").starts_with("HTTP/1.1 404"));
    for path in ["/hello", "/health"] {
        assert!(service.get(path).starts_with("HTTP/1.1 200"), "{path}");
    }
    service.address = address;
    assert!(service.get("/hello").starts_with("HTTP/1.1 404"));
    for path in ["/metrics", "/health"] {
        assert!(service.get(path).starts_with("HTTP/1.1 200"), "{path}");
    }
    service.stop();
}

#[test]
fn another_listener_is_served_under_the_same_rules_and_drained_too() {
    let (other, address) = listener();
    let mut service = service_with(HttpSettings::default(), |kit| {
        let soon = || async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "bells"
        };
        let routes = Router::new().route("/bells", get(soon));
        kit.also_serve(TcpListener::from_std(other).unwrap(), routes);
    });
    service.address = address;
    let mut stream = service.connect();
    stream
        .write_all(b"GET /bells HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert!(service.get("/hello").starts_with("HTTP/1.1 404"));
    service.stop();
    let answer = rest_of(stream);
    assert!(answer.ends_with("bells") && answer.contains("nosniff"));
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn a_check_is_told_from_memory_and_one_that_hangs_is_degraded() {
    use kit::Condition;
    let (say, said) = tokio::sync::watch::channel(Some(Condition::Ok));
    let service = service_with(HttpSettings::default(), |kit| {
        let (period, limit) = (Duration::from_millis(1), Duration::from_millis(20));
        // A part whose name is made at run time, as those of what is configured are.
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
    let hears = |what: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let asked = Instant::now();
            let answer = service.get("/health");
            assert!(asked.elapsed() < Duration::from_secs(1), "nobody waits");
            if answer.contains(&format!(r#""feed 7":{{{what}"status":"#)) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what} was not told: {answer}");
        }
    };
    hears("");
    say.send(None).unwrap();
    let answer = hears(r#""reason":"no answer within 20ms","#);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    say.send(Some(Condition::Failed("unplugged".into())))
        .unwrap();
    let answer = hears(r#""reason":"unplugged","#);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    say.send(Some(Condition::Ok)).unwrap();
    hears("");
    service.stop();
}
