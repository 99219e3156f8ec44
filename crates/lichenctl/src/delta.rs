//! One archive told by another: zstd with the old archive as its prefix. Without a prefix it is plain zstd.
//!
//! Chosen by measuring, against bsdiff: a line of climate changed, 79 kB (bsdiff with bzip2: 34 kB; by either more
//! than 150 kB where erofs compresses the layer); OpenSSL 3.5.7 → 3.5.9 in base, 1.4 MB of 59 (bsdiff: 1.0 MB). bsdiff's
//! are smaller, but take nine times the archive in memory to make and a second format for what has no base. Levels
//! above 15 take minutes for base and save nothing there; those below cost half as much again.
//!
//! To apply one takes the base and the result in memory, once each: 118 MB for today's base layer. That there are so
//! many is for whoever makes the delta to ask first.

use std::io::{self, Read, Write};

const LEVEL: i32 = 15;
/// The largest window that the format has.
const WIDEST: u32 = 31;

/// The bytes that [`apply`] turns into `new`, given the same `base`.
pub fn make(base: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::with_ref_prefix(Vec::new(), LEVEL, base)?;
    encoder.set_pledged_src_size(Some(new.len() as u64))?;
    // A base that is not the one it was made for gives another result, which this tells.
    encoder.include_checksum(true)?;
    let both = (base.len() + new.len()).max(1 << 10) as u64;
    encoder.window_log((u64::BITS - both.leading_zeros()).min(WIDEST))?;
    encoder.long_distance_matching(!base.is_empty())?;
    encoder.write_all(new)?;
    encoder.finish()
}

/// Writes what `delta` stands for, `size` bytes; anything else is an error, however far it got.
pub fn apply(base: &[u8], delta: impl Read, size: u64, to: &mut impl Write) -> io::Result<()> {
    let mut decoder =
        zstd::Decoder::with_ref_prefix(io::BufReader::new(delta), base)?.single_frame();
    decoder.window_log_max(WIDEST)?;
    let written = io::copy(&mut (&mut decoder).take(size), to)?;
    // To the end of the frame, where its checksum is.
    if written != size || decoder.read(&mut [0])? != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not of the size it was said to be",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn applied(base: &[u8], delta: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut result = Vec::new();
        apply(base, delta, size as u64, &mut result).map(|()| result)
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(base in prop::collection::vec(any::<u8>(), 0..5000), new in prop::collection::vec(any::<u8>(), 0..5000)) {
            let delta = make(&base, &new)?;
            prop_assert_eq!(applied(&base, &delta, new.len())?, new);
        }

        #[test]
        fn what_was_edited_comes_back(base in prop::collection::vec(any::<u8>(), 100..5000), at in 0..100_usize, gone in 0..100_usize, put in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut new = base.clone();
            new.splice(at..(at + gone).min(base.len()), put);
            let delta = make(&base, &new)?;
            prop_assert_eq!(applied(&base, &delta, new.len())?, new);
        }
    }

    #[test]
    fn a_delta_is_as_small_as_the_change() {
        let base: Vec<u8> = (0..300_000_u32)
            .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
            .collect();
        let mut new = base.clone();
        new[600_000..600_010].fill(0);
        let delta = make(&base, &new).unwrap();
        assert!(delta.len() < 2000, "{}", delta.len());
        assert_eq!(applied(&base, &delta, new.len()).unwrap(), new);
    }

    #[test]
    fn another_base_or_another_size_is_noticed() {
        let (base, new) = (b"the old text, ".repeat(100), b"the old text. ".repeat(101));
        let delta = make(&base, &new).unwrap();
        assert!(applied(&b"another text, ".repeat(100), &delta, new.len()).is_err());
        assert!(applied(&base, &delta, new.len() - 1).is_err());
        assert!(applied(&base, &delta, new.len() + 1).is_err());
        for cut in 0..delta.len() {
            assert!(
                applied(&base, &delta[..cut], new.len()).is_err(),
                "cut after {cut}"
            );
        }
    }
}
