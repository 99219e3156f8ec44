//! JSON, read where it lies: in one pass, and with nothing on the heap.
//!
//! A market's message is a dozen short values, most of them wanted, and comes by the thousand. Members are told to
//! whoever reads, who takes each as what it is to be, or skips it. Null is as good as no member. What is accepted and
//! what is refused is what serde_json accepts and refuses, which a test shows.
//!
//! What is wrong is told at the [end](Reader::end): until then a text that is not what was expected reads as if it had
//! ended there. Asking after each of some fifty steps would take as long as the steps.

use std::borrow::Cow;

use super::decode::Garbage;
use super::number::{Digits, Number};
use crate::record::Maybe;

/// As deep as serde_json goes.
const DEEPEST: u32 = 127;

/// What has been read of a text.
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    depth: u32,
    wrong: Option<(&'static str, usize)>,
}

/// What stands between two quotation marks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// What it means, which is UTF-8.
    #[inline]
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self.escaped {
            false => Cow::Borrowed(self.raw),
            true => Cow::Owned(unescaped(self.raw).unwrap_or_default().into_bytes()),
        }
    }

    /// What it means.
    pub fn meaning(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.raw) {
            Ok(text) if !self.escaped => Cow::Borrowed(text),
            _ => Cow::Owned(unescaped(self.raw).unwrap_or_default()),
        }
    }

    /// Whether it means `text`.
    pub fn is(self, text: &str) -> bool {
        *self.bytes() == *text.as_bytes()
    }
}

#[cold]
fn unescaped(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", raw, b"\""].concat()).ok()
}

/// The names of members in the order in which they usually come, and what each is to whoever reads.
pub struct Members<F, const N: usize>([(Name, F); N]);

/// A member's name, with what stands around it.
#[derive(Clone, Copy)]
struct Name {
    name: &'static str,
    /// `"name":`, the first byte the lowest.
    bytes: u128,
    mask: u128,
}

impl<F: Copy, const N: usize> Members<F, N> {
    /// These; with more than thirteen letters they would not fit.
    pub const fn of(members: [(&'static str, F); N]) -> Self {
        let mut all = [(Name::of(""), members[0].1); N];
        let mut at = 0;
        while at < N {
            all[at] = (Name::of(members[at].0), members[at].1);
            at += 1;
        }
        Members(all)
    }
}

impl Name {
    const fn of(name: &'static str) -> Self {
        let (letters, length) = (name.as_bytes(), name.len());
        let mut bytes = [0; 16];
        let mut mask = [0; 16];
        let mut at = 0;
        while at < length + 3 {
            mask[at] = 255;
            bytes[at] = match at {
                at if at == 0 || at == length + 1 => b'"',
                at if at == length + 2 => b':',
                at => letters[at - 1],
            };
            at += 1;
        }
        Name {
            name,
            bytes: u128::from_le_bytes(bytes),
            mask: u128::from_le_bytes(mask),
        }
    }

    #[inline(always)]
    fn is_at(&self, text: &[u8]) -> bool {
        let bytes = match text.first_chunk() {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; 16];
                bytes[..text.len()].copy_from_slice(text);
                bytes
            }
        };
        u128::from_le_bytes(bytes) & self.mask == self.bytes
    }
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    #[inline]
    pub fn of(text: &'a [u8]) -> Self {
        Reader {
            rest: text,
            length: text.len(),
            depth: 0,
            wrong: None,
        }
    }

    /// The first byte of the value that comes; 0 if there is none.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        match self.rest.first() {
            Some(byte) if *byte > b' ' => *byte,
            _ => self.peek_behind_blanks(),
        }
    }

    #[cold]
    fn peek_behind_blanks(&mut self) -> u8 {
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.pass(self.rest.iter().take_while(blank).count());
        self.rest.first().copied().unwrap_or_default()
    }

    /// An object; `take` is called for each member that has one of these names, and has to read its value.
    #[inline(always)]
    pub fn members<F: Copy, const N: usize>(
        &mut self,
        members: &Members<F, N>,
        mut take: impl FnMut(&mut Self, F),
    ) {
        let mut usual = 0;
        self.all(b'{', b'}', "an object was expected", |reader| {
            reader.peek();
            let field = match members.0.get(usual) {
                Some((name, field)) if name.is_at(reader.rest) => {
                    reader.pass(name.name.len() + 3);
                    *field
                }
                _ => match reader.unusual(members) {
                    Some(index) => {
                        usual = index;
                        members.0[index].1
                    }
                    None => return,
                },
            };
            usual += 1;
            take(reader, field);
        });
    }

    /// An object; `take` is called for each member with its name, and has to read its value.
    pub fn object(&mut self, mut take: impl FnMut(&mut Self, &str)) {
        self.all(b'{', b'}', "an object was expected", |reader| {
            let name = reader.name();
            take(reader, &name.meaning());
        });
    }

    /// A name that is not the one that usually comes now: which it is, or none of these, and skipped.
    #[cold]
    fn unusual<F: Copy, const N: usize>(&mut self, members: &Members<F, N>) -> Option<usize> {
        let name = self.name();
        let index = members
            .0
            .iter()
            .position(|(member, _)| name.is(member.name));
        if index.is_none() {
            self.skip();
        }
        index
    }

    fn name(&mut self) -> Text<'a> {
        let name = self.string();
        self.expect(b':', "a colon was expected");
        name
    }

    /// A list; `take` is called for each item, and has to read it.
    #[inline(always)]
    pub fn list(&mut self, take: impl FnMut(&mut Self)) {
        self.all(b'[', b']', "a list was expected", take);
    }

    #[inline(always)]
    fn all(
        &mut self,
        open: u8,
        close: u8,
        otherwise: &'static str,
        mut take: impl FnMut(&mut Self),
    ) {
        if self.peek() != open {
            return self.expected(otherwise);
        }
        self.pass(1);
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.expected("it is too deep");
        }
        if self.peek() == close {
            self.pass(1);
        } else {
            loop {
                take(self);
                match self.peek() {
                    b',' => self.pass(1),
                    byte if byte == close => {
                        self.pass(1);
                        break;
                    }
                    _ => return self.expected("a comma was expected"),
                }
            }
        }
        self.depth -= 1;
    }

    /// A string.
    #[inline(always)]
    pub fn text(&mut self) -> Option<Text<'a>> {
        match self.null() {
            true => None,
            false => Some(self.string()),
        }
    }

    /// A number, or a string that is one.
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        match self.peek() {
            b'n' => {
                self.word(b"null");
                None
            }
            b'"' => self.number_in_string(),
            _ => self.plain_number(),
        }
    }

    /// A number, or a string that is one, as a price or size.
    #[inline(always)]
    pub fn real(&mut self) -> Maybe<f64> {
        self.number().map(Number::real).into()
    }

    /// A whole number.
    #[inline(always)]
    pub fn whole(&mut self) -> Maybe<i64> {
        if self.null() {
            return Maybe::NONE;
        }
        match self.plain_number() {
            Some(Number::Whole(number)) => Some(number).into(),
            _ => {
                self.expected("a whole number was expected");
                Maybe::NONE
            }
        }
    }

    /// True or false.
    #[inline(always)]
    pub fn truth(&mut self) -> Option<bool> {
        match self.peek() {
            b't' => self.word(b"true").then_some(true),
            b'f' => self.word(b"false").then_some(false),
            _ => {
                self.word(b"null");
                None
            }
        }
    }

    /// Any value.
    #[inline(always)]
    pub fn skip(&mut self) {
        match self.peek() {
            b'"' => drop(self.string()),
            b'0'..=b'9' | b'-' => drop(self.plain_number()),
            b't' => drop(self.word(b"true")),
            b'f' => drop(self.word(b"false")),
            b'n' => drop(self.word(b"null")),
            _ => self.skip_all(),
        }
    }

    fn skip_all(&mut self) {
        match self.peek() {
            b'{' => self.object(|reader, _| reader.skip()),
            _ => self.list(Self::skip),
        }
    }

    /// Whether null comes, which is then read.
    #[inline(always)]
    pub fn null(&mut self) -> bool {
        self.peek() == b'n' && self.word(b"null")
    }

    /// Nothing more may come; what is wrong.
    #[inline]
    pub fn end(mut self) -> Result<(), Garbage> {
        if self.wrong.is_none() {
            self.peek();
            if self.rest.is_empty() {
                return Ok(());
            }
            self.expected("there is more than a value");
        }
        let (what, at) = self.wrong.unwrap_or_default();
        Err(Garbage::Malformed { what, at })
    }

    /// What comes is not what was expected; nothing more is read.
    #[cold]
    pub fn expected(&mut self, what: &'static str) {
        self.wrong
            .get_or_insert((what, self.length - self.rest.len()));
        self.rest = &[];
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, otherwise: &'static str) {
        match self.peek() == byte {
            true => self.pass(1),
            false => self.expected(otherwise),
        }
    }

    #[inline(always)]
    fn word<const N: usize>(&mut self, word: &[u8; N]) -> bool {
        let is = self.rest.first_chunk() == Some(word);
        match is {
            true => self.pass(N),
            false => self.expected("a value was expected"),
        }
        is
    }

    #[inline(always)]
    fn pass(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    #[inline(always)]
    fn string(&mut self) -> Text<'a> {
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

    /// A string whose quotation mark has been read.
    #[cold]
    fn string_with_escapes(&mut self) -> Text<'a> {
        let from = self.rest;
        loop {
            self.pass(plain(self.rest));
            match self.rest {
                // What it is does not matter yet; that a quotation mark may be it does.
                [b'\\', _, ..] => self.pass(2),
                [128..=255, ..] => self.pass(1),
                [b'"', ..] => break,
                _ => {
                    self.expected("a string is cut short, or has a control character in it");
                    return Text::default();
                }
            }
        }
        let raw = &from[..from.len() - self.rest.len()];
        match unescaped(raw) {
            Some(_) => self.pass(1),
            None => self.expected("a string is not UTF-8, or has a wrong escape in it"),
        }
        let escaped = raw.contains(&b'\\');
        Text { raw, escaped }
    }

    #[inline(always)]
    fn number_in_string(&mut self) -> Option<Number> {
        let inside = &self.rest[1..];
        let digits = Digits::of(inside);
        if inside.get(digits.length()) == Some(&b'"')
            && let Some(number) = digits.number()
        {
            self.pass(digits.length() + 2);
            return Some(number);
        }
        self.any_number_in_string()
    }

    #[cold]
    fn any_number_in_string(&mut self) -> Option<Number> {
        let number = Number::parse(&self.string().meaning());
        if number.is_none() {
            self.expected("a number was expected");
        }
        number
    }

    #[inline(always)]
    fn plain_number(&mut self) -> Option<Number> {
        let rest = self.rest;
        let digits = Digits::of(rest);
        if matches!(rest.get(digits.length()), Some(b',' | b'}' | b']'))
            && digits.are_json(rest)
            && let Some(number) = digits.number()
        {
            self.pass(digits.length());
            return Some(number);
        }
        self.any_plain_number()
    }

    #[cold]
    fn any_plain_number(&mut self) -> Option<Number> {
        self.peek();
        let from = self.rest;
        self.next_is(b'-');
        let zero = self.rest.first() == Some(&b'0');
        let digits = self.digits();
        let mut right = digits == 1 || (digits > 1 && !zero);
        let mut whole = true;
        if self.next_is(b'.') {
            whole = false;
            right &= self.digits() > 0;
        }
        if self.next_is(b'e') || self.next_is(b'E') {
            whole = false;
            let _ = self.next_is(b'+') || self.next_is(b'-');
            right &= self.digits() > 0;
        }
        let text = &from[..from.len() - self.rest.len()];
        let text = std::str::from_utf8(text).unwrap_or_default();
        let number = match (right, whole) {
            (false, _) => None,
            (true, true) => Number::parse(text),
            (true, false) => Number::real_of(text),
        };
        if number.is_none() {
            self.expected("a number was expected");
        }
        number
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.rest.first() == Some(&byte);
        self.pass(usize::from(is));
        is
    }

    fn digits(&mut self) -> usize {
        let rest = self.rest.iter();
        let digits = rest.take_while(|byte| byte.is_ascii_digit()).count();
        self.pass(digits);
        digits
    }
}

/// How many bytes come before the first that is not just a letter in a string: a quotation mark, a backslash, a control
/// character, or not ASCII. Eight are looked at in one go: in what remains of a byte when 1 or 32 is taken from it, the
/// highest bit is set if it was smaller; or was before. (A borrow can make the next higher byte look so; the lowest is
/// right.)
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

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
