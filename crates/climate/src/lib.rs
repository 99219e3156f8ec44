//! Temperature and humidity of a server room, measured with a Sense HAT.

pub mod config;
pub mod sensor;

use appliance::Kit;
use config::Config;

/// Runs the service until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    let _ = config;
    let routes = axum::Router::new();
    kit.serve(routes).await
}
