//! HTTP as the machine's users speak it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::Agent;

/// An HTTP server on a machine.
#[derive(Debug, Clone)]
pub struct Web {
    agent: Agent,
    port: u16,
}

/// What it answered; any status is an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl Web {
    pub(crate) fn new(port: u16) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(15)))
            .http_status_as_error(false)
            .proxy(None);
        Self {
            agent: config.build().into(),
            port,
        }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.get_as(path, "*/*")
    }

    /// `GET path`, asking for this media type.
    pub fn get_as(&self, path: &str, accept: &str) -> Result<Answer> {
        let request = self.agent.get(self.url(path)).header("Accept", accept);
        answer(request.call()).with_context(|| format!("GET {path}"))
    }

    /// `GET path` with a bearer token.
    pub fn get_with(&self, path: &str, token: &str) -> Result<Answer> {
        let request = self.agent.get(self.url(path));
        let request = request.header("Authorization", format!("Bearer {token}"));
        answer(request.call()).with_context(|| format!("GET {path}"))
    }

    /// `GET path` with a query made of these parameters.
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
        let request = self.agent.get(self.url(path));
        let request = request.query_pairs(parameters.iter().copied());
        answer(request.call()).with_context(|| format!("GET {path}"))
    }

    /// `PUT path` with a JSON body and, if there is one, a bearer token.
    pub fn put(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Answer> {
        let request = authorized(self.agent.put(self.url(path)), token);
        answer(request.send(body.to_string())).with_context(|| format!("PUT {path}"))
    }

    /// `POST path` with an empty body and, if there is one, a bearer token.
    pub fn post(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        let request = authorized(self.agent.post(self.url(path)), token);
        answer(request.send_empty()).with_context(|| format!("POST {path}"))
    }

    /// The address of `path` as the host has it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

type Request = ureq::RequestBuilder<ureq::typestate::WithBody>;

fn authorized(request: Request, token: Option<&str>) -> Request {
    let request = request.header("Content-Type", "application/json");
    match token {
        Some(token) => request.header("Authorization", format!("Bearer {token}")),
        None => request,
    }
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = response?;
    let content_type = response.headers().get("content-type");
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.to_owned(),
        body: response.body_mut().read_to_string()?,
    })
}

impl Answer {
    /// Itself, if its status is 2xx.
    pub fn success(self) -> Result<Self> {
        ensure!(
            (200..300).contains(&self.status),
            "status {}: {}",
            self.status,
            self.body.trim()
        );
        Ok(self)
    }

    /// Its body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}
