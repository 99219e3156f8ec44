//! Records → buffers per partition → row groups → files.
//!
//! **Flushed** is a record whose row group has been written and fdatasync'ed: [`Store::tick`] counts it only then,
//! and from then on neither a kill nor a power cut loses it. Until then it is in a buffer: for `flush.seconds` at
//! most, plus the pace.
//!
//! The store knows no threads and asks no clock: whoever owns it says what time it is.

mod place;
mod rows;
mod segment;
mod space;

use std::path::Path;
use std::sync::Arc;

pub use place::{Place, age, hour, key, sync};
use segment::Segment;
pub use segment::{Completed, SegmentError};
pub use space::{Space, free_bytes};

use crate::config::{FlushSettings, SegmentSettings};
use crate::record::{Record, Stream};
use crate::stats::Stats;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// The partitions being written.
pub struct Store {
    place: Place,
    streams: Arc<[Stream]>,
    flush: FlushSettings,
    segment: SegmentSettings,
    stats: Arc<Stats>,
    /// By their streams.
    open: Vec<Option<Partition>>,
    written: i64,
}

/// The hour of a stream that is being written.
struct Partition {
    hour: i64,
    buffer: Vec<Record>,
    segment: Option<Segment>,
}

impl Store {
    /// The store in `directory`. What a former run left is salvaged first; the highest number of each stream that
    /// was found is put into the second part, so that nothing is taken twice.
    pub fn open(
        directory: &Path,
        streams: Arc<[Stream]>,
        flush: FlushSettings,
        segment: SegmentSettings,
        stats: Arc<Stats>,
    ) -> anyhow::Result<(Self, Vec<Option<i64>>)> {
        let place = Place::open(directory)?;
        let mut last = vec![None; streams.len()];
        for (index, stream) in streams.iter().enumerate() {
            last[index] = newest_number(&place, stream);
        }
        for name in Place::files(&place.active())? {
            let stream = streams
                .iter()
                .position(|s| name.starts_with(&place::of_stream(s)));
            let numbered = stream.and_then(|index| streams[index].numbered);
            match segment::salvage(&place, &name, numbered) {
                Ok(completed) => {
                    stats.salvaged(&name, &completed);
                    if let Some(index) = stream {
                        last[index] = last[index].max(completed.last_number);
                    }
                }
                // It stays where it is, for a human: what cannot be read is not deleted.
                Err(error) => stats.not_salvaged(&name, &error),
            }
        }
        let open = streams.iter().map(|_| None).collect();
        let store = Store {
            place,
            streams,
            flush,
            segment,
            stats,
            open,
            written: 0,
        };
        Ok((store, last))
    }

    /// Takes a record into its buffer. On an error it has not been taken, and may be offered again.
    pub fn take(&mut self, record: &Record) -> Result<(), SegmentError> {
        let hour = record.received.div_euclid(HOUR);
        if let Some(partition) = &self.open[record.stream as usize] {
            if partition.hour != hour {
                self.close(record.stream, record.received)?;
            } else if partition.buffer.len() >= self.flush.most_records {
                self.write(record.stream, record.received)?;
            }
        }
        let partition = self.open[record.stream as usize].get_or_insert(Partition {
            hour,
            buffer: Vec::new(),
            segment: None,
        });
        partition.buffer.push(*record);
        Ok(())
    }

    /// Writes what is due at `now` (µs since 1970), and completes the files whose hour has passed.
    pub fn tick(&mut self, now: i64) -> Result<(), SegmentError> {
        // A clock that was set back must not stop everything until it is where it was.
        let since = now - self.written;
        if (0..(self.flush.pace_seconds * SECOND as f64) as i64).contains(&since) {
            return Ok(());
        }
        self.written = now;
        let oldest = now - (self.flush.seconds * SECOND as f64) as i64;
        let hour = now.div_euclid(HOUR);
        let mut outcome = Ok(());
        for stream in self.all() {
            let Some(partition) = &self.open[stream as usize] else {
                continue;
            };
            let due = partition.buffer.len() >= self.flush.records
                || (partition.buffer.first())
                    .is_some_and(|r| !(oldest..=now).contains(&r.received));
            let result = match () {
                () if partition.hour != hour => self.close(stream, now),
                () if due => self.write(stream, now),
                () => Ok(()),
            };
            // One that cannot be written does not keep the others.
            outcome = outcome.and(result);
        }
        outcome
    }

    /// Writes everything and completes all files.
    pub fn finish(&mut self, now: i64) -> Result<(), SegmentError> {
        let mut outcome = Ok(());
        for stream in self.all() {
            outcome = outcome.and(self.close(stream, now));
        }
        self.stats.lost(self.waiting() as u64);
        outcome
    }

    /// Records that wait in buffers.
    pub fn waiting(&self) -> usize {
        self.open.iter().flatten().map(|p| p.buffer.len()).sum()
    }

    fn all(&self) -> std::ops::Range<u32> {
        0..self.open.len() as u32
    }

    /// Where its files are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Makes a row group of a buffer, durably, and completes the file if it has become large.
    fn write(&mut self, stream: u32, now: i64) -> Result<(), SegmentError> {
        let Some(partition) = &mut self.open[stream as usize] else {
            return Ok(());
        };
        if partition.buffer.is_empty() {
            return Ok(());
        }
        let of = &self.streams[stream as usize];
        let bytes = rows::encode(of.kind, &mut partition.buffer)?;
        let segment = match &mut partition.segment {
            Some(segment) => segment,
            none => none.insert(Segment::create(
                &self.place,
                place::name(of, partition.hour, now, fastrand::u32(..)),
            )?),
        };
        segment.append(partition.buffer.len(), &bytes)?;
        self.stats.flushed(
            stream,
            &partition.buffer,
            segment.name(),
            segment.length(),
            bytes.len(),
        );
        // What a burst needed is not kept for ever; what is needed time and again is.
        let enough = 2 * partition.buffer.len().max(self.flush.records);
        partition.buffer.clear();
        partition.buffer.shrink_to(enough);
        if segment.length() >= self.segment.bytes || segment.row_groups() >= self.segment.row_groups
        {
            self.complete(stream)?;
        }
        Ok(())
    }

    /// Writes what is left of a partition, and completes its file.
    fn close(&mut self, stream: u32, now: i64) -> Result<(), SegmentError> {
        self.write(stream, now)?;
        self.complete(stream)?;
        self.open[stream as usize] = None;
        Ok(())
    }

    fn complete(&mut self, stream: u32) -> Result<(), SegmentError> {
        let Some(partition) = &mut self.open[stream as usize] else {
            return Ok(());
        };
        if let Some(segment) = &partition.segment {
            segment.finish(&self.place)?;
            self.stats.completed(segment.name());
            partition.segment = None;
        }
        Ok(())
    }
}

/// The highest number of a stream in the newest of its files that can be read.
fn newest_number(place: &Place, stream: &Stream) -> Option<i64> {
    let beginning = place::of_stream(stream);
    let mut names = Place::files(&place.ready()).ok()?;
    names.retain(|name| name.starts_with(&beginning));
    let newest = place.ready().join(names.last()?);
    match segment::last_number_in(&newest, stream) {
        Ok(number) => number,
        Err(error) => {
            tracing::warn!(file = %newest.display(), %error, "a complete file cannot be read");
            None
        }
    }
}
