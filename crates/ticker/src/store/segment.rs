//! A file that grows by row groups, each of which is durable before it counts.
//!
//! A Parquet file is read from its end, so a truncated one is useless unless it can also be read from its beginning.
//! Each row group is therefore written as a block: a header with length and checksum, then a small Parquet file with
//! only that row group. Readers ignore the bytes between the row groups, because they use the offsets in the footer.
//! The footer is built from the blocks when the file is complete, either by the writer or when it is salvaged after a
//! power cut; until then nothing of it is kept in memory.
//!
//! ```text
//! PAR1 | ROWS length records checksum | PAR1 … row group … PAR1 | ROWS … | … | footer | PAR1
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;

use super::place::Place;
use crate::record::{NumberedBy, Stream};

const MAGIC: &[u8; 4] = b"PAR1";
const BLOCK: &[u8; 4] = b"ROWS";
const HEADER: u64 = 16;

/// A file in `active/`.
#[derive(Debug)]
pub struct Segment {
    file: File,
    name: String,
    length: u64,
    row_groups: usize,
    records: u64,
}

/// A complete file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Records in it.
    pub records: u64,
    /// Row groups in it.
    pub row_groups: usize,
    /// Bytes after the last complete row group, which were cut off.
    pub cut_bytes: u64,
    /// The highest number in it, of the kind that reveals duplicates and gaps.
    pub last_number: Option<i64>,
}

/// Why a file cannot be completed.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The content is invalid.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

impl Segment {
    /// Creates a file.
    pub fn create(place: &Place, name: String) -> io::Result<Self> {
        let path = place.active().join(&name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.write_all_at(MAGIC, 0)?;
        durable::sync_folder(&place.active())?;
        Ok(Segment {
            file,
            name,
            length: MAGIC.len() as u64,
            row_groups: 0,
            records: 0,
        })
    }

    /// Writes a row group. When this returns, it is durable; after an error the file is unchanged.
    pub fn append(&mut self, records: usize, row_group: &[u8]) -> io::Result<()> {
        let mut header = [0; HEADER as usize];
        header[..4].copy_from_slice(BLOCK);
        header[4..8].copy_from_slice(&(row_group.len() as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(records as u32).to_le_bytes());
        let sum = checksum(&header[4..12], row_group);
        header[12..].copy_from_slice(&sum.to_le_bytes());
        let write = || {
            self.file.write_all_at(&header, self.length)?;
            self.file.write_all_at(row_group, self.length + HEADER)?;
            self.file.sync_data()
        };
        if let Err(error) = write() {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += HEADER + row_group.len() as u64;
        self.row_groups += 1;
        self.records += records as u64;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes of it are durable.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many row groups it has.
    pub fn row_groups(&self) -> usize {
        self.row_groups
    }

    /// Writes the footer, and moves the file to `ready/`.
    pub fn finish(&self, place: &Place) -> Result<(), SegmentError> {
        let blocks = blocks(&self.file, self.length, false)?;
        write_footer(&self.file, &blocks)?;
        Ok(place.hand_over(&self.name)?)
    }
}

/// Completes a leftover file in `active/` with all of its complete row groups, and moves it to `ready/`. A file without
/// any is deleted.
pub fn salvage(
    place: &Place,
    name: &str,
    numbered: Option<NumberedBy>,
) -> Result<Completed, SegmentError> {
    let path = place.active().join(name);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let length = file.metadata()?.len();
    let blocks = blocks(&file, length, true)?;
    let end = blocks.last().map_or(0, |b| b.start + b.length);
    let mut completed = Completed {
        records: blocks.iter().map(|b| u64::from(b.records)).sum(),
        row_groups: blocks.len(),
        cut_bytes: length - end,
        last_number: None,
    };
    if blocks.is_empty() {
        std::fs::remove_file(path)?;
        durable::sync_folder(&place.active())?;
        return Ok(completed);
    }
    file.set_len(end)?;
    let footer = write_footer(&file, &blocks)?;
    completed.last_number = numbered.and_then(|by| last_number(&footer, by));
    place.hand_over(name)?;
    Ok(completed)
}

/// The highest number in a complete file, from its statistics.
pub fn last_number_in(path: &Path, stream: &Stream) -> Result<Option<i64>, SegmentError> {
    let Some(by) = stream.numbered else {
        return Ok(None);
    };
    let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(path)?)?;
    Ok(last_number(&footer, by))
}

fn last_number(footer: &ParquetMetaData, by: NumberedBy) -> Option<i64> {
    let name = match by {
        NumberedBy::Sequence => "sequence",
        NumberedBy::TradeId => "trade_id",
    };
    let columns = footer.row_groups().iter().flat_map(|group| group.columns());
    let of_column = columns.filter(|column| column.column_path().string() == name);
    of_column
        .filter_map(|column| match column.statistics() {
            Some(Statistics::Int64(numbers)) => numbers.max_opt().copied(),
            _ => None,
        })
        .max()
}

/// One row group, and its position.
#[derive(Debug, Clone, Copy)]
struct Block {
    start: u64,
    length: u64,
    records: u32,
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

/// The complete row groups of a file, up to the first incomplete one.
fn blocks(file: &File, length: u64, verify: bool) -> io::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut at = MAGIC.len() as u64;
    let mut magic = [0; 4];
    if length < at || file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC {
        return Ok(blocks);
    }
    let mut body = Vec::new();
    while at + HEADER <= length {
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, at)?;
        let word =
            |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four"));
        let (start, size) = (at + HEADER, u64::from(word(4)));
        if header[..4] != *BLOCK || size == 0 || start + size > length {
            break;
        }
        if verify {
            body.resize(size as usize, 0);
            file.read_exact_at(&mut body, start)?;
            if checksum(&header[4..12], &body) != word(12) {
                break;
            }
        }
        blocks.push(Block {
            start,
            length: size,
            records: word(8),
        });
        at = start + size;
    }
    Ok(blocks)
}

/// Writes the footer after the last block, durably.
fn write_footer(mut file: &File, blocks: &[Block]) -> Result<ParquetMetaData, SegmentError> {
    let mut options = ParquetMetaDataOptions::new();
    let mut first: Option<FileMetaData> = None;
    let mut groups = Vec::with_capacity(blocks.len());
    for (ordinal, block) in blocks.iter().enumerate() {
        let footer = read_footer(file, block, &options)?;
        if first.is_none() {
            // All row groups share the schema of the first one; otherwise each would hold its own in memory.
            options.set_schema(footer.file_metadata().schema_descr_ptr());
        }
        first.get_or_insert_with(|| footer.file_metadata().clone());
        for group in footer.row_groups() {
            groups.push(moved(group, block.start as i64, ordinal)?);
        }
    }
    let first = first.ok_or_else(|| ParquetError::General("no row group".into()))?;
    let records = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let file_metadata = FileMetaData::new(
        first.version(),
        records,
        first.created_by().map(str::to_owned),
        None,
        first.schema_descr_ptr(),
        first.column_orders().cloned(),
    );
    let footer = ParquetMetaData::new(file_metadata, groups);
    let end = blocks.last().map_or(0, |b| b.start + b.length);
    // An earlier footer, which could not be made durable, may be longer than this one.
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let mut out = BufWriter::new(file);
    ParquetMetaDataWriter::new(&mut out, &footer).finish()?;
    out.flush()?;
    file.sync_all()?;
    Ok(footer)
}

fn read_footer(
    file: &File,
    block: &Block,
    options: &ParquetMetaDataOptions,
) -> Result<ParquetMetaData, SegmentError> {
    let broken =
        || ParquetError::General(format!("the row group at {} has no footer", block.start));
    let mut tail = [0; 8];
    let end = block.start + block.length;
    file.read_exact_at(&mut tail, end - 8)?;
    let size = u64::from(u32::from_le_bytes(tail[..4].try_into().expect("four")));
    if tail[4..] != *MAGIC || size + 8 > block.length {
        return Err(broken().into());
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, end - 8 - size)?;
    let options = Some(options);
    Ok(ParquetMetaDataReader::decode_metadata_with_options(
        &bytes, options,
    )?)
}

/// The metadata of the same row group in a file where it begins `by` bytes later.
fn moved(
    group: &RowGroupMetaData,
    by: i64,
    ordinal: usize,
) -> Result<RowGroupMetaData, ParquetError> {
    let columns = group
        .columns()
        .iter()
        .map(|column| {
            let moved = column
                .clone()
                .into_builder()
                .set_data_page_offset(column.data_page_offset() + by)
                .set_dictionary_page_offset(column.dictionary_page_offset().map(|at| at + by))
                .clear_page_encoding_stats();
            moved.build()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let start = columns.first().map_or(0, |c| c.byte_range().0 as i64);
    group
        .clone()
        .into_builder()
        .set_column_metadata(columns)
        .set_file_offset(start)
        .set_ordinal(ordinal as i32)
        .build()
}
