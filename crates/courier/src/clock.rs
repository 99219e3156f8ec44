//! What time it is, whether that is known, and what time it was before it was.
//!
//! A Raspberry Pi has no clock of its own: after a power cut it goes on from a time that is too early, until a network is
//! there. The time since boot does not jump. So whatever is kept has both ([`Moment`]), and nothing is sent before the time
//! is known. From then on it is known when this boot began, and so is the time of all that happened since; that is kept, as
//! the next boot may have to send it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How many boots are remembered; what is older has been sent or given up.
const MOST_BOOTS: usize = 64;
/// What is off by less than this is right.
const LITTLE_US: i64 = 2_000_000;

/// The clock of this boot; clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: Arc<str>,
    /// Is there once the time is known; without it, it always is.
    synchronized: Option<PathBuf>,
    began_ms: Arc<OnceLock<i64>>,
    /// By how much it differs from the machine's: tests let it jump.
    jumped_ms: Arc<AtomicI64>,
}

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the boot in which it happened.
    pub up_ms: i64,
    /// Milliseconds since 1970, according to the clock at that time.
    pub at_ms: i64,
    /// Whether that clock was right.
    pub known: bool,
}

impl Clock {
    /// The clock of this machine. It is right once the file is there.
    pub fn new(synchronized: Option<PathBuf>) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Clock {
            boot: boot.trim().replace('-', "").into(),
            synchronized,
            began_ms: Arc::default(),
            jumped_ms: Arc::default(),
        }
    }

    /// The same machine in another boot, for tests.
    pub fn in_boot(mut self, boot: &str) -> Self {
        self.boot = boot.into();
        self.began_ms = Arc::default();
        self
    }

    /// The identifier of this boot, as the journal writes it.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        kit::clock::now_ms() + self.jumped_ms.load(Ordering::Relaxed)
    }

    /// Milliseconds since boot, as the journal counts them.
    pub fn up_ms(&self) -> i64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        let known = self.began_ms().is_some();
        Moment {
            up_ms: self.up_ms(),
            at_ms: self.now_ms(),
            known,
        }
    }

    /// When this boot began, in milliseconds since 1970, once that is known. It is the same ever after, so that what is
    /// sent twice has the same time.
    pub fn began_ms(&self) -> Option<i64> {
        if let Some(began) = self.began_ms.get() {
            return Some(*began);
        }
        let known = self.synchronized.as_ref().is_none_or(|file| file.exists());
        known.then(|| *(self.began_ms).get_or_init(|| self.now_ms() - self.up_ms()))
    }

    /// Sets this clock, but not the machine's, forward or back.
    pub fn jump(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

/// When boots began, as far as that became known in them; clones are the same.
#[derive(Debug, Clone)]
pub struct Boots {
    path: Arc<Path>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    boots: VecDeque<Boot>,
    is_saved: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Boot {
    boot: String,
    began_ms: i64,
    /// Milliseconds since then at which that was known.
    known_up_ms: i64,
}

impl Boots {
    /// Those that `path` names. A file that cannot be understood is none: what is dated by it has the device's own time.
    pub fn open(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        let known = Known {
            boots: serde_json::from_slice(&text).unwrap_or_default(),
            is_saved: true,
        };
        Boots {
            path: path.into(),
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// Keeps when the boot of this clock began, if that is known. Says whether it is known; after an error it is, but the
    /// next boot may not know it.
    pub fn learn(&self, clock: &Clock) -> anyhow::Result<bool> {
        let mut known = self.known.lock().expect("no panic while held");
        let boot = clock.boot().to_owned();
        if let Some(same) = known.boots.iter().find(|known| known.boot == boot) {
            // The service may have started anew since.
            let _ = clock.began_ms.set(same.began_ms);
        } else {
            let Some(began_ms) = clock.began_ms() else {
                return Ok(false);
            };
            known.boots.push_back(Boot {
                boot,
                began_ms,
                known_up_ms: clock.up_ms(),
            });
            known.is_saved = false;
            if known.boots.len() > MOST_BOOTS {
                known.boots.pop_front();
            }
        }
        if !known.is_saved {
            let text = serde_json::to_vec(&known.boots).context("boots")?;
            durable::atomic_write(&self.path, &text, 0o600)?;
            known.is_saved = true;
        }
        Ok(true)
    }

    /// Whether it is known when this boot began.
    pub fn knows(&self, boot: &str) -> bool {
        self.of(boot).is_some()
    }

    /// When that was, in milliseconds since 1970. Of a boot that never knew the time, by its own clock.
    pub fn date(&self, boot: &str, moment: &Moment) -> i64 {
        match moment.known {
            true => moment.at_ms,
            false => self
                .of(boot)
                .map_or(moment.at_ms, |it| it.began_ms + moment.up_ms),
        }
    }

    /// When a line of the journal was written, in microseconds since 1970: by the clock of then, unless that was not right
    /// yet and was put right in the same boot.
    pub fn date_line(&self, boot: &str, up_us: i64, at_us: i64) -> i64 {
        let early = self
            .of(boot)
            .filter(|known| up_us <= known.known_up_ms * 1000);
        let right = early.map(|known| known.began_ms * 1000 + up_us);
        // Whoever starts late finds lines that were right already.
        right
            .filter(|right| (right - at_us).abs() > LITTLE_US)
            .unwrap_or(at_us)
    }

    fn of(&self, boot: &str) -> Option<Boot> {
        let known = self.known.lock().expect("no panic while held");
        known.boots.iter().find(|known| known.boot == boot).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 86_400_000;

    #[test]
    fn what_happened_before_the_time_was_known_is_dated_by_what_is_known_now() {
        let directory = tempfile::tempdir().unwrap();
        let (file, path) = (
            directory.path().join("known"),
            directory.path().join("boots"),
        );
        let clock = Clock::new(Some(file.clone()));
        clock.jump(-7 * YEAR_MS);
        let (moment, boots) = (clock.moment(), Boots::open(&path));
        assert!(!moment.known && !boots.learn(&clock).unwrap());
        clock.jump(7 * YEAR_MS);
        durable::atomic_write(&file, b"", 0o600).unwrap();
        assert!(boots.learn(&clock).unwrap());
        // Also by the next boot.
        let dated = Boots::open(&path).date(clock.boot(), &moment);
        let off = dated - (moment.at_ms + 7 * YEAR_MS);
        assert!(off.abs() < 1000, "{off}");
    }

    #[test]
    fn a_start_anew_in_the_same_boot_dates_alike() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("boots");
        let early = Moment {
            up_ms: 5,
            at_ms: 0,
            known: false,
        };
        let dated = [0, 1234].map(|drift| {
            let (clock, boots) = (Clock::new(None), Boots::open(&path));
            clock.jump(drift);
            boots.learn(&clock).unwrap();
            (boots.date(clock.boot(), &early), clock.began_ms())
        });
        assert_eq!(dated[0], dated[1]);
    }

    #[test]
    fn a_boot_that_never_knew_the_time_is_dated_by_its_own_clock() {
        let directory = tempfile::tempdir().unwrap();
        let boots = Boots::open(&directory.path().join("boots"));
        boots.learn(&Clock::new(None)).unwrap();
        let moment = Moment {
            up_ms: 5,
            at_ms: 1_700_000_000_000,
            known: false,
        };
        assert_eq!(boots.date("another", &moment), 1_700_000_000_000);
    }

    #[test]
    fn a_line_from_before_the_time_was_known_is_dated_by_what_is_known_now() {
        let directory = tempfile::tempdir().unwrap();
        let boots = Boots::open(&directory.path().join("boots"));
        let clock = Clock::new(None);
        boots.learn(&clock).unwrap();
        let (began_us, up_us) = (clock.began_ms().unwrap() * 1000, clock.up_ms() * 1000);
        for (line_up, at, dated) in [
            (1_000_000, 5, began_us + 1_000_000),
            (1_000_000, began_us + 1_500_000, began_us + 1_500_000),
            // Whoever sets the clock afterwards knows why.
            (up_us + 60_000_000, 5, 5),
        ] {
            assert_eq!(boots.date_line(clock.boot(), line_up, at), dated);
        }
        assert_eq!(boots.date_line("another", 7, 5), 5);
    }
}
