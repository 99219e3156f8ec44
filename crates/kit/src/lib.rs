//! The service kit: the life cycle that all services share.
//!
//! A service is a configuration type and one async function. The kit reads and checks the configuration, sets up logs,
//! notifies systemd when the service is ready and alive, serves `/health` and `/metrics` together with the service's
//! own routes, and drains it on SIGTERM:
//!
//! ```no_run
//! # #[derive(serde::Deserialize, Default)] struct Config { http: kit::HttpSettings }
//! # impl kit::Configuration for Config {
//! #     fn http(&self) -> &kit::HttpSettings { &self.http }
//! # }
//! fn main() -> std::process::ExitCode {
//!     let run = |_config: Config, kit: kit::Kit| async move {
//!         let routes = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
//!         kit.serve(routes).await
//!     };
//!     kit::CommandLine::new(kit::service!("hello"), "Says hello", run).main()
//! }
//! ```
//!
//! Each file holds one idea. The kit knows no particular service, and services do not repeat what is here.

pub mod api;
mod args;
pub mod clock;
mod command_line;
mod config;
mod credentials;
#[cfg(feature = "database")]
pub mod database;
mod device;
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
#[cfg(feature = "database")]
mod owner;
pub mod page;
mod process;
mod readiness;
mod service;
mod settings;
mod shutdown;
mod soc;
#[cfg(feature = "testing")]
pub mod testing;
mod watchdog;
mod worker;

pub use back_off::{back_off, jittered};
pub use command_line::{CommandLine, EXIT_LATER, State};
pub use config::{Configuration, EXIT_CONFIG, HttpSettings};
pub use credentials::{Credentials, Secret};
pub use disk::state_directory;
pub use health::{Component, Condition, Name};
pub use kit::Kit;
pub use metrics::{Number, Table};
pub use process::ProcessUsage;
pub use readiness::Latch;
pub use service::Service;
pub use settings::{needs_range, within};
pub use shutdown::Shutdown;
pub use soc::Soc;
pub use watchdog::Heartbeat;
pub use worker::{Actor, Unanswered, Worker};
