//! The cache: prices, usage and how the last look at Amber went, in one SQLite file.

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

/// What a restore did.
#[derive(Debug)]
pub enum Restored {
    /// The backup is the cache now, with so many prices.
    Whole(u64),
    /// What could be recognised of another program's file was added to the cache.
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

/// Replaces the cache at `to` by the backup `from`, all or nothing. From a file of another program what can be
/// recognised is added to the cache instead.
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
