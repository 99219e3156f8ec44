//! A recorder on port 0 with a token, and a browser's side of its API.

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use axum::http::HeaderMap;
pub use kit::testing::{Answer, Running, eventually, merge};
use recorder::config::Config;
use serde_json::Value;

use crate::support::{needs_ffmpeg, settings};

pub const TOKEN: &str = "a-token-for-tests";
/// The header of whoever has the token.
pub const BEARER: (&str, &str) = ("authorization", "Bearer a-token-for-tests");

/// A running recorder.
pub struct Recorder(Running);

/// An answer whose body is no text.
pub struct File {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A recorder with its state in a directory, which may be that of an earlier one.
pub fn recorder(state: &Path, changes: Value) -> Recorder {
    needs_ffmpeg();
    let mut all = settings(state);
    if changes["camera"]["source"].is_object() {
        all["camera"]["source"].take();
    }
    merge(&mut all, changes);
    let config: Config = serde_json::from_value(all).unwrap();
    let secrets = state.join("credentials");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("recorder.bearer-token"), TOKEN).unwrap();
    let running = Running::start("recorder", config, Some(secrets), recorder::run);
    let recorder = Recorder(running);
    eventually("it has booted", || {
        (recorder.state() != "booting").then_some(())
    });
    recorder
}

impl std::ops::Deref for Recorder {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Recorder {
    /// Sends one request with the token.
    pub fn with_token(&self, method: &str, path: &str) -> Answer {
        self.call(method, path, &[BEARER], "")
    }

    /// Fetches a file with the token.
    pub fn file(&self, path: &str, headers: &[(&str, &str)]) -> File {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut request = agent.get(format!("http://{}{path}", self.address));
        for (name, value) in headers.iter().chain([&BEARER]) {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        let mut body = Vec::new();
        // A body that is cut off is an error, not the end.
        let mut reader = response.body_mut().as_reader();
        reader.read_to_end(&mut body).unwrap();
        File {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        }
    }

    pub fn state(&self) -> Value {
        self.get("/api/status").json()["state"].clone()
    }

    /// Records for at least so many seconds; returns the session once it is finished.
    pub fn records(&self, seconds: f64) -> Value {
        let started = self.with_token("POST", "/api/start");
        assert_eq!(started.status, 204, "{}", started.text);
        eventually("enough is recorded", || {
            let session = self.newest()?;
            (session["duration_ms"].as_f64()? >= seconds * 1000.0).then_some(())
        });
        let stopped = self.with_token("POST", "/api/stop");
        assert_eq!(stopped.status, 204, "{}", stopped.text);
        eventually("the recording is finished", || {
            self.newest()
                .filter(|session| session["state"] == "finished")
        })
    }

    fn newest(&self) -> Option<Value> {
        let list = self.with_token("GET", "/api/sessions").json();
        list["sessions"].get(0).cloned()
    }

    pub fn stop(self) {
        self.0.stop();
    }
}
