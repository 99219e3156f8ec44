//! Configuration: one JSON file, written by the service's module and read once.
//!
//! Unknown keys are refused. Every error names the file and the path of the value, so that it makes sense to someone
//! who set an option and never saw this file.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;

/// Exit status for a bad configuration (EX_USAGE of sysexits): restarting would not help.
pub const EXIT_CONFIG: u8 = 64;

/// What the kit needs to know about a service's configuration. `Default` is the configuration in an empty file.
pub trait Configuration: DeserializeOwned + Default + Send + 'static {
    /// Where and how to serve HTTP.
    fn http(&self) -> &HttpSettings;

    /// Threads that serve requests. One thread serves hundreds of requests a second; each further one costs memory.
    fn threads(&self) -> usize {
        1
    }

    /// Checks what the types cannot express. An error names the path of the value: `alerts.min: …`.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Replaces the hardware with its simulation (`--simulate`); a service without hardware needs no own
    /// implementation.
    fn simulate(&mut self) {}
}

crate::settings! {
    /// Where to listen, and the limits for requests.
    pub struct HttpSettings {
        /// Address to listen on; `::` also takes IPv4.
        pub address: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        /// Port to listen on.
        pub port: u16 = 8080;
        /// Separate port for `/metrics` and `/health…`; without it, they are served on the main port.
        pub metrics_port: Option<u16> = None;
        /// Connections served at once, of which one address may have a third; further ones get a 503.
        pub max_connections: usize = 50, in 1..=10_000;
        /// A request that takes longer is answered with 503.
        pub request_timeout_seconds: u64 = 120, in 1..=86_400;
        /// A connection that sends no request for this long is closed.
        pub idle_timeout_seconds: u64 = 15, in 1..=86_400;
        /// Largest request body; it has to fit into memory.
        pub max_body_bytes: usize = 64 * 1024, in 0..=64 << 20;
        /// After SIGTERM, requests in progress have this long to finish.
        pub drain_seconds: u64 = 10, in 0..=3600;
    }
}

impl HttpSettings {
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    fn check(&self) -> Result<(), String> {
        self.in_range("http.")?;
        match self.metrics_port == Some(self.port) {
            true => Err("http.metrics_port: must differ from http.port".into()),
            false => Ok(()),
        }
    }
}

/// The configuration of a service without settings of its own, for tests.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bare {
    /// Where to listen, and the limits for requests.
    pub http: HttpSettings,
}

#[cfg(any(test, feature = "testing"))]
impl Configuration for Bare {
    fn http(&self) -> &HttpSettings {
        &self.http
    }
}

/// Reads and checks a configuration file.
pub(crate) fn read_config<C: Configuration>(path: &Path) -> anyhow::Result<C> {
    let in_file = || format!("configuration {}", path.display());
    let text = std::fs::read(path).with_context(in_file)?;
    let config = parse_config(&text).map_err(anyhow::Error::msg);
    config.with_context(in_file)
}

fn parse_config<C: Configuration>(text: &[u8]) -> Result<C, String> {
    // serde would otherwise accept a list as the values of an object, in order.
    if text
        .trim_ascii_start()
        .first()
        .is_some_and(|first| *first != b'{')
    {
        return Err("expected an object: { … }".into());
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let config: C = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => error.inner().to_string(),
            _ => format!("{path}: {}", error.inner()),
        }
    })?;
    json.end().map_err(|error| error.to_string())?;
    config.http().check()?;
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        http: HttpSettings,
        limits: Limits,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        low: f64,
        high: f64,
    }

    impl Configuration for Config {
        fn http(&self) -> &HttpSettings {
            &self.http
        }
        fn check(&self) -> Result<(), String> {
            match self.limits.low <= self.limits.high {
                true => Ok(()),
                false => Err("limits.low: is above limits.high".into()),
            }
        }
    }

    fn problem(text: &str) -> String {
        parse_config::<Config>(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn an_empty_object_is_the_defaults() {
        let config: Config = parse_config(b"{}").unwrap();
        let http = config.http;
        assert_eq!((http.address.to_string().as_str(), http.port), ("::", 8080));
    }

    #[test]
    fn a_mistake_is_named_by_its_path() {
        assert!(problem(r#"{"limits":{"low":"x"}}"#).starts_with("limits.low: invalid type"));
        assert!(problem(r#"{"limits":{"lov":1}}"#).starts_with("limits.lov: unknown field `lov`"));
        assert_eq!(
            problem(r#"{"limits":{"low":2,"high":1}}"#),
            "limits.low: is above limits.high"
        );
        for name in [
            "max_connections",
            "request_timeout_seconds",
            "idle_timeout_seconds",
            "max_body_bytes",
            "drain_seconds",
        ] {
            let no_end = format!(r#"{{"http":{{"{name}":{}}}}}"#, u64::MAX);
            let named = format!("http.{name}: must be between ");
            assert!(problem(&no_end).starts_with(&named), "{no_end}");
        }
    }

    #[test]
    fn a_cut_off_file_is_refused_as_such() {
        assert!(problem(r#"{"limits":{"low":1"#).contains("EOF"));
        assert!(problem(r#"{} {}"#).contains("trailing"));
        assert!(problem("").contains("EOF"));
        assert_eq!(problem("[]"), "expected an object: { … }");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_config::<Config>(Path::new("/nonexistent/config.json")).unwrap_err();
        let problem = format!("{error:#}");
        assert!(problem.starts_with("configuration /nonexistent/config.json: "));
    }
}
