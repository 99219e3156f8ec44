//! What a screen shows, as far as a story has to know.

use anyhow::{Context, Result, ensure};

/// A picture of a screen.
#[derive(Debug)]
pub struct Picture {
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Reads a portable pixmap: `P6`, width, height and 255, each followed by white space, then the pixels.
    pub(crate) fn from_ppm(file: &[u8]) -> Result<Self> {
        let mut parts = file.splitn(4, u8::is_ascii_whitespace);
        let mut word = || parts.next().and_then(|word| std::str::from_utf8(word).ok());
        ensure!(word() == Some("P6"), "this is not a PPM picture");
        let mut number = || word()?.parse::<usize>().ok();
        let size = number().zip(number()).context("the picture has no size")?;
        let rest = parts.next().and_then(|rest| rest.strip_prefix(b"255\n"));
        let (pixels, _) = rest
            .context("the picture does not have 8 bits for each colour")?
            .as_chunks();
        ensure!(pixels.len() == size.0 * size.1, "the picture is cut short");
        Ok(Self {
            pixels: pixels.to_vec(),
        })
    }

    /// The share of its pixels that have exactly this colour, between 0 and 1.
    pub fn share(&self, colour: [u8; 3]) -> f64 {
        let same = self.pixels.iter().filter(|pixel| **pixel == colour);
        same.count() as f64 / self.pixels.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_counted() {
        let picture = Picture::from_ppm(b"P6\n2 2\n255\n\x01\x02\x03\x01\x02\x03   \x01\x02\x03");
        assert_eq!(picture.unwrap().share([1, 2, 3]), 0.75);
        let broken = Picture::from_ppm(b"P6\n2 2\n255\n\x01\x02");
        assert!(broken.unwrap_err().to_string().contains("cut short"));
    }
}
