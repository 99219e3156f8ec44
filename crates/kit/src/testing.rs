//! For a service's own tests: the service on port 0, and someone who asks it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{Configuration, Credentials, Kit, Shutdown};

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

/// A running service; asked to stop if the test forgets it.
pub struct Running {
    /// Where it answers.
    pub address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Running {
    /// Runs a service on port 0, with the secrets in a directory, and waits until it is ready.
    pub fn start<C, F, Fut>(
        service: &'static str,
        config: C,
        secrets: Option<PathBuf>,
        run: F,
    ) -> Self
    where
        C: Configuration,
        F: FnOnce(C, Kit) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>>,
    {
        config.check().expect("the test's configuration is good");
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = crate::life::runtime(config.threads())?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let address = listener.local_addr()?;
                let credentials = Credentials::in_directory(service, secrets);
                let kit = Kit::new(service, config.http().clone(), credentials, listener);
                tell.send((address, kit.shutdown().clone()))?;
                kit.see_out(run(config, kit.clone())).await
            })
        });
        let (address, shutdown) = told.recv().expect("the service starts");
        let running = Running {
            address,
            shutdown,
            thread: Some(thread),
        };
        eventually("the service is ready", || {
            (running.get("/health/ready").status == 200).then_some(())
        });
        running
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    /// One request, whatever the status.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        call(self.address, method, path, headers, body)
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) {
        self.shutdown.request();
        let ended = self.thread.take().map(JoinHandle::join);
        ended
            .expect("it stops once")
            .expect("it does not panic")
            .expect("it ends well");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
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

/// One request, whatever the status; an error if there is no answer.
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

/// An address where nobody listens (yet).
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
}
