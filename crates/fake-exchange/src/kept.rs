//! What a service stored: the numbers in its Parquet files, read without any knowledge of the writer.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use crate::feed::{price, size};

/// All numbers of each symbol, as often as they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Numbers per symbol, sorted.
    pub numbers: BTreeMap<String, Vec<i64>>,
    /// Files read.
    pub files: usize,
}

impl Kept {
    /// Records found.
    pub fn records(&self) -> u64 {
        self.numbers.values().map(|n| n.len() as u64).sum()
    }

    /// Numbers that were found more than once.
    pub fn repeated(&self) -> u64 {
        let twice = |numbers: &Vec<i64>| numbers.windows(2).filter(|w| w[0] == w[1]).count() as u64;
        self.numbers.values().map(twice).sum()
    }
}

/// Reads every Parquet file in `folder` and below; `column` has the numbers. An error if any cannot be read, is not
/// sorted, or has another price or size than was sent with a number.
pub fn kept(folder: &Path, column: &str) -> anyhow::Result<Kept> {
    let mut kept = Kept::default();
    for path in files(folder)? {
        read(&path, column, &mut kept).with_context(|| path.display().to_string())?;
    }
    for numbers in kept.numbers.values_mut() {
        numbers.sort_unstable();
    }
    Ok(kept)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "parquet") {
            found.push(path);
        }
    }
    Ok(found)
}

fn read(path: &Path, column: &str, kept: &mut Kept) -> anyhow::Result<()> {
    let text = path.to_string_lossy();
    let symbol = text
        .rsplit_once("symbol=")
        .context("no symbol in the path")?
        .1;
    let symbol = symbol
        .split([',', '/'])
        .next()
        .context("no symbol in the path")?;
    let numbers = kept.numbers.entry(symbol.to_owned()).or_default();
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let metadata = reader.metadata();
    let groups = metadata.row_groups();
    ensure!(
        groups.iter().all(|g| g.sorting_columns().is_some()),
        "row groups do not say that they are sorted"
    );
    ensure!(
        groups
            .iter()
            .all(|g| g.columns().iter().all(|c| c.statistics().is_some())),
        "a column has no statistics"
    );
    let columns = metadata.file_metadata().schema_descr().columns();
    let place = |name: &str| {
        let found = columns.iter().position(|column| column.name() == name);
        found.with_context(|| format!("no column {name}"))
    };
    let (at, of_number) = (place("received")?, place(column)?);
    let (of_price, of_size) = (place("price")?, place("size")?);
    let mut last = i64::MIN;
    for group in 0..groups.len() {
        for row in reader.get_row_group(group)?.get_row_iter(None)? {
            let row = row?;
            let received = row.get_timestamp_micros(at)?;
            ensure!(received >= last, "not sorted by received");
            last = received;
            let number = row.get_long(of_number)?;
            let (paid, much) = (row.get_double(of_price)?, row.get_double(of_size)?);
            ensure!(
                (paid - price(number)).abs() < 1e-9 && (much - size(number)).abs() < 1e-9,
                "{number} has price {paid} and size {much}"
            );
            numbers.push(number);
        }
    }
    kept.files += 1;
    Ok(())
}
