//! A camera far away: records, uploads, heals itself, and reports.
//!
//! ffmpeg records, and this service decides and watches: the [control] is the one task that owns the [machine], the camera
//! and the session that is being recorded; the *sessions* are a worker that owns the database and the folders. Whoever shows
//! something reads it from memory.

pub mod camera;
pub mod clock;
pub mod config;
pub mod control;
pub mod gpio;
pub mod leds;
pub mod machine;
mod mp4;
pub mod schedule;
pub mod session;
pub mod upload;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kit::Kit;

use camera::Camera;
use clock::Clock;
use config::Config;
use control::{Control, Parts};
use schedule::Schedule;
use session::Library;

/// The environment of the service; tests replace it.
#[derive(Debug, Default)]
pub struct World {
    /// The clock.
    pub clock: Clock,
    /// Is told the handles of the service once it has started.
    pub told: Option<std::sync::mpsc::Sender<(Control, Library)>>,
}

/// Runs the service until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    run_in(World::default(), config, kit).await
}

/// Runs the service in a given environment until it is asked to stop.
pub async fn run_in(world: World, config: Config, kit: Kit) -> anyhow::Result<()> {
    let clock = world.clock;
    let directories = config.data.directory().zip(config.data.videos());
    let (directory, videos) = directories
        .context("there is no directory for recordings: set data.directory or $STATE_DIRECTORY")?;
    for path in [&directory, &videos] {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let library = Library::start(&kit, &directory, &videos, clock.clone())?;
    let parts = Parts {
        camera: Camera::new(config.camera, clock.clone()),
        library: library.clone(),
        schedule: Schedule::new(&config.schedule),
        space: config.space,
        longest: Duration::from_secs_f64(config.session.longest_hours * 3600.0),
        videos,
        clock,
        sent: Arc::new(|_| true),
        finished: Box::new(|_| ()),
    };
    let (control, ended) = control::start(&kit, parts);
    gpio::start(&kit, &config.gpio, control.clone())?;
    if let Some(told) = world.told {
        told.send((control, library))?;
    }
    let served = kit.serve(axum::Router::new()).await;
    // What is being recorded is ended in good order.
    ended.await?;
    served
}
