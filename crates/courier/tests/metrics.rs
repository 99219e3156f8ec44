//! Metrics on their way: what arrives, in which order, and what becomes of the rest.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::fs;
use std::net::TcpListener;

use courier::clock::Clock;
use serde_json::json;
use support::*;

/// Waits until so many values have arrived.
fn arrive(receiver: &Prometheus, count: usize) {
    eventually("samples arrive", || {
        (receiver.values("scrapes_total").len() >= count).then_some(())
    });
}

/// Every value from the first to the last arrived, each once.
fn is_complete(receiver: &Prometheus) {
    let values = receiver.values("scrapes_total");
    let last = values.last().copied().unwrap() as u64;
    let all: Vec<f64> = (1..=last).map(|n| n as f64).collect();
    assert_eq!(values, all);
}

#[test]
fn what_is_scraped_arrives_with_its_labels_and_secrets_and_tells_how_the_scrape_went() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    fs::write(
        directory.path().join("secrets/courier.metrics-user"),
        "me\n",
    )
    .unwrap();
    fs::write(
        directory.path().join("secrets/courier.metrics-password"),
        "pass",
    )
    .unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::Anything));
    let mut config = metrics(&target, &receiver.url());
    merge(&mut config, json!({ "metrics": { "tenant": "acme" } }));
    let courier = start(directory.path(), config);
    arrive(&receiver, 5);
    is_complete(&receiver);
    assert_eq!(receiver.doubles(), 0);
    assert_eq!(receiver.values("up")[..5], [1.0; 5]);
    assert_eq!(receiver.values("scrape_samples_scraped")[..5], [2.0; 5]);
    assert_eq!(
        receiver.values("constant{exported_customer=theirs}")[..5],
        [1.5; 5]
    );
    for (name, value) in [
        ("authorization", "Basic bWU6cGFzcw=="),
        ("x-scope-orgid", "acme"),
        ("x-prometheus-remote-write-version", "0.1.0"),
        ("content-encoding", "snappy"),
    ] {
        assert_eq!(receiver.header(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(count(&courier, "courier_target_up{target=\"it\"}"), 1.0);
    assert_eq!(courier.get("/health").json()["status"], "ok");
    courier.stop();
}

#[test]
fn an_outage_costs_nothing_and_neither_does_a_restart_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let (target, mut receiver) = (target(), Prometheus::start(Takes::Anything));
    let config = metrics(&target, &receiver.url());
    let courier = start(directory.path(), config.clone());
    arrive(&receiver, 3);
    receiver.server.down();
    target.is_scraped(20);
    let reason = eventually("it says so", || reason(&courier, "metrics"));
    assert!(
        reason.starts_with("metrics wait: ") && reason.contains("refused"),
        "{reason}"
    );
    assert!(count(&courier, "courier_queue_samples") > 50.0);
    courier.stop();
    let courier = start(directory.path(), config);
    target.is_scraped(5);
    receiver.server.up();
    let all = target.scrapes() as usize;
    arrive(&receiver, all);
    is_complete(&receiver);
    eventually("all is well", || {
        support::reason(&courier, "metrics").is_none().then_some(())
    });
    courier.stop();
}

#[test]
fn a_receiver_that_is_busy_is_asked_again_and_one_that_says_when_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::Anything));
    receiver.takes(Takes::Nothing(Answer::new(503)));
    let courier = start(directory.path(), metrics(&target, &receiver.url()));
    eventually("it is asked again", || {
        (receiver.server.asked() > 3).then_some(())
    });
    receiver.takes(Takes::Nothing(
        Answer::new(429).header("Retry-After", "3600"),
    ));
    let asked = eventually("it is told to wait", || {
        let reason = reason(&courier, "metrics")?;
        reason
            .contains("answers 429")
            .then(|| receiver.server.asked())
    });
    target.is_scraped(20);
    assert_eq!(receiver.server.asked(), asked);
    assert!(
        count(
            &courier,
            "courier_requests_total{what=\"metrics\",outcome=\"later\"}"
        ) >= 4.0
    );
    courier.stop();
}

#[test]
fn a_token_that_has_expired_costs_nothing_of_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::Anything));
    let courier = start(directory.path(), metrics(&target, &receiver.url()));
    arrive(&receiver, 3);
    for status in [401, 403, 407] {
        receiver.takes(Takes::Nothing(Answer::new(status)));
        let asked = receiver.server.asked();
        eventually("it is asked again, and again", || {
            (receiver.server.asked() >= asked + 3).then_some(())
        });
        eventually("it says so", || {
            reason(&courier, "metrics").filter(|why| why.contains(&format!("answers {status}")))
        });
    }
    target.is_scraped(10);
    receiver.takes(Takes::Anything);
    let all = target.scrapes() as usize;
    arrive(&receiver, all);
    is_complete(&receiver);
    assert_eq!(
        count(&courier, "courier_lost_samples_total{reason=\"refused\"}"),
        0.0
    );
    courier.stop();
}

#[test]
fn what_is_refused_is_counted_and_costs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::AllBut("constant")));
    let courier = start(directory.path(), metrics(&target, &receiver.url()));
    arrive(&receiver, 10);
    is_complete(&receiver);
    eventually("what was sent with it arrives", || {
        (receiver.values("up").len() >= 10).then_some(())
    });
    assert!(
        receiver
            .values("constant{exported_customer=theirs}")
            .is_empty()
    );
    // What has arrived is counted when all of its batch is decided.
    let lost = "courier_lost_samples_total{reason=\"refused\"}";
    eventually("what is refused is counted", || {
        (count(&courier, lost) >= 9.0).then_some(())
    });
    let reason = eventually("it says so", || reason(&courier, "metrics"));
    assert!(
        reason.contains("refused for good") && reason.contains("out of order sample of constant"),
        "{reason}"
    );
    courier.stop();
}

#[test]
fn a_scrape_with_more_samples_than_a_request_may_have_goes_in_several() {
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::Anything));
    let mut config = metrics(&target, &receiver.url());
    merge(&mut config, json!({ "metrics": { "batch_samples": 3 } }));
    let courier = start(directory.path(), config);
    arrive(&receiver, 5);
    is_complete(&receiver);
    assert_eq!(receiver.largest(), 3);
    courier.stop();
}

#[test]
fn what_was_taken_before_the_line_was_cut_is_sent_again_and_known_by_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::Half));
    let courier = start(directory.path(), metrics(&target, &receiver.url()));
    eventually("it has taken half", || {
        (receiver.server.asked() > 3).then_some(())
    });
    receiver.takes(Takes::Anything);
    arrive(&receiver, 10);
    is_complete(&receiver);
    assert!(receiver.doubles() > 0);
    courier.stop();
}

/// Lets a courier wait for a receiver that is down, until its samples are late; returns how many there are.
fn outage(takes: Takes) -> (Prometheus, Target, tempfile::TempDir, Running, usize) {
    let directory = tempfile::tempdir().unwrap();
    let (target, mut receiver) = (target(), Prometheus::start(takes));
    let mut config = metrics(&target, &receiver.url());
    merge(
        &mut config,
        json!({ "metrics": { "late_seconds": 0.3, "batch_samples": 14 } }),
    );
    let courier = start(directory.path(), config);
    arrive(&receiver, 3);
    receiver.server.down();
    let before = receiver.values("scrapes_total").len();
    target.is_scraped(60);
    receiver.server.up();
    (receiver, target, directory, courier, before)
}

#[test]
fn after_an_outage_what_is_new_goes_first_where_the_receiver_takes_that() {
    let (receiver, target, _directory, courier, before) = outage(Takes::Anything);
    let all = target.scrapes();
    eventually("what waited arrives, too", || {
        let values = receiver.values("scrapes_total");
        (1..=all)
            .all(|n| values.contains(&(n as f64)))
            .then_some(())
    });
    let arrivals = receiver.arrivals("scrapes_total");
    let late = arrivals[before..]
        .windows(2)
        .position(|pair| pair[1] < pair[0]);
    assert!(
        late.is_some(),
        "nothing new came before what waited: {arrivals:?}"
    );
    assert_eq!(
        count(&courier, "courier_lost_samples_total{reason=\"refused\"}"),
        0.0
    );
    courier.stop();
}

#[test]
fn after_an_outage_all_goes_in_its_order_where_the_receiver_takes_nothing_else() {
    let (receiver, target, _directory, courier, _) = outage(Takes::InOrder);
    let all = target.scrapes() as usize;
    arrive(&receiver, all);
    is_complete(&receiver);
    assert!(receiver.arrivals("scrapes_total").is_sorted());
    assert_eq!(receiver.doubles(), 0);
    assert_eq!(
        count(&courier, "courier_lost_samples_total{reason=\"refused\"}"),
        0.0
    );
    courier.stop();
}

#[test]
fn nothing_is_sent_before_the_time_is_known_and_then_with_the_right_one() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::InOrder));
    let known = directory.path().join("synchronized");
    let clock = Clock::new(Some(known.clone()));
    clock.jump(-3 * YEAR_MS);
    let courier = start_with(
        directory.path(),
        metrics(&target, &receiver.url()),
        clock.clone(),
    );
    target.is_scraped(5);
    let reason = eventually("it says so", || reason(&courier, "clock"));
    assert!(reason.contains("the time is not known yet"), "{reason}");
    assert_eq!(count(&courier, "courier_clock_known"), 0.0);
    assert_eq!(receiver.server.asked(), 0);
    clock.jump(3 * YEAR_MS);
    fs::write(known, "").unwrap();
    arrive(&receiver, 10);
    is_complete(&receiver);
    let now = kit::clock::now_ms();
    let samples = receiver.samples("scrapes_total");
    assert!(
        samples
            .iter()
            .all(|(at, _)| (now - 60_000..=now + 1000).contains(at)),
        "{samples:?}"
    );
    courier.stop();
}

#[test]
fn a_redirect_carries_nothing_to_another_host() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    fs::write(
        directory.path().join("secrets/courier.metrics-token"),
        "s3cret",
    )
    .unwrap();
    let elsewhere = Prometheus::start(Takes::Anything);
    let (target, receiver) = (target(), Prometheus::start(Takes::Anything));
    receiver.takes(Takes::Nothing(
        Answer::new(307).header("Location", &elsewhere.url()),
    ));
    let courier = start(directory.path(), metrics(&target, &receiver.url()));
    let reason = eventually("it says so", || reason(&courier, "metrics"));
    assert!(
        reason.contains("redirects to http://127.0.0.1/…"),
        "{reason}"
    );
    eventually("it tries again", || {
        (receiver.server.asked() > 5).then_some(())
    });
    assert_eq!(elsewhere.server.asked(), 0);
    // A web page is no receipt either.
    receiver.takes(Takes::Nothing(
        Answer::new(200).kind("text/html").body("<h1>Log in</h1>"),
    ));
    eventually("it says so", || {
        support::reason(&courier, "metrics").filter(|r| r.contains("a web page"))
    });
    receiver.takes(Takes::Anything);
    arrive(&receiver, 5);
    is_complete(&receiver);
    courier.stop();
}

#[test]
fn targets_that_hang_delay_no_other_and_are_down() {
    let directory = tempfile::tempdir().unwrap();
    let (target, receiver) = (target(), Prometheus::start(Takes::Anything));
    // The kernel takes its connections, and nobody answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hanging.local_addr().unwrap());
    let mut config = metrics(&target, &receiver.url());
    config["scrape"]["timeout_seconds"] = json!(0.2);
    let targets = config["scrape"]["targets"].as_array_mut().unwrap();
    targets.extend((0..5).map(|n| json!({ "job": format!("hangs-{n}"), "url": url })));
    let courier = start(directory.path(), config);
    for n in 0..5 {
        let reason = eventually("it says so", || {
            reason(&courier, &format!("target hangs-{n}"))
        });
        assert!(reason.contains("within 0.2 s"), "{reason}");
        let up = format!("courier_target_up{{target=\"hangs-{n}\"}}");
        assert_eq!(count(&courier, &up), 0.0);
    }
    arrive(&receiver, 3);
    is_complete(&receiver);
    courier.stop();
}
