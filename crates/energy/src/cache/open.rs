//! How the cache's file is opened, whatever it turns out to be.

use std::path::Path;

use anyhow::Context;
use kit::database::Unusable;

use super::adopt::adopt_in_place;
use super::store::{Cache, SCHEMA};

impl Cache {
    /// Opens the file, or makes it. One that is damaged is set aside; what can be recognised of another program's
    /// is taken over, and it is set aside, too. Nothing is ever deleted.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::open_suspect(path, false)
    }

    /// The same, looking at every page first if SQLite has found damage.
    pub fn open_suspect(path: &Path, suspect: bool) -> anyhow::Result<Self> {
        let directory = path.parent().filter(|parent| *parent != Path::new(""));
        // Dashboard and sync may both be the first: one of them opens, the other waits.
        let directory = directory.unwrap_or(Path::new("."));
        let door = std::fs::File::open(directory)
            .with_context(|| format!("cannot open {}", directory.display()))?;
        rustix::fs::flock(&door, rustix::fs::FlockOperation::LockExclusive)?;
        let database = match SCHEMA.open_or_set_aside(path, suspect) {
            Ok((database, _)) => database,
            Err(error) if matches!(error.downcast_ref(), Some(Unusable::Foreign)) => {
                let (adopted, aside) = adopt_in_place(path)?;
                tracing::warn!(kept = %aside.display(), "another program's cache: {adopted}");
                SCHEMA.open(path)?
            }
            Err(error) => return Err(error),
        };
        Ok(Cache(database))
    }
}
