//! The card of a virtual machine: a sparse copy of the image, grown as a card is larger than an image.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const BLOCK: usize = 1 << 16;

/// The size of an image or a card.
pub fn size(file: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(file);
    Ok(metadata
        .with_context(|| format!("cannot look at {}", file.display()))?
        .len())
}

/// Copies the image to a card of at least `size` bytes; zeros take no room.
pub fn copy(image: &Path, card: &Path, size: u64) -> Result<()> {
    let context = || format!("cannot copy {} to {}", image.display(), card.display());
    let partial = card.with_extension("partial");
    let mut from = File::open(image).with_context(context)?;
    // A card holds secrets.
    let mut to = File::options();
    to.write(true).create(true).truncate(true).mode(0o600);
    let to = to.open(&partial).with_context(context)?;
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let read = from.read(&mut block).with_context(context)?;
        if read == 0 {
            break;
        }
        if block[..read].iter().any(|b| *b != 0) {
            to.write_all_at(&block[..read], at).with_context(context)?;
        }
        at += read as u64;
    }
    to.set_len(size.max(at)).with_context(context)?;
    std::fs::rename(&partial, card).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_a_larger_copy_whose_zeros_take_no_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (image, card) = (folder.path().join("a.img"), folder.path().join("card"));
        let mut content = vec![0; 4 << 20];
        content[3 << 20] = 1;
        std::fs::write(&image, &content).unwrap();
        copy(&image, &card, 8 << 20).unwrap();
        let metadata = card.metadata().unwrap();
        assert_eq!(size(&card).unwrap(), 8 << 20);
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(metadata.blocks() * 512 < 1 << 20, "{}", metadata.blocks());
        content.resize(8 << 20, 0);
        assert_eq!(std::fs::read(&card).unwrap(), content);
    }
}
