//! Uploads that wait are tried at once when a recording is finished.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use recorder::camera::Camera;
use recorder::clock::Clock;
use recorder::config::Config;
use recorder::control::{self, Parts};
use recorder::machine::By;
use recorder::schedule::Schedule;
use recorder::session::Library;
use support::*;

#[test]
fn a_finished_recording_wakes_the_uploads() {
    needs_ffmpeg();
    let directory = tempfile::tempdir().unwrap();
    let all = settings(directory.path());
    let config: Config = serde_json::from_value(all).unwrap();
    let videos = directory.path().join("videos");
    std::fs::create_dir_all(&videos).unwrap();
    let (woken, finished) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let (wakes, finishes) = (woken.clone(), finished.clone());
    let place = directory.path().to_owned();
    let (tell, told) = mpsc::channel();
    let service = Running::start("recorder", config, None, |config, kit| async move {
        let clock = Clock::new();
        let library = Library::start(&kit, &place, &videos, clock.clone())?;
        let parts = Parts {
            camera: Camera::new(config.camera, clock.clone()),
            library,
            schedule: Schedule::new(&config.schedule),
            space: config.space,
            longest: Duration::from_secs(3600),
            videos,
            clock,
            sent: Arc::new(|_| false),
            finished: Box::new(move |_| {
                finishes.fetch_add(1, SeqCst);
            }),
            wake_uploads: Box::new(move || {
                wakes.fetch_add(1, SeqCst);
            }),
        };
        let (control, ended) = control::start(&kit, parts);
        tell.send(control)?;
        kit.serve(axum::Router::new()).await?;
        Ok(ended.await?)
    });
    let control = told.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    eventually("it records", || {
        runtime.block_on(control.start(By::Http)).ok()?;
        (control.status().camera.frames > 5).then_some(())
    });
    // The network was found meanwhile, if there is one here.
    let before = woken.load(SeqCst);
    runtime.block_on(control.stop(By::Http)).unwrap();
    eventually("the uploads are woken", || {
        (woken.load(SeqCst) > before).then_some(())
    });
    assert_eq!(finished.load(SeqCst), 1);
    assert!(before <= 1, "{before}");
    service.stop();
}
