//! Cuts that are really booted.

use std::ops::Range;

use testbed::cuts::{self, Cut, Fate, Remains, Sampling};
use testbed::{Context, Entry, Hardware, Log, Machine, Recording, Result, ensure};

use super::judge::Expected;
use super::replayed::{first_toplevel, phase};
use tests::{BOOT, HOSTNAME, healthy, status};

/// A kind of cut, of which one is booted.
#[derive(Debug, Clone)]
pub struct Kind<'r> {
    /// What was recorded.
    pub recording: &'r Recording,
    /// When.
    pub entries: Range<usize>,
    /// What the disk made of it.
    pub fate: Fate,
    /// Which partition was written to last.
    pub partition: &'static str,
}

/// Every kind that there may be: by what went on, by what the disk made of it, by where it was written to last.
pub fn kinds(recordings: &[Recording]) -> Result<Vec<Kind<'_>>> {
    let mut kinds = Vec::new();
    for recording in recordings {
        let end = Log::open(&recording.log)?.entries.len();
        let mut ends: Vec<_> = recording.marks.iter().map(|mark| mark.entries).collect();
        if ends.is_empty() {
            // A first boot has no marks of its own, and much goes on in it.
            ends.extend([end / 3, end * 2 / 3, end]);
        }
        let starts = [0].into_iter().chain(ends.iter().copied());
        for (start, end) in starts.zip(&ends) {
            for fate in [Fate::Whole, Fate::Torn, Fate::Reordered] {
                for partition in ["BOOT", "DATA"] {
                    let entries = start + 1..end + 1;
                    kinds.push(Kind {
                        recording,
                        entries,
                        fate,
                        partition,
                    });
                }
            }
        }
    }
    Ok(kinds)
}

/// One kind for each phase, such as a deploy or a gc: what the disk makes of a cut changes from phase to phase, as far as
/// there are such cuts.
pub fn one_of_each_phase<'r>(kinds: &[Kind<'r>], sampling: Sampling) -> Result<Vec<Kind<'r>>> {
    let same_phase = |a: &Kind<'_>, b: &Kind<'_>| {
        std::ptr::eq(a.recording, b.recording) && a.entries == b.entries
    };
    let mut chosen = Vec::new();
    for (number, phase) in kinds.chunk_by(same_phase).enumerate() {
        let (before, after) = phase.split_at(number % phase.len());
        for kind in after.iter().chain(before) {
            if kind.sample(sampling)?.is_some() {
                chosen.push(kind.clone());
                break;
            }
        }
    }
    Ok(chosen)
}

impl Kind<'_> {
    /// One of this kind, if there is any.
    pub fn sample(&self, sampling: Sampling) -> Result<Option<(Cut, Remains)>> {
        let log = Log::open(&self.recording.log)?;
        let epochs = cuts::epochs(&log);
        let first = epochs
            .iter()
            .position(|epoch| epoch.end > self.entries.start)
            .unwrap_or(0);
        let last = epochs
            .iter()
            .position(|epoch| epoch.end >= self.entries.end)
            .unwrap_or(epochs.len() - 1);
        let mut rng = fastrand::Rng::with_seed(sampling.seed);
        let mut chosen = None;
        let mut seen = 0;
        cuts::replay(
            self.recording,
            &log,
            first..last + 1,
            sampling,
            |cut, disk| {
                if self.has(&cut, &log, disk)? {
                    seen += 1;
                    if rng.usize(..seen) == 0 {
                        chosen = Some((cut, disk.clone()));
                    }
                }
                Ok(())
            },
        )?;
        Ok(chosen)
    }

    fn has(&self, cut: &Cut, log: &Log, disk: &Remains) -> Result<bool> {
        if cut.fate != self.fate || !self.entries.contains(&cut.entries) {
            return Ok(false);
        }
        let Some(Entry::Write { start, .. }) = log.entries.get(cut.entries - 1) else {
            return Ok(false);
        };
        let data = disk.partition("DATA")?.start;
        Ok((*start < data) == (self.partition == "BOOT"))
    }

    /// A cut of this kind was booted: the machine has to become healthy by itself, as the old generation or the new
    /// one, and to be what its owner told it to be.
    fn is_survived(&self, machine: &Machine, cut: &Cut) -> Result<()> {
        let first = first_toplevel(self.recording)?;
        let expected = Expected::after(cut.entries, &self.recording.marks, &first).toplevels;
        machine.wait_for_ssh(BOOT)?;
        healthy(machine)?;
        machine.wait_until("a good generation", BOOT, || {
            let status = status(machine)?;
            ensure!(status["standing"] == "good", "{status}");
            let toplevel = status["toplevel"].as_str().unwrap_or_default();
            ensure!(
                expected.contains(toplevel),
                "{toplevel} is none of {expected:?}"
            );
            Ok(())
        })?;
        let name = machine.sh("hostname")?;
        ensure!(name.trim() == HOSTNAME, "it is called {name}");
        ensure!(
            machine.try_sh("test -e /boot/lichen.toml")?.status == 1,
            "lichen.toml is still on BOOT"
        );
        Ok(())
    }
}

/// Boots a cut of each kind that there is, one card after the other in the same machine; gives their number. Each is
/// told when it is done.
pub fn boot(kinds: &[Kind<'_>], sampling: Sampling, mut tell: impl FnMut(&str)) -> Result<usize> {
    // Whoever looks for samples needs no machine yet. There may be none: not every gc writes to BOOT.
    let mut samples = Vec::new();
    for kind in kinds {
        samples.extend(kind.sample(sampling)?.map(|(cut, disk)| (kind, cut, disk)));
    }
    let mut machine: Option<Machine> = None;
    for (kind, cut, disk) in &samples {
        let what = format!("{}, {cut}", phase(kind.recording, cut));
        let machine = match &mut machine {
            None => machine.insert(Machine::boot(disk.to_disk()?, Hardware::default())?),
            Some(machine) => {
                machine.pull_plug()?;
                machine.insert(disk.to_disk()?)?;
                machine.power_on()?;
                machine
            }
        };
        kind.is_survived(machine, cut)
            .with_context(|| what.clone())?;
        tell(&what);
    }
    Ok(samples.len())
}
