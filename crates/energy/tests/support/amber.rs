//! A server that speaks Amber's API as it is documented, and misbehaves on request. The stories use it, too.

#![allow(dead_code, reason = "each who tells a story uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The token that it knows.
pub const TOKEN: &str = "psk_0123456789abcdef0123456789abcdef";
/// The site of that account.
pub const SITE: &str = "01F5A5CRKMZ5BCX9P1S4V990AM";
/// Minutes of its intervals.
pub const MINUTES: i64 = 5;

const INTERVAL: i64 = MINUTES * 60;
const DAY: i64 = 86_400;
/// The market's time is UTC+10.
const EAST: i64 = 36_000;

/// How it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Mood {
    /// As documented.
    Friendly,
    /// This status, with these header lines.
    Status(u16, String),
    /// With only the first bytes of its answer, this many.
    Cut(usize),
    /// With this text and status 200.
    Says(String),
    /// With every third row invalid.
    Spoilt,
    /// It accepts the request and never answers.
    Silent,
}

/// The server.
#[derive(Debug)]
pub struct FakeAmber {
    port: u16,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<String>>,
    /// The time in seconds since 1970; 0 means the real one.
    time: AtomicI64,
    remaining: AtomicU64,
    closing: AtomicBool,
}

impl FakeAmber {
    /// One on a free port.
    pub fn start() -> Self {
        let mut amber = Self {
            port: 0,
            shared: Arc::new(Shared {
                mood: Mutex::new(Mood::Friendly),
                asked: Mutex::default(),
                time: AtomicI64::new(0),
                remaining: AtomicU64::new(50),
                closing: AtomicBool::new(false),
            }),
            serving: None,
        };
        amber.up();
        amber
    }

    /// Its address, for clients that know this machine as `host`.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/v1", self.port)
    }

    /// Sets how it answers from now on.
    pub fn becomes(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Its clock, in seconds since 1970.
    pub fn is_at(&self, seconds: i64) {
        self.shared.time.store(seconds, Ordering::SeqCst);
    }

    /// How many more requests it allows.
    pub fn allows(&self, requests: u64) {
        self.shared.remaining.store(requests, Ordering::SeqCst);
    }

    /// The requests it received, oldest first.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Refuses connections until [`FakeAmber::up`].
    pub fn down(&mut self) {
        let Some(serving) = self.serving.take() else {
            return;
        };
        self.shared.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        serving.join().unwrap();
        self.shared.closing.store(false, Ordering::SeqCst);
    }

    /// Listens, on the port that it had before.
    pub fn up(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(&self.shared);
        self.serving = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || shared.answer(stream));
            }
        }));
    }
}

impl Drop for FakeAmber {
    fn drop(&mut self) {
        self.down();
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let request = lines.next()?.ok()?;
        let mut token = String::new();
        for line in lines.by_ref() {
            let line = line.ok()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("authorization: bearer ") {
                token = value.to_owned();
            }
        }
        let path = request.split(' ').nth(1)?.strip_prefix("/v1")?.to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let mood = self.mood.lock().unwrap().clone();
        if token != TOKEN {
            return reply(&mut stream, 403, "", r#"{"message":"Forbidden"}"#);
        }
        let left = self.remaining.load(Ordering::SeqCst);
        self.remaining
            .store(left.saturating_sub(1), Ordering::SeqCst);
        let headers = format!(
            "RateLimit-Limit: 50\r\nRateLimit-Remaining: {}\r\nRateLimit-Reset: 120\r\nRateLimit-Policy: 50;w=300\r\n",
            left.saturating_sub(1)
        );
        let (status, mut body) = self.friendly(&path);
        if mood == Mood::Spoilt {
            for row in body.as_array_mut().into_iter().flatten().skip(1).step_by(3) {
                row["duration"] = "a while".into();
            }
        }
        let body = match body {
            Value::String(text) => text,
            body => body.to_string(),
        };
        match mood {
            Mood::Friendly | Mood::Spoilt => reply(&mut stream, status, &headers, &body),
            Mood::Status(status, headers) => {
                reply(&mut stream, status, &headers, r#"{"message":"no"}"#)
            }
            Mood::Says(text) => reply(&mut stream, 200, &headers, &text),
            Mood::Cut(at) => {
                // It announces the whole length, and hangs up early.
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{headers}\r\n");
                let cut = &body.as_bytes()[..at.min(length)];
                stream.write_all(&[head.as_bytes(), cut].concat()).ok()
            }
            Mood::Silent => {
                // Until the client gives up.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                let _ = std::io::Read::read(&mut stream, &mut [0]);
                None
            }
        }
    }

    fn now(&self) -> i64 {
        match self.time.load(Ordering::SeqCst) {
            0 => UNIX_EPOCH.elapsed().unwrap().as_secs() as i64,
            set => set,
        }
    }

    fn friendly(&self, path: &str) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let now = self.now();
        let this = now - now % INTERVAL;
        let site = format!("/sites/{SITE}");
        match path.strip_prefix(&site) {
            None if path == "/sites" => (
                200,
                json!([{
                    "id": SITE, "nmi": "3052282872", "network": "Ausgrid", "status": "active", "activeFrom": "2022-01-01",
                    "channels": [
                        { "identifier": "E1", "type": "general", "tariff": "EA116" },
                        { "identifier": "B1", "type": "feedIn", "tariff": "EA029" },
                    ],
                    "intervalLength": MINUTES,
                }]),
            ),
            Some("/prices/current") => {
                let count = |name| parameter(name).map_or(0, |text| text.parse::<i64>().unwrap());
                let (previous, next) = (count("previous"), count("next"));
                if previous + next > 2048 {
                    return (
                        422,
                        "Requested number of intervals is greater than 2048".into(),
                    );
                }
                (
                    200,
                    prices(
                        this - previous * INTERVAL,
                        this + (next + 1) * INTERVAL,
                        this,
                    ),
                )
            }
            Some(kind @ ("/prices" | "/usage")) => {
                let day = |name| parameter(name).and_then(midnight);
                let (Some(from), Some(to)) = (day("startDate"), day("endDate")) else {
                    return (400, json!({ "message": "startDate and endDate are dates" }));
                };
                if to - from > 7 * DAY {
                    return (422, "Range requested is too large. Maximum 7 days.".into());
                }
                match kind {
                    "/prices" => (200, prices(from, to + DAY, this)),
                    // The usage of a day is published on the next day.
                    _ => (200, usage(from, (to + DAY).min(now - (now + EAST) % DAY))),
                }
            }
            _ => (404, json!({ "message": "Not Found" })),
        }
    }
}

fn reply(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> Option<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), body.as_bytes()].concat())
        .ok()
}

/// The price in cents per kWh of the interval that begins then; it differs from that of any other one within months.
pub fn cents(start: i64) -> f64 {
    10.0 + (start / INTERVAL % 20_011) as f64 / 1000.0
}

/// Start of the market's day, from 2026-11-25.
fn midnight(date: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(&format!("{date}T00:00:00Z")).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs() as i64 - EAST)
}

fn rfc3339(seconds: i64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64))
        .to_string()
}

fn interval(start: i64, kind: &str, channel: &str) -> Value {
    let end = start + INTERVAL;
    let east = rfc3339(end + EAST).replace('Z', "+10:00");
    let price = if channel == "feedIn" {
        -cents(start) / 2.0
    } else {
        cents(start)
    };
    json!({
        "type": kind, "duration": MINUTES, "date": &rfc3339(start + EAST)[..10], "nemTime": east,
        "startTime": rfc3339(start + 1), "endTime": rfc3339(end), "perKwh": price, "spotPerKwh": cents(start) / 2.0,
        "renewables": 41.5, "channelType": channel, "spikeStatus": "none",
        "descriptor": if price < 15.0 { "veryLow" } else { "neutral" },
    })
}

fn prices(from: i64, to: i64, this: i64) -> Value {
    let mut rows = Vec::new();
    for channel in ["general", "feedIn"] {
        for start in (from..to).step_by(INTERVAL as usize) {
            let mut row = match start {
                past if past < this => interval(start, "ActualInterval", channel),
                present if present == this => interval(start, "CurrentInterval", channel),
                _ => interval(start, "ForecastInterval", channel),
            };
            if start >= this {
                row["estimate"] = true.into();
            }
            rows.push(row);
        }
    }
    rows.into()
}

/// 0.1 kWh drawn and 0.05 kWh fed in during each interval.
fn usage(from: i64, to: i64) -> Value {
    let mut rows = Vec::new();
    for (channel, identifier, kwh) in [("general", "E1", 0.1), ("feedIn", "B1", 0.05)] {
        for start in (from..to).step_by(INTERVAL as usize) {
            let mut row = interval(start, "Usage", channel);
            row["channelIdentifier"] = identifier.into();
            row["kwh"] = kwh.into();
            row["quality"] = "billable".into();
            row["cost"] = (kwh * row["perKwh"].as_f64().unwrap()).into();
            rows.push(row);
        }
    }
    rows.into()
}
