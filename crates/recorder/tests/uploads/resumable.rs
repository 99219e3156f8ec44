//! One resumable upload as Google's servers keep it, for both fakes: parts are taken where the last one ended, and what
//! came of a part that was cut off is kept in units of 256 KiB.

use std::io::{self, Read};

use crate::http::{Reply, Request};

const UNIT: usize = 256 << 10;

/// What came of a file.
#[derive(Debug, Default)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub total: u64,
    /// Bytes of the file that came, those that came twice included.
    pub came: u64,
    /// Parts that did not begin where they should.
    pub misplaced: u32,
}

/// What a request with `Content-Range` came to.
pub enum Outcome {
    Complete,
    Reply(Reply),
}

impl Received {
    pub fn is_complete(&self) -> bool {
        self.total > 0 && self.bytes.len() as u64 == self.total
    }

    /// Takes a part, or tells what is there.
    pub fn take(&mut self, range: &str, request: &mut Request) -> io::Result<Outcome> {
        let (range, total) = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('/'))
            .expect("a Content-Range");
        self.total = total.parse().unwrap();
        let Some((first, last)) = range.split_once('-') else {
            assert_eq!((range, request.length()), ("*", 0));
            return Ok(self.outcome());
        };
        let [first, last]: [u64; 2] = [first, last].map(|number| number.parse().unwrap());
        assert_eq!(request.length(), last - first + 1, "a part has its length");
        if first != self.bytes.len() as u64 {
            self.misplaced += 1;
            let mut nowhere = Vec::new();
            request.read_to_end(&mut nowhere)?;
            return Ok(self.outcome());
        }
        let is_last = last + 1 == self.total;
        assert!(is_last || (last + 1 - first).is_multiple_of(UNIT as u64));
        let before = self.bytes.len();
        let read = request.read_to_end(&mut self.bytes);
        self.came += (self.bytes.len() - before) as u64;
        if read.is_err() {
            self.bytes.truncate(self.bytes.len() / UNIT * UNIT);
        }
        read.map(|_| self.outcome())
    }

    fn outcome(&self) -> Outcome {
        match self.is_complete() {
            true => Outcome::Complete,
            false => Outcome::Reply(match self.bytes.len() {
                0 => Reply::of(308),
                length => Reply::of(308).header("range", format!("bytes=0-{}", length - 1)),
            }),
        }
    }
}
