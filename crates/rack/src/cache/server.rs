//! The connection with the server that speaks Redis's protocol.
//!
//! There is one connection for all requests of the process, made when it is first needed and given up when something took too
//! long. It is made by itself, so that it may take longer than any request waits for it. A connection belongs to one run of the server, whose number is asked for when it is made: after a restart all is
//! called by other names. That is why the connection is not made anew beneath a command, as the crate's own manager does it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, TlsCertificates,
};
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use kit::Secret;

use super::breaker::{Breaker, Open, Permit, Rules};
use crate::config::CacheSettings;

/// Two failures may be an accident. A pause is short, since its end costs one request the wait.
const RULES: Rules = Rules {
    failures: 3,
    pause: Duration::from_secs(1),
    longest: Duration::from_secs(10),
};

/// Why the server did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Open(#[from] Open),
    #[error("no connection with the cache: {0}")]
    NoConnection(String),
    #[error("the cache has not answered within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("the connection with the cache is gone: {0}")]
    Gone(String),
    #[error("the cache refuses: {0}")]
    Refused(String),
}

/// The server, which may be gone at times.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    prefix: String,
    connect: Duration,
    answer: Duration,
    breaker: Breaker,
    link: Mutex<Option<Link>>,
    attempt: Mutex<Option<Attempt>>,
    links: AtomicU64,
}

/// What has come of the last attempt to connect, once it has ended.
type Attempt = watch::Receiver<Option<RedisResult<Link>>>;

/// A connection with one run of the server.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Takes commands.
    pub(super) connection: MultiplexedConnection,
    /// The names of its keys.
    pub(super) keys: Arc<Keys>,
    /// Its number among all that were made; the first one has 1.
    pub(super) number: u64,
}

/// The names of keys.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    run: String,
}

impl Keys {
    /// A name that the server's next run does not know.
    pub(super) fn of_run(&self, name: &str) -> String {
        format!("{}{}:{name}", self.prefix, self.run)
    }

    /// A name that outlives the server's run.
    pub(super) fn lasting(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Server {
    /// Reads where the server is. Does not connect.
    pub(super) fn new(settings: &CacheSettings, password: Option<&Secret>) -> anyhow::Result<Self> {
        Ok(Server {
            client: client(settings, password)?,
            prefix: settings.prefix.clone(),
            connect: settings.connect(),
            answer: settings.answer(),
            breaker: Breaker::new("cache", RULES),
            link: Mutex::default(),
            attempt: Mutex::default(),
            links: AtomicU64::default(),
        })
    }

    /// Its breaker.
    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// How many connections were made.
    pub(super) fn links(&self) -> u64 {
        self.links.load(Ordering::SeqCst)
    }

    /// Lets it do something, unless the breaker is open.
    pub(super) async fn ask<T, F, Fut>(self: &Arc<Self>, command: F) -> Result<T, Trouble>
    where
        F: FnOnce(Link) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        self.permitted(self.breaker.permit()?, command).await
    }

    /// Lets it do something, whatever the breaker is: for what has to be known to it if it can be reached.
    pub(super) async fn insist<T, F, Fut>(self: &Arc<Self>, command: F) -> Result<T, Trouble>
    where
        F: FnOnce(Link) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        self.permitted(self.breaker.probe(), command).await
    }

    /// Asks for a sign of life, and says how long it took.
    pub(super) async fn ping(self: &Arc<Self>) -> Result<Duration, Trouble> {
        let asked = Instant::now();
        let ping = |mut link: Link| async move {
            let command = redis::cmd("PING");
            command.query_async::<()>(&mut link.connection).await
        };
        self.insist(ping).await.map(|()| asked.elapsed())
    }

    async fn permitted<T, F, Fut>(
        self: &Arc<Self>,
        permit: Permit,
        command: F,
    ) -> Result<T, Trouble>
    where
        F: FnOnce(Link) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let result = self.try_ask(command).await;
        match &result {
            Ok(_) | Err(Trouble::Refused(_)) => permit.answered(),
            Err(_) => permit.failed(),
        }
        result
    }

    async fn try_ask<T, F, Fut>(self: &Arc<Self>, command: F) -> Result<T, Trouble>
    where
        F: FnOnce(Link) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let deadline = tokio::time::Instant::now() + self.answer;
        let link = match timeout_at(deadline, self.link()).await {
            Err(_) => return Err(Trouble::NoConnection("it takes too long".into())),
            Ok(link) => link.map_err(|error| Trouble::NoConnection(error.to_string()))?,
        };
        let number = link.number;
        let trouble = match timeout_at(deadline, command(link)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if is_answer(&error) => {
                return Err(Trouble::Refused(error.to_string()));
            }
            Ok(Err(error)) if error.is_timeout() => Trouble::Late(self.answer),
            Ok(Err(error)) => Trouble::Gone(error.to_string()),
            Err(_) => Trouble::Late(self.answer),
        };
        // The next command gets a connection of its own: this one may wait for a machine that is no longer there.
        let mut current = self.current();
        if current.as_ref().is_some_and(|link| link.number == number) {
            *current = None;
        }
        Err(trouble)
    }

    async fn link(self: &Arc<Self>) -> RedisResult<Link> {
        let mut attempt = match self.link_or_attempt() {
            Ok(link) => return Ok(link),
            Err(attempt) => attempt,
        };
        let ended = attempt.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| {
            let gone = "the attempt to connect was given up";
            Err((ErrorKind::Client, gone).into())
        })
    }

    /// The connection; or else the attempt to connect that is under way, or a new one.
    fn link_or_attempt(self: &Arc<Self>) -> Result<Link, Attempt> {
        if let Some(link) = self.current().clone() {
            return Ok(link);
        }
        let mut last = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let is_under_way = |last: &Attempt| last.borrow().is_none() && last.has_changed().is_ok();
        if let Some(last) = last.as_ref().filter(|last| is_under_way(last)) {
            return Err(last.clone());
        }
        // It may have ended well since the first look.
        if let Some(link) = self.current().clone() {
            return Ok(link);
        }
        let (tell, told) = watch::channel(None);
        let server = self.clone();
        tokio::spawn(async move {
            let connected = timeout(server.connect, server.connect()).await;
            let late = || Err(io::Error::from(io::ErrorKind::TimedOut).into());
            let connected = connected.unwrap_or_else(|_| late());
            if let Ok(link) = &connected {
                *server.current() = Some(link.clone());
            }
            tell.send_replace(Some(connected));
        });
        Err(last.insert(told).clone())
    }

    async fn connect(&self) -> RedisResult<Link> {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.connect.max(self.answer)));
        let client = &self.client;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&limits)
            .await?;
        let mut info = redis::cmd("INFO");
        let told: String = info.arg("server").query_async(&mut connection).await?;
        let run = run_id(&told).ok_or((
            ErrorKind::Client,
            "`INFO server` does not tell its run_id, without which restarts are not noticed",
        ))?;
        Ok(Link {
            connection,
            keys: Arc::new(Keys {
                prefix: self.prefix.clone(),
                run: run.to_owned(),
            }),
            number: self.links.fetch_add(1, Ordering::SeqCst) + 1,
        })
    }

    fn current(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server itself answered so: it is there.
fn is_answer(error: &RedisError) -> bool {
    let kinds = [ErrorKind::Extension, ErrorKind::UnexpectedReturnType];
    matches!(error.kind(), ErrorKind::Server(_)) || kinds.contains(&error.kind())
}

fn run_id(info: &str) -> Option<&str> {
    let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    run.map(str::trim).filter(|run| !run.is_empty())
}

fn client(settings: &CacheSettings, password: Option<&Secret>) -> anyhow::Result<Client> {
    use anyhow::Context;

    let address = &settings.address;
    let what = || format!("the address of the cache, {address}");
    let info = if address.starts_with('/') {
        ConnectionAddr::Unix(address.into()).into_connection_info()
    } else {
        address.as_str().into_connection_info()
    };
    let info = info.with_context(what)?;
    let is_encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let mut access = info.redis_settings().clone();
    if let Some(password) = password {
        access = access.set_password(password.expose());
    }
    let info = info.set_redis_settings(access);
    let Some(file) = settings.authority.as_ref().filter(|_| is_encrypted) else {
        return Client::open(info).with_context(what);
    };
    let authority = std::fs::read(file).with_context(|| file.display().to_string())?;
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(authority),
    };
    Client::build_with_tls(info, certificates).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str) -> CacheSettings {
        CacheSettings {
            address: address.into(),
            ..CacheSettings::default()
        }
    }

    #[test]
    fn an_address_is_a_socket_or_a_server() {
        let secret = Secret::new("hush");
        for (address, expected) in [
            ("/run/redis-rack/redis.sock", "/run/redis-rack/redis.sock"),
            ("redis+unix:///run/r.sock", "/run/r.sock"),
            ("redis://cache.example.org:7000/2", "cache.example.org:7000"),
            ("rediss://cache.example.org", "cache.example.org:6379"),
        ] {
            let client = client(&settings(address), Some(&secret)).unwrap();
            let info = client.get_connection_info();
            assert_eq!(info.addr().to_string(), expected);
            assert_eq!(info.redis_settings().password(), Some("hush"));
        }
        let problem = client(&settings("http://cache"), None).unwrap_err();
        assert!(problem.to_string().contains("http://cache"), "{problem}");
    }

    #[test]
    fn the_number_of_a_run_is_in_what_the_server_tells() {
        let told = "# Server\r\nredis_version:8.1.1\r\nrun_id:4d1c\r\ntcp_port:0\r\n";
        assert_eq!(run_id(told), Some("4d1c"));
        assert_eq!(run_id("redis_version:8.1.1\r\nrun_id:\r\n"), None);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_not_asked_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("none.sock");
        let server = Arc::new(Server::new(&settings(socket.to_str().unwrap()), None).unwrap());
        let ask = || server.ask(|_| async { Ok(()) });
        for _ in 0..RULES.failures {
            assert!(matches!(ask().await, Err(Trouble::NoConnection(_))));
        }
        assert!(matches!(ask().await, Err(Trouble::Open(_))));
        assert!(server.ping().await.is_err());
    }
}
