//! The configuration of the recorder. The defaults apply to an empty file.

use std::path::PathBuf;

use kit::{Configuration, HttpSettings};

use crate::camera::{CameraSettings, Source};
use crate::gpio::GpioSettings;
use crate::schedule::ScheduleSettings;
use crate::session::SpaceSettings;
use crate::upload;

kit::settings! {
    /// `/etc/recorder/config.json`, written by the service's module.
    pub struct Config {
        /// Where to listen, and the limits for requests.
        pub http: HttpSettings = HttpSettings { port: 8083, ..HttpSettings::default() };
        /// Where recordings are kept.
        pub data: DataSettings = DataSettings::default();
        /// The camera, and how it is recorded.
        pub camera: CameraSettings = CameraSettings::default();
        /// When to record without being asked.
        pub schedule: ScheduleSettings = ScheduleSettings::default();
        /// How long a session may become.
        pub session: SessionSettings = SessionSettings::default();
        /// How much room recordings may take.
        pub space: SpaceSettings = SpaceSettings::default();
        /// Buttons and LEDs.
        pub gpio: GpioSettings = GpioSettings::default();
        /// Where recordings are uploaded to, and when.
        pub uploads: upload::Settings = upload::Settings::default();
    }

    /// Where recordings are kept.
    pub struct DataSettings {
        /// The directory of the database [default: $STATE_DIRECTORY].
        pub directory: Option<PathBuf> = None;
        /// The directory of the recordings themselves [default: `videos` beside the database].
        pub videos: Option<PathBuf> = None;
    }

    /// How long a session may become.
    pub struct SessionSettings {
        /// A longer recording continues in a new session.
        pub longest_hours: f64 = 12.0, in 0.001..=168.0;
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
        self.session.in_range("session.")
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
