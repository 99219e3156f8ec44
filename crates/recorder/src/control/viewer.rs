//! Makes live pictures as long as somebody looks at them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Shared;
use crate::camera::{Camera, live};

/// The task that makes live pictures, if somebody looks.
#[derive(Debug)]
pub struct Viewer {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

impl Viewer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Viewer { shared, task: None }
    }

    /// Begins or ends it, depending on whether somebody looks. Pictures are made of the parts of the recording or, if there
    /// is none, of the camera.
    pub fn look_after(&mut self, parts: Option<watch::Receiver<Option<PathBuf>>>, camera: &Camera) {
        if !self.shared.is_looked_at() {
            return self.stop();
        }
        if self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (shared, camera) = (self.shared.clone(), camera.clone());
        self.task = Some(tokio::spawn(async move {
            let show = |picture| shared.show(picture);
            let outcome = match parts {
                Some(parts) => live::follow(parts, show).await,
                None => live::preview(&camera, show).await,
            };
            if let Err(error) = outcome {
                tracing::debug!("no live pictures: {error:#}");
            }
        }));
    }

    /// Ends it: the camera is about to be used, or what it looked at is over.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
