//! What the kit does for the API, the pages and the metrics of every service.

use axum::routing::{get, post};
use axum::{Json, Router};
use kit::Kit;
use kit::api::{Query, Span};
use kit::testing::{Bare, Running};

async fn run(_: Bare, kit: Kit) -> anyhow::Result<()> {
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
    let page = [("/", "<p>"), ("/hello.css", "* {}"), ("/hello.js", ";")];
    let routes = Router::new()
        .route("/span", get(span))
        .route("/ring", post(|| async {}));
    kit.serve(routes.merge(kit::page::files(page))).await
}

fn hello() -> Running {
    Running::start("hello", Bare::default(), None, run)
}

#[test]
fn a_service_s_own_metrics_are_a_table_and_come_in_json_to_those_who_ask() {
    let hello = hello();
    let metrics = hello.get("/metrics");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(metrics.headers["content-type"], kind);
    for lines in [
        "# HELP hello_warmth How warm it is\n# TYPE hello_warmth gauge\nhello_warmth 21.5\n",
        "# TYPE hello_door_open gauge\nhello_door_open{door=\"front\"} 1.0\n",
        "# TYPE hello_rings counter\nhello_rings_total 3\n",
        "hello_visits_total{by=\"cat\"} 2\nhello_visits_total{by=\"dog\"} 0\n",
    ] {
        assert!(metrics.text.contains(lines), "{lines} in {}", metrics.text);
    }
    assert!(!metrics.text.contains("hello_light"), "{}", metrics.text);
    let asked = [("accept", "application/json")];
    let json = hello.call("GET", "/metrics", &asked, "").json();
    assert_eq!(json["rings"], 3);
    hello.stop();
}

#[test]
fn a_page_s_files_say_what_they_are_and_are_sent_again_only_when_they_changed() {
    let hello = hello();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/kit.css", "text/css; charset=utf-8"),
        ("/hello.css", "text/css; charset=utf-8"),
        ("/hello.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = hello.get(path);
        assert_eq!(answer.headers["content-type"], kind);
        let known = answer.headers["etag"].to_str().unwrap();
        let again = hello.call("GET", path, &[("if-none-match", known)], "");
        assert_eq!((again.status, again.text.as_str()), (304, ""));
    }
    hello.stop();
}

#[test]
fn a_page_has_the_head_and_the_style_of_all_pages_and_then_its_own() {
    let hello = hello();
    let page = hello.get("/").text;
    let mut rest = page.as_str();
    for part in [
        "<!doctype html>",
        "<meta name=\"viewport\"",
        "<link rel=\"stylesheet\" href=\"kit.css\">",
        "<link rel=\"stylesheet\" href=\"hello.css\">",
        "<script src=\"hello.js\" defer></script>",
        "<p>",
    ] {
        let found = rest.split_once(part);
        (_, rest) = found.unwrap_or_else(|| panic!("no {part}, or too early, in {page}"));
    }
    assert!(hello.get("/kit.css").text.contains("--page:"));
    hello.stop();
}

#[test]
fn a_stretch_of_time_is_asked_for_in_many_ways_and_nonsense_refused_by_name() {
    let hello = hello();
    for (query, span) in [
        ("", "[60000,120000]"),
        ("?from=1&to=2.5", "[1000,2500]"),
        ("?to=1970-01-02T00:00:00Z", "[86340000,86400000]"),
    ] {
        assert_eq!(hello.get(&format!("/span{query}")).text, span, "{query}");
    }
    for (query, details) in [
        (
            "from=soon",
            "from: must be seconds since 1970 or like 2026-01-31T12:00:00Z",
        ),
        ("from=20&to=10", "from: must be before to"),
        ("form=1", "unknown field `form`"),
    ] {
        let answer = hello.get(&format!("/span?{query}"));
        let body = answer.json();
        assert_eq!((answer.status, &body["error"]), (400, &"bad query".into()));
        assert!(
            body["details"].as_str().unwrap().contains(details),
            "{body}"
        );
    }
    hello.stop();
}

#[test]
fn a_wrong_address_or_method_is_said_so_and_a_sane_id_is_the_caller_s() {
    let hello = hello();
    assert_eq!(hello.get("/nowhere").status, 404);
    assert_eq!(hello.get("/ring").status, 405);
    for path in ["live", "ready", "startup", "detailed"] {
        assert_eq!(hello.get(&format!("/health/{path}")).status, 200, "{path}");
    }
    let given = hello.call("GET", "/health", &[("x-request-id", "mine-1")], "");
    assert_eq!(given.headers["x-request-id"], "mine-1");
    let made_up = hello.call("GET", "/health", &[("x-request-id", "not a sane id")], "");
    assert_eq!(made_up.headers["x-request-id"].len(), 16);
    hello.stop();
}
