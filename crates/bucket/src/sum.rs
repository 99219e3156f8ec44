//! MD5 in the forms that S3 uses.

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

    /// The checksum of everything that `read` returns, until it returns nothing.
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

    /// The form of `Content-MD5`.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The form of ETags.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// The checksums of parts, in order.
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

    /// The ETag of the whole, as most storages compute it.
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
