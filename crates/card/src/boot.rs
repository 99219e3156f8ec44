//! Access to files in the root of BOOT, on a card that is not in use.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use fatfs::{FileSystem, FsOptions};

use crate::Partition;

/// Writes files into the root of BOOT. They are durable only after the card has been synced.
pub fn write_to_boot(card: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let write = || {
        let file = File::options().read(true).write(true).open(card)?;
        let boot = mount(&file)?;
        for (name, content) in files {
            let mut entry = boot.root_dir().create_file(name)?;
            entry.truncate()?;
            entry.write_all(content)?;
        }
        anyhow::Ok(boot.unmount()?)
    };
    write().with_context(|| format!("cannot write to BOOT of {}", card.display()))
}

/// Reads a file in the root of BOOT.
pub fn read_from_boot(card: &Path, name: &str) -> Result<Vec<u8>> {
    let read = || {
        let file = File::open(card)?;
        let mut content = Vec::new();
        let boot = mount(&file)?;
        boot.root_dir().open_file(name)?.read_to_end(&mut content)?;
        anyhow::Ok(content)
    };
    read().with_context(|| format!("cannot read {name} from BOOT of {}", card.display()))
}

fn mount(card: &File) -> Result<FileSystem<Partition<'_>>> {
    let boot = Partition::named(card, "BOOT")?;
    Ok(FileSystem::new(boot, FsOptions::new())?)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn files_are_written_to_boot_and_read_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card");
        testing::card(&card).unwrap();
        let long: &[u8] = b"longer than what comes later";
        write_to_boot(&card, &[("lichen.toml", long), ("extra.env", b"")]).unwrap();
        write_to_boot(&card, &[("lichen.toml", b"hostname = \"x\"\n")]).unwrap();
        assert_eq!(
            read_from_boot(&card, "lichen.toml").unwrap(),
            b"hostname = \"x\"\n"
        );
        assert_eq!(read_from_boot(&card, "extra.env").unwrap(), b"");
        assert!(read_from_boot(&card, "other").is_err());
    }

    #[test]
    fn a_card_without_a_table_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("zeros");
        std::fs::write(&card, vec![0; 4096]).unwrap();
        let error = format!("{:#}", write_to_boot(&card, &[("x", b"")]).unwrap_err());
        assert!(error.contains("zeros: it has no GPT"), "{error}");
    }
}
