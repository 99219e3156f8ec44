//! Temperature and humidity of a server room, measured with a Sense HAT.
//!
//! Three workers and a server, so that none slows another down: *sampling* measures, the *history* judges and stores
//! readings, the *delivery* sends alerts, and the HTTP side answers from memory.

pub mod alert;
pub mod config;
pub mod history;
mod http;
pub mod import;
pub mod reading;
pub mod sampling;
pub mod sensor;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kit::{Kit, Soc};

use alert::{Judge, Outbox, SharedWebhook, Texts};
use config::Config;
use history::History;
use reading::SharedRoom;
use sensor::Sensor;

/// The environment of the service; tests replace parts of it.
pub struct World {
    /// The sensor; none for the configured one.
    pub sensor: Option<Box<dyn Sensor>>,
    /// The processor whose heat is compensated.
    pub soc: Soc,
    /// The length of a second in the retry settings.
    pub second: Duration,
}

impl Default for World {
    fn default() -> Self {
        World {
            sensor: None,
            soc: Soc::default(),
            second: Duration::from_secs(1),
        }
    }
}

/// Runs the service until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    run_in(World::default(), config, kit).await
}

/// Runs the service in a given environment until it is asked to stop.
pub async fn run_in(world: World, mut config: Config, kit: Kit) -> anyhow::Result<()> {
    if config.sensor.kind == config::SensorKind::Simulated {
        // A simulated room is not heated by this machine's processor.
        config.sensor.compensation.factor = 0.0;
    }
    let credentials = kit.credentials();
    let webhook = match SharedWebhook::new(&config, credentials.get("slack-webhook-url")?) {
        Ok(webhook) => webhook,
        Err(problem) => {
            // A room that is monitored without alerts is better than a room that is not monitored.
            let name = credentials.full_name("slack-webhook-url");
            let problem = format!("alerts cannot be sent: credential {name}: {problem}");
            kit.component("webhook address").degraded(problem);
            SharedWebhook::new(&config, None)?
        }
    };
    let webhook = Arc::new(webhook);
    let (room, outbox, texts) = (
        Arc::new(SharedRoom::default()),
        Arc::new(Outbox::default()),
        Texts::of_this_host(),
    );

    // Each worker feeds those started before it and is stopped before them, so the last readings are still written.
    let judge = Judge::new(
        webhook.clone(),
        outbox.clone(),
        texts.clone(),
        config.status.clone(),
    );
    let alerts = judge.shared();
    let settings = history::Settings {
        path: history_path(&config),
        retention_days: config.history.retention_days,
    };
    let history = History::start(&kit, settings, judge, outbox.clone(), webhook.clone())?;
    let delivered = history.clone();
    let delivered = move |key| delivered.delivered(key);
    alert::deliver(
        &kit,
        outbox.clone(),
        webhook.clone(),
        delivered,
        world.second,
    )?;
    let sensor = world.sensor.unwrap_or_else(|| sensor::open(&config.sensor));
    let settings = config.sensor;
    let (to_room, to_history) = (room.clone(), history.clone());
    sampling::start(&kit, settings, sensor, world.soc, to_room, to_history)?;

    let sources = Arc::new(http::Sources {
        room,
        history,
        alerts,
        webhook,
        outbox,
        token: credentials.get("bearer-token")?,
        token_name: credentials.full_name("bearer-token"),
        texts,
    });
    http::extend_health(&kit);
    http::register_metrics(&kit, &sources);
    kit.serve(http::routes(sources)).await
}

/// The path of the history's file for a configuration.
pub fn history_path(config: &Config) -> Option<PathBuf> {
    let directory = config.history.directory.clone();
    Some(directory.or_else(kit::state_directory)?.join(history::FILE))
}
