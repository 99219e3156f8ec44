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
pub mod heartbeat;
pub mod http;
pub mod import;
pub mod leds;
pub mod machine;
mod mp4;
pub mod schedule;
pub mod session;
pub mod upload;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::Kit;

use camera::Camera;
use clock::Clock;
use config::Config;
use control::{Control, Parts, Status};
use heartbeat::Heartbeat;
use schedule::Schedule;
use session::{Library, Session};
use upload::{Uploads, Video};

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
    // The table of the uploads is made with the sessions'.
    let _ = library.counts().await;
    let database = directory.join(session::DATABASE);
    let uploads = Arc::new(Uploads::start(
        &kit,
        config.uploads,
        &database,
        clock.clone(),
    )?);
    let [sent, finished, woken] = [(); 3].map(|()| uploads.clone());
    let parts = Parts {
        camera: Camera::new(config.camera, clock.clone()),
        library: library.clone(),
        schedule: Schedule::new(&config.schedule),
        space: config.space,
        longest: Duration::from_secs_f64(config.session.longest_hours * 3600.0),
        videos,
        clock,
        sent: Arc::new(move |id| sent.is_sent(id)),
        finished: Box::new(move |session| {
            if let Some(video) = video_of(session) {
                finished.add(video);
            }
        }),
        wake_uploads: Box::new(move || woken.wake()),
    };
    let (control, ended) = control::start(&kit, parts);
    gpio::start(&kit, &config.gpio, control.clone())?;
    let (of, from, to) = (kit.clone(), control.clone(), uploads.clone());
    let beat = move || heartbeat::beat(&of, &from, &to);
    let heartbeat = Heartbeat::start(&kit, heartbeat::path(), beat)?;
    let (of, sent) = (control.clone(), uploads.clone());
    kit.describe(move || in_words(&of.status(), sent.snapshot().queue_size));
    let credentials = kit.credentials();
    let token = credentials
        .get(http::TOKEN)
        .with_context(|| format!("credential {}", credentials.full_name(http::TOKEN)))?;
    let sources = http::Sources::new(
        &kit,
        control.clone(),
        library.clone(),
        uploads,
        heartbeat,
        token,
    );
    http::register_metrics(&kit, &sources);
    if let Some(told) = world.told {
        told.send((control, library))?;
    }
    let served = kit.serve(http::routes(sources)).await;
    // What is being recorded is ended in good order.
    ended.await?;
    served
}

/// What the recorder is doing, in a line for those who look after the device.
fn in_words(status: &Status, waiting: u64) -> String {
    let mut words = status.state.word().to_owned();
    if let (true, Some(format)) = (status.is_recording(), &status.camera.format) {
        words += &format!(" {format}");
    }
    let free = status.disk.free_bytes as f64 / 1e9;
    format!("{words}, {free:.1} GB free, {waiting} waiting for upload")
}

/// What is uploaded of a finished session, if it still has its video.
fn video_of(session: Session) -> Option<Video> {
    Some(Video {
        session: session.id,
        title: title(session.started_at_ms),
        path: session.path?,
        bytes: session.bytes,
        sha256: session.sha256?,
        recorded_at_ms: session.started_at_ms,
        duration_ms: session.duration_ms,
    })
}

/// What people call a recording: by when it began, in the device's time.
fn title(started_at_ms: i64) -> String {
    let started = Timestamp::from_millisecond(started_at_ms).unwrap_or_default();
    let started = started.to_zoned(TimeZone::system());
    started.strftime("Recording of %Y-%m-%d %H:%M").to_string()
}
