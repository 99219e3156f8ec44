//! MD5, in the ways that S3 wants it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::Error;

/// The MD5 of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum([u8; 16]);

impl Sum {
    pub fn of(bytes: &[u8]) -> Self {
        Sum(Md5::digest(bytes).into())
    }

    /// The sum of what `read` gives, until that is nothing.
    pub fn of_pieces(
        mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<Self, Error> {
        let (mut sum, mut buffer) = (Md5::new(), vec![0; 64 << 10]);
        loop {
            match read(&mut buffer)? {
                0 => return Ok(Sum(sum.finalize().into())),
                length => sum.update(&buffer[..length]),
            }
        }
    }

    /// As `Content-MD5` has it.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// As tags have it.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// The sums of parts, one after the other.
#[derive(Default)]
pub struct Parts {
    sums: Md5,
    count: usize,
}

impl Parts {
    pub fn add(&mut self, part: &Sum) {
        self.sums.update(part.0);
        self.count += 1;
    }

    /// The tag of the whole, as most storages make it.
    pub fn tag(self) -> String {
        format!("{}-{}", hex(&self.sums.finalize()), self.count)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
