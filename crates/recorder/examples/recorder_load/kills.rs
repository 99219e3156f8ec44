//! What a kill costs: a recorder is killed again and again while it records, and then one is asked what is left.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kit::load::{Measured, spread};
use kit::testing::Running;
use recorder::session::SessionState;
use recorder::{World, run_in};
use serde_json::{Value, json};

use crate::config;

/// The folder of its own, and how it records there.
const WAY: &str = "kills";
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

/// Kills so many recorders, one after the other; returns how much each kill lost, in milliseconds.
pub fn measure(directory: &Path, kills: usize) -> Result<Value> {
    let place = directory.to_str().context("the directory has no name")?;
    let mut killed = Vec::new();
    for round in 1..=kills {
        let service = Measured::start(&[WAY, place], "/health/ready")?;
        let part = directory.join(format!("{WAY}/videos/{round}/part-000.mp4"));
        wait("a recording", || {
            Ok(std::fs::metadata(&part).is_ok_and(|part| part.len() > 10_000))
        })?;
        // At any moment of a fragment.
        std::thread::sleep(Duration::from_millis(900 + fastrand::u64(..600)));
        killed.push(kit::clock::now_ms());
        drop(service);
    }
    let (tell, told) = mpsc::channel();
    let world = World {
        told: Some(tell),
        ..World::default()
    };
    let config = config(WAY, directory)?;
    let service = Running::start("recorder", config, None, |config, kit| {
        run_in(world, config, kit)
    });
    let (_control, library) = told.recv()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut lost = Vec::new();
    for (index, at_ms) in killed.into_iter().enumerate() {
        let id = index as i64 + 1;
        let mut session = None;
        wait("a finished session", || {
            session = runtime.block_on(library.get(id))?;
            let state = session.as_ref().map(|session| session.state);
            ensure!(state != Some(SessionState::Corrupted), "{session:?}");
            Ok(state == Some(SessionState::Finished))
        })?;
        let session = session.context("it is finished")?;
        let lost_ms = at_ms - session.started_at_ms - session.duration_ms;
        lost.push(u64::try_from(lost_ms).unwrap_or(0));
    }
    service.stop();
    Ok(json!({ "count": kills, "lost_ms": spread(lost) }))
}

fn wait(what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is()? {
        ensure!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
