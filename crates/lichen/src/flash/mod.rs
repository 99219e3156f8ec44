//! Writing an image to a card, so that what is on the card afterwards is known and not hoped.
//!
//! **Every byte of the image's range is made what it is in the image, the zeros too.** Only data travels: for
//! runs of zeros the device is told to zero a range. But they can't be left out, as a tool that looks for holes
//! would: a card is seldom new, and the image relies on its zeros. DATA is made with `lazy_journal_init`: its
//! journal is not initialised but expected to be zero. As images are reproducible, an earlier image has left a
//! journal of the same UUID with the same numbers in the very same place, and after a power cut the kernel might
//! replay that. And the free space of BOOT may still have the secrets of the last `lichen.toml`. To discard first
//! and leave out what then reads as zero is not enough either: few cards promise what discarded blocks read as.
//!
//! **Beyond the image nothing is relied on but the end:** DATA is grown to the whole card at the first boot, and
//! growing initialises what it takes in. The last megabyte is wiped, for there are the backup of an old partition
//! table and the labels of RAID and ZFS, which would be believed.
//!
//! **The order is what makes a half-written card harmless.** The partition table is wiped first and written last,
//! and wiped again if anything fails: a card boots what was verified, or nothing.
//!
//! Then everything is read back from the card itself and compared, and so are marks that show whether the card
//! has the size it claims ([`capacity`]). `lichen.toml` comes last, and is read back too.

mod buffer;
mod capacity;
pub mod disks;
pub mod progress;
pub mod source;
pub mod target;
mod write;

use crate::failure::Failure;
use anyhow::Result;
use capacity::Marks;
use progress::Progress;
use source::Source;
use std::time::{SystemTime, UNIX_EPOCH};
use target::Card;

/// Writes the image, reads it back if `verify`, and then does what is left to do with a good card. Whatever
/// fails, the card is left without a partition table, and the error says so.
pub fn flash(
    card: &impl Card,
    source: &Source,
    verify: bool,
    progress: &Progress,
    finish: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let work = || {
        write::unusable(card)?;
        write::wipe_end(card, source.size)?;
        let salt = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let marks = verify.then(|| Marks::new(source.size, card.size(), salt));
        if let Some(marks) = &marks {
            marks.write(card)?;
        }
        write::write(card, source, progress)?;
        if let Some(marks) = &marks {
            write::verify(card, source, progress)?;
            marks.check(card)?;
        }
        finish()
    };
    work().map_err(|error| {
        let wiped = write::unusable(card).is_ok();
        let hint = match error.downcast_ref::<Failure>() {
            Some(failure) => failure.hint.clone(),
            None => "run the same command again; if it fails again, use another card".into(),
        };
        let state = if wiped {
            "nothing boots from it"
        } else {
            "do not use it"
        };
        let what = format!("{error:#}\nThe card is incomplete: {state}.");
        Failure { what, hint }.into()
    })
}

#[cfg(test)]
mod tests;
