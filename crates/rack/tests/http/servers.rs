//! A planner with its servers, and those who use it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::http::HeaderMap;
use daemons::{Device, Postgres, Redis, Up};
use kit::testing::{Answer, Program, Running, command, eventually};
use rack::config::Config;
use serde_json::{Value, json};
use testbed::Result;

/// The password of the first administrator.
pub const PASSWORD: &str = "the password of the device";

/// PostgreSQL and a server of Redis's protocol. All tests that run at the same time and let them live use the same.
pub struct Servers {
    database: Device,
    cache: Device,
    /// None while it is away.
    postgres: Mutex<Option<Up<Postgres>>>,
    /// None while it is away.
    redis: Mutex<Option<Up<Redis>>>,
    planners: AtomicU64,
}

impl Servers {
    fn new() -> Result<Self> {
        let database = Device::new("postgresql", &[])?;
        let cache = Device::new("redis-cache", &[])?;
        let servers = Servers {
            database,
            cache,
            postgres: Mutex::default(),
            redis: Mutex::default(),
            planners: AtomicU64::new(0),
        };
        servers.start_database()?;
        let up = servers.cache.up(|| {
            let mut client = Redis::connect(&servers.cache.runtime())?;
            client.call(&["PING"])?;
            Ok(client)
        });
        *servers.redis.lock().unwrap() = Some(up?);
        Ok(servers)
    }

    /// Those of other tests, or new ones.
    fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
        // A test that has failed to start them hinders no other one.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = shared.upgrade() {
            return Ok(servers);
        }
        // They end with the thread that has started them, so that is not the one of a test.
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let _ = tell.send(Self::new().map(Arc::new));
            loop {
                std::thread::park();
            }
        });
        let servers = told.recv()??;
        *shared = Arc::downgrade(&servers);
        Ok(servers)
    }

    /// Starts the database, again if it was killed.
    pub fn start_database(&self) -> Result<()> {
        let up = self
            .database
            .up(|| Postgres::connect(&self.database.runtime()))?;
        *self.postgres.lock().unwrap() = Some(up);
        Ok(())
    }

    /// Kills the database at once.
    pub fn kill_database(&self) -> Result<()> {
        let up = self.postgres.lock().unwrap().take();
        up.expect("the database is up").server.kill().map(drop)
    }

    /// Kills the cache at once.
    pub fn kill_cache(&self) -> Result<()> {
        let up = self.redis.lock().unwrap().take();
        up.expect("the cache is up").server.kill().map(drop)
    }

    /// A configuration with an empty database and a part of the cache of its own.
    fn configuration(&self) -> Result<Value> {
        let name = format!("planner_{}", self.planners.fetch_add(1, Ordering::Relaxed));
        let mut postgres = self.postgres.lock().unwrap();
        let up = postgres.as_mut().expect("the database is up");
        up.value.query(&format!("CREATE DATABASE {name}"))?;
        Ok(json!({
            "database": { "host": self.database.runtime(), "name": name, "user": "postgres", "connections": 4 },
            "cache": { "address": self.cache.runtime().join("redis.sock"), "prefix": format!("{name}:") },
            // They log in quicker than people do.
            "limits": { "logins_per_minute": 0 },
        }))
    }
}

/// A planner with its servers.
pub struct World {
    /// The planner.
    pub planner: Running,
    /// Its servers.
    pub servers: Arc<Servers>,
    configuration: Value,
    secrets: tempfile::TempDir,
}

impl World {
    /// A planner with nothing in it.
    pub fn new() -> Result<Self> {
        Self::of(Servers::shared()?, json!({}))
    }

    /// A planner with these settings beside those of its servers.
    pub fn with(settings: Value) -> Result<Self> {
        Self::of(Servers::shared()?, settings)
    }

    /// A planner whose servers may be killed: no other one has them.
    pub fn alone() -> Result<Self> {
        Self::of(Arc::new(Servers::new()?), json!({}))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what a test writes need not survive a cut"
    )]
    fn of(servers: Arc<Servers>, settings: Value) -> Result<Self> {
        let mut configuration = servers.configuration()?;
        kit::testing::merge(&mut configuration, settings);
        let config: Config = serde_json::from_value(configuration.clone())?;
        let secrets = tempfile::tempdir()?;
        std::fs::write(secrets.path().join("rack.admin-password"), PASSWORD)?;
        let folder = Some(secrets.path().to_owned());
        let planner = Running::start("rack", config, folder, rack::run);
        Ok(World {
            planner,
            servers,
            configuration,
            secrets,
        })
    }

    /// Somebody who is not logged in.
    pub fn nobody(&self) -> Caller {
        Caller::new(self.planner.address)
    }

    /// The first administrator, logged in.
    pub fn admin(&self) -> Caller {
        self.nobody().log_in("admin", PASSWORD)
    }

    /// A user of this role, whom the administrator has made, logged in.
    pub fn user(&self, name: &str, role: &str) -> Caller {
        let password = format!("the password of {name}");
        let fields = json!({ "name": name, "role": role, "password": password });
        self.admin().post("/api/users", &fields).expect(201);
        self.nobody().log_in(name, &password)
    }

    /// The program, with the secrets of this planner.
    pub fn command(&self) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_rack"));
        command.env("CREDENTIALS_DIRECTORY", self.secrets.path());
        command
    }

    /// Another planner with the same servers, which need not be there; its configuration is kept in this folder.
    pub fn another(&self, folder: &Path) -> Program {
        Program::start(&mut self.command(), folder, self.configuration.clone())
    }

    /// Waits until the planner's readiness has this status.
    pub fn until_ready_is(&self, status: u16) {
        eventually("the planner's readiness has changed", || {
            (self.planner.get("/health/ready").status == status).then_some(())
        });
    }
}

/// Somebody who uses the API.
#[derive(Debug, Clone)]
pub struct Caller {
    at: SocketAddr,
    headers: Vec<(String, String)>,
}

impl Caller {
    pub fn new(at: SocketAddr) -> Self {
        Caller {
            at,
            headers: Vec::new(),
        }
    }

    /// With this header, in place of one of the same name.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// With a cookie for this password, as a browser has it.
    pub fn log_in(self, name: &str, password: &str) -> Self {
        let login = json!({ "name": name, "password": password });
        let answer = self.post("/api/session", &login).expect(200);
        let cookie = answer.0.headers["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
        self.with("cookie", &cookie).with("x-csrf-token", &csrf)
    }

    pub fn get(&self, path: &str) -> Told {
        self.call("GET", path, "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Told {
        self.call("POST", path, &body.to_string())
    }

    pub fn put(&self, path: &str, body: &Value) -> Told {
        self.call("PUT", path, &body.to_string())
    }

    pub fn delete(&self, path: &str) -> Told {
        self.call("DELETE", path, "")
    }

    /// Sends a text; it is JSON unless a header says otherwise.
    pub fn call(&self, method: &str, path: &str, body: &str) -> Told {
        let has_kind = self.headers.iter().any(|(name, _)| name == "content-type");
        let kind = (!body.is_empty() && !has_kind).then_some("application/json");
        let (status, headers, answer) = self.exchange(method, path, kind, body.as_bytes());
        let text = String::from_utf8(answer).expect("the answer is text");
        let begin: String = body.chars().take(200).collect();
        let answer = Answer {
            status,
            headers,
            text,
        };
        Told(answer, format!("{method} {path} {begin}"))
    }

    /// Sends bytes of a kind.
    pub fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Told {
        let (status, headers, body) = self.exchange(method, path, Some(kind), body);
        let text = String::from_utf8_lossy(&body).into_owned();
        let answer = Answer {
            status,
            headers,
            text,
        };
        Told(answer, format!("{method} {path}, {kind}"))
    }

    /// The status, the content type and the bytes of what is at a path.
    pub fn fetch(&self, path: &str) -> (u16, String, Vec<u8>) {
        let (status, headers, body) = self.exchange("GET", path, None, b"");
        let kind = headers["content-type"].to_str().unwrap().to_owned();
        (status, kind, body)
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        kind: Option<&str>,
        body: &[u8],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.at));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut answer = agent.run(request.body(body).unwrap()).unwrap();
        let body = answer.body_mut().read_to_vec().unwrap();
        (answer.status().as_u16(), answer.headers().clone(), body)
    }
}

/// An answer, and what it is the answer to.
#[derive(Debug)]
pub struct Told(pub Answer, String);

impl Told {
    /// Fails unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.0.status, status, "{}: {}", self.1, self.0.text);
        self
    }

    /// The body.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.0.json()
    }

    /// The number of what was made.
    #[track_caller]
    pub fn id(&self) -> i64 {
        self.json()["id"].as_i64().expect("it has a number")
    }

    /// A header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)?.to_str().ok()
    }
}
