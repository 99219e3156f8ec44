//! What waits to be sent, on disk: durable before it counts, gone once it has been acknowledged.
//!
//! Frames are in [segments](segment), numbered from the oldest to the newest. What of a segment has been acknowledged is
//! kept beside them, in a mark; a segment of which everything has been is removed. There are never more bytes
//! than allowed: the oldest segment is given up first, and counted. A segment that is damaged is good up to there; one
//! whose beginning is, is put aside. Neither costs any other segment. A read that fails is no damage: it is tried again, until
//! it has failed so often that the card must have lost what is there. What a full disk does not take waits in memory, as much
//! as there is room for: nothing old is given up for it, since others may fill the room at once.

pub mod codec;
pub mod segment;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::clock::Clock;
use crate::mark::{self, Mark};
use crate::stats::{Lost, Stats};
use codec::Frame;
use segment::{Reader, Unusable, Writer};

/// A segment of this size is complete: it is what one damage can cost.
const SEGMENT_BYTES: u64 = 256 << 10;
/// A segment of so many frames is complete: two hours, if there are four a minute.
const SEGMENT_FRAMES: usize = 480;
/// A segment with so many series is complete, as its writer and its reader have them in memory.
const SEGMENT_SERIES: usize = 20_000;
/// How many samples wait in memory for a disk that takes no more.
const UNWRITTEN_SAMPLES: usize = 20_000;
/// The number of what is in memory, in place of a segment's.
const IN_MEMORY: u64 = 0;
/// How many damaged segments are kept for whoever wants to look at them.
const ASIDE: usize = 4;
const DAMAGED: &str = "damaged";
/// A segment that could not be read so often in a row is damaged.
const TRIES: u32 = 6;
/// How many segments may be acknowledged in part; the mark has room for them.
const MOST_PARTS: usize = (mark::LONGEST - 8) / 16;

/// The queue. Whoever has it, has all of it.
#[derive(Debug)]
pub struct Queue {
    folder: PathBuf,
    most_bytes: u64,
    clock: Clock,
    stats: Arc<Stats>,
    segments: BTreeMap<u64, Segment>,
    next: u64,
    writer: Option<Writer>,
    reader: Option<(u64, Reader)>,
    unwritten: VecDeque<Frame>,
    mark: Mark,
    /// When the last frame was measured, according to the clock at that time.
    last_ms: i64,
    /// By how much a clock that is not known to be right is put forward.
    ahead_ms: i64,
}

#[derive(Debug, Default)]
struct Segment {
    length: u64,
    samples: u64,
    frames: usize,
    /// Up to where it is acknowledged.
    acknowledged: u64,
    /// How often in a row it could not be read. What is newer may be read in between.
    failed_reads: u32,
}

/// Frames of one segment, one after the other.
#[derive(Debug)]
pub struct Batch {
    /// The segment.
    pub segment: u64,
    /// The position after the last of them.
    pub end: u64,
    /// Whether nothing older waits.
    pub is_oldest: bool,
    /// The boot in which they were measured.
    pub boot: String,
    /// The frames.
    pub frames: Vec<Frame>,
}

/// What to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest frame.
    OldestFirst,
    /// What is in the newest segment, and then the oldest frame.
    NewestFirst,
}

impl Queue {
    /// Opens or creates the queue in `folder`.
    pub fn open(
        folder: &Path,
        most_bytes: u64,
        clock: Clock,
        stats: Arc<Stats>,
    ) -> anyhow::Result<Self> {
        durable::directory(folder, 0o700)?;
        let (mark, kept) = Mark::open(&folder.join("mark")).context("the queue's mark")?;
        let (last_ms, acknowledged) = read_mark(&kept.unwrap_or_default());
        let mut queue = Queue {
            folder: folder.to_owned(),
            most_bytes,
            clock,
            stats,
            segments: BTreeMap::new(),
            next: 0,
            writer: None,
            reader: None,
            unwritten: VecDeque::new(),
            mark,
            last_ms,
            ahead_ms: 0,
        };
        let (mut numbers, mut aside) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            numbers.extend(segment::number(&path, segment::EXTENSION));
            aside.extend(segment::number(&path, DAMAGED));
        }
        numbers.sort_unstable();
        // A number is not given twice: the mark may still know it.
        let known = acknowledged.keys().chain(&numbers).chain(&aside).max();
        queue.next = known.map_or(1, |last| last + 1);
        let mut breaths = segment::BREATHS;
        for number in numbers {
            let at = acknowledged.get(&number).copied().unwrap_or(0);
            queue.take_in(number, at, &mut breaths)?;
        }
        // A clock that went back, since there was no network, must not mix what is new with what is old.
        let behind = queue.last_ms + 1000 - queue.clock.now_ms();
        queue.ahead_ms = behind.max(0);
        queue.tell();
        Ok(queue)
    }

    /// Takes in a segment that was there before.
    fn take_in(&mut self, number: u64, acknowledged: u64, breaths: &mut u32) -> anyhow::Result<()> {
        let path = segment::path(&self.folder, number);
        let content = segment::look(&path, breaths);
        let content = content.with_context(|| path.display().to_string())?;
        if content.damaged > 0 {
            let (length, damaged) = (content.length, content.damaged);
            tracing::warn!(segment = number, length, damaged, "a segment was cut off");
            self.stats.cut_off(damaged);
            let lost = content.lost.iter().filter(|(_, end)| *end > acknowledged);
            let lost = lost.map(|(samples, _)| samples).sum();
            self.stats.lost(Lost::Damaged, lost);
        }
        if content.frames.is_empty() {
            // One without anything was just being created when the power was cut.
            return match content.damaged {
                0 => durable::remove(&path).map(drop),
                _ => self.put_aside(number),
            };
        }
        if content.damaged > 0 {
            segment::cut_back(&path, content.length)?;
        }
        if let Some(last) = content.last {
            self.last_ms = last.at_ms;
        }
        let mut taken = Segment {
            length: content.length,
            ..Segment::default()
        };
        for (samples, end) in content.frames {
            if end <= acknowledged {
                taken.acknowledged = end;
            } else {
                taken.samples += samples;
                taken.frames += 1;
            }
        }
        if taken.frames == 0 {
            return durable::remove(&path).map(drop);
        }
        self.segments.insert(number, taken);
        Ok(())
    }

    /// Adds a frame. When this returns, it is durable; after an error it waits in memory.
    pub fn append(&mut self, mut frame: Frame) -> io::Result<()> {
        if !frame.moment.known {
            frame.moment.at_ms += self.ahead_ms;
        }
        self.last_ms = frame.moment.at_ms;
        self.unwritten.push_back(frame);
        let written = self.write_all();
        while self.samples_unwritten() > UNWRITTEN_SAMPLES
            && let Some(frame) = self.unwritten.pop_front()
        {
            self.stats
                .lost(Lost::NotWritten, frame.samples.len() as u64);
        }
        let most = self.most_bytes;
        while self.bytes() > most && self.segments.len() > 1 {
            self.give_up_oldest();
        }
        self.tell();
        written
    }

    fn write_all(&mut self) -> io::Result<()> {
        while let Some(frame) = self.unwritten.pop_front() {
            // If everything has been sent, the first try makes room on a disk that is full.
            let written = self.write(&frame).or_else(|_| self.write(&frame));
            if written.is_err() {
                self.unwritten.push_front(frame);
                return written;
            }
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let most = SEGMENT_BYTES.min(self.most_bytes / 4);
        let full = self.writer.as_ref().is_some_and(|writer| {
            writer.length() >= most
                || writer.frames() >= SEGMENT_FRAMES
                || writer.series() >= SEGMENT_SERIES
        });
        if full {
            self.begin_anew();
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let path = segment::path(&self.folder, self.next);
                let writer = Writer::create(&path, self.clock.boot());
                let writer = writer.inspect_err(|_| drop(fs::remove_file(&path)))?;
                self.segments.insert(self.next, Segment::default());
                self.next += 1;
                none.insert(writer)
            }
        };
        let written = writer.append(frame);
        let (length, number) = (writer.length(), self.next - 1);
        let Some(segment) = self.segments.get_mut(&number) else {
            return written;
        };
        segment.length = length;
        if written.is_ok() {
            segment.samples += frame.samples.len() as u64;
            segment.frames += 1;
            tracing::debug!(segment = number, length, "kept");
        } else {
            self.begin_anew();
        }
        written
    }

    /// Ends the newest segment, so that the next frame begins one.
    pub fn begin_anew(&mut self) {
        self.writer = None;
        let number = self.next - 1;
        let done = self.segments.get(&number).is_some_and(|s| s.frames == 0);
        if done {
            self.forget(number);
        }
    }

    /// The next frames to send, of at most `samples` samples, or a single one with more. After an error, they may be read when
    /// it is tried again.
    pub fn next(&mut self, order: Order, samples: usize) -> io::Result<Option<Batch>> {
        loop {
            let newest = self.segments.iter().next_back();
            let newest = newest.filter(|(_, segment)| segment.frames > 0);
            let oldest = self.segments.iter().find(|(_, segment)| segment.frames > 0);
            // The mark has no room for many beginnings.
            let parts = self.segments.values().filter(|s| s.acknowledged > 0);
            let chosen = match order == Order::NewestFirst && parts.count() < MOST_PARTS {
                true => newest.or(oldest),
                false => oldest,
            };
            let Some((&number, _)) = chosen else {
                return Ok(self.in_memory());
            };
            let read = self.read(number, samples);
            let failed_reads = (self.segments.get_mut(&number)).map(|it| &mut it.failed_reads);
            let failed_reads = failed_reads.expect("it was chosen among them");
            match read {
                Ok(batch) => {
                    *failed_reads = 0;
                    return Ok(Some(batch));
                }
                Err(Unusable::Io(error)) if *failed_reads + 1 < TRIES => {
                    *failed_reads += 1;
                    return Err(error);
                }
                Err(problem) => {
                    tracing::error!(segment = number, "what waited is lost: {problem}");
                    self.lose(number, Lost::Damaged);
                    if let Err(error) = self.put_aside(number) {
                        tracing::warn!("{error:#}");
                    }
                    self.tell();
                }
            }
        }
    }

    fn in_memory(&self) -> Option<Batch> {
        let frames: Vec<Frame> = self.unwritten.iter().cloned().collect();
        (!frames.is_empty()).then(|| Batch {
            segment: IN_MEMORY,
            end: 0,
            is_oldest: true,
            boot: self.clock.boot().to_owned(),
            frames,
        })
    }

    fn read(&mut self, number: u64, samples: usize) -> Result<Batch, Unusable> {
        let (length, from) = {
            let segment = &self.segments[&number];
            (segment.length, segment.acknowledged)
        };
        let usable =
            (self.reader.take()).filter(|(of, reader)| *of == number && reader.at() <= from);
        let mut reader = match usable {
            Some((_, reader)) => reader,
            None => Reader::open(&segment::path(&self.folder, number))?,
        };
        let mut frames = Vec::new();
        let (mut count, mut end) = (0, reader.at());
        while count < samples
            && let Some(frame) = match reader.next(length) {
                // What is good is sent first; the problem is met again when nothing else is left.
                Err(_) if !frames.is_empty() => None,
                read => read?,
            }
        {
            if reader.at() > from {
                count += frame.samples.len();
                frames.push(frame);
            }
            end = reader.at();
        }
        if frames.is_empty() {
            return Err(Unusable::Damaged(end));
        }
        let boot = reader.boot().to_owned();
        if end == reader.at() {
            self.reader = Some((number, reader));
        }
        let is_oldest = self.segments.iter().find(|(_, segment)| segment.frames > 0);
        let is_oldest = is_oldest.is_some_and(|(oldest, _)| *oldest == number);
        Ok(Batch {
            segment: number,
            end,
            is_oldest,
            boot,
            frames,
        })
    }

    /// Removes what has arrived. When this returns, it is not sent again.
    pub fn acknowledge(&mut self, batch: &Batch) -> anyhow::Result<()> {
        if batch.segment == IN_MEMORY {
            let last = batch.frames.last().map(|frame| frame.moment.up_ms);
            (self.unwritten).retain(|frame| Some(frame.moment.up_ms) > last);
            self.tell();
            return Ok(());
        }
        let Some(segment) = self.segments.get_mut(&batch.segment) else {
            // It was given up in the meantime, to make room.
            return Ok(());
        };
        segment.acknowledged = batch.end;
        segment.frames = segment.frames.saturating_sub(batch.frames.len());
        let samples = batch.frames.iter().map(|frame| frame.samples.len() as u64);
        segment.samples = segment.samples.saturating_sub(samples.sum());
        let done = segment.frames == 0;
        let is_written = self.writer.is_some() && batch.segment == self.next - 1;
        let marked = self.put_mark();
        durable::cut::point("mark");
        // What is gone is not sent again either, and a disk that has no room for the mark needs it.
        if done && !is_written {
            self.forget(batch.segment);
        }
        self.tell();
        marked
    }

    /// How many frames wait.
    pub fn frames(&self) -> usize {
        let in_segments = self.segments.values().map(|segment| segment.frames);
        in_segments.sum::<usize>() + self.unwritten.len()
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.length).sum()
    }

    fn tell(&self) {
        let samples = self.segments.values().map(|segment| segment.samples);
        let samples = samples.sum::<u64>() + self.samples_unwritten() as u64;
        self.stats.waiting(self.bytes(), samples);
    }

    fn samples_unwritten(&self) -> usize {
        self.unwritten.iter().map(|frame| frame.samples.len()).sum()
    }

    fn give_up_oldest(&mut self) {
        if let Some(number) = self.segments.keys().next().copied() {
            self.lose(number, Lost::QueueFull);
            self.forget(number);
        }
    }

    fn lose(&self, number: u64, why: Lost) {
        let samples = self
            .segments
            .get(&number)
            .map_or(0, |segment| segment.samples);
        self.stats.lost(why, samples);
    }

    /// Removes a segment.
    fn forget(&mut self, number: u64) {
        self.segments.remove(&number);
        if number + 1 == self.next {
            self.writer = None;
        }
        if let Err(error) = durable::remove(&segment::path(&self.folder, number)) {
            // It is looked at again at the next start.
            tracing::warn!("{error:#}");
        }
    }

    /// Keeps a damaged segment for whoever wants to look at it, in place of the oldest such.
    fn put_aside(&mut self, number: u64) -> anyhow::Result<()> {
        self.segments.remove(&number);
        if number + 1 == self.next {
            self.writer = None;
        }
        let path = segment::path(&self.folder, number);
        durable::rename(&path, &path.with_extension(DAMAGED))?;
        let mut aside = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            aside.extend((path.extension().is_some_and(|e| e == DAMAGED)).then_some(path));
        }
        aside.sort_unstable();
        for path in aside.iter().rev().skip(ASIDE) {
            durable::remove(path)?;
        }
        Ok(())
    }

    fn put_mark(&mut self) -> anyhow::Result<()> {
        let mut bytes = self.last_ms.to_le_bytes().to_vec();
        for (number, segment) in &self.segments {
            if segment.acknowledged > 0 {
                bytes.extend(number.to_le_bytes());
                bytes.extend(segment.acknowledged.to_le_bytes());
            }
        }
        self.mark.put(&bytes).context("the queue's mark")
    }
}

/// When the last frame was measured, and how far segments are acknowledged.
fn read_mark(bytes: &[u8]) -> (i64, BTreeMap<u64, u64>) {
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let last = words.next().unwrap_or(0) as i64;
    let mut acknowledged = BTreeMap::new();
    while let Some((number, at)) = words.next().zip(words.next()) {
        acknowledged.insert(number, at);
    }
    (last, acknowledged)
}

#[cfg(test)]
mod tests;
