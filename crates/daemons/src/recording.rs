//! What a server wrote under load, and what cuts at each of these writes leave of it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fastrand::Rng;

use crate::device::Device;
use crate::disk::{Change, Disk, Left, Op, put};
use crate::trace;

/// Microseconds since 1970, as strace counts them.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// What was in a server's folder, and what was done to it from then on.
pub struct Recording {
    before: Disk,
    ops: Vec<Op>,
}

/// A cut of the power.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// How many calls were completed.
    pub calls: usize,
    /// What was acknowledged before this, in microseconds since 1970, was acknowledged before the cut.
    pub at: u64,
    /// What is left of what was not synced.
    pub left: Left,
}

impl Recording {
    /// Of what was in the folder `before`, and the trace of this name. What the calls make of the one has to be what there is now: so
    /// none was missed, and none misunderstood.
    pub fn new(device: &Device, before: Disk, name: &str) -> Result<Self> {
        let text = fs::read_to_string(device.trace(name))?;
        let ops = trace::read(&text, &device.data_there())?;
        let recording = Recording { before, ops };
        let mut after = recording.before.clone();
        for (number, op) in recording.ops.iter().enumerate() {
            after
                .apply(&op.change)
                .with_context(|| format!("call {number} of the trace"))?;
        }
        same(&after, &device.data())?;
        Ok(recording)
    }

    /// How many calls there are, each of which is followed by a boundary.
    pub fn calls(&self) -> usize {
        self.ops.len()
    }

    /// `count` cuts in their order, chosen by `seed`: every other one next to a sync, the others anywhere.
    pub fn cuts(&self, count: usize, seed: u64) -> Vec<Cut> {
        let mut rng = Rng::with_seed(seed);
        let syncs: Vec<usize> = (0..self.ops.len())
            .filter(|index| {
                matches!(
                    self.ops[*index].change,
                    Change::Sync { .. } | Change::SyncAll
                )
            })
            .collect();
        let mut cuts: Vec<Cut> = (0..count)
            .map(|number| {
                let calls = match number % 2 {
                    0 if !syncs.is_empty() => syncs[rng.usize(..syncs.len())] + rng.usize(0..2),
                    _ => rng.usize(0..=self.ops.len()),
                };
                let left = match number / 2 % 5 {
                    0 => Left::Synced,
                    1 => Left::Written,
                    2 => Left::Names,
                    3 => Left::Some(rng.u64(..)),
                    _ => Left::Torn(rng.u64(..)),
                };
                let at = self.ops.get(calls).map_or(u64::MAX, |next| next.at);
                Cut { calls, at, left }
            })
            .collect();
        cuts.sort_by_key(|cut| cut.calls);
        cuts
    }

    /// Leaves on a device what each cut leaves, and judges what the server makes of it; as many at once as there are `devices`. The
    /// error is that of the first cut that ended wrong, and says how to see it again.
    pub fn replay(
        &self,
        cuts: &[Cut],
        devices: Vec<Device>,
        judge: impl Fn(&Device, &Cut) -> Result<()> + Sync,
    ) -> Result<()> {
        let workers = devices.len();
        let failed = AtomicBool::new(false);
        let work = |number: usize, device: Device| -> Result<()> {
            let (mut disk, mut done) = (self.before.clone(), 0);
            for cut in cuts.iter().skip(number).step_by(workers) {
                if failed.load(Ordering::Relaxed) {
                    break;
                }
                for op in &self.ops[done..cut.calls] {
                    disk.apply(&op.change)?;
                }
                done = cut.calls;
                let left = put(&disk.remains(cut.left), &device.data());
                left.and_then(|()| judge(&device, cut)).map_err(|error| {
                    failed.store(true, Ordering::Relaxed);
                    let last = cut.calls.checked_sub(1);
                    let last = last.map(|last| brief(&self.ops[last].change));
                    error.context(format!("{cut:?}, after {}", last.unwrap_or_default()))
                })?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> = devices
                .into_iter()
                .enumerate()
                .map(|(number, device)| scope.spawn(move || work(number, device)))
                .collect();
            for worker in workers {
                match worker.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a thread panicked"),
                }
            }
            Ok(())
        })
    }
}

fn brief(change: &Change) -> String {
    match change {
        Change::Write { file, at, data } => {
            format!(
                "writes {} bytes at {at:?} of {}",
                data.len(),
                file.display()
            )
        }
        other => format!("{other:?}"),
    }
}

/// Whether all that was done to a disk makes what there is in the folder.
fn same(disk: &Disk, folder: &Path) -> Result<()> {
    let told = disk.remains(Left::Written);
    let there = Disk::of(folder)?;
    let there = there.remains(Left::Written);
    let paths = told.keys().chain(there.keys());
    for path in paths {
        let (told, there) = (told.get(path), there.get(path));
        let what = match (told, there) {
            _ if told == there => continue,
            (None, _) => "that there is",
            (_, None) => "that it removes",
            _ => "all that it writes to",
        };
        bail!("the trace does not tell {what} {}", path.display());
    }
    Ok(())
}
