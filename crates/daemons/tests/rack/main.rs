//! nginx as it is before the rack planner: what it passes on, what it refuses, and what it tells browsers.

use std::io::BufReader;
use std::time::{Duration, Instant};

use daemons::{Web, openssl};
use testbed::{Context, Result, bail, ensure, wait_until};

mod client;
mod planner;

use client::{Answer, Connection, GO_ON, get};
use planner::{POLICY, Planner};

/// An address of the local network.
const INSIDE: &str = "127.0.0.1";
/// One that the test takes for one outside of it.
const OUTSIDE: &str = "::1";

/// For how long a rate is measured.
const WHILE: Duration = Duration::from_secs(3);

fn started() -> Result<(Planner, Web)> {
    let planner = Planner::start()?;
    let web = Web::before(planner.port)?;
    Ok((planner, web))
}

/// What is answered over TLS.
fn over_tls(web: &Web, path: &str) -> Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{GO_ON}");
    let said = web.says_over_tls(&request)?;
    Answer::read(&mut BufReader::new(said.as_bytes()))
}

/// What came of requests, and how long they took together.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    refused: usize,
    refusal: Option<Answer>,
    took: Duration,
}

impl Tally {
    /// Whether no more were answered than an address has in this time, and not much less: so many a second, and so many more at once.
    fn keeps_to(&self, rate: f64, more: usize) -> Result<()> {
        let (answered, in_time) = (self.answered as f64, rate * self.took.as_secs_f64());
        let at_once = 1.0 + more as f64;
        ensure!(
            self.refused > 0
                && answered <= at_once + in_time + 1.0
                && answered >= at_once + in_time / 2.0,
            "{self:?}, of {rate} a second and {more} more"
        );
        Ok(())
    }
}

/// Asks so often on one connection, all at once, and again on further ones for so long.
fn ask(web: &Web, path: &str, count: usize, least: Duration) -> Result<Tally> {
    let begin = Instant::now();
    let mut tally = Tally::default();
    while tally.answered + tally.refused == 0 || begin.elapsed() < least {
        let mut connection = Connection::to(INSIDE, web.http)?;
        connection.say(
            format!("GET {path} HTTP/1.1\r\n{GO_ON}")
                .repeat(count)
                .as_bytes(),
        )?;
        for _ in 0..count {
            let answer = connection.answer()?;
            match answer.status {
                200 => tally.answered += 1,
                429 => {
                    tally.refused += 1;
                    tally.refusal = Some(answer);
                }
                other => bail!("{path}: {other}"),
            }
        }
    }
    tally.took = begin.elapsed();
    Ok(tally)
}

#[test]
fn the_planner_learns_who_asks_and_how_whatever_the_client_says_of_itself() -> Result<()> {
    let (_planner, web) = started()?;
    let lies = "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 10.1.1.1\r\n";
    let asked = get(INSIDE, web.http, "/api/racks?limit=2", lies)?.body;
    for line in [
        "GET /api/racks?limit=2 HTTP/1.1",
        "Host: planner.test",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "X-Forwarded-Proto: http",
    ] {
        ensure!(
            asked.lines().any(|asked| asked == line),
            "no {line} in {asked}"
        );
    }
    ensure!(!asked.contains("10.1.1.1"), "{asked}");
    let asked = over_tls(&web, "/")?.body;
    ensure!(
        asked.contains("\r\nX-Forwarded-Proto: https\r\n"),
        "{asked}"
    );
    Ok(())
}

#[test]
fn health_is_found_below_the_api_too_and_metrics_are_for_the_device_alone() -> Result<()> {
    let (_planner, web) = started()?;
    for (path, there) in [
        ("/api/health", "/health"),
        ("/api/health/live", "/health/live"),
        ("/api/health/detailed?x=1", "/health/detailed?x=1"),
        ("/health/ready", "/health/ready"),
        ("/api/healthy", "/api/healthy"),
    ] {
        let asked = get(INSIDE, web.http, path, "")?.body;
        ensure!(
            asked.starts_with(&format!("GET {there} HTTP/1.1\r\n")),
            "{path}: {asked}"
        );
    }
    assert_eq!(get(INSIDE, web.http, "/metrics", "")?.status, 404);
    Ok(())
}

#[test]
fn every_answer_has_the_headers_that_protect_browsers_once() -> Result<()> {
    let (_planner, web) = started()?;
    const STRICT: &str =
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for (path, policy, frames) in [
        ("/plain", STRICT, "DENY"),
        // The planner's own word counts.
        ("/page", POLICY, "SAMEORIGIN"),
        ("/api/page", POLICY, "SAMEORIGIN"),
        // These are nginx's own answers.
        ("/metrics", STRICT, "DENY"),
        ("/dies", STRICT, "DENY"),
        ("/api/dies", STRICT, "DENY"),
    ] {
        let answer = get(INSIDE, web.http, path, "")?;
        for (name, value) in [
            ("content-security-policy", policy),
            ("x-frame-options", frames),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            (
                "permissions-policy",
                "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            ),
            // It does not say which version it is.
            ("server", "nginx"),
        ] {
            ensure!(
                answer.only(name) == Some(value),
                "{path}: {name}: {answer:?}"
            );
        }
        ensure!(
            answer.all("strict-transport-security").is_empty(),
            "{answer:?}"
        );
    }
    for path in ["/plain", "/page", "/api/dies"] {
        let answer = over_tls(&web, path)?;
        let told = answer.only("strict-transport-security");
        ensure!(told == Some("max-age=31536000"), "{path}: {answer:?}");
    }
    Ok(())
}

#[test]
fn an_address_has_ten_requests_of_the_api_a_second_and_ten_more_at_once() -> Result<()> {
    let (_planner, web) = started()?;
    let tally = ask(&web, "/api/racks", 40, WHILE)?;
    tally.keeps_to(10.0, 10)?;
    let refusal = tally.refusal.context("no refusal")?;
    // Who was refused may come back in a second; whoever comes from elsewhere was not meant.
    assert_eq!(refusal.only("retry-after"), Some("1"));
    assert_eq!(refusal.only("content-type"), Some("application/json"));
    ensure!(
        refusal.body.contains(r#""error":"too many requests""#),
        "{refusal:?}"
    );
    ensure!(
        get(OUTSIDE, web.http, "/api/racks", "")?.status == 301,
        "another address"
    );
    wait_until("an answer", Duration::from_secs(60), || {
        let answer = get(INSIDE, web.http, "/api/racks", "")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })?;
    // What the planner itself refuses has its own time.
    let refusal = wait_until("the planner's own refusal", Duration::from_secs(60), || {
        let answer = get(INSIDE, web.http, "/api/full", "")?;
        ensure!(answer.body.starts_with("GET /api/full"), "{answer:?}");
        Ok(answer)
    })?;
    assert_eq!(
        (refusal.status, refusal.only("retry-after")),
        (429, Some("30"))
    );
    Ok(())
}

#[test]
fn an_address_has_thirty_other_requests_a_second_and_its_files_are_not_counted() -> Result<()> {
    let (_planner, web) = started()?;
    ask(&web, "/", 80, WHILE)?.keeps_to(30.0, 20)?;
    for file in ["/rack.js", "/kit.css", "/icon.svg"] {
        assert_eq!(ask(&web, file, 100, Duration::ZERO)?.refused, 0, "{file}");
    }
    // What is exported only has such a name.
    let exports = ask(&web, "/api/racks/1/export.svg", 80, Duration::ZERO)?;
    ensure!(exports.refused > 0, "{exports:?}");
    Ok(())
}

#[test]
fn an_address_has_ten_requests_at_a_time() -> Result<()> {
    let (planner, web) = started()?;
    let mut held = Vec::new();
    for number in 1..=10 {
        let mut connection = Connection::to(INSIDE, web.http)?;
        connection.say(format!("GET /held HTTP/1.1\r\n{GO_ON}").as_bytes())?;
        held.push(connection);
        planner.holds(number)?;
    }
    for path in ["/", "/api/racks"] {
        let refusal = get(INSIDE, web.http, path, "")?;
        ensure!(refusal.status == 429, "{path}: {refusal:?}");
    }
    assert_eq!(get(INSIDE, web.http, "/rack.js", "")?.status, 200);
    planner.release();
    for mut connection in held {
        assert_eq!(connection.answer()?.status, 200);
    }
    wait_until("room for another", Duration::from_secs(60), || {
        let answer = get(INSIDE, web.http, "/", "")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
}

#[test]
fn a_request_may_have_ten_megabytes_and_no_byte_more() -> Result<()> {
    let (_planner, web) = started()?;
    let post = |length: usize| -> Result<Answer> {
        let mut connection = Connection::to(INSIDE, web.http)?;
        let head =
            format!("POST /api/kinds/import HTTP/1.1\r\nContent-Length: {length}\r\n{GO_ON}");
        connection.say(head.as_bytes())?;
        // It is refused by its head; who sends all the same may find the connection closed.
        let _ = connection.say(&vec![b'x'; length.min(10 << 20)]);
        connection.answer()
    };
    assert_eq!(post(10 << 20)?.status, 200);
    let refusal = post((10 << 20) + 1)?;
    ensure!(
        refusal.status == 413 && refusal.body.contains("10 MB"),
        "{refusal:?}"
    );
    assert_eq!(refusal.only("content-type"), Some("application/json"));
    Ok(())
}

#[test]
fn without_a_planner_programs_are_told_when_to_come_back() -> Result<()> {
    let web = Web::before(daemons::free_port()?)?;
    let answer = get(INSIDE, web.http, "/api/racks", "")?;
    ensure!(answer.status == 503, "{answer:?}");
    assert_eq!(answer.only("content-type"), Some("application/json"));
    assert_eq!(answer.only("retry-after"), Some("5"));
    ensure!(
        answer.body.contains(r#""error":"not running""#),
        "{answer:?}"
    );
    Ok(())
}

#[test]
fn who_is_slow_is_not_waited_for() -> Result<()> {
    let (_planner, web) = started()?;
    let slow = |what: &'static str, said: &'static str, answers: usize, least: u64| {
        let port = web.http;
        std::thread::spawn(move || -> Result<()> {
            let mut connection = Connection::to(INSIDE, port)?;
            let begin = Instant::now();
            connection.say(said.as_bytes())?;
            for _ in 0..answers {
                connection.answer()?;
            }
            connection.ends()?;
            let took = begin.elapsed();
            let least = Duration::from_secs(least);
            // nginx looks at its clocks now and then; and this machine may be busy.
            ensure!(
                took + Duration::from_secs(1) >= least && took < least + Duration::from_secs(15),
                "{what}: it was closed after {took:?}"
            );
            Ok(())
        })
    };
    let all = [
        slow("half a head", "GET / HTTP/1.1\r\nHost: planner", 0, 12),
        slow(
            "half a body",
            "POST /api/moves HTTP/1.1\r\nHost: planner.test\r\nContent-Length: 9\r\n\r\nhalf",
            0,
            12,
        ),
        slow(
            "nothing more",
            "GET / HTTP/1.1\r\nHost: planner.test\r\n\r\n",
            1,
            15,
        ),
    ];
    for one in all {
        one.join().expect("no panic")?;
    }
    Ok(())
}

#[test]
fn who_is_not_in_the_local_network_is_sent_to_where_tls_is() -> Result<()> {
    let (_planner, web) = started()?;
    for path in ["/", "/api/racks?q=1", "/api/health/live", "/rack.js"] {
        let sent = get(OUTSIDE, web.http, path, "")?;
        let to = format!("https://planner.test{path}");
        ensure!(
            sent.status == 301 && sent.only("location") == Some(to.as_str()),
            "{path}: {sent:?}"
        );
    }
    Ok(())
}

#[test]
fn only_what_is_new_of_tls_is_spoken() -> Result<()> {
    let (_planner, web) = started()?;
    let address = format!("127.0.0.1:{}", web.tls);
    // So that the client itself refuses nothing.
    let scan = |options: &[&str]| {
        let all = [
            "s_client",
            "-connect",
            &address,
            "-servername",
            "planner.test",
        ];
        openssl(&[&all[..], options].concat())
    };
    for version in ["-tls1", "-tls1_1"] {
        let refused = scan(&[version, "-cipher", "ALL:@SECLEVEL=0"]).unwrap_err();
        let why = format!("{refused:#}");
        ensure!(why.contains("alert protocol version"), "{version}: {why}");
    }
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let spoken = scan(&[version])?;
        ensure!(spoken.contains(name), "{version}: {spoken}");
    }
    // Without forward secrecy, or without a cipher that also seals.
    for cipher in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"] {
        let with = format!("{cipher}:@SECLEVEL=0");
        let refused = scan(&["-tls1_2", "-cipher", &with]).unwrap_err();
        let why = format!("{refused:#}");
        ensure!(why.contains("alert handshake failure"), "{cipher}: {why}");
    }
    Ok(())
}
