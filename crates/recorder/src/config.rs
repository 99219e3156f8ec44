//! The configuration of the recorder. The defaults apply to an empty file.

use std::path::PathBuf;

use kit::{Configuration, HttpSettings, within};
use serde::Deserialize;

use crate::camera::{CameraSettings, Source};
use crate::gpio::GpioSettings;
use crate::schedule::ScheduleSettings;
use crate::session::SpaceSettings;
use crate::upload;

/// `/etc/recorder/config.json`, written by the service's module.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, and the limits for requests.
    pub http: HttpSettings,
    /// Where recordings are kept.
    pub data: DataSettings,
    /// The camera, and how it is recorded.
    pub camera: CameraSettings,
    /// When to record without being asked.
    pub schedule: ScheduleSettings,
    /// How long a session may become.
    pub session: SessionSettings,
    /// How much room recordings may take.
    pub space: SpaceSettings,
    /// Buttons and lamps.
    pub gpio: GpioSettings,
    /// Where recordings are uploaded to, and when.
    pub uploads: upload::Settings,
}

/// Where recordings are kept.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// The directory of the database [default: $STATE_DIRECTORY].
    pub directory: Option<PathBuf>,
    /// The directory of the recordings themselves [default: `videos` beside the database].
    pub videos: Option<PathBuf>,
}

/// How long a session may become.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// A longer recording continues in a new session.
    pub longest_hours: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            http: HttpSettings {
                port: 8083,
                ..HttpSettings::default()
            },
            data: DataSettings::default(),
            camera: CameraSettings::default(),
            schedule: ScheduleSettings::default(),
            session: SessionSettings::default(),
            space: SpaceSettings::default(),
            gpio: GpioSettings::default(),
            uploads: upload::Settings::default(),
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings {
            longest_hours: 12.0,
        }
    }
}

impl DataSettings {
    /// The directory of the database, if there is one.
    pub fn directory(&self) -> Option<PathBuf> {
        self.directory.clone().or_else(kit::state_directory)
    }

    /// The directory of the recordings, if there is one.
    pub fn videos(&self) -> Option<PathBuf> {
        let beside = || Some(self.directory()?.join("videos"));
        self.videos.clone().or_else(beside)
    }
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn check(&self) -> Result<(), String> {
        let of = |section: &str, checked: Result<(), String>| {
            checked.map_err(|problem| format!("{section}.{problem}"))
        };
        of("camera", self.camera.check())?;
        of("schedule", self.schedule.check())?;
        of("space", self.space.check())?;
        of("gpio", self.gpio.check())?;
        of("uploads", self.uploads.check())?;
        let longest = self.session.longest_hours;
        within([("session.longest_hours", longest, 0.001..=168.0)])
    }

    fn simulate(&mut self) {
        self.camera.source = Source::Lavfi("testsrc2=size=640x360:rate=15".into());
        self.gpio = GpioSettings::default();
        // A simulation is tried on a machine that has no state directory and perhaps little room.
        if self.data.directory().is_none() {
            self.data.directory = Some(std::env::temp_dir().join("recorder-simulated"));
        }
        self.space.min_free_bytes = self.space.min_free_bytes.min(500_000_000);
        self.space.reserve_bytes = self.space.reserve_bytes.min(200_000_000);
    }
}
