//! How many requests somebody may make: counted in the server, so that all processes count together, and in memory if it cannot be
//! reached.
//!
//! The rule is the *generic cell rate algorithm*: of each caller only one time is kept, the one at which all requests until now
//! would have been made if they had come evenly. A request moves it on by one interval, and is refused if it would be further ahead
//! of now than a burst permits. See <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Script;

use super::server::{Server, Trouble};

/// How many callers are known in each half of the memory.
const CALLERS: usize = 10_000;

/// How many requests are permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many requests …
    pub requests: u32,
    /// … in this time, evenly.
    pub per: Duration,
    /// And so many at once, at least 1.
    pub burst: u32,
}

/// Whether a request is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Permitted {
        /// So many more may be made at once.
        remaining: u32,
    },
    /// It is not.
    Refused {
        /// When the next one is permitted.
        retry_after: Duration,
    },
}

impl Rate {
    /// So many requests in a minute, half of which may come at once.
    pub fn per_minute(requests: u32) -> Self {
        Rate {
            requests,
            per: Duration::from_secs(60),
            burst: requests.div_ceil(2),
        }
    }

    /// The time between two requests, in microseconds.
    fn interval(self) -> u64 {
        let per = u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX);
        (per / u64::from(self.requests.max(1))).max(1)
    }

    /// How far ahead of now a caller's time may be, in microseconds.
    fn tolerance(self) -> u64 {
        self.interval() * u64::from(self.burst.max(1))
    }
}

/// Decides on a request: `time` is the one that is kept of the caller, if any, and the second value is the one to keep. All are
/// microseconds. [`SCRIPT`] is the same.
fn decide(time: Option<u64>, now: u64, rate: Rate) -> (Verdict, u64) {
    let (interval, tolerance) = (rate.interval(), rate.tolerance());
    // A time that is further ahead than any request can have brought it is of a clock that was wrong.
    let time = time.filter(|time| (now..=now + tolerance).contains(time));
    let next = time.unwrap_or(now) + interval;
    if next > now + tolerance {
        let retry_after = Duration::from_micros(next - now - tolerance);
        return (Verdict::Refused { retry_after }, next - interval);
    }
    let remaining = (now + tolerance - next) / interval;
    let remaining = remaining.try_into().unwrap_or(u32::MAX);
    (Verdict::Permitted { remaining }, next)
}

/// Answers 0 and how many more are permitted, or 1 and the microseconds until the next one is.
const SCRIPT: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = tonumber(redis.call('GET', KEYS[1]) or now)
if time < now or time > now + tolerance then time = now end
local next = time + interval
if next > now + tolerance then return {1, next - now - tolerance} end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', string.format('%.0f', math.ceil((next - now) / 1000)))
return {0, math.floor((now + tolerance - next) / interval)}";

/// Counts requests; clones count together.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Option<Arc<Server>>,
    script: Script,
    memory: Memory,
}

impl Limiter {
    pub(super) fn new(server: Option<Arc<Server>>) -> Self {
        Limiter(Arc::new(Inner {
            server,
            script: Script::new(SCRIPT),
            memory: Memory::default(),
        }))
    }

    /// Counts a request of `who` for `what`, such as `login`, and decides on it. One that is refused does not count.
    pub async fn count(&self, what: &str, who: &str, rate: Rate) -> Verdict {
        if let Some(server) = &self.0.server {
            match self.count_there(server, what, who, rate).await {
                Ok(verdict) => return verdict,
                Err(trouble) => tracing::debug!("requests are counted in memory: {trouble}"),
            }
        }
        self.0.memory.count(what, who, rate)
    }

    async fn count_there(
        &self,
        server: &Arc<Server>,
        what: &str,
        who: &str,
        rate: Rate,
    ) -> Result<Verdict, Trouble> {
        let digest = ring::digest::digest(&ring::digest::SHA256, who.as_bytes());
        // 128 bits are enough to tell callers apart, and names of people are not to be read from the server.
        let digest: String = digest.as_ref()[..16]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let counted = server.ask(|mut link| async move {
            let key = link.keys.lasting(&format!("limit:{what}:{digest}"));
            let mut run = self.0.script.key(key);
            run.arg(rate.interval()).arg(rate.tolerance());
            run.invoke_async::<(u8, u64)>(&mut link.connection).await
        });
        Ok(match counted.await? {
            (0, remaining) => Verdict::Permitted {
                remaining: remaining.try_into().unwrap_or(u32::MAX),
            },
            (_, micros) => Verdict::Refused {
                retry_after: Duration::from_micros(micros),
            },
        })
    }
}

/// The callers' times in this process. When a half is full, the other one is forgotten and becomes the next one: who asked most
/// recently is known, and nobody can fill the memory.
#[derive(Debug)]
struct Memory {
    began: Instant,
    /// Callers are told apart by a hash whose key nobody else knows.
    hasher: RandomState,
    halves: Mutex<[HashMap<u64, u64>; 2]>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            began: Instant::now(),
            hasher: RandomState::new(),
            halves: Mutex::default(),
        }
    }
}

impl Memory {
    fn count(&self, what: &str, who: &str, rate: Rate) -> Verdict {
        let now = self.began.elapsed().as_micros() as u64;
        let caller = self.hasher.hash_one((what, who));
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *halves;
        let time = young.get(&caller).or_else(|| old.get(&caller));
        let (verdict, time) = decide(time.copied(), now, rate);
        if young.len() >= CALLERS && !young.contains_key(&caller) {
            *old = std::mem::take(young);
        }
        young.insert(caller, time);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ten in a second, three of them at once.
    const RATE: Rate = Rate {
        requests: 10,
        per: Duration::from_secs(1),
        burst: 3,
    };

    fn permitted(remaining: u32) -> Verdict {
        Verdict::Permitted { remaining }
    }

    fn refused(millis: u64) -> Verdict {
        Verdict::Refused {
            retry_after: Duration::from_millis(millis),
        }
    }

    #[test]
    fn a_burst_is_permitted_and_then_one_at_each_interval() {
        let (mut time, second) = (None, 1_000_000);
        for (millis, expected) in [
            (0, permitted(2)),
            (0, permitted(1)),
            (0, permitted(0)),
            (0, refused(100)),
            (40, refused(60)),
            (100, permitted(0)),
            (101, refused(99)),
            (200, permitted(0)),
            (400, permitted(1)),
            (5000, permitted(2)),
            // The clock is put back by an hour: nobody is shut out for an hour.
            (0, permitted(2)),
        ] {
            let now = 3600 * second + millis * 1000;
            let (verdict, next) = decide(time, now, RATE);
            assert_eq!(verdict, expected, "at {millis} ms");
            time = Some(next);
        }
    }

    #[test]
    fn memory_is_bounded_and_knows_who_asked_lately() {
        let limiter = Limiter::new(None);
        let slow = Rate {
            requests: 1,
            per: Duration::from_secs(3600),
            burst: 1,
        };
        let memory = &limiter.0.memory;
        assert_eq!(memory.count("login", "ann", slow), permitted(0));
        for other in 0..CALLERS {
            memory.count("login", &other.to_string(), slow);
        }
        let known = memory.count("login", "ann", slow);
        assert!(matches!(known, Verdict::Refused { .. }));
        // What is counted is told apart.
        assert_eq!(memory.count("search", "ann", slow), permitted(0));
        for other in 0..10 * CALLERS {
            memory.count("login", &other.to_string(), slow);
        }
        let halves = memory.halves.lock().unwrap();
        assert!(halves.iter().all(|half| half.len() <= CALLERS));
    }

    proptest! {
        /// In no time are more permitted than the burst and what the rate gives in that time, and who waits as long as was
        /// said is permitted.
        #[test]
        fn no_more_than_the_rate_and_the_burst(
            waits in proptest::collection::vec(0u64..300_000, 1..200),
            requests in 1u32..100, burst in 1u32..20,
        ) {
            let rate = Rate { requests, burst, per: Duration::from_secs(1) };
            let (mut time, mut now, mut count) = (None, 1u64 << 40, 0u64);
            let start = now;
            for wait in waits {
                now += wait;
                let (verdict, next) = decide(time, now, rate);
                time = Some(next);
                match verdict {
                    Verdict::Permitted { remaining } => {
                        count += 1;
                        prop_assert!(remaining < burst);
                    }
                    Verdict::Refused { retry_after } => {
                        let later = now + retry_after.as_micros() as u64;
                        let (verdict, _) = decide(time, later, rate);
                        prop_assert_eq!(verdict, permitted(0));
                    }
                }
                prop_assert!(count <= u64::from(burst) + (now - start) / rate.interval());
            }
        }
    }
}
