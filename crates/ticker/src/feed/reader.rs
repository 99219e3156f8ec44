//! JSON, read where it lies: in one pass, and with nothing on the heap.
//!
//! A market's message is a dozen short values, most of them wanted, and comes by the thousand. Members are told to
//! whoever reads, who takes each as what it is to be, or skips it. Null is as good as no member. What is accepted and
//! what is refused is what serde_json accepts and refuses, which a test shows.

use std::borrow::Cow;

use super::decode::{Garbage, Number};

/// As deep as serde_json goes.
const DEEPEST: u32 = 127;

/// What has been read of a text.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn of(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The first byte of the value that comes.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, Garbage> {
        let rest = &self.text.as_bytes()[self.at..];
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let Some(byte) = rest.first().filter(|byte| !blank(byte)) else {
            self.at += rest.iter().take_while(blank).count();
            let byte = self.text.as_bytes().get(self.at).copied();
            return byte.ok_or_else(|| self.garbage("it is cut short"));
        };
        Ok(*byte)
    }

    /// An object; `take` is called for each member, and has to read its value.
    pub fn object(
        &mut self,
        mut take: impl FnMut(&mut Self, &str) -> Result<(), Garbage>,
    ) -> Result<(), Garbage> {
        self.all(b'{', b'}', "an object was expected", |reader| {
            let name = reader.string()?;
            reader.expect(b':', "a colon was expected")?;
            take(reader, &name)
        })
    }

    /// A list; `take` is called for each item, and has to read it.
    pub fn list(
        &mut self,
        take: impl FnMut(&mut Self) -> Result<(), Garbage>,
    ) -> Result<(), Garbage> {
        self.all(b'[', b']', "a list was expected", take)
    }

    fn all(
        &mut self,
        open: u8,
        close: u8,
        otherwise: &'static str,
        mut take: impl FnMut(&mut Self) -> Result<(), Garbage>,
    ) -> Result<(), Garbage> {
        self.expect(open, otherwise)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.garbage("it is too deep"));
        }
        if self.peek()? == close {
            self.at += 1;
        } else {
            loop {
                take(self)?;
                let next = self.peek()?;
                self.at += 1;
                match next {
                    b',' => {}
                    next if next == close => break,
                    _ => return Err(self.garbage("a comma was expected")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A string.
    pub fn text(&mut self) -> Result<Option<Cow<'a, str>>, Garbage> {
        self.unless_null(Self::string)
    }

    /// A number, or a string that is one.
    pub fn number(&mut self) -> Result<Option<Number>, Garbage> {
        self.unless_null(|reader| match reader.peek()? {
            b'"' => {
                let text = reader.string()?;
                Number::parse(&text).ok_or_else(|| reader.garbage("a number was expected"))
            }
            _ => reader.plain_number(),
        })
    }

    /// A whole number.
    pub fn whole(&mut self) -> Result<Option<i64>, Garbage> {
        self.unless_null(|reader| {
            let number = reader.plain_number()?;
            number
                .whole()
                .ok_or_else(|| reader.garbage("a whole number was expected"))
        })
    }

    /// True or false.
    pub fn truth(&mut self) -> Result<Option<bool>, Garbage> {
        self.unless_null(|reader| match reader.peek()? {
            b't' => reader.word("true").map(|()| true),
            _ => reader.word("false").map(|()| false),
        })
    }

    /// Any value.
    pub fn skip(&mut self) -> Result<(), Garbage> {
        match self.peek()? {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.list(Self::skip),
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.plain_number().map(drop),
        }
    }

    /// Whether null comes, which is then read.
    pub fn null(&mut self) -> Result<bool, Garbage> {
        match self.peek()? {
            b'n' => self.word("null").map(|()| true),
            _ => Ok(false),
        }
    }

    /// Nothing more may come.
    pub fn end(&mut self) -> Result<(), Garbage> {
        match self.peek() {
            Ok(_) => Err(self.garbage("there is more than a value")),
            Err(_) => Ok(()),
        }
    }

    /// What is wrong, and where.
    pub fn garbage(&self, what: &'static str) -> Garbage {
        Garbage::Malformed { what, at: self.at }
    }

    fn unless_null<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbage>,
    ) -> Result<Option<T>, Garbage> {
        match self.null()? {
            true => Ok(None),
            false => read(self).map(Some),
        }
    }

    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Garbage> {
        if self.peek()? != byte {
            return Err(self.garbage(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Garbage> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.garbage("a value was expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Garbage> {
        self.expect(b'"', "a string was expected")?;
        let from = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let length = plain(rest);
            self.at += length + 1;
            match rest.get(length) {
                Some(b'"') => break,
                // What it is does not matter yet; that a quotation mark may be it does.
                Some(b'\\') if length + 1 < rest.len() => self.at += 1,
                _ => {
                    return Err(
                        self.garbage("a string is cut short, or has a control character in it")
                    );
                }
            }
            escaped = true;
        }
        if !escaped {
            return Ok(Cow::Borrowed(&self.text[from..self.at - 1]));
        }
        let whole = self.text.get(from - 1..self.at);
        let meant = whole.and_then(|whole| serde_json::from_str(whole).ok());
        meant
            .map(Cow::Owned)
            .ok_or_else(|| self.garbage("a string has a wrong escape in it"))
    }

    fn plain_number(&mut self) -> Result<Number, Garbage> {
        self.peek()?;
        let from = self.at;
        self.next_is(b'-');
        let zero = self.text.as_bytes().get(self.at) == Some(&b'0');
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
        let text = &self.text[from..self.at];
        let number = match (right, whole) {
            (false, _) => None,
            (true, true) => Number::parse(text),
            (true, false) => Number::real_of(text),
        };
        number.ok_or_else(|| self.garbage("a number was expected"))
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    fn digits(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        digits
    }
}

/// How many bytes come before the first that means something in a string: a quotation mark, a backslash or a control
/// character. Eight are looked at in one go: in what remains of a byte when 1 or 32 is taken from it, the highest bit is
/// set, and was not before, if it was smaller. (A borrow can make the next higher byte look so; the lowest is right.)
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut at = 0;
    while let Some((eight, _)) = bytes[at..].split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let smaller = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
        let same = |byte: u8| smaller(word ^ (ONES * u64::from(byte)), 1);
        let special = (smaller(word, 32) | same(b'"') | same(b'\\')) & (ONES << 7);
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..32);
    let rest = &bytes[at..];
    at + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    /// The same as serde_json's `Value`, read by us.
    fn value(reader: &mut Reader) -> Result<Value, Garbage> {
        Ok(match reader.peek()? {
            b'{' => {
                let mut members = Map::new();
                reader.object(|reader, name| {
                    members.insert(name.to_owned(), value(reader)?);
                    Ok(())
                })?;
                Value::Object(members)
            }
            b'[' => {
                let mut items = Vec::new();
                reader.list(|reader| {
                    items.push(value(reader)?);
                    Ok(())
                })?;
                Value::Array(items)
            }
            b'"' => json!(reader.text()?),
            b't' | b'f' => json!(reader.truth()?),
            b'n' => json!(reader.null()?.then_some(())),
            _ => reader
                .number()?
                .map_or(Value::Null, |number| digits(number.real())),
        })
    }

    /// A number without its last digits, which serde_json rounds in a hurry.
    fn digits(number: f64) -> Value {
        json!(format!("{:.12e}", number + 0.0))
    }

    /// Numbers of any kind as those that [`value`] makes.
    fn all_real(value: Value) -> Value {
        match value {
            Value::Number(number) => digits(number.as_f64().unwrap_or_default()),
            Value::Array(items) => items.into_iter().map(all_real).collect(),
            Value::Object(members) => {
                let members = members.into_iter();
                Value::Object(members.map(|(name, of)| (name, all_real(of))).collect())
            }
            other => other,
        }
    }

    fn same_as_serde_json(text: &str) -> bool {
        let ours = |read: &dyn Fn(&mut Reader) -> Result<Value, Garbage>| {
            let mut reader = Reader::of(text);
            read(&mut reader).and_then(|value| reader.end().map(|()| value))
        };
        let theirs = serde_json::from_str::<Value>(text).map(all_real);
        let skipped = ours(&|reader| reader.skip().map(|()| Value::Null));
        assert_eq!(
            skipped.is_ok(),
            theirs.is_ok(),
            "{text}: {skipped:?}, {theirs:?}"
        );
        match (ours(&value), theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{text}"),
            (ours, theirs) => {
                assert_eq!(ours.is_ok(), theirs.is_ok(), "{text}: {ours:?}, {theirs:?}")
            }
        }
        skipped.is_ok()
    }

    #[test]
    fn what_serde_json_reads_is_read_and_what_it_refuses_is_refused() {
        let texts = [
            r#" {"stream":"x@trade","data":{"s":"A\/B","t":-12345,"p":"0.001","q":1.5e3,"m":true,"M":null}} "#,
            r#"[ {"a":[],"b":{},"c":[[1,2],{"d":"\u00e9\n\"\\"}]} , false, -0, 0.0, 1E+2, "ü💥" ]"#,
            r#"{"n":18446744073709551615,"m":99999999999999999999,"o":1e308,"\u0061":"\ud83d\ude00"}"#,
        ];
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "d8", "0", "1", "-", "+", ".", "e",
            "E9", "99", "null", "tru", "e", " ", "\t", "\n", "\u{1}", "\u{a0}", "ü", "/", "1e999",
            "\\ud800",
        ];
        let (mut read, mut refused) = (0, 0);
        for seed in 0..60_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut text: Vec<char> = texts[random.usize(..texts.len())].chars().collect();
            for _ in 0..random.usize(..4) {
                let from = random.usize(..text.len());
                let to = (from + random.usize(..3)).min(text.len());
                let piece = pieces[random.usize(..pieces.len())];
                let piece = if random.bool() { piece } else { "" };
                text.splice(from..to, piece.chars());
            }
            let text: String = text.into_iter().collect();
            match same_as_serde_json(&text) {
                true => read += 1,
                false => refused += 1,
            }
        }
        assert!(
            read > 5000 && refused > 5000,
            "{read} read, {refused} refused"
        );
    }

    #[test]
    fn a_text_is_read_as_deep_as_serde_json_does() {
        for depth in [1, 126, 127, 128, 129, 100_000] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(same_as_serde_json(&text), depth < 128, "{depth}");
        }
    }
}
