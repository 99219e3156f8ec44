//! Helpers for tests of a service: the service on port 0 or as its program, and an HTTP client.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use crate::config::Bare;
use crate::{Configuration, Credentials, Kit, Service};

/// Waits until `happened`, with a time limit.
pub fn eventually<V>(what: &str, mut happened: impl FnMut() -> Option<V>) -> V {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited 60 s in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A running service; it is asked to stop when this is dropped.
pub struct Running {
    /// Its address.
    pub address: SocketAddr,
    /// The kit that it uses.
    pub kit: Kit,
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
            on_a_free_port(service, config, secrets, run, |address, kit| {
                let _ = tell.send((address, kit));
            })
        });
        let (address, kit) = told.recv().expect("the service starts");
        let running = Running {
            address,
            kit,
            thread: Some(thread),
        };
        eventually("the service is ready", || {
            (running.get("/health/ready").status == 200).then_some(())
        });
        running
    }

    /// Sends a GET request.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    /// Sends one request; any status is returned.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        call(self.address, method, path, headers, body)
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) {
        self.kit.shutdown().request();
        let ended = self.thread.take().map(JoinHandle::join);
        ended
            .expect("it stops once")
            .expect("it does not panic")
            .expect("it ends well");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kit.shutdown().request();
    }
}

/// Runs a service on port 0 until it is asked to stop; `started` gets its address and its kit.
pub(crate) fn on_a_free_port<C, F, Fut>(
    service: &'static str,
    config: C,
    secrets: Option<PathBuf>,
    run: F,
    started: impl FnOnce(SocketAddr, Kit),
) -> anyhow::Result<()>
where
    C: Configuration,
    F: FnOnce(C, Kit) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let runtime = crate::life::runtime(config.threads())?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let credentials = Credentials::in_directory(service, secrets);
        let service = Service {
            name: service,
            version: "test",
        };
        let kit = Kit::new(service, config.http().clone(), credentials, listener);
        started(address, kit.clone());
        kit.see_out(run(config, kit.clone())).await
    })
}

/// An answer.
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
    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

/// Sends one request; any status is returned.
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

/// Sends one request; any status is returned. Fails if there is no answer.
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

/// An address where nothing is listening (yet).
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
}

/// Merges one JSON value into another: objects are merged, anything else is replaced.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A service's program, `env!("CARGO_BIN_EXE_…")`, without the environment that systemd may have given the test.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["NOTIFY_SOCKET", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end: returns the exit status, stdout and stderr.
pub fn finished(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the program starts");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = |bytes| String::from_utf8(bytes).expect("the program says UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// Checks that the program refuses each configuration in one sentence that contains the complaint, with exit status 64,
/// for every way to name the file: `ways` are the arguments before its name. Checks also that it accepts an empty one.
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
pub fn refuses(program: &str, ways: &[&[&str]], wrong: &[(&str, &str)]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("config.json");
    for (text, complaint) in wrong {
        std::fs::write(&file, text).expect("a configuration is written");
        for way in ways {
            let (status, stdout, stderr) = finished(command(program).args(*way).arg(&file));
            assert_eq!((status, stdout.as_str()), (Some(64), ""), "{way:?} {text}");
            let named = stderr.starts_with("error: configuration ") && stderr.contains(complaint);
            assert!(named && stderr.lines().count() == 1, "{text}: {stderr}");
        }
    }
    std::fs::write(&file, "{}").expect("a configuration is written");
    let accepted = finished(command(program).arg("--check-config").arg(&file));
    assert_eq!(accepted, (Some(0), String::new(), String::new()));
}

/// A running program of a service; it is killed when this is dropped.
pub struct Program {
    /// Its address, once it listens.
    pub address: SocketAddr,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts it on a port of its own with `config`, which is written to `directory`.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a test writes need not survive a cut"
    )]
    pub fn start(command: &mut Command, directory: &Path, mut config: Value) -> Self {
        let address = nobody();
        let http = json!({ "address": address.ip(), "port": address.port() });
        merge(&mut config, json!({ "http": http }));
        let file = directory.join("config.json");
        std::fs::write(&file, config.to_string()).expect("the configuration is written");
        let command = command.arg("--config").arg(&file).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let heard = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().expect("no panic while held").push(line);
            }
        });
        let reader = Some(reader);
        Program {
            address,
            child,
            lines,
            reader,
        }
    }

    /// Waits until it is ready.
    pub fn ready(self) -> Self {
        eventually("the program is ready", || {
            self.get("/health/ready")
                .filter(|answer| answer.status == 200)
        });
        self
    }

    /// Sends a GET request; returns the answer, if there is one.
    pub fn get(&self, path: &str) -> Option<Answer> {
        try_call(self.address, "GET", path, &[], "").ok()
    }

    /// Its output so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic while held").clone()
    }

    /// Asks it to stop, and waits until it has ended successfully; returns its output.
    pub fn stop(self) -> Vec<String> {
        let (status, lines) = self.end(Signal::TERM);
        assert_eq!(status, Some(0), "{}", lines.join("\n"));
        lines
    }

    /// Kills it, and waits; returns its output.
    pub fn kill(self) -> Vec<String> {
        self.end(Signal::KILL).1
    }

    fn end(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        kill_process(Pid::from_child(&self.child), signal).expect("it still runs");
        let status = self.child.wait().expect("it ends");
        let reader = self.reader.take().map(JoinHandle::join);
        reader.expect("it ends once").expect("its words are UTF-8");
        (status.code(), self.lines())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
