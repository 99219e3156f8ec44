//! Kills and power cuts at random moments: what was flushed is never missing.
//!
//! A power cut is a kill followed by damage that a disk may show: each file in `active/` keeps everything that was
//! acknowledged as durable, and a random part of what came after it, torn, zeroed or garbled. Some moves that were
//! not acknowledged yet are undone.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fake_exchange::{Feed, Format, kept};
use serde_json::{Value, json};
use support::*;

const TRIALS: usize = 60;

/// What the program has acknowledged in its log.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Records, per symbol.
    records: BTreeMap<String, u64>,
    /// The last number, per symbol.
    last: BTreeMap<String, i64>,
    /// Durable bytes, per file.
    length: BTreeMap<String, u64>,
    /// Files that are in `ready/` for good.
    completed: Vec<String>,
}

impl Acknowledged {
    fn hear(&mut self, lines: &[String]) {
        for line in lines {
            let field = |name: &str| -> Option<String> {
                let rest = line.split_once(&format!(" {name}="))?.1;
                let value = rest.split(' ').next()?;
                Some(value.trim_matches('"').to_owned())
            };
            let number = |name: &str| field(name).and_then(|v| v.parse::<i64>().ok());
            let Some(file) = field("file") else { continue };
            let symbol = file
                .split("symbol=")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap();
            if line.contains("flushed file=") {
                *self.records.entry(symbol.into()).or_default() +=
                    number("records").unwrap() as u64;
                let last = number("last").unwrap();
                let highest = self.last.entry(symbol.into()).or_insert(last);
                *highest = last.max(*highest);
                self.length.insert(file, number("length").unwrap() as u64);
            } else if line.contains("completed file=") || line.contains("salvaged a file") {
                self.completed.push(file);
            }
        }
    }
}

/// Changes `raw/` to a state that a power cut may leave behind.
fn cut_the_power(directory: &Path, acknowledged: &Acknowledged) {
    let (active, ready) = (directory.join("raw/active"), directory.join("raw/ready"));
    for entry in fs::read_dir(&ready).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The move was not acknowledged, so it may not have reached the disk; the file's content has.
        if !acknowledged.completed.contains(&name) && fastrand::bool() {
            fs::rename(ready.join(&name), active.join(&name)).unwrap();
        }
    }
    for entry in fs::read_dir(&active).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let is = file.metadata().unwrap().len();
        let durable = acknowledged.length.get(name).copied().unwrap_or(0);
        let stays = fastrand::u64(durable..=is);
        file.set_len(stays).unwrap();
        // The new size reached the disk, but the content did not, or was garbled.
        let more = fastrand::u64(0..=4096);
        match fastrand::u8(0..4) {
            0 => {}
            1 => file.set_len(stays + more).unwrap(),
            2 => {
                let noise: Vec<u8> = (0..more).map(|_| fastrand::u8(..)).collect();
                file.write_all_at(&noise, stays).unwrap();
            }
            _ if stays > durable => {
                let torn = fastrand::u64(durable..stays);
                file.write_all_at(&vec![0; (stays - torn) as usize], torn)
                    .unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn no_flushed_record_is_missing_after_kills_and_power_cuts() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(session(Format::Coinbase, 6000.0, 0)).unwrap();
    // Files are small, so that power cuts also happen while one is completed.
    let settings = json!({
        "flush": { "records": 40, "pace_seconds": 0.01, "seconds": 0.03 },
        "segment": { "row_groups": 6 },
    });
    let sources = json!([source(&feed, Format::Coinbase)]);
    let config = config(directory.path(), sources, settings);
    let mut acknowledged = Acknowledged::default();
    let (mut cuts, mut salvaged, mut in_active) = (0, 0, 0);
    for trial in 0..TRIALS {
        let program = start(&config);
        let before = acknowledged.length.len();
        // The moment of the kill is random.
        let enough = fastrand::usize(1..=20);
        eventually("so much is flushed", || {
            let lines = program.lines();
            let flushed = lines.iter().filter(|l| l.contains("flushed file="));
            (flushed.count() >= enough).then_some(())
        });
        let lines = program.kill();
        salvaged += lines
            .iter()
            .filter(|l| l.contains("salvaged a file"))
            .count();
        acknowledged.hear(&lines);
        assert!(
            acknowledged.length.len() > before,
            "trial {trial} flushed nothing"
        );
        in_active += fs::read_dir(directory.path().join("raw/active"))
            .unwrap()
            .count();
        if trial % 2 == 1 {
            cut_the_power(directory.path(), &acknowledged);
            cuts += 1;
        }
    }
    // The last run salvages what the last power cut left behind.
    let program = start(&config);
    eventually("it runs", || counts(&program));
    let lines = program.stop();
    salvaged += lines
        .iter()
        .filter(|l| l.contains("salvaged a file"))
        .count();
    acknowledged.hear(&lines);
    assert!(
        !lines.iter().any(|l| l.contains("cannot be salvaged")),
        "{lines:?}"
    );

    let kept = kept(&directory.path().join("raw/ready"), "trade_id").unwrap();
    let sent = feed.sent();
    let flushed: u64 = acknowledged.records.values().sum();
    let mut missing = 0;
    for (symbol, records) in &acknowledged.records {
        let last = acknowledged.last[symbol];
        let found = kept.numbers[symbol].iter().filter(|n| **n <= last).count() as u64;
        // More than was acknowledged may have reached the disk, but never less.
        missing += records.saturating_sub(found);
    }
    testbed::figures(format!(
        "ticker: {TRIALS} kills, {cuts} of them power cuts; sent {}, flushed {flushed}, recovered {} \
         in {} files, {salvaged} of them salvaged, {missing} flushed records missing",
        sent.messages,
        kept.records(),
        kept.files,
    ));
    assert_eq!((missing, kept.repeated()), (0, 0));
    assert!(kept.records() >= flushed);
    assert!(
        in_active >= TRIALS,
        "the kills met no file that was being written"
    );
}

#[test]
fn a_file_with_nothing_whole_in_it_is_counted_and_removed_and_a_stranger_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let active = directory.path().join("raw/active");
    fs::create_dir_all(&active).unwrap();
    let name = "source=exchange,channel=matches,symbol=BTC-USD,date=2026-11-25,hour=03,1764039600000000-00000001.parquet";
    fs::write(
        active.join(name),
        b"PAR1ROWS\xff\xff\xff\xff half a row group",
    )
    .unwrap();
    fs::write(active.join("notes.txt"), b"mine").unwrap();
    let feed = Feed::start(session(Format::Coinbase, 100.0, 0)).unwrap();
    let sources = json!([source(&feed, Format::Coinbase)]);
    let program = start(&config(directory.path(), sources, json!({})));
    let status: Value = eventually("it runs", || counts(&program));
    assert_eq!(
        status["salvaged"],
        json!({ "files": 1, "records": 0, "cut_bytes": 29, "not": 0 })
    );
    program.stop();
    assert!(!active.join(name).exists() && active.join("notes.txt").exists());
}
