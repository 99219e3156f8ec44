//! What was kept: the numbers in Parquet files, as a reader who knows nothing of the writer finds them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

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
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let groups = builder.metadata().row_groups().to_vec();
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
    let mut last = i64::MIN;
    for batch in builder.build()? {
        let batch = batch?;
        let whole = |name: &str| {
            Some(
                batch
                    .column_by_name(name)?
                    .as_primitive_opt::<Int64Type>()?
                    .clone(),
            )
        };
        let real = |name: &str| {
            Some(
                batch
                    .column_by_name(name)?
                    .as_primitive_opt::<Float64Type>()?
                    .clone(),
            )
        };
        let found = whole(column).with_context(|| format!("no column {column}"))?;
        let (prices, sizes) = (
            real("price").context("no price")?,
            real("size").context("no size")?,
        );
        let received = batch.column_by_name("received").context("no received")?;
        for at in received.as_primitive::<TimestampMicrosecondType>().values() {
            ensure!(*at >= last, "not sorted by received");
            last = *at;
        }
        for index in 0..batch.num_rows() {
            let number = found.value(index);
            let (paid, much) = (prices.value(index), sizes.value(index));
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
