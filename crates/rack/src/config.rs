//! The configuration: config.json, written by the module.

use std::path::PathBuf;
use std::time::Duration;

kit::settings! {
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
