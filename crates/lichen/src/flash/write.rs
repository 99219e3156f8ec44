//! Writing an image and reading it back, on anything that can do what a card does.

use super::buffer::Buffer;
use super::progress::Progress;
use super::source::{CHUNK, Source};
use super::target::Card;
use crate::failure::Failure;
use crate::ui;
use anyhow::{Context, Result};

/// Zeros are told from data in steps of this size: smaller gaps cost more as commands than as bytes.
const GRAIN: usize = 1 << 20;
static ZEROS: [u8; GRAIN] = [0; GRAIN];
/// What is wiped at the end of the card: the backup of a partition table, and the labels of RAID and ZFS.
const TAIL: u64 = 1 << 20;

/// Makes what is beyond an image of `image` bytes, at the end of the card, read as zeros.
pub fn wipe_end(card: &impl Card, image: u64) -> Result<()> {
    let tail = image.max(card.size().saturating_sub(TAIL));
    if tail < card.size() {
        card.zero(tail, card.size() - tail)
            .context("cannot wipe the end")?;
    }
    Ok(())
}

/// Makes the card's beginning equal to the image. The first chunk, with the partition table, comes last.
pub fn write(card: &impl Card, source: &Source, progress: &Progress) -> Result<()> {
    let mut stage = progress.begin("writing", Some(source.size));
    let mut first = None;
    let mut written = 0;
    source.chunks(|at, chunk, length| {
        stage.step(at)?;
        if at == 0 {
            let mut copy = Buffer::new(length);
            copy.copy_from_slice(&chunk[..length]);
            first = Some(copy);
            return Ok(());
        }
        written += put(card, at, &chunk[..length])?;
        Ok(())
    })?;
    card.sync().context("cannot write all of it")?;
    stage.step(source.size)?;
    written += put(card, 0, &first.context("the image is empty")?)?;
    card.sync().context("cannot write all of it")?;
    ui::say(format!(
        "written: {} of data, {} of zeros, {}",
        ui::bytes(written),
        ui::bytes(source.size - written),
        stage.end(source.size)
    ));
    Ok(())
}

/// Takes the partition table away: nothing boots from this, and nothing mounts it.
pub fn unusable(card: &impl Card) -> Result<()> {
    card.zero(0, card.size().min(CHUNK as u64))
        .and_then(|()| card.sync())
        .context("cannot wipe the beginning")
}

/// Writes one chunk; returns how much of it was data.
fn put(card: &impl Card, at: u64, chunk: &[u8]) -> Result<u64> {
    let mut data = 0;
    let mut from = 0;
    while from < chunk.len() {
        let is_zero = |grain: &[u8]| grain == &ZEROS[..grain.len()];
        let zero = is_zero(&chunk[from..(from + GRAIN).min(chunk.len())]);
        let run: usize = chunk[from..]
            .chunks(GRAIN)
            .take_while(|grain| is_zero(grain) == zero)
            .map(<[u8]>::len)
            .sum();
        let place = at + from as u64;
        let result = match zero {
            true => card.zero(place, run as u64),
            false => card.write(place, &chunk[from..from + run]),
        };
        result.with_context(|| format!("cannot write at byte {place}"))?;
        data += if zero { 0 } else { run as u64 };
        from += run;
    }
    Ok(data)
}

/// Reads everything back and compares it with the image.
pub fn verify(card: &impl Card, source: &Source, progress: &Progress) -> Result<()> {
    let mut stage = progress.begin("reading back", Some(source.size));
    let mut found = Buffer::new(CHUNK);
    let mut difference = Difference::default();
    source.chunks(|at, chunk, length| {
        stage.step(at)?;
        let found = &mut found[..length];
        card.read(at, found)
            .with_context(|| format!("cannot read back at byte {at}"))?;
        difference.look(at, &chunk[..length], found);
        Ok(())
    })?;
    let speed = stage.end(source.size);
    if let Some(what) = difference.told() {
        return Err(Failure {
            what,
            hint: "try again; if it happens again, the card or its reader is bad: use another one"
                .into(),
        }
        .into());
    }
    ui::say(format!("read back, every byte as it should be, {speed}"));
    Ok(())
}

/// Where the bytes read back differ from those written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    first: Option<(u64, bool)>,
    blocks: u64,
}

impl Difference {
    const BLOCK: usize = 4096;

    fn look(&mut self, at: u64, wanted: &[u8], found: &[u8]) {
        if wanted == found {
            return;
        }
        let blocks = wanted.chunks(Self::BLOCK).zip(found.chunks(Self::BLOCK));
        for (n, (wanted, found)) in blocks.enumerate() {
            let Some(byte) = wanted.iter().zip(found).position(|(w, f)| w != f) else {
                continue;
            };
            self.blocks += 1;
            let zeros = found.iter().all(|b| *b == 0);
            let place = at + (n * Self::BLOCK + byte) as u64;
            self.first.get_or_insert((place, zeros));
        }
    }

    fn told(&self) -> Option<String> {
        let (place, zeros) = self.first?;
        Some(format!(
            "what was read back is not what was written: {} of {} bytes, the first at byte {place}, {}",
            match self.blocks {
                1 => "1 block".into(),
                n => format!("{n} blocks"),
            },
            Self::BLOCK,
            if zeros {
                "where there are zeros"
            } else {
                "where there is something else"
            }
        ))
    }
}
