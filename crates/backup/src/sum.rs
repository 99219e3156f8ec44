//! The SHA-256 of what passes by, and its length.

use ring::digest::{Context, SHA256};

/// The sum of the bytes so far.
#[derive(Clone)]
pub struct Sum {
    context: Context,
    bytes: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            context: Context::new(&SHA256),
            bytes: 0,
        }
    }
}

impl Sum {
    /// Adds what comes next.
    pub fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The length of it all, and its SHA-256 in hexadecimal.
    pub fn finish(self) -> (u64, String) {
        let sum = self.context.finish();
        let hex = sum.as_ref().iter().map(|byte| format!("{byte:02x}"));
        (self.bytes, hex.collect())
    }
}
