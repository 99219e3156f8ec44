//! Keeps a camera recording: one part after the other, for ever, with a report of each gap between them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch as signal};

use super::watch::{self, Ended};
use super::{Camera, Event, ffmpeg};

/// The pause before a failed camera is tried again; doubled up to the longest one.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Keeps a camera recording.
pub struct Supervisor {
    camera: Camera,
    folder: PathBuf,
    stopped: signal::Receiver<bool>,
    part: signal::Sender<Option<PathBuf>>,
    report: mpsc::UnboundedSender<Event>,
    /// The camera and format of this session.
    format: Option<(String, String)>,
    last_frame_up_ms: Option<i64>,
    /// Why frames stopped coming.
    lost: Option<String>,
}

impl Supervisor {
    /// A supervisor that writes parts into `folder` until `stopped` says so, names the current one by `part`, and reports.
    pub fn new(
        camera: Camera,
        folder: &Path,
        stopped: signal::Receiver<bool>,
        part: signal::Sender<Option<PathBuf>>,
        report: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Supervisor {
            camera,
            folder: folder.into(),
            stopped,
            part,
            report,
            format: None,
            last_frame_up_ms: None,
            lost: None,
        }
    }

    pub async fn run(mut self) {
        self.keep_recording().await;
        if let Some(at_up_ms) = self.last_frame_up_ms {
            self.tell(Event::Ended { at_up_ms });
        }
    }

    async fn keep_recording(&mut self) {
        let (mut failures, mut number) = (0, 0);
        while !*self.stopped.borrow() {
            let part = self.folder.join(format!("part-{number:03}.mp4"));
            let before = self.last_frame_up_ms;
            let ended = self.record(&part).await;
            self.part.send_replace(None);
            if self.last_frame_up_ms == before {
                // Nothing came: it would be one of very many useless files if the camera stays away for days.
                let _ = tokio::fs::remove_file(&part).await;
            } else {
                number += 1;
                failures = 0;
            }
            match ended {
                Ended::Stopped => return,
                Ended::Failed(why) => {
                    failures += 1;
                    self.tell(Event::Lost(why.clone()));
                    self.lost = Some(why);
                }
                Ended::Changed => return self.tell(Event::Changed),
            }
            let pause = kit::back_off(FIRST_RETRY, failures, LONGEST_RETRY);
            let stopped = self.stopped.wait_for(|stopped| *stopped);
            let _ = tokio::time::timeout(pause, stopped).await;
        }
    }

    /// Records one part.
    async fn record(&mut self, part: &Path) -> Ended {
        let found = match self.camera.find() {
            Ok(found) => found,
            Err(why) => return Ended::Failed(why),
        };
        let choice = match self.camera.negotiate(&found).await {
            Ok(choice) => choice,
            Err(why) => return Ended::Failed(why),
        };
        let format = (found.name.clone(), choice.to_string());
        if self.format.get_or_insert_with(|| format.clone()) != &format {
            return Ended::Changed;
        }
        let (name, format) = format;
        self.tell(Event::Negotiated { name, format });
        self.part.send_replace(Some(part.into()));
        let settings = &self.camera.settings;
        let words = ffmpeg::record(&found.input, &choice, settings, part);
        let mut watched = match watch::start(&words, part, settings.limits()) {
            Ok(watched) => watched,
            Err(why) => return Ended::Failed(why),
        };
        let mut stopped = self.stopped.clone();
        loop {
            let progress = match watched.next(&mut stopped).await {
                Ok(progress) => progress,
                Err(ended) => return ended,
            };
            let now_up_ms = self.camera.clock.up_ms();
            let first_up_ms = now_up_ms - progress.length_ms.unwrap_or(0);
            match (self.last_frame_up_ms, self.lost.take()) {
                (None, _) => {
                    let mut begun = self.camera.clock.moment();
                    begun.at_ms -= begun.up_ms - first_up_ms;
                    begun.up_ms = first_up_ms;
                    self.tell(Event::Begun(begun));
                }
                (Some(from_up_ms), Some(why)) => {
                    let to_up_ms = first_up_ms.max(from_up_ms);
                    let gap = Event::Gap {
                        from_up_ms,
                        to_up_ms,
                        why,
                    };
                    self.tell(gap);
                }
                (Some(_), None) => {}
            }
            self.last_frame_up_ms = Some(now_up_ms);
            let (count, fps) = (progress.new_frames, progress.fps);
            self.tell(Event::Frames { count, fps });
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.report.send(event);
    }
}
