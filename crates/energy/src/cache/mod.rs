//! The cache: prices, usage and the result of the last sync, in one SQLite file.

mod adopt;
mod open;
mod store;

use std::path::Path;

use kit::database::Unusable;

pub use adopt::{Adopted, adopt};
pub use store::{Cache, DayTotals, SCHEMA};

/// Copies the cache at `from` to the file `to`, or to stdout if that is `-`. Returns its prices.
pub fn back_up(from: &Path, to: &Path) -> anyhow::Result<u64> {
    SCHEMA.back_up(from, to)
}

/// The result of a restore.
#[derive(Debug)]
pub enum Restored {
    /// The cache was replaced by the backup, which has this many prices.
    Whole(u64),
    /// The recognised rows of another program's file were added to the cache.
    Adopted(Adopted),
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Restored::Whole(prices) => write!(f, "{prices} prices restored"),
            Restored::Adopted(adopted) => write!(f, "another program's: {adopted}"),
        }
    }
}

/// Replaces the cache at `to` with the backup `from`, all or nothing. If `from` is another program's file, its
/// recognised rows are added to the cache instead.
pub fn restore(from: &Path, to: &Path) -> anyhow::Result<Restored> {
    match SCHEMA.restore(from, to, |_| Ok(())) {
        Err(error) if matches!(error.downcast_ref(), Some(Unusable::Foreign)) => {
            let mut cache = Cache::open(to)?;
            let adopted = adopt(from, &mut cache)?;
            cache.close();
            store::give_away(to)?;
            Ok(Restored::Adopted(adopted))
        }
        restored => restored.map(Restored::Whole),
    }
}
