//! What users and tools see of the service.

mod support;

use climate::history::{Batch, FILE, Store};
use climate::reading::Reading;
use serde_json::json;
use support::*;

#[test]
fn the_api_tells_what_the_sensor_measures() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    let body = service.get("/api/reading").json();
    assert_eq!(
        (
            &body["temperature_c"],
            &body["humidity"],
            &body["pressure_hpa"]
        ),
        (&json!(21.5), &json!(45.0), &json!(1013.25))
    );
    room.becomes(23.25, 51.0);
    eventually("the new value is told", || {
        (current_temperature(&service) == Some(23.25)).then_some(())
    });
    service.stop();
}

#[test]
fn a_broken_sensor_degrades_the_service_and_its_repair_is_noticed() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    room.breaks("HTS221 does not answer");
    let answer = eventually("the reading is withdrawn", || {
        Some(service.get("/api/reading")).filter(|answer| answer.status == 503)
    });
    assert_eq!(answer.json()["details"], "HTS221 does not answer");
    assert_eq!(answer.json()["last_reading"]["temperature_c"], 21.5);
    let health = service.get("/health");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &json!("degraded"))
    );
    assert_eq!(
        health.json()["components"]["sensor"]["reason"],
        "HTS221 does not answer"
    );
    let metrics = service.get("/metrics").text;
    assert!(
        metrics.contains("climate_sensor_up 0")
            && !metrics.contains("climate_temperature_celsius 21")
    );
    room.becomes(20.0, 40.0);
    eventually("it is read again", || {
        (current_temperature(&service) == Some(20.0)).then_some(())
    });
    assert_eq!(service.get("/health").json()["status"], "healthy");
    service.stop();
}

#[test]
fn a_service_that_never_saw_its_sensor_starts_all_the_same() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(0.0, 0.0));
    room.breaks("no Sense HAT found on any I²C bus: there is none");
    let service = service(&room, state.path(), None, json!({}));
    let body = service.get("/api/reading").json();
    assert_eq!(
        (&body["last_reading"], &body["temperature_c"]),
        (&json!(null), &json!(null))
    );
    service.stop();
}

#[test]
fn health_has_the_fields_its_users_know() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    let body = service.get("/health").json();
    assert_eq!(
        (&body["status"], &body["sensor_thread_alive"]),
        (&json!("healthy"), &json!(true))
    );
    assert!(body["uptime_seconds"].is_u64());
    assert!(body["timestamp"].as_f64().unwrap() > 1.7e9, "{body}");
    service.stop();
}

#[test]
fn metrics_come_as_prometheus_or_as_json() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    let prometheus = service.get("/metrics").text;
    assert!(
        prometheus.contains("climate_temperature_celsius 21.5"),
        "{prometheus}"
    );
    let body = service
        .call("GET", "/metrics", &[("accept", "application/json")], "")
        .json();
    // curl without further words, which their scripts pipe into a reader of JSON.
    let plain = service.get("/metrics.json").json();
    for body in [&body, &plain] {
        let names: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["application", "hardware", "system"]);
    }
    assert!(body["application"]["request_count"].as_u64().unwrap() > 0);
    assert!(body["system"]["memory_mb"].as_f64().unwrap() > 0.5);
    assert!(body["hardware"].get("cpu_temperature_c").is_some());
    service.stop();
}

#[test]
fn history_is_kept_over_a_restart_and_asked_for_in_many_ways() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let before = service(&room, state.path(), None, json!({}));
    eventually("there is some history", || {
        let series = before.get("/api/history?points=2000").json();
        (!series["points"].as_array().unwrap().is_empty()).then_some(())
    });
    before.stop();
    room.breaks("nothing new");
    let after = service(&room, state.path(), None, json!({}));
    let now = kit::clock::rfc3339(kit::clock::now_ms() + 1000);
    for query in [
        "",
        "?from=0",
        "?from=2026-01-01T00:00:00Z",
        &format!("?to={now}"),
    ] {
        let point = after.get(&format!("/api/history{query}")).json()["points"][0].clone();
        assert_eq!(
            point["temperature"],
            json!({ "avg": 21.5, "min": 21.5, "max": 21.5 }),
            "{query}"
        );
    }
    for (query, complaint) in [
        ("from=yesterday", "from: must be seconds"),
        ("from=20&to=10", "from: must be before to"),
        ("points=0", "points: must be between"),
        ("form=1", "unknown field"),
    ] {
        let answer = after.get(&format!("/api/history?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(
            answer.json()["details"]
                .as_str()
                .unwrap()
                .contains(complaint),
            "{}",
            answer.text
        );
    }
    after.stop();
}

#[test]
fn webhook_settings_need_the_token_and_outlive_a_restart() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let before = service(
        &room,
        state.path(),
        Some("https://hooks.slack.com/services/T0/secret"),
        json!({}),
    );
    let path = "/api/webhook/config";
    for (headers, status) in [
        (vec![], 401),
        (vec![("authorization", "Bearer wrong")], 401),
        (vec![("authorization", "Basic a-token-for-tests")], 401),
        (vec![("authorization", "bearer a-token-for-tests")], 200),
    ] {
        assert_eq!(
            before.call("GET", path, &headers, "").status,
            status,
            "{headers:?}"
        );
    }
    assert_eq!(before.call("PUT", path, &[], "{}").status, 401);
    assert_eq!(
        before.call("POST", "/api/webhook/test", &[], "").status,
        401
    );

    let change = r#"{"webhook":{"timeout":30},"thresholds":{"temp_max_c":24.5}}"#;
    let answer = with_token(&before, "PUT", path, change);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.text.contains("secret"));
    for bad in [
        "",
        "[]",
        r#"{"webhook":{"colour":1}}"#,
        r#"{"thresholds":{"temp_max_c":1}}"#,
    ] {
        assert_eq!(with_token(&before, "PUT", path, bad).status, 400, "{bad}");
    }
    before.stop();

    let after = service(&room, state.path(), None, json!({}));
    let config = with_token(&after, "GET", path, "").json();
    assert_eq!(
        (
            &config["webhook"]["timeout"],
            &config["thresholds"]["temp_max_c"]
        ),
        (&json!(30), &json!(24.5))
    );
    assert_eq!(config["thresholds"]["temp_min_c"], 15.0);
    after.stop();
}

#[test]
fn the_page_needs_nothing_from_anywhere_else() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    let page = service.get("/");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    for file in ["/kit.css", "/climate.css", "/climate.js"] {
        assert!(page.text.contains(&file[1..]));
        let answer = service.get(file);
        assert_eq!(answer.status, 200);
        assert!(!answer.text.contains("https://"));
    }
    // The page contains nothing that the policy forbids.
    assert!(!page.text.contains("style=") && !page.text.contains("onclick"));
    service.stop();
}

#[test]
fn a_history_damaged_under_the_service_is_set_aside_and_begun_anew() {
    use std::os::unix::fs::FileExt;
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let history = state.path().join(FILE);
    // More data than SQLite caches, so that it has to read the file.
    let mut store = Store::open(&history).unwrap();
    let reading = |at| Reading {
        at,
        temperature: 20.0,
        humidity: None,
        pressure: None,
        sensor_temperature: 20.0,
        soc_temperature: None,
    };
    let old: Vec<Reading> = (0..20_000)
        .map(|i| reading(kit::clock::now_ms() - i * 1000))
        .collect();
    let batch = Batch {
        readings: &old,
        messages: &[],
        gone: &[],
        settings: &[],
    };
    store.write(&batch).unwrap();
    store.close();
    let service = service(&room, state.path(), None, json!({}));
    let damaged = || {
        let files = std::fs::read_dir(state.path()).unwrap().flatten();
        files
            .map(|file| file.file_name().into_string().unwrap())
            .find(|name| name.contains(".damaged-"))
    };
    let change = r#"{"thresholds":{"temp_max_c":24.5}}"#;
    assert_eq!(
        with_token(&service, "PUT", "/api/webhook/config", change).status,
        200
    );
    let length = std::fs::metadata(&history).unwrap().len() as usize;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&history)
        .unwrap();
    file.write_all_at(&vec![0xa5; length], 0).unwrap();
    eventually("the damage is noticed and set aside", || {
        service.get("/api/history");
        damaged()
    });
    eventually("a new history has readings", || {
        let series = service.get("/api/history").json();
        (!series["points"].as_array()?.is_empty()).then_some(())
    });
    eventually("all is well", || {
        (service.get("/health").json()["status"] == "healthy").then_some(())
    });
    service.stop();
    // The new history also has the settings that were changed over the API.
    let service = support::service(&room, state.path(), None, json!({}));
    let config = with_token(&service, "GET", "/api/webhook/config", "").json();
    assert_eq!(config["thresholds"]["temp_max_c"], 24.5);
    service.stop();
}

#[test]
fn a_card_that_cannot_be_written_costs_neither_readings_nor_alerts() {
    // The history's name is taken by a directory: it cannot be opened, and nothing is damaged.
    let (state, receiver, room) = around(21.5, 45.0);
    let blocked = state.path().join(FILE);
    std::fs::create_dir(&blocked).unwrap();
    let service = service(&room, state.path(), Some(&receiver.url()), json!({}));
    let health = service.get("/health");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &json!("degraded"))
    );
    assert_eq!(service.get("/api/history").status, 503);
    room.becomes(29.0, 45.0);
    receiver.hears(1);
    // The card works again: readings taken meanwhile are written.
    std::fs::remove_dir(&blocked).unwrap();
    eventually("what was kept is written", || {
        let point = service.get("/api/history?points=1").json()["points"][0].clone();
        (point["temperature"]["min"] == 21.5).then_some(())
    });
    // The state of the alerts was kept as well: the next message reports the recovery.
    room.becomes(22.0, 45.0);
    assert!(receiver.hears(2)[1].contains("back to normal"));
    service.stop();
    assert_eq!(receiver.heard().len(), 2);
}

#[test]
fn whoever_asks_for_the_history_costs_no_reading() {
    use climate::history::{Batch, FILE, Store};
    use climate::reading::Reading;
    use std::io::Write;
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let minutes = 200_000;
    let began = kit::clock::now_ms() - minutes * 60_000;
    let readings: Vec<Reading> = (0..minutes)
        .map(|minute| Reading {
            at: began + minute * 60_000,
            temperature: 20.0,
            humidity: Some(40.0),
            pressure: None,
            sensor_temperature: 20.0,
            soc_temperature: None,
        })
        .collect();
    let mut store = Store::open(&state.path().join(FILE)).unwrap();
    let batch = Batch {
        readings: &readings,
        messages: &[],
        gone: &[],
        settings: &[],
    };
    store.write(&batch).unwrap();
    store.close();

    let service = service(&room, state.path(), None, json!({}));
    // Most do not even wait for the answer.
    for _ in 0..400 {
        let mut stream = std::net::TcpStream::connect(service.address).unwrap();
        let question = b"GET /api/history?from=0&points=2000 HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(question).unwrap();
    }
    let count = |name: &str| -> f64 {
        let metrics = service.get("/metrics").text;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    let before = count("climate_readings_total");
    eventually("it goes on measuring", || {
        (count("climate_readings_total") > before + 40.0).then_some(())
    });
    assert_eq!(count("climate_readings_lost_total"), 0.0);
    eventually("whoever waits gets an answer", || {
        (service.get("/api/history").status == 200).then_some(())
    });
    assert_eq!(service.get("/health").json()["status"], "healthy");
    service.stop();
}
