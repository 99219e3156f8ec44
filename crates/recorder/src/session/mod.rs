//! Sessions: what was recorded between a start and a stop.
//!
//! A session is a row in `recorder.sqlite` and a folder of files. While it is recorded, the folder holds parts: a part ends
//! when the camera fails, and the next one begins when it is back. Afterwards the parts become one video.

use std::path::PathBuf;

use serde::Serialize;

/// What has become of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It is being recorded.
    Recording,
    /// Its parts have to be joined and checked.
    Processing,
    /// Its video is complete.
    Finished,
    /// No video could be made of its parts, or the video is not what was recorded.
    Corrupted,
}

/// A time in which nothing was recorded although it should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When it began, in milliseconds since 1970. The video does not contain it: what was recorded after it follows at once.
    pub at_ms: i64,
    /// How long it was.
    pub length_ms: i64,
    /// Why.
    pub why: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its number, also the name of its folder.
    pub id: i64,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// How long the video plays; while it is recorded, how long that has lasted.
    pub duration_ms: i64,
    /// The size of its files.
    pub bytes: u64,
    /// What has become of it.
    pub state: SessionState,
    /// Where it is broken.
    pub gaps: Vec<Gap>,
    /// How it is recorded, such as `h264 1920x1080, 30/s, copied`.
    pub format: String,
    /// The video; none before it is complete, or after it was removed to make room.
    pub path: Option<PathBuf>,
    /// A picture of it.
    pub thumbnail: Option<PathBuf>,
    /// The SHA-256 of the video, in hexadecimal digits.
    pub sha256: Option<String>,
    /// What is wrong with it, if anything is.
    pub why: Option<String>,
    /// When its files were removed to make room, in milliseconds since 1970.
    pub removed_at_ms: Option<i64>,
}
