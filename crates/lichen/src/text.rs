//! Text that people hand us, as editors and other systems save it: with a byte order mark, in UTF-16, with Windows' line ends.

use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::Path;

/// The text of a file, or of standard input for `-`: without a byte order mark, and with `\n` at the ends of lines.
pub fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        let read = std::io::stdin().read_to_end(&mut bytes);
        read.context("cannot read standard input")?;
        return meaning(&bytes).context("standard input");
    }
    bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    meaning(&bytes).with_context(|| file.display().to_string())
}

fn meaning(bytes: &[u8]) -> Result<String> {
    let wide = |rest: &[u8], number: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|u| number([u[0], u[1]])).collect();
        String::from_utf16(&units).ok()
    };
    let text = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok().map(str::to_owned),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    };
    match text {
        Some(text) if !text.contains('\0') => Ok(text.replace("\r\n", "\n")),
        _ => bail!("it is not text: save it as UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_text_was_saved_it_says_the_same() {
        let wide = |number: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}pass wörd\r\n"
                .encode_utf16()
                .flat_map(number)
                .collect()
        };
        for bytes in [
            "pass wörd\n".as_bytes().to_vec(),
            "pass wörd\r\n".as_bytes().to_vec(),
            "\u{feff}pass wörd\r\n".as_bytes().to_vec(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ] {
            assert_eq!(meaning(&bytes).unwrap(), "pass wörd\n", "{bytes:?}");
        }
        for bytes in [&b"\xff\xfe\x00\xd8"[..], b"a\0b", b"\xe4\xf6"] {
            assert!(meaning(bytes).is_err(), "{bytes:?}");
        }
    }
}
