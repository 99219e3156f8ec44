//! DATA as the initrd mounts it after a power cut.

use std::borrow::Cow;
use std::io;

use assemble::superblock;
use testbed::Result;
use testbed::cuts::{Ext4, Remains};

/// Once the initrd has mended its superblock, if that was torn.
pub fn mended(disk: &Remains) -> Result<Cow<'_, Remains>> {
    let start = disk.partition("DATA")?.start;
    let whole =
        superblock::mended(|at, bytes| disk.read(start + at, bytes).map_err(io::Error::other))?;
    let Some(whole) = whole else {
        return Ok(Cow::Borrowed(disk));
    };
    let mut mended = disk.clone();
    mended.write(start + superblock::AT, &whole)?;
    Ok(Cow::Owned(mended))
}

/// Once its journal is replayed, too.
pub fn mount(disk: &Remains) -> Result<Ext4> {
    Ext4::mount(mended(disk)?.as_ref(), disk.partition("DATA")?)
}
