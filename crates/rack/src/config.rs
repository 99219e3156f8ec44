//! The configuration of the planner. The defaults apply to an empty file.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kit::{Configuration, HttpSettings};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// The name of the secret with the password of the first administrator.
pub const ADMIN_PASSWORD: &str = "admin-password";
/// The name of the secret with the password of the database.
pub const DATABASE_PASSWORD: &str = "database-password";
/// The name of the secret with the password of the cache.
pub const CACHE_PASSWORD: &str = "cache-password";

/// More threads than this gain nothing: the database is what answers wait for.
const MOST_THREADS: usize = 16;

kit::settings! {
    /// `/etc/rack/config.json`, written by the service's module.
    pub struct Config {
        /// Where to listen, and the limits for requests.
        #[serde(deserialize_with = "ours_unless_said")]
        pub http: HttpSettings = http();
        /// The database.
        pub database: DatabaseSettings = DatabaseSettings::default();
        /// The cache.
        pub cache: CacheSettings = CacheSettings::default();
        /// Who may see and do what.
        pub access: AccessSettings = AccessSettings::default();
        /// How much one caller may ask for.
        pub limits: LimitSettings = LimitSettings::default();
    }

    /// The PostgreSQL server. Its password is a secret: credential `rack.database-password`.
    pub struct DatabaseSettings {
        /// The folder of its socket, or its name or address.
        pub host: String = "/run/postgresql".into();
        /// Its port, which also names the socket.
        pub port: u16 = 5432;
        /// The database.
        pub name: String = "rack".into();
        /// The role to log in as.
        pub user: String = "rack".into();
        /// Whether the connection is encrypted.
        pub tls: Tls = Tls::Off;
        /// A file with the certificates of the authorities that are trusted [default: the public ones].
        pub authority: Option<PathBuf> = None;
        /// Connections that are kept.
        pub connections: usize = 20, in 1..=500;
        /// Further connections when all are in use; they are closed once they are idle.
        pub overflow: usize = 10, in 0..=500;
        /// The time limit for a new connection.
        pub connect_seconds: u64 = 5, in 1..=60;
        /// How long a request waits for a connection when all are in use.
        pub wait_seconds: u64 = 5, in 1..=60;
        /// The time limit for one statement.
        pub statement_seconds: u64 = 10, in 1..=600;
    }

    /// The server that speaks Redis's protocol. Its password is a secret: credential `rack.cache-password`.
    pub struct CacheSettings {
        /// Whether there is one. Without it everything is read from the database, and requests are counted in memory.
        pub enabled: bool = true;
        /// The path of its socket, or `redis://HOST:PORT/DATABASE`; with TLS, `rediss://…`.
        pub address: String = "/run/redis-rack/redis.sock".into();
        /// A file with the certificates of the authorities that are trusted [default: the public ones].
        pub authority: Option<PathBuf> = None;
        /// What the names of all keys begin with, so that several planners may share a server.
        pub prefix: String = "rack:".into();
        /// The time limit for a new connection.
        pub connect_milliseconds: u64 = 2_000, in 10..=60_000;
        /// The time limit for an answer. What takes longer is read from the database.
        pub answer_milliseconds: u64 = 500, in 10..=60_000;
    }

    /// Who may see and do what. The password of the user `admin` is a secret: credential `rack.admin-password`.
    pub struct AccessSettings {
        /// Whether everybody may look without a login.
        pub public_view: bool = false;
        /// How long a login lasts.
        pub session_hours: u32 = 24, in 1..=8_760;
        /// Proxies, beside those on this machine, whose word is taken for where a request comes from and whether it came by TLS.
        pub trusted_proxies: Vec<IpAddr> = Vec::new();
    }

    /// How much one caller may ask for.
    pub struct LimitSettings {
        /// Requests of one user, token or, without a login, address in a minute; 0 does not limit them.
        pub requests_per_minute: u32 = 6_000, in 0..=1_000_000;
        /// Logins that are tried for one name, and from one address, in a minute; 0 does not limit them.
        pub logins_per_minute: u32 = 20, in 0..=10_000;
        /// The longest that one optimisation may take.
        pub optimise_milliseconds: u32 = 1_000, in 10..=60_000;
    }
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// It is not: for a socket, or a network of one's own.
    Off,
    /// It is, and the server's certificate is checked.
    Require,
}

/// The limits of a service that thousands of browsers are connected to, through nginx or without it.
fn http() -> HttpSettings {
    HttpSettings {
        port: 8084,
        max_connections: 5_000,
        request_timeout_seconds: 120,
        // Longer than nginx keeps its connections to a server, which is 60 s: otherwise one is closed just as it is used.
        idle_timeout_seconds: 75,
        max_body_bytes: 10 << 20,
        drain_seconds: 30,
        ..HttpSettings::default()
    }
}

/// The section `http`, where what is not said is ours and not what most services have.
fn ours_unless_said<'de, D: Deserializer<'de>>(from: D) -> Result<HttpSettings, D::Error> {
    let mut said = Map::<String, Value>::deserialize(from)?;
    let ours = http();
    for (name, value) in [
        ("port", json!(ours.port)),
        ("max_connections", json!(ours.max_connections)),
        (
            "request_timeout_seconds",
            json!(ours.request_timeout_seconds),
        ),
        ("idle_timeout_seconds", json!(ours.idle_timeout_seconds)),
        ("max_body_bytes", json!(ours.max_body_bytes)),
        ("drain_seconds", json!(ours.drain_seconds)),
    ] {
        said.entry(name).or_insert(value);
    }
    serde_path_to_error::deserialize(Value::Object(said))
        .map_err(|error| D::Error::custom(format!("{}: {}", error.path(), error.inner())))
}

impl DatabaseSettings {
    /// The time limit for a new connection.
    pub fn connect(&self) -> Duration {
        Duration::from_secs(self.connect_seconds)
    }

    /// How long a request waits for a connection.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_seconds)
    }

    /// The time limit for one statement.
    pub fn statement(&self) -> Duration {
        Duration::from_secs(self.statement_seconds)
    }
}

impl CacheSettings {
    /// The time limit for a new connection.
    pub fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_milliseconds)
    }

    /// The time limit for an answer.
    pub fn answer(&self) -> Duration {
        Duration::from_millis(self.answer_milliseconds)
    }
}

impl AccessSettings {
    /// How long a login lasts.
    pub fn session(&self) -> Duration {
        Duration::from_secs(u64::from(self.session_hours) * 3600)
    }
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.min(MOST_THREADS)
    }

    fn check(&self) -> Result<(), String> {
        self.database.in_range("database.")?;
        self.cache.in_range("cache.")?;
        self.access.in_range("access.")?;
        self.limits.in_range("limits.")?;
        for (name, value) in [
            ("database.host", &self.database.host),
            ("database.name", &self.database.name),
            ("database.user", &self.database.user),
            ("cache.address", &self.cache.address),
        ] {
            if value.trim().is_empty() || value.contains(char::is_control) {
                return Err(format!("{name}: must not be empty"));
            }
        }
        let socket = self.database.host.starts_with('/');
        if socket && self.database.tls == Tls::Require {
            return Err("database.tls: there is no TLS on a socket".into());
        }
        let schemes = ["/", "redis://", "rediss://"];
        let is_known = |scheme| self.cache.address.starts_with(scheme);
        if !schemes.into_iter().any(is_known) {
            return Err(
                "cache.address: must be the path of a socket, redis://… or rediss://…".into(),
            );
        }
        if self.cache.address.contains('@') {
            return Err(
                "cache.address: a password is a secret: set the credential rack.cache-password"
                    .into(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn what_is_not_said_of_http_is_what_a_planner_needs() {
        let config = read(r#"{"http":{"port":9000}}"#).unwrap();
        let http = config.http;
        assert_eq!(
            (http.port, http.max_connections, http.max_body_bytes),
            (9000, 5_000, 10 << 20)
        );
        assert_eq!(read("{}").unwrap().http.port, 8084);
        let problem = read(r#"{"http":{"max_connections":"many"}}"#).unwrap_err();
        assert!(problem.contains("max_connections: "), "{problem}");
        assert!(
            read(r#"{"http":{"ports":1}}"#)
                .unwrap_err()
                .contains("ports")
        );
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (text, complaint) in [
            (r#"{"database":{"connections":0}}"#, "database.connections"),
            (r#"{"database":{"host":" "}}"#, "database.host"),
            (r#"{"database":{"tls":"require"}}"#, "no TLS on a socket"),
            (r#"{"cache":{"address":"redis.sock"}}"#, "cache.address"),
            (
                r#"{"cache":{"address":"redis://:secret@host"}}"#,
                "rack.cache-password",
            ),
            (r#"{"access":{"session_hours":0}}"#, "access.session_hours"),
            (r#"{"limits":{"optimise_milliseconds":1}}"#, "limits."),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(complaint), "{text}: {problem}");
        }
    }
}
