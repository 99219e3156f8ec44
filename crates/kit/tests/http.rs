//! What the kit does for every service that serves HTTP, on port 0.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::routing::{get, post};
use axum::{Json, Router};
use kit::api::{Query, Span};
use kit::{Credentials, HttpSettings, Kit};
use tokio::net::TcpListener;

/// A service whose handlers are slow, big or broken when asked to be.
struct Service {
    address: SocketAddr,
    kit: Kit,
    thread: JoinHandle<()>,
}

fn service(settings: HttpSettings) -> Service {
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
                "hello",
                settings,
                Credentials::in_directory("hello", None),
                listener,
            );
            tell.send((address, kit.clone())).unwrap();
            let never = || async { std::future::pending::<()>().await };
            let soon = || async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                "done"
            };
            kit.register_metrics(|table| {
                kit::metrics! { table;
                    gauge "hello_warmth", "How warm it is" => 21.5;
                    gauge "hello_light", "How bright it is" => None::<f64>;
                    gauges "hello_door_open", "Whether a door is open" => [([("door", "front")], true)];
                    counter "hello_rings", "Rings of the bell" => 3u64;
                    counters "hello_visits", "Visits" => [([("by", "cat")], 2), ([("by", "dog")], 0)];
                }
            });
            kit.json_metrics(|| serde_json::json!({ "rings": 3 }));
            let span = async |Query(span): Query<Span>| span.or(|end| end - 60_000, 120_000).map(Json);
            let page = [("/", "<!doctype html>"), ("/hello.css", "* {}"), ("/hello.js", ";")];
            let routes = Router::new()
                .merge(kit::page::files(page))
                .route("/span", get(span))
                .route("/hello", get(|| async { "hello" }))
                .route("/never", get(never))
                .route("/soon", get(soon))
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
        self.get_with("", path)
    }

    /// `header` ends its line.
    fn get_with(&self, header: &str, path: &str) -> String {
        self.say(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\r\n"
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
    for path in ["", "/live", "/ready", "/startup", "/detailed"] {
        assert_eq!(status(&format!("/health{path}")), "200", "{path}");
    }

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
        "service_info{service=\"hello\",version=",
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
fn a_service_s_own_metrics_are_a_table_and_come_in_json_to_those_who_ask() {
    let service = service(HttpSettings::default());
    let metrics = service.get("/metrics");
    for line in [
        "# HELP hello_warmth How warm it is\n# TYPE hello_warmth gauge\nhello_warmth 21.5\n",
        "# TYPE hello_door_open gauge\nhello_door_open{door=\"front\"} 1.0\n",
        "# TYPE hello_rings counter\nhello_rings_total 3\n",
        "hello_visits_total{by=\"cat\"} 2\nhello_visits_total{by=\"dog\"} 0\n",
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("hello_light"), "{metrics}");
    let json = service.get_with("accept: application/json\r\n", "/metrics");
    assert!(json.ends_with(r#"{"rings":3}"#), "{json}");
    service.stop();
}

#[test]
fn a_page_s_files_say_what_they_are_and_are_sent_again_only_when_they_changed() {
    let service = service(HttpSettings::default());
    for (path, kind) in [
        ("/", "text/html"),
        ("/hello.css", "text/css"),
        ("/hello.js", "text/javascript"),
    ] {
        let answer = service.get(path);
        let kind = format!("content-type: {kind}; charset=utf-8\r\n");
        assert!(answer.contains(&kind), "{answer}");
        let etag = answer
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let again = service.get_with(&format!("if-none-match: {etag}\r\n"), path);
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    }
    service.stop();
}

#[test]
fn a_stretch_of_time_is_asked_for_in_many_ways_and_nonsense_refused_by_name() {
    let service = service(HttpSettings::default());
    for (query, span) in [
        ("", "[60000,120000]"),
        ("?from=1&to=2.5", "[1000,2500]"),
        ("?to=1970-01-02T00:00:00Z", "[86340000,86400000]"),
    ] {
        let answer = service.get(&format!("/span{query}"));
        assert!(answer.ends_with(span), "{query}: {answer}");
    }
    for (query, details) in [
        (
            "from=soon",
            "from: must be seconds since 1970 or like 2026-01-31T12:00:00Z",
        ),
        ("from=20&to=10", "from: must be before to"),
        ("form=1", "unknown field `form`"),
    ] {
        let answer = service.get(&format!("/span?{query}"));
        let said = answer.contains(details) && answer.ends_with(r#","error":"bad query"}"#);
        assert!(said && answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    service.stop();
}

#[test]
fn a_wrong_address_or_method_is_said_so_and_a_sane_id_is_the_caller_s() {
    let service = service(HttpSettings::default());
    assert!(service.get("/nowhere").starts_with("HTTP/1.1 404"));
    assert!(service.get("/echo").starts_with("HTTP/1.1 405"));
    let given = service.get_with("x-request-id: mine-1\r\n", "/hello");
    assert!(given.contains("x-request-id: mine-1\r\n"), "{given}");
    let made_up = service.get_with("x-request-id: not a sane id\r\n", "/hello");
    assert!(!made_up.contains("not a sane id"), "{made_up}");
    service.stop();
}
