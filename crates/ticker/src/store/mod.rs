//! Records → buffers per partition → row groups → files.
//!
//! A record is **flushed** when its row group has been written and fdatasync'ed: [`Store::tick`] counts it only then,
//! and neither a kill nor a power cut can lose it any more. Until then it is in a buffer, for at most `flush.seconds`
//! plus the pace.
//!
//! The store knows no threads and no clock: its owner passes in the time.

mod place;
mod rows;
mod segment;
mod space;

use std::path::Path;
use std::sync::Arc;

pub use place::{Place, age, hour, key};
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

/// The current hour of a stream.
struct Partition {
    hour: i64,
    buffer: Vec<Record>,
    segment: Option<Segment>,
}

impl Store {
    /// Opens the store in `directory`. Files of a former run are salvaged first. The second value holds the highest
    /// number found for each stream, so that no record is stored twice.
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
                // The file stays where it is, for a person to look at: unreadable files are not deleted.
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

    /// Adds a record to its buffer. After an error it was not added, and may be offered again.
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

    /// Writes the buffers that are due at `now` (µs since 1970), and completes the files whose hour has passed.
    pub fn tick(&mut self, now: i64) -> Result<(), SegmentError> {
        // If the clock was set back, writing must not stop until it has caught up.
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
            // A file that cannot be written does not hold up the others.
            outcome = outcome.and(result);
        }
        outcome
    }

    /// Writes everything, and completes all files.
    pub fn finish(&mut self, now: i64) -> Result<(), SegmentError> {
        let mut outcome = Ok(());
        for stream in self.all() {
            outcome = outcome.and(self.close(stream, now));
        }
        self.stats.lost(self.waiting() as u64);
        outcome
    }

    /// The number of records in buffers.
    pub fn waiting(&self) -> usize {
        self.open.iter().flatten().map(|p| p.buffer.len()).sum()
    }

    fn all(&self) -> std::ops::Range<u32> {
        0..self.open.len() as u32
    }

    /// The location of its files.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Writes a buffer as a durable row group, and completes the file if it has become large.
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
        // Release memory that only a burst needed, but keep what is needed regularly.
        let enough = 2 * partition.buffer.len().max(self.flush.records);
        partition.buffer.clear();
        partition.buffer.shrink_to(enough);
        if segment.length() >= self.segment.bytes || segment.row_groups() >= self.segment.row_groups
        {
            self.complete(stream)?;
        }
        Ok(())
    }

    /// Writes the rest of a partition, and completes its file.
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

/// The highest number of a stream in its newest readable file.
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
