//! A climate service on port 0, a sensor that does as it is told, and a receiver of alerts.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use appliance::{Configuration, Credentials, Kit, Shutdown, Soc};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use climate::World;
use climate::config::Config;
use climate::sensor::{Measurement, Sensor, SensorError};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const TOKEN: &str = "a-token-for-tests";

/// Waits until `happened`, but not for ever.
pub fn eventually<V>(what: &str, mut happened: impl FnMut() -> Option<V>) -> V {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited 10 s in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A room whose values the test sets; also the handle to do so.
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

/// A running service.
pub struct Service {
    pub address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

/// A service on port 0 that measures 50 times a second and is impatient with webhooks.
pub fn service(room: &Room, state: &Path, receiver: Option<&str>, settings: Value) -> Service {
    let mut all = json!({
        "sensor": { "interval_seconds": 0.05 },
        "history": { "directory": state },
        "webhook": { "retry_delay": 1, "timeout": 20 },
    });
    merge(&mut all, settings);
    let config: Config = serde_json::from_value(all).unwrap();
    config.check().unwrap();

    let secrets = state.join("credentials");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("climate.bearer-token"), TOKEN).unwrap();
    if let Some(url) = receiver {
        std::fs::write(secrets.join("climate.slack-webhook-url"), url).unwrap();
    }
    // A second of the retry settings is 10 ms here.
    let world = World {
        sensor: Some(Box::new(room.clone())),
        soc: Soc::at("/nonexistent"),
        second: Duration::from_millis(10),
    };
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let credentials = Credentials::in_directory("climate", Some(secrets));
            let kit = Kit::new("climate", config.http.clone(), credentials, listener);
            tell.send((address, kit.shutdown().clone()))?;
            climate::run_in(world, config, kit).await
        })
    });
    let (address, shutdown) = told.recv().unwrap();
    let service = Service {
        address,
        shutdown,
        thread: Some(thread),
    };
    eventually("the service is ready", || {
        (service.get("/health/ready").status == 200).then_some(())
    });
    service
}

impl Service {
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    pub fn with_token(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call(
            method,
            path,
            &[("authorization", &format!("Bearer {TOKEN}"))],
            body,
        )
    }

    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        call(self.address, method, path, headers, body)
    }

    /// The temperature the API tells.
    pub fn temperature(&self) -> Option<f64> {
        self.get("/api/reading").json()["temperature_c"].as_f64()
    }

    pub fn stop(mut self) {
        self.shutdown.request();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// One request, whatever the status.
pub fn call(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    try_call(at, method, path, headers, body)
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

pub fn try_call(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{at}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(body.to_owned())?)?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.body_mut().read_to_string()?,
    })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// How a receiver treats what it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    Friendly,
    Refusing(u16),
    /// Takes the message and never answers.
    Silent,
}

/// Someone who receives alerts.
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

    /// A receiver on an address that was someone's before.
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
        self.accepted
            .lock()
            .unwrap()
            .iter()
            .map(|(_, text)| text.clone())
            .collect()
    }

    /// The keys that were accepted.
    pub fn keys(&self) -> Vec<String> {
        self.accepted
            .lock()
            .unwrap()
            .iter()
            .map(|(key, _)| key.clone())
            .collect()
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

/// An address where nobody listens (yet).
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
