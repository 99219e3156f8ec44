//! JSON, read where it lies: in one pass, and with nothing on the heap.
//!
//! A market's message is a dozen short values, most of them wanted, and comes by the thousand. Members are told to
//! whoever reads, who takes each as what it is to be, or skips it. Null is as good as no member. What is accepted and
//! what is refused is what serde_json accepts and refuses, which a test shows.
//!
//! What is wrong is told at the [end](Reader::end): until then a text that is not what was expected reads as if it had
//! ended there. Asking after each of some fifty steps would take as long as the steps.

mod members;
mod numbers;
mod text;

pub use members::Members;
pub use text::Text;

use super::decode::Garbage;

/// As deep as serde_json goes.
const DEEPEST: u32 = 127;

/// What has been read of a text.
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    depth: u32,
    wrong: Option<(&'static str, usize)>,
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
            return self.expected("the value is nested too deeply");
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
            self.expected("there is something after the value");
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
}

#[cfg(test)]
mod tests;
