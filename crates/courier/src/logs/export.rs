//! The journal's export format: entries of fields, as `journalctl --output=export` writes them.
//!
//! A field is a line `NAME=value` or, if it is not text, its name, its length and its bytes. An empty line ends an entry.

use std::io::{self, BufRead};

/// What an entry says, as far as it matters here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in the journal.
    pub cursor: String,
    /// When it was written, in microseconds since 1970.
    pub at_us: i64,
    /// The same since the boot.
    pub up_us: i64,
    /// In which boot it was written.
    pub boot: String,
    /// The unit that wrote it.
    pub unit: String,
    /// The unit it is about, if the service manager wrote it.
    pub about: String,
    /// The name that its writer gave itself.
    pub identifier: String,
    /// How it came to the journal.
    pub transport: String,
    /// How important it is, from 0 to 7.
    pub priority: Option<u8>,
    /// What it says.
    pub message: Option<String>,
    /// Whether its text was cut off.
    pub is_shortened: bool,
}

/// Reads entries, with at most so many bytes of each field.
pub struct Entries<R> {
    from: R,
    longest: usize,
    bytes: Vec<u8>,
}

impl<R: BufRead> Entries<R> {
    /// Reads what comes from there.
    pub fn new(from: R, longest: usize) -> Self {
        let bytes = Vec::new();
        Entries {
            from,
            longest,
            bytes,
        }
    }

    /// The next whole entry; none if there are no more.
    pub fn read(&mut self) -> io::Result<Option<Entry>> {
        let mut entry = Entry::default();
        loop {
            // A name is never long, but a value that follows it in the same line may be.
            let Some(mut cut) = line(&mut self.from, &mut self.bytes, self.longest + 64)? else {
                // What is not whole has no end, and comes again when it is.
                return Ok(None);
            };
            if self.bytes.is_empty() {
                match entry.cursor.is_empty() {
                    true => continue,
                    false => return Ok(Some(entry)),
                }
            }
            let (name, value) = match self.bytes.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    let value = self.bytes.split_off(at + 1);
                    self.bytes.pop();
                    (std::mem::take(&mut self.bytes), value)
                }
                None => {
                    let name = std::mem::take(&mut self.bytes);
                    let Some((value, was_cut)) = self.binary()? else {
                        return Ok(None);
                    };
                    cut = was_cut;
                    (name, value)
                }
            };
            entry.take(&name, value, cut, self.longest);
        }
    }

    /// A value that is told with its length.
    fn binary(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut length = [0; 8];
        if !filled(self.from.read_exact(&mut length))? {
            return Ok(None);
        }
        let length = u64::from_le_bytes(length);
        let kept = length.min(self.longest as u64);
        let mut value = vec![0; kept as usize];
        if !filled(self.from.read_exact(&mut value))? {
            return Ok(None);
        }
        let rest = length - kept + 1;
        let skipped = io::copy(&mut io::Read::take(&mut self.from, rest), &mut io::sink())?;
        Ok((skipped == rest).then_some((value, length > kept)))
    }
}

impl Entry {
    fn take(&mut self, name: &[u8], mut value: Vec<u8>, cut: bool, longest: usize) {
        let is_long = value.len() > longest;
        value.truncate(longest);
        let text = match String::from_utf8(value) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        match name {
            b"__CURSOR" => self.cursor = text,
            b"__REALTIME_TIMESTAMP" => self.at_us = text.parse().unwrap_or(0),
            b"__MONOTONIC_TIMESTAMP" => self.up_us = text.parse().unwrap_or(0),
            b"_BOOT_ID" => self.boot = text,
            b"_SYSTEMD_UNIT" => self.unit = text,
            b"UNIT" => self.about = text,
            b"SYSLOG_IDENTIFIER" => self.identifier = text,
            b"_TRANSPORT" => self.transport = text,
            b"PRIORITY" => self.priority = text.parse().ok(),
            b"MESSAGE" => {
                self.message = Some(text);
                self.is_shortened = cut || is_long;
            }
            _ => {}
        }
    }
}

/// Reads a line without its end into `bytes`, as much of it as allowed; whether it was longer. None if there is no whole one.
fn line(from: &mut impl BufRead, bytes: &mut Vec<u8>, longest: usize) -> io::Result<Option<bool>> {
    bytes.clear();
    let mut is_cut = false;
    loop {
        let part = from.fill_buf()?;
        if part.is_empty() {
            return Ok(None);
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let text = &part[..end.unwrap_or(part.len())];
        let kept = text.len().min(longest - bytes.len());
        is_cut |= kept < text.len();
        bytes.extend_from_slice(&text[..kept]);
        let used = end.map_or(part.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            return Ok(Some(is_cut));
        }
    }
}

fn filled(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], longest: usize) -> Vec<Entry> {
        let mut entries = Entries::new(bytes, longest);
        std::iter::from_fn(|| entries.read().unwrap()).collect()
    }

    const ONE: &[u8] = b"__CURSOR=s=a;i=1\n__REALTIME_TIMESTAMP=1700000000000001\n__MONOTONIC_TIMESTAMP=5\n_BOOT_ID=b\n\
        PRIORITY=4\n_SYSTEMD_UNIT=x.service\nMESSAGE=a = b\nFOO\n\x03\0\0\0\0\0\0\0a\nb\n\n";

    #[test]
    fn an_entry_is_read_with_text_and_bytes() {
        let two = b"__CURSOR=c\nMESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\n\n";
        let entries = read(&[ONE, two, b"\n"].concat(), 100);
        assert_eq!(entries.len(), 2);
        let one = &entries[0];
        assert_eq!(
            (one.cursor.as_str(), one.at_us, one.up_us),
            ("s=a;i=1", 1_700_000_000_000_001, 5)
        );
        assert_eq!(
            (one.unit.as_str(), one.boot.as_str(), one.priority),
            ("x.service", "b", Some(4))
        );
        assert_eq!(one.message.as_deref(), Some("a = b"));
        assert_eq!(entries[1].message.as_deref(), Some("one\ntwo"));
        assert!(!one.is_shortened);
    }

    #[test]
    fn what_was_cut_off_is_no_entry() {
        for length in 0..ONE.len() {
            assert_eq!(read(&ONE[..length], 100), [], "{length}");
        }
    }

    #[test]
    fn a_long_text_is_cut_off_and_what_follows_is_read() {
        let long = "x".repeat(100_000);
        let text = format!("__CURSOR=a\nMESSAGE={long}\n\n__CURSOR=b\nMESSAGE\n");
        let bytes = [
            text.as_bytes(),
            &100_000u64.to_le_bytes(),
            long.as_bytes(),
            b"\n\n",
            ONE,
        ]
        .concat();
        let entries = read(&bytes, 70);
        assert_eq!(entries.len(), 3);
        for entry in &entries[..2] {
            assert_eq!(entry.message.as_ref().unwrap().len(), 70);
            assert!(entry.is_shortened);
        }
    }

    #[test]
    fn what_is_not_utf8_is_told_all_the_same() {
        let entries = read(b"__CURSOR=a\nMESSAGE\n\x02\0\0\0\0\0\0\0a\xff\n\n", 100);
        assert_eq!(entries[0].message.as_deref(), Some("a\u{fffd}"));
    }
}
