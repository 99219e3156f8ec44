//! A climate service on port 0, a sensor whose values the test sets, and a receiver of alerts.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use climate::World;
use climate::config::Config;
use climate::sensor::{Measurement, Sensor, SensorError};
use kit::Soc;
pub use kit::testing::{Answer, Running, eventually, merge, nobody};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub const TOKEN: &str = "a-token-for-tests";

/// A room; the test sets its values through a clone.
#[derive(Clone)]
pub struct Room(Arc<Mutex<Result<(f64, f64), String>>>);

impl Room {
    pub fn at(temperature: f64, humidity: f64) -> Self {
        Room(Arc::new(Mutex::new(Ok((temperature, humidity)))))
    }

    pub fn becomes(&self, temperature: f64, humidity: f64) {
        *self.0.lock().unwrap() = Ok((temperature, humidity));
    }

    pub fn breaks(&self, why: &str) {
        *self.0.lock().unwrap() = Err(why.into());
    }
}

impl Sensor for Room {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        match &*self.0.lock().unwrap() {
            Ok((temperature, humidity)) => Ok(Measurement {
                temperature: Some(*temperature),
                humidity: Some(*humidity),
                pressure: Some(1013.25),
                faults: Vec::new(),
            }),
            Err(why) => Err(SensorError::AllFailed(why.clone())),
        }
    }
}

/// A service on port 0 that measures 20 times a second and retries webhooks quickly.
pub fn service(room: &Room, state: &Path, receiver: Option<&str>, settings: Value) -> Running {
    let mut all = json!({
        "sensor": { "interval_seconds": 0.05 },
        "history": { "directory": state },
        "webhook": { "retry_delay": 1, "timeout": 20 },
    });
    merge(&mut all, settings);
    let config: Config = serde_json::from_value(all).unwrap();

    let secrets = state.join("credentials");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("climate.bearer-token"), TOKEN).unwrap();
    if let Some(url) = receiver {
        std::fs::write(secrets.join("climate.slack-webhook-url"), url).unwrap();
    }
    // A second in the retry settings lasts 10 ms.
    let world = World {
        sensor: Some(Box::new(room.clone())),
        soc: Soc::at("/nonexistent"),
        second: Duration::from_millis(10),
    };
    Running::start("climate", config, Some(secrets), |config, kit| {
        climate::run_in(world, config, kit)
    })
}

/// A place for a service's state, a receiver of alerts, and a room with this temperature and humidity.
pub fn around(temperature: f64, humidity: f64) -> (TempDir, Receiver, Room) {
    let state = tempfile::tempdir().unwrap();
    (state, Receiver::new(), Room::at(temperature, humidity))
}

pub fn with_token(service: &Running, method: &str, path: &str, body: &str) -> Answer {
    let token = format!("Bearer {TOKEN}");
    service.call(method, path, &[("authorization", &token)], body)
}

/// The current temperature according to the API.
pub fn current_temperature(service: &Running) -> Option<f64> {
    service.get("/api/reading").json()["temperature_c"].as_f64()
}

/// How a receiver treats messages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    Friendly,
    Refusing(u16),
    /// Takes the message and never answers.
    Silent,
}

/// A receiver of alerts.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    accepted: Arc<Mutex<Vec<(String, String)>>>,
    attempts: Arc<Mutex<usize>>,
}

impl Receiver {
    pub fn new() -> Self {
        Receiver::on("127.0.0.1:0".parse().unwrap())
    }

    /// A receiver on a certain address.
    pub fn on(address: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            mood: Arc::new(Mutex::new(Mood::Friendly)),
            accepted: Arc::default(),
            attempts: Arc::default(),
        };
        let it = receiver.clone();
        let hook = move |headers: HeaderMap, body: String| async move {
            *it.attempts.lock().unwrap() += 1;
            let mood = *it.mood.lock().unwrap();
            match mood {
                Mood::Friendly => {
                    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
                    let text = serde_json::from_str::<Value>(&body).unwrap()["text"]
                        .as_str()
                        .unwrap()
                        .to_owned();
                    it.accepted.lock().unwrap().push((key, text));
                    StatusCode::OK
                }
                Mood::Refusing(status) => StatusCode::from_u16(status).unwrap(),
                Mood::Silent => std::future::pending().await,
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                axum::serve(listener, Router::new().route("/hook", post(hook)))
                    .await
                    .unwrap();
            });
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The texts that were accepted.
    pub fn heard(&self) -> Vec<String> {
        let accepted = self.accepted.lock().unwrap();
        accepted.iter().map(|(_, text)| text.clone()).collect()
    }

    /// The keys that were accepted.
    pub fn keys(&self) -> Vec<String> {
        let accepted = self.accepted.lock().unwrap();
        accepted.iter().map(|(key, _)| key.clone()).collect()
    }

    pub fn attempts(&self) -> usize {
        *self.attempts.lock().unwrap()
    }

    pub fn hears(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} messages arrive"), || {
            (self.heard().len() >= count).then(|| self.heard())
        })
    }
}
