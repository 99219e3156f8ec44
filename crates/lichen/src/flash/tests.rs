//! Cards that are worn, forged or pulled out, and images that are damaged.

use super::*;
use card::{Table, reader_of_bytes, testing};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use target::Target;

const MIB: u64 = 1 << 20;
/// Three chunks, the last one not full.
const IMAGE: u64 = 10 * MIB + 512;

/// An image with data, zeros between, and data in its last sector.
fn image(folder: &Path) -> PathBuf {
    let path = folder.join("a.img");
    testing::card(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.resize(IMAGE as usize, 0);
    bytes[5 << 20..6 << 20].fill(0xa4);
    bytes[IMAGE as usize - 512..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn source(image: &Path) -> Source {
    Source::open(image, &Progress::default()).unwrap()
}

/// How a forged card treats addresses beyond its real size.
#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    Dropped,
    WrappedAround,
}

/// A card in memory, full of old data.
struct Fake {
    bytes: RefCell<Vec<u8>>,
    claims: u64,
    beyond: Beyond,
    /// Bits here stick.
    worn: Option<usize>,
    /// The number of writes until it is pulled out.
    writes_left: Cell<Option<u32>>,
}

impl Fake {
    fn new(has: u64) -> Self {
        Fake {
            bytes: RefCell::new(vec![0xee; has as usize]),
            claims: has,
            beyond: Beyond::Dropped,
            worn: None,
            writes_left: Cell::new(None),
        }
    }

    fn forged(claims: u64, has: u64, beyond: Beyond) -> Self {
        Fake {
            claims,
            beyond,
            ..Fake::new(has)
        }
    }

    fn place(&self, at: u64) -> Option<usize> {
        let has = self.bytes.borrow().len();
        let at = at as usize;
        match self.beyond {
            _ if at < has => Some(at),
            Beyond::Dropped => None,
            Beyond::WrappedAround => Some(at % has),
        }
    }

    fn flash(&self, source: &Source) -> Result<()> {
        flash(self, source, true, &Progress::default(), || Ok(()))
    }
}

impl Card for Fake {
    fn size(&self) -> u64 {
        self.claims
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self.writes_left.get() {
            Some(0) => return Err(io::Error::other("no such device")),
            left => self.writes_left.set(left.map(|n| n - 1)),
        }
        let aligned = [at, bytes.len() as u64, bytes.as_ptr().addr() as u64];
        assert!(aligned.iter().all(|n| n.is_multiple_of(512)), "{aligned:?}");
        assert!(at + bytes.len() as u64 <= self.claims);
        for (n, sector) in bytes.chunks(512).enumerate() {
            if let Some(place) = self.place(at + n as u64 * 512) {
                self.bytes.borrow_mut()[place..place + 512].copy_from_slice(sector);
            }
        }
        if let Some(worn) = self.worn {
            self.bytes.borrow_mut()[worn] |= 1;
        }
        Ok(())
    }

    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        self.write(at, &buffer::Buffer::new(length as usize))
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        for (n, sector) in bytes.chunks_mut(512).enumerate() {
            match self.place(at + n as u64 * 512) {
                Some(place) => {
                    sector.copy_from_slice(&self.bytes.borrow()[place..][..sector.len()])
                }
                None => sector.fill(0xff),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn failure(result: Result<()>) -> (String, String) {
    let error = result.unwrap_err();
    let failure = error.downcast::<Failure>().unwrap();
    (failure.what, failure.hint)
}

#[test]
fn a_used_card_is_equal_to_the_image_and_holds_nothing_that_would_be_believed() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let source = source(&image);
    for size in [IMAGE, IMAGE + 512, 16 * MIB, 32 * MIB] {
        let card = Fake::new(size);
        card.flash(&source).unwrap();
        let bytes = card.bytes.borrow();
        assert!(bytes[..IMAGE as usize] == std::fs::read(&image).unwrap());
        // No mark of the check remains either: everything that is not zero is unchanged.
        let beyond = &bytes[IMAGE as usize..];
        assert!(beyond.iter().all(|b| *b == 0 || *b == 0xee));
        let tail = beyond.len().saturating_sub(1 << 20);
        assert!(beyond[tail..].iter().all(|b| *b == 0), "{size}");
    }
}

#[test]
fn a_worn_block_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(&image(folder.path()));
    // The fault is within zeros, within data, or in the last sector.
    for worn in [7 << 20, 0x51_2345, IMAGE as usize - 1] {
        let card = Fake {
            worn: Some(worn),
            ..Fake::new(16 * MIB)
        };
        let (what, hint) = failure(card.flash(&source));
        let place = format!("1 block of 4096 bytes, the first at byte {worn}, where");
        assert!(
            what.contains(&place) && what.ends_with("nothing boots from it."),
            "{what}"
        );
        assert!(hint.contains("use another one"), "{hint}");
        assert!(card.bytes.borrow()[..4 << 20].iter().all(|b| *b == 0));
    }
}

#[test]
fn a_card_that_lies_about_its_size_is_found_out_however_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(&image(folder.path()));
    for beyond in [Beyond::Dropped, Beyond::WrappedAround] {
        // The real size is enough for the image, but less than claimed; some sizes are not round numbers.
        for has in [IMAGE + 512, 16 * MIB, 17 * MIB + 4096, 31 * MIB, 63 * MIB] {
            let card = Fake::forged(64 * MIB, has, beyond);
            let (what, hint) = failure(card.flash(&source));
            assert!(
                what.contains("lies about its size: it says 67.1 MB"),
                "{has}: {what}"
            );
            assert_eq!(hint, "send it back, and take another one");
        }
        // The real size is not even enough for the image.
        let card = Fake::forged(64 * MIB, 8 * MIB, beyond);
        let (what, _) = failure(card.flash(&source));
        assert!(
            what.contains("what was read back is not what was written"),
            "{what}"
        );
    }
}

#[test]
fn a_card_that_is_pulled_out_is_called_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(&image(folder.path()));
    let card = Fake::new(16 * MIB);
    let all = {
        card.writes_left.set(Some(u32::MAX));
        card.flash(&source).unwrap();
        u32::MAX - card.writes_left.get().unwrap()
    };
    assert!(all > 8, "{all}");
    for writes in 0..all {
        let card = Fake::new(16 * MIB);
        card.writes_left.set(Some(writes));
        let (what, hint) = failure(card.flash(&source));
        assert!(
            what.contains("no such device")
                && what.contains("The card is incomplete: do not use it."),
            "{what}"
        );
        assert!(hint.contains("run the same command again"), "{hint}");
    }
}

#[test]
fn until_everything_else_is_written_there_is_no_partition_table() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let card = Fake::new(16 * MIB);
    let result = flash(&card, &source(&image), false, &Progress::default(), || {
        anyhow::bail!("lichen.toml does not fit")
    });
    let (what, _) = failure(result);
    assert_eq!(
        what,
        "lichen.toml does not fit\nThe card is incomplete: nothing boots from it."
    );
    let bytes = card.bytes.borrow();
    let table = Table::read(&reader_of_bytes(&bytes), bytes.len() as u64 / card::SECTOR);
    assert!(table.is_err(), "{table:?}");
    assert_eq!(bytes[5 << 20], 0xa4);
}

#[test]
fn bytes_that_change_behind_its_back_are_found_on_a_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let path = folder.path().join("card");
    std::fs::write(&path, vec![0xee; 16 << 20]).unwrap();
    let (source, progress) = (source(&image), Progress::default());
    let card = Target::file(&path).unwrap();
    write::write(&card, &source, &progress).unwrap();
    write::verify(&card, &source, &progress).unwrap();
    card.write(6 * MIB + 512, &[1; 512]).unwrap();
    card.zero(5 * MIB, 8192).unwrap();
    let (what, _) = failure(write::verify(&card, &source, &progress));
    assert_eq!(
        what,
        "what was read back is not what was written: 3 blocks of 4096 bytes, the first at byte 5242880, where there are zeros"
    );
}

#[test]
fn an_archive_is_unpacked_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let packed = folder.path().join("a.img.zst");
    let bytes = std::fs::read(&image).unwrap();
    std::fs::write(&packed, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
    assert_eq!(source(&packed).size, IMAGE);
    let card = Fake::new(16 * MIB);
    card.flash(&source(&packed)).unwrap();
    assert!(card.bytes.borrow()[..IMAGE as usize] == bytes);
}

#[test]
fn what_is_not_the_published_image_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let refused = |path: &Path| failure(Source::open(path, &Progress::default()).map(drop));
    let sums = folder.path().join("sha256sums");
    let sha256 = crate::hash::file_sha256(&image).unwrap();

    std::fs::write(
        &sums,
        format!("{}  b.img\n{sha256}  a.img\n", "0".repeat(64)),
    )
    .unwrap();
    source(&image);
    std::fs::write(&sums, format!("{}  a.img\n", "0".repeat(64))).unwrap();
    let (what, hint) = refused(&image);
    assert!(
        what.contains(&format!("sha256sums: its SHA-256 is {sha256}, not 000")),
        "{what}"
    );
    assert!(hint.contains("nothing was written"));
    // The image's own file comes first.
    std::fs::write(folder.path().join("a.img.sha256"), &sha256).unwrap();
    source(&image);

    let packed = folder.path().join("c.img.zst");
    let mut bytes = zstd::encode_all(&std::fs::read(&image).unwrap()[..], 1).unwrap();
    bytes.truncate(bytes.len() - 10);
    std::fs::write(&packed, &bytes).unwrap();
    let (what, _) = refused(&packed);
    assert!(what.contains("c.img.zst is damaged"), "{what}");
}

#[test]
fn what_is_no_image_of_an_appliance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.img");
    std::fs::write(&path, "not an image").unwrap();
    let (what, hint) = failure(Source::open(&path, &Progress::default()).map(drop));
    assert!(
        what.ends_with("notes.img is not an image of an appliance: it has no GPT"),
        "{what}"
    );
    assert!(hint.starts_with("./lichen build"));
    let image = image(folder.path());
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    file.set_len(IMAGE - 1).unwrap();
    let (what, _) = failure(Source::open(&image, &Progress::default()).map(drop));
    assert!(what.contains("is incomplete"), "{what}");
}
