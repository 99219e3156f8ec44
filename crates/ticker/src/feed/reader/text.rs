//! Reads strings: finds their end, and decodes them.

use std::borrow::Cow;

use super::Reader;

/// The raw text between two quotation marks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The decoded bytes, which are UTF-8.
    #[inline]
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self.escaped {
            false => Cow::Borrowed(self.raw),
            true => Cow::Owned(unescaped(self.raw).unwrap_or_default().into_bytes()),
        }
    }

    /// The decoded text.
    pub fn meaning(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.raw) {
            Ok(text) if !self.escaped => Cow::Borrowed(text),
            _ => Cow::Owned(unescaped(self.raw).unwrap_or_default()),
        }
    }

    /// Whether it decodes to `text`.
    pub fn is(self, text: &str) -> bool {
        *self.bytes() == *text.as_bytes()
    }
}

#[cold]
fn unescaped(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", raw, b"\""].concat()).ok()
}

impl<'a> Reader<'a> {
    /// Reads a string.
    #[inline(always)]
    pub fn text(&mut self) -> Option<Text<'a>> {
        match self.null() {
            true => None,
            false => Some(self.string()),
        }
    }

    #[inline(always)]
    pub(super) fn string(&mut self) -> Text<'a> {
        self.expect(b'"', "a string was expected");
        let rest = self.rest;
        let length = plain(rest);
        if rest.get(length) != Some(&b'"') {
            return self.string_with_escapes();
        }
        self.pass(length + 1);
        Text {
            raw: &rest[..length],
            escaped: false,
        }
    }

    /// Reads a string whose opening quotation mark has been read.
    #[cold]
    fn string_with_escapes(&mut self) -> Text<'a> {
        let from = self.rest;
        loop {
            self.pass(plain(self.rest));
            match self.rest {
                // Skip the escaped character, which may be a quotation mark.
                [b'\\', _, ..] => self.pass(2),
                [128..=255, ..] => self.pass(1),
                [b'"', ..] => break,
                _ => {
                    self.expected("a string is not terminated, or contains a control character");
                    return Text::default();
                }
            }
        }
        let raw = &from[..from.len() - self.rest.len()];
        match unescaped(raw) {
            Some(_) => self.pass(1),
            None => self.expected("a string is not UTF-8, or contains an invalid escape"),
        }
        let escaped = raw.contains(&b'\\');
        Text { raw, escaped }
    }
}

/// The number of bytes before the first special one in a string: a quotation mark, a backslash, a control character, or
/// a byte that is not ASCII. Eight bytes are checked at once: subtracting 1 or 32 from a byte sets its highest bit if
/// the byte was smaller, or if the bit was set before. (A borrow may wrongly mark the next higher byte, but the lowest
/// mark is always right.)
#[inline(always)]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut at = 0;
    while let Some((eight, _)) = bytes[at..].split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let same = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
        let smaller = word.wrapping_sub(ONES * 32);
        let special = (smaller | word | same(b'"') | same(b'\\')) & (ONES << 7);
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..32 | 128..);
    let rest = &bytes[at..];
    at + rest.iter().position(special).unwrap_or(rest.len())
}
