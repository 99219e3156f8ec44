//! Does the card have the room that it says it has?
//!
//! Cards with a forged size are common. Beyond what they have they drop what is written, or write it over what is
//! at the beginning; an image fits, and months later DATA, which grows to the whole card, falls apart. So marks
//! are written all over the card, the image after them, and then the marks must still be there. They are no
//! further apart than the image is long: if addresses wrap around, one of the marks lies under the image.

use super::buffer::Buffer;
use super::target::Card;
use crate::failure::Failure;
use crate::ui;
use anyhow::{Context, Result};

const MARK: u64 = 4096;

/// The marks of one run.
#[derive(Debug)]
pub struct Marks {
    places: Vec<u64>,
    salt: u64,
}

impl Marks {
    /// Where an image of `image` bytes leaves room. The salt tells these marks from those of an earlier run.
    pub fn new(image: u64, card: u64, salt: u64) -> Self {
        let step = (image / MARK * MARK).max(MARK);
        let last = (card / MARK).saturating_sub(1) * MARK;
        let begin = image.next_multiple_of(MARK);
        let mut places: Vec<u64> = (begin..last).step_by(step as usize).collect();
        if last >= begin {
            places.push(last);
        }
        Marks { places, salt }
    }

    fn mark(&self, place: u64) -> Buffer {
        let mut mark = Buffer::new(MARK as usize);
        for word in mark.chunks_exact_mut(8) {
            word.copy_from_slice(&(place ^ self.salt).to_le_bytes());
        }
        mark
    }

    /// Writes them, before the image.
    pub fn write(&self, card: &impl Card) -> Result<()> {
        for &place in &self.places {
            card.write(place, &self.mark(place))
                .with_context(|| format!("cannot write at byte {place}"))?;
        }
        card.sync().context("cannot write all of it")
    }

    /// Looks for them after the image was written, and removes them.
    pub fn check(&self, card: &impl Card) -> Result<()> {
        let mut found = Buffer::new(MARK as usize);
        for &place in &self.places {
            card.read(place, &mut found)
                .with_context(|| format!("cannot read back at byte {place}"))?;
            if found[..] != self.mark(place)[..] {
                return Err(Failure {
                    what: format!(
                        "the card lies about its size: it says {}, but did not keep what was written at byte {place}",
                        ui::bytes(card.size())
                    ),
                    hint: "send it back, and take another one".into(),
                }
                .into());
            }
        }
        for &place in &self.places {
            card.zero(place, MARK)
                .with_context(|| format!("cannot write at byte {place}"))?;
        }
        card.sync().context("cannot write all of it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wherever_a_forged_card_really_ends_a_mark_beyond_would_wrap_around_onto_the_image() {
        const GB: u64 = 1_000_000_000;
        for (image, card) in [
            (479_219_712, 32 * GB),
            (10_486_272, GB),
            (4096, 1 << 20),
            (512, 1 << 20),
        ] {
            let marks = Marks::new(image, card, 0);
            for end in (image + MARK..card - MARK).step_by((card / 997) as usize) {
                let onto = |place: &u64| *place >= end && place - end < image.max(MARK);
                assert!(marks.places.iter().any(onto), "{image} of {card}: {end}");
            }
        }
    }

    #[test]
    fn a_card_that_the_image_fills_has_no_marks() {
        assert!(Marks::new(1 << 20, 1 << 20, 0).places.is_empty());
        assert!(Marks::new(1 << 20, (1 << 20) + 512, 0).places.is_empty());
    }
}
