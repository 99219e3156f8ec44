//! The service kit: a service's whole life, the same for every service.
//!
//! A service is a configuration type and one async function. The kit reads and checks the
//! configuration, sets up logs, tells systemd when the service is ready and alive, serves `/health` and
//! `/metrics` beside the service's own routes, and drains it on SIGTERM:
//!
//! ```no_run
//! # #[derive(serde::Deserialize, Default)] struct Config { http: kit::HttpSettings }
//! # impl kit::Configuration for Config {
//! #     fn http(&self) -> &kit::HttpSettings { &self.http }
//! #     fn simulate(&mut self) {}
//! # }
//! fn main() -> std::process::ExitCode {
//!     let args = <kit::Args as clap::Parser>::parse();
//!     kit::main("hello", args, |_config: Config, kit| async move {
//!         let routes = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
//!         kit.serve(routes).await
//!     })
//! }
//! ```
//!
//! One idea per file. The kit knows no service, and no service repeats what is here.

mod args;
pub mod clock;
mod config;
mod credentials;
#[cfg(feature = "database")]
pub mod database;
mod disk;
mod health;
mod http;
pub mod import;
mod kit;
mod life;
#[cfg(feature = "testing")]
pub mod load;
mod logs;
mod metrics;
mod notify;
pub mod page;
mod process;
mod readiness;
mod shutdown;
mod soc;
#[cfg(feature = "testing")]
pub mod testing;
mod watchdog;
mod worker;

pub use args::Args;
pub use config::{Configuration, EXIT_CONFIG, HttpSettings, read_config};
pub use credentials::{Credentials, Secret};
pub use health::{Component, Condition, Name};
pub use kit::Kit;
pub use life::{job, main, report};
pub use logs::terminal as log_to_terminal;
pub use process::ProcessUsage;
pub use readiness::Latch;
pub use shutdown::Shutdown;
pub use soc::Soc;
pub use watchdog::Heartbeat;
pub use worker::{Actor, Unanswered, Worker};

pub use prometheus_client;
