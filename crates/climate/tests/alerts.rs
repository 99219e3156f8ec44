//! Alerts: each change of state reaches the receiver once, whatever the receiver does.

mod support;

use serde_json::json;
use support::*;

#[test]
fn a_hot_room_is_told_once_and_so_is_its_recovery() {
    let (state, receiver, room) = around(22.0, 50.0);
    let service = service(&room, state.path(), Some(&receiver.url()), json!({}));
    room.becomes(29.0, 50.0);
    assert!(receiver.hears(1)[0].contains("temperature is too high: 29.0 °C (limit 27 °C)"));
    room.becomes(22.0, 50.0);
    assert!(receiver.hears(2)[1].contains("temperature is back to normal"));
    // The next message is about the next change, so nothing was repeated in between.
    room.becomes(22.0, 80.0);
    assert!(receiver.hears(3)[2].contains("humidity is too high"));
    service.stop();
    assert_eq!(receiver.heard().len(), 3);
}

#[test]
fn a_dead_receiver_delays_no_reading_and_gets_everything_in_order_when_it_is_back() {
    let (state, address, room) = (tempfile::tempdir().unwrap(), nobody(), Room::at(22.0, 50.0));
    let url = format!("http://{address}/hook");
    let service = service(&room, state.path(), Some(&url), json!({}));
    room.becomes(29.0, 50.0);
    pending(&service, 1);
    room.becomes(10.0, 50.0);
    pending(&service, 2);
    room.becomes(22.5, 50.0);
    pending(&service, 3);
    eventually("the API tells the new value", || {
        (current_temperature(&service) == Some(22.5)).then_some(())
    });
    let health = service.get("/health").json();
    assert_eq!(health["status"], "degraded");
    assert!(
        health["components"]["webhook"]["reason"]
            .as_str()
            .unwrap()
            .contains("not delivered")
    );

    let receiver = Receiver::on(address);
    let heard = receiver.hears(3);
    assert!(
        heard[0].contains("too high")
            && heard[1].contains("too low")
            && heard[2].contains("normal"),
        "{heard:?}"
    );
    pending(&service, 0);
    eventually("all is well again", || {
        (service.get("/health").json()["status"] == "healthy").then_some(())
    });
    service.stop();
    assert_eq!(receiver.heard().len(), 3);
}

#[test]
fn an_undelivered_alert_survives_a_restart_and_is_not_told_twice() {
    let (state, address, room) = (tempfile::tempdir().unwrap(), nobody(), Room::at(29.0, 50.0));
    let url = format!("http://{address}/hook");
    let before = service(&room, state.path(), Some(&url), json!({}));
    pending(&before, 1);
    before.stop();

    let receiver = Receiver::on(address);
    let after = service(&room, state.path(), Some(&url), json!({}));
    assert!(receiver.hears(1)[0].contains("too high"));
    pending(&after, 0);
    after.stop();

    // The room is still hot, so there is nothing to report until it has cooled down.
    let later = service(&room, state.path(), Some(&url), json!({}));
    room.becomes(22.0, 50.0);
    assert!(receiver.hears(2)[1].contains("back to normal"));
    later.stop();
    assert_eq!(receiver.heard().len(), 2);
}

#[test]
fn a_refusing_receiver_is_tried_again_with_the_same_key() {
    let (state, receiver, room) = around(29.0, 50.0);
    receiver.becomes(Mood::Refusing(500));
    let service = service(&room, state.path(), Some(&receiver.url()), json!({}));
    eventually("it was tried three times", || {
        (receiver.attempts() >= 3).then_some(())
    });
    receiver.becomes(Mood::Friendly);
    receiver.hears(1);
    assert!(receiver.keys()[0].ends_with("-temperature-high"));
    service.stop();
    assert_eq!(receiver.heard().len(), 1);
}

#[test]
fn a_receiver_that_never_answers_holds_nobody_up() {
    let (state, receiver, room) = around(29.0, 50.0);
    receiver.becomes(Mood::Silent);
    let service = service(
        &room,
        state.path(),
        Some(&receiver.url()),
        json!({ "webhook": { "timeout": 120 } }),
    );
    eventually("the receiver has the message", || {
        (receiver.attempts() == 1).then_some(())
    });
    for temperature in [23.0, 24.0, 25.0] {
        room.becomes(temperature, 50.0);
        eventually("the API tells it", || {
            (current_temperature(&service) == Some(temperature)).then_some(())
        });
    }
    service.stop();
}

#[test]
fn a_sensor_that_stays_silent_is_told_and_so_is_its_return() {
    let (state, receiver, room) = around(22.0, 50.0);
    let settings = json!({ "alerts": { "sensor_failing_after_seconds": 1 } });
    let service = service(&room, state.path(), Some(&receiver.url()), settings);
    room.breaks("no Sense HAT found on /dev/i2c-1");
    assert!(
        receiver.hears(1)[0]
            .contains("the sensor cannot be read: no Sense HAT found on /dev/i2c-1")
    );
    room.becomes(22.0, 50.0);
    assert!(receiver.hears(2)[1].contains("the sensor can be read again"));
    service.stop();
}

#[test]
fn switched_off_nothing_is_sent_and_nothing_piles_up() {
    let (state, receiver, room) = around(29.0, 50.0);
    let settings = json!({ "webhook": { "enabled": false } });
    let service = service(&room, state.path(), Some(&receiver.url()), settings);
    eventually("the change is known", || {
        (metric(&service, "climate_alert_temperature") == 1.0).then_some(())
    });
    assert_eq!(
        with_token(&service, "POST", "/api/webhook/enable", "").status,
        200
    );
    room.becomes(22.0, 50.0);
    assert!(receiver.hears(1)[0].contains("back to normal"));
    service.stop();
}

#[test]
fn a_status_message_comes_by_itself() {
    let (state, receiver, room) = around(22.0, 50.0);
    let settings = json!({ "status": { "enabled": true, "interval_seconds": 3600 } });
    let service = service(&room, state.path(), Some(&receiver.url()), settings);
    assert!(receiver.hears(1)[0].contains("all is well"));
    service.stop();
    assert_eq!(receiver.heard().len(), 1);
}

#[test]
fn a_test_message_says_whether_it_arrived() {
    let (state, receiver, room) = around(22.0, 50.0);
    let service = service(&room, state.path(), Some(&receiver.url()), json!({}));
    assert_eq!(
        with_token(&service, "POST", "/api/webhook/test", "").status,
        200
    );
    assert!(receiver.heard()[0].contains("this is a test"));
    receiver.becomes(Mood::Refusing(403));
    let answer = with_token(&service, "POST", "/api/webhook/test", "");
    assert_eq!(answer.status, 502);
    assert!(
        answer.json()["details"].as_str().unwrap().contains("403"),
        "{}",
        answer.text
    );
    service.stop();
}

fn pending(service: &Running, count: usize) {
    eventually(&format!("{count} alerts wait"), || {
        (metric(service, "climate_alerts_pending") == count as f64).then_some(())
    });
}

fn metric(service: &Running, name: &str) -> f64 {
    let text = service.get("/metrics").text;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

#[test]
fn a_wrong_address_is_said_and_the_room_is_watched_all_the_same() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(22.0, 50.0));
    let service = service(&room, state.path(), Some("hooks.slack.com/x"), json!({}));
    let health = service.get("/health").json();
    let reason = health["components"]["webhook address"]["reason"]
        .as_str()
        .unwrap();
    assert!(
        reason.contains("climate.slack-webhook-url: must be an http or https address"),
        "{reason}"
    );
    assert_eq!(current_temperature(&service), Some(22.0));
    service.stop();
}
