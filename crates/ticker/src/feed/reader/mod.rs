//! A JSON reader that works in place: in one pass, and without heap allocations.
//!
//! A market's message has a dozen short values, most of them needed, and messages arrive by the thousand. The reader
//! calls back for each member, and the callback reads the value as the type that it needs, or skips it. Null counts as
//! a missing member. It accepts and refuses the same texts as serde_json, which a test verifies.
//!
//! An error is reported at the [end](Reader::end): until then, a malformed text reads as if it ended at the error.
//! Checking for errors after each of about fifty steps would take as long as the steps themselves.

mod members;
mod numbers;
mod text;

pub use members::Members;
pub use text::Text;

use super::decode::Garbage;

/// The depth limit of serde_json.
const DEEPEST: u32 = 127;

/// The position in a text, and the first error.
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    depth: u32,
    wrong: Option<(&'static str, usize)>,
    /// The first error of an item that was passed over.
    spoilt: Option<(&'static str, usize)>,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`.
    #[inline]
    pub fn of(text: &'a [u8]) -> Self {
        Reader {
            rest: text,
            length: text.len(),
            depth: 0,
            wrong: None,
            spoilt: None,
        }
    }

    /// The first byte of the next value; 0 if there is none.
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

    /// Reads an object; `take` is called for each member with one of these names, and must read its value.
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

    /// Reads an object; `take` is called for each member with its name, and must read its value.
    pub fn object(&mut self, mut take: impl FnMut(&mut Self, &str)) {
        self.all(b'{', b'}', "an object was expected", |reader| {
            let name = reader.name();
            take(reader, &name.meaning());
        });
    }

    /// Handles a name that is not the expected next one: finds it in the table, or skips the member.
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

    /// Reads a list; `take` is called for each item, and must read it.
    #[inline(always)]
    pub fn list(&mut self, take: impl FnMut(&mut Self)) {
        self.all(b'[', b']', "a list was expected", take);
    }

    /// Reads a list; `keep` gets what `read` makes of each item. An item in which it finds an error is passed over, if it is
    /// JSON at all, and [`spoilt`](Self::spoilt) tells of it: its neighbours are as good as without it.
    pub fn items<T>(&mut self, read: impl Fn(&mut Self) -> T, mut keep: impl FnMut(T)) {
        self.list(|reader| {
            let (rest, depth) = (reader.rest, reader.depth);
            let item = read(reader);
            match reader.wrong.take() {
                None => keep(item),
                Some(error) => {
                    reader.spoilt.get_or_insert(error);
                    (reader.rest, reader.depth) = (rest, depth);
                    reader.skip();
                }
            }
        });
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

    /// Reads true or false.
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

    /// Skips any value.
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

    /// Reads null, if it is next; says whether it was.
    #[inline(always)]
    pub fn null(&mut self) -> bool {
        self.peek() == b'n' && self.word(b"null")
    }

    /// The first error in an item that was passed over.
    pub fn spoilt(&self) -> Option<Garbage> {
        let (what, at) = self.spoilt?;
        Some(Garbage::Malformed { what, at })
    }

    /// Checks that nothing follows; returns the error, if there was one.
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

    /// Records an error; nothing more is read.
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
