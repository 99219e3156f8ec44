//! The locations of files, and the meaning of their names.
//!
//! A file has one name from its first byte to its key in the bucket: the key, with `,` in place of `/`. So
//! `active/` and `ready/` are flat directories (one fsync makes a name durable, one rename moves a file), and a file can
//! only ever become the same object.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::record::Stream;

/// The directories of one `raw/`.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// `raw/` in `directory`; creates its directories.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let place = Place::of(directory);
        for folder in [place.active(), place.ready(), place.synced()] {
            fs::create_dir_all(&folder)?;
        }
        for folder in [directory, &place.root] {
            durable::sync_folder(folder)?;
        }
        Ok(place)
    }

    /// `raw/` in `directory`, whether or not it exists.
    pub fn of(directory: &Path) -> Self {
        Place {
            root: directory.join("raw"),
        }
    }

    /// The directory of files that are being written.
    pub fn active(&self) -> PathBuf {
        self.root.join("active")
    }

    /// The directory of complete files, which are never changed again.
    pub fn ready(&self) -> PathBuf {
        self.root.join("ready")
    }

    /// The directory with records of uploads.
    pub fn synced(&self) -> PathBuf {
        self.root.join("synced")
    }

    /// Moves a complete file from `active/` to `ready/`, durably.
    pub fn hand_over(&self, name: &str) -> io::Result<()> {
        durable::rename(&self.active().join(name), &self.ready().join(name))
    }

    /// The names of the Parquet files in a directory, oldest first.
    pub fn files(folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            if let Ok(name) = entry?.file_name().into_string()
                && name.ends_with(".parquet")
            {
                names.push(name);
            }
        }
        names.sort_by(|a, b| age(a).cmp(age(b)));
        Ok(names)
    }
}

/// The name of a file of `stream` with records of `hour` (hours since 1970), begun at `now` (µs since 1970). `salt`
/// distinguishes files that begin in the same microsecond, for instance on two devices.
pub fn name(stream: &Stream, hour: i64, now: i64, salt: u32) -> String {
    let at = kit::clock::rfc3339(hour * 3_600_000);
    let (date, time) = at.split_once('T').unwrap_or((&at, "00"));
    format!(
        "source={},channel={},symbol={},date={date},hour={},{now:016}-{salt:08x}.parquet",
        escape(&stream.source),
        escape(&stream.channel),
        escape(&stream.symbol),
        &time[..2],
    )
}

/// The key of the object for a file.
pub fn key(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.replace(',', "/"))
}

/// The common prefix of the names of a stream's files.
pub fn of_stream(stream: &Stream) -> String {
    let [source, channel, symbol] =
        [&stream.source, &stream.channel, &stream.symbol].map(|part| escape(part));
    format!("source={source},channel={channel},symbol={symbol},")
}

/// The sort key for ordering files by age: the time when they were begun.
pub fn age(name: &str) -> &str {
    name.rsplit(',').next().unwrap_or(name)
}

/// The hour of a file's records, as text that can be sorted.
pub fn hour(name: &str) -> &str {
    let from = name.find(",date=").map_or(0, |at| at + 1);
    name[from..].rsplit_once(',').map_or("", |(hour, _)| hour)
}

/// Percent-encodes characters that are not safe in keys, file names or partition names.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                escaped.push(byte.into())
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
