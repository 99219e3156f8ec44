//! A time server, as RFC 5905 has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::listening::Listening;

const LENGTH: usize = 48;
const VERSION: u8 = 0b00_111_000;
const MODE: u8 = 0b00_000_111;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
/// From 1900, where its seconds begin, to 1970.
const SINCE_1900: u64 = 2_208_988_800;

/// A running time server. It tells the time of the host.
pub struct TimeServer {
    listening: Listening,
    answered: Arc<AtomicU64>,
}

impl TimeServer {
    /// Starts one at a free port.
    pub fn start() -> Result<Self> {
        let answered = Arc::<AtomicU64>::default();
        let count = answered.clone();
        let listening = Listening::begin(move |_, question| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            let answer = answer(question, now)?;
            count.fetch_add(1, Ordering::SeqCst);
            Some(answer.to_vec())
        })?;
        Ok(Self {
            listening,
            answered,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// How often it has told the time.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

/// `now`: since 1970.
fn answer(question: &[u8], now: Duration) -> Option<[u8; LENGTH]> {
    let question = question.first_chunk::<LENGTH>()?;
    if question[0] & MODE != CLIENT {
        return None;
    }
    let now = stamp(now);
    let mut answer = [0; LENGTH];
    answer[0] = question[0] & VERSION | SERVER;
    // A clock of its own, that is exact to a microsecond (2 to the -20th).
    answer[1] = 1;
    answer[3] = (-20_i8).cast_unsigned();
    answer[12..16].copy_from_slice(b"TEST");
    answer[16..24].copy_from_slice(&now);
    // By this the client knows that it is the answer to its question.
    answer[24..32].copy_from_slice(&question[40..]);
    answer[32..40].copy_from_slice(&now);
    answer[40..].copy_from_slice(&now);
    Some(answer)
}

/// Seconds, and parts of one, of which there are 2 to the 32nd. The seconds begin anew in 2036.
fn stamp(since_1970: Duration) -> [u8; 8] {
    let seconds = (since_1970.as_secs() + SINCE_1900) << 32;
    let parts = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds | parts).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_to_whoever_asks_for_it() {
        let mut question = [0; LENGTH];
        question[0] = 0b00_100_011;
        question[40..].copy_from_slice(b"question");
        let now = Duration::from_millis(1_790_000_000_250);
        let answer = answer(&question, now).unwrap();
        assert_eq!(answer[..4], [0b00_100_100, 1, 0, 0xec]);
        assert_eq!(&answer[24..32], b"question");
        // By `python3 -c 'print(hex(1790000000 + 2208988800))'`; and a quarter.
        let told = [0xee, 0x5b, 0xba, 0x00, 0x40, 0, 0, 0];
        assert_eq!((&answer[32..40], &answer[40..]), (&told[..], &told[..]));
        question[0] = 0b00_100_100;
        assert_eq!(super::answer(&question, now), None, "another server");
        assert_eq!(super::answer(&[0x23; 47], now), None, "too short");
    }
}
