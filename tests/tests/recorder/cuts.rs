//! Power cuts at every write of a machine that records: what they leave, judged without booting.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fake_s3::Bucket;
use serde_json::json;
use tempfile::NamedTempFile;
use testbed::cuts::{self, Ext4, Fate, Node, Sampling, digest};
use testbed::{Context, Log, Mark, Recording, Result, bail, ensure};

use tests::SOON;

use super::appliance::{Camera, Recorder, recorder_snapshot};
use super::here::{Here, plays};

#[expect(
    clippy::duplicate_mod,
    reason = "the sources of a group are those that it includes by path"
)]
#[path = "../power_cuts/power/mended.rs"]
mod mended;

/// What a power cut may cost.
const LOST: Duration = Duration::from_secs(1);
/// How long is recorded: some dozens of fragments.
const LENGTH: Duration = Duration::from_secs(15);
/// Of the cuts that leave something else of the part, one in so many is given to a recorder.
const RECOVERED: usize = 6;
/// How many of the wrong cuts are shown.
const SHOWN: usize = 10;

const STATE: &str = "/var/lib/recorder";
const VIDEOS: &str = "/var/lib/recorder-videos";
/// The session that is finished and waits for its upload, and the one that is being recorded.
const WAITS: i64 = 1;
const GROWS: i64 = 2;

/// The writes of a machine that records, while another recording waits for an upload. From the mark `waits` on, that one
/// is told to be there; each mark `told` says how long the other one has been recorded.
pub fn recorded() -> Result<Recording> {
    let inputs = [include_str!("cuts.rs"), include_str!("appliance.rs")];
    recorder_snapshot()?.record(&inputs, |machine, marker| {
        machine.wait_for_ssh(SOON)?;
        let bucket = Bucket::start()?;
        bucket.down();
        Camera::plug(machine)?;
        let recorder = Recorder::modest(machine, Some(&bucket))?;
        recorder.is("ready")?;
        recorder.start()?;
        recorder.records(10)?;
        recorder.stop()?;
        let waits = recorder.keeps_one()?;
        marker.mark("waits", json!({ "sha256": waits.told["sha256"] }))?;
        recorder.start()?;
        // Until the first frame comes, nobody knows when the recording begins.
        recorder.records(1)?;
        loop {
            let newest = recorder.sessions()?.into_iter().next();
            let newest = newest.context("there is no session")?;
            ensure!(
                newest["id"] == GROWS && newest["state"] == "recording",
                "{newest}"
            );
            let told = newest["duration_ms"].as_u64().context("no duration")?;
            marker.mark("told", json!({ "duration_ms": told }))?;
            if Duration::from_millis(told) >= LENGTH {
                return Ok(());
            }
        }
    })
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Tally {
    cuts: BTreeMap<Fate, usize>,
    /// The different lengths that the part had.
    kept: BTreeSet<Duration>,
    most_lost: Duration,
    recovered: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// An error if any cut left something wrong.
    pub fn verdict(self) -> Result<Self> {
        if self.wrong.is_empty() {
            return Ok(self);
        }
        let shown: Vec<&str> = self.wrong.iter().take(SHOWN).map(String::as_str).collect();
        bail!(
            "{self}; {} ended wrong:\n  {}",
            self.wrong.len(),
            shown.join("\n  ")
        )
    }

    /// How many cuts there were.
    pub fn cuts(&self) -> usize {
        self.cuts.values().sum()
    }

    /// How many of them a recorder was started on.
    pub fn recovered(&self) -> usize {
        self.recovered
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |fate| self.cuts.get(&fate).copied().unwrap_or(0);
        write!(
            f,
            "{} cuts between two writes, {} torn and {} reordered ones while recording, {} lengths of the part, {:?} lost \
             at most; {} taken up by a recorder",
            count(Fate::Whole),
            count(Fate::Torn),
            count(Fate::Reordered),
            self.kept.len(),
            self.most_lost,
            self.recovered
        )
    }
}

/// What has to hold after a cut.
#[derive(Debug)]
struct Expected<'r> {
    /// The SHA-256 of the video that waits.
    sha256: &'r str,
    /// How long the other one had been recorded, as far as anybody was told.
    told: Duration,
}

impl<'r> Expected<'r> {
    /// After so many entries of the log; nothing, if the recording that waits was not told yet.
    fn after(entries: usize, marks: &'r [Mark]) -> Option<Self> {
        let past = || marks.iter().take_while(|mark| mark.entries <= entries);
        let told = past().filter_map(|mark| mark.note["duration_ms"].as_u64());
        Some(Self {
            sha256: past().find_map(|mark| mark.note["sha256"].as_str())?,
            told: Duration::from_millis(told.last().unwrap_or(0)),
        })
    }
}

/// Judges what every cut leaves.
pub fn judge_all(recording: &Recording, sampling: Sampling) -> Result<Tally> {
    let log = Log::open(&recording.log)?;
    let epochs = 0..cuts::epochs(&log).len();
    let mut tally = Tally::default();
    let mut judge = Judge::default();
    cuts::replay(recording, &log, epochs, sampling, |cut, disk| {
        let Some(expected) = Expected::after(cut.entries, &recording.marks) else {
            return Ok(());
        };
        *tally.cuts.entry(cut.fate).or_default() += 1;
        let judged = mended::mount(disk).and_then(|data| judge.judge(&data, &expected, &mut tally));
        if let Err(wrong) = judged {
            tally.wrong.push(format!("{cut}: {wrong:#}"));
        }
        Ok(())
    })?;
    Ok(tally)
}

/// Judges file systems, and remembers what it has judged already.
#[derive(Debug, Default)]
struct Judge {
    /// How long the part plays, by the digest of its whole fragments.
    lengths: HashMap<u64, Duration>,
    /// SHA-256, by the digest of the video that waits.
    sums: HashMap<u64, String>,
}

impl Judge {
    fn judge(&mut self, data: &Ext4, expected: &Expected<'_>, tally: &mut Tally) -> Result<()> {
        let waits = films(data, WAITS)?;
        let [(name, video)] = waits.as_slice() else {
            bail!(
                "what waits for its upload is gone, or not alone: {} files",
                waits.len()
            );
        };
        let sum = match self.sums.entry(digest(video)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(sha256(video)?),
        };
        ensure!(
            sum == expected.sha256,
            "{name}, which waits for its upload, is not what it was"
        );
        let mut kept = Duration::ZERO;
        let mut is_new = false;
        for (_, part) in films(data, GROWS)? {
            let whole = &part[..whole_fragments(&part)];
            let key = digest(whole);
            if !whole.is_empty() && !self.lengths.contains_key(&key) {
                self.lengths.insert(key, length(whole)?);
                is_new = true;
            }
            kept += self.lengths.get(&key).copied().unwrap_or_default();
        }
        tally.kept.insert(kept);
        tally.most_lost = tally.most_lost.max(expected.told.saturating_sub(kept));
        ensure!(
            kept + LOST >= expected.told,
            "{:?} were recorded, {kept:?} are kept",
            expected.told
        );
        if is_new && self.lengths.len().is_multiple_of(RECOVERED) {
            taken_up(data, expected).context("a recorder is started on it")?;
            tally.recovered += 1;
        }
        Ok(())
    }
}

/// A recorder that finds what the cut has left makes a video of it, and loses nothing.
fn taken_up(data: &Ext4, expected: &Expected<'_>) -> Result<()> {
    let recorder = Here::start(|state| {
        extract(data, STATE, state)?;
        extract(data, VIDEOS, &state.join("videos"))
    })?;
    let waits = recorder.finished(WAITS)?;
    ensure!(waits["sha256"] == expected.sha256, "{waits}");
    let grew = recorder.finished(GROWS)?;
    ensure!(
        grew["why"].is_string(),
        "it does not say where it is broken: {grew}"
    );
    recorder.plays(WAITS)?;
    let played = recorder.plays(GROWS)?;
    ensure!(
        played.duration + LOST >= expected.told,
        "{:?} were recorded, {played:?}",
        expected.told
    );
    Ok(())
}

/// The films in the folder of a session, by their names; none, if there is no such folder yet.
fn films(data: &Ext4, session: i64) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = format!("{VIDEOS}/{session}");
    let names = match data.node(&folder)? {
        Some(Node::Folder(names)) => names,
        None => return Ok(Vec::new()),
        Some(other) => bail!("{folder} is {other:?}"),
    };
    let mut films = Vec::new();
    for name in names.into_iter().filter(|name| name.ends_with(".mp4")) {
        match data.node(&format!("{folder}/{name}"))? {
            Some(Node::File(_, bytes)) => films.push((name, bytes)),
            other => bail!("{folder}/{name} is {other:?}"),
        }
    }
    Ok(films)
}

/// Where the last whole fragment of a film ends; its head alone is none.
fn whole_fragments(film: &[u8]) -> usize {
    let (mut at, mut end) = (0, 0);
    while let Some((size, kind)) = film
        .get(at..at + 8)
        .and_then(|head| head.split_at_checked(4))
    {
        let size = size
            .iter()
            .fold(0, |size, byte| size << 8 | usize::from(*byte));
        if size < 8 || at + size > film.len() {
            break;
        }
        at += size;
        if kind == b"mdat" {
            end = at;
        }
    }
    end
}

/// How long a film plays.
fn length(film: &[u8]) -> Result<Duration> {
    let file = file_of(film)?;
    let path = file.path().to_str().context("the file has no name")?;
    Ok(plays(&[path])?.duration)
}

/// As the recorder tells it.
fn sha256(bytes: &[u8]) -> Result<String> {
    let file = file_of(bytes)?;
    let sum = Command::new("sha256sum").arg(file.path()).output()?;
    let sum = String::from_utf8_lossy(&sum.stdout);
    let (sum, _) = sum.split_once(' ').context("sha256sum says nothing")?;
    Ok(sum.to_owned())
}

fn file_of(bytes: &[u8]) -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    fs::write(file.path(), bytes)?;
    Ok(file)
}

/// Writes a folder of the file system into a directory.
fn extract(data: &Ext4, from: &str, to: &Path) -> Result<()> {
    match data.node(from)? {
        Some(Node::Folder(names)) => {
            fs::create_dir_all(to)?;
            let mut names = names.iter();
            names.try_for_each(|name| extract(data, &format!("{from}/{name}"), &to.join(name)))
        }
        Some(Node::File(_, bytes)) => fs::write(to, bytes).with_context(|| from.to_owned()),
        Some(Node::Link(target)) => bail!("{from} is a link to {target}"),
        None => Ok(()),
    }
}
