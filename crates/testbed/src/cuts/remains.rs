//! A disk in memory: what it was, in its file, and the blocks that were written since.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use card::{Partition, SECTOR};
use fastrand::Rng;

use crate::writes::{Entry, Log};
use crate::{Disk, place};

/// The size of the blocks that are kept and compared.
pub(crate) const BLOCK: u64 = 4096;

#[derive(Debug)]
struct Block {
    /// The same number for the same bytes.
    id: u64,
    bytes: Vec<u8>,
}

/// What a power cut left of a disk.
#[derive(Debug, Clone)]
pub struct Remains {
    before: Rc<(PathBuf, File, u64)>,
    /// What is flushed: shared by all cuts up to the next flush.
    below: Rc<HashMap<u64, Rc<Block>>>,
    above: HashMap<u64, Rc<Block>>,
}

impl Remains {
    /// The raw disk `before` as it is.
    pub fn of(before: &Path) -> Result<Self> {
        let file = File::open(before).with_context(|| format!("open {}", before.display()))?;
        let length = file.metadata()?.len();
        ensure!(
            length.is_multiple_of(BLOCK),
            "{} is not a disk image: it has {length} bytes",
            before.display()
        );
        Ok(Self {
            before: Rc::new((before.to_owned(), file, length)),
            below: Rc::default(),
            above: HashMap::new(),
        })
    }

    /// Its size in bytes.
    pub fn length(&self) -> u64 {
        self.before.2
    }

    /// Where the partition called `name` begins, in bytes, and the disk ends: a partition may have been growing.
    pub fn partition(&self, name: &str) -> Result<Range<u64>> {
        // Where a partition begins does not change, so the table before the recording says it, too.
        let partition = Partition::named(&self.before.1, name)?;
        Ok(partition.place().start..self.length())
    }

    /// Reads from byte `at` on.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        ensure!(
            at.checked_add(buffer.len() as u64)
                .is_some_and(|end| end <= self.length()),
            "bytes {at} and on are beyond the disk's end"
        );
        let mut done = 0;
        while done < buffer.len() {
            let position = at + done as u64;
            let within = (position % BLOCK) as usize;
            let count = (buffer.len() - done).min(BLOCK as usize - within);
            let part = &mut buffer[done..done + count];
            match self.block(position / BLOCK) {
                Some(block) => part.copy_from_slice(&block.bytes[within..within + count]),
                None => self.before.1.read_exact_at(part, position)?,
            }
            done += count;
        }
        Ok(())
    }

    /// Writes from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let position = at + done as u64;
            let within = (position % BLOCK) as usize;
            let count = (bytes.len() - done).min(BLOCK as usize - within);
            let mut block = vec![0; BLOCK as usize];
            if count < block.len() {
                self.read(position - within as u64, &mut block)?;
            }
            block[within..within + count].copy_from_slice(&bytes[done..done + count]);
            let mut hasher = DefaultHasher::new();
            block.hash(&mut hasher);
            let block = Block {
                id: hasher.finish(),
                bytes: block,
            };
            self.above.insert(position / BLOCK, Rc::new(block));
            done += count;
        }
        Ok(())
    }

    /// A number that is the same for blocks of equal bytes; `None` if block `number` was never written.
    pub(crate) fn id(&self, number: u64) -> Option<u64> {
        self.block(number).map(|block| block.id)
    }

    /// The same number for the same bytes in `range`, whatever is elsewhere and however it came to be.
    pub fn fingerprint(&self, range: Range<u64>, except: Range<u64>) -> u64 {
        let numbers = self.written().filter(|number| {
            let at = number * BLOCK;
            range.contains(&at) && !except.contains(&at)
        });
        numbers.fold(0, |sum, number| {
            let mut hasher = DefaultHasher::new();
            (number, self.id(number)).hash(&mut hasher);
            sum ^ hasher.finish()
        })
    }

    /// As a disk that a machine can be started with.
    pub fn to_disk(&self) -> Result<Disk> {
        let disk = Disk::from_image(&self.before.0)?;
        let file = File::options().write(true).open(disk.path())?;
        for number in self.written() {
            self.copy_block(number, &file)?;
        }
        Ok(disk)
    }

    pub(crate) fn before(&self) -> &Path {
        &self.before.0
    }

    /// The blocks that were written.
    pub(crate) fn written(&self) -> impl Iterator<Item = u64> {
        let below = self.below.keys();
        let below = below.filter(|number| !self.above.contains_key(number));
        below.chain(self.above.keys()).copied()
    }

    pub(crate) fn copy_block(&self, number: u64, to: &File) -> Result<()> {
        let mut bytes = [0; BLOCK as usize];
        self.read(number * BLOCK, &mut bytes)?;
        to.write_all_at(&bytes, number * BLOCK)
            .context("write a block of a disk")
    }

    /// Lets an entry of the log happen.
    pub(crate) fn take(&mut self, log: &Log, entry: &Entry) -> Result<()> {
        match *entry {
            Entry::Write {
                start, length, at, ..
            } => {
                let mut bytes = vec![0; length as usize];
                log.data(at, &mut bytes)?;
                self.write(start, &bytes)
            }
            Entry::Discard { start, length } => self.write(start, &vec![0; length as usize]),
            Entry::Flush => Ok(()),
        }
    }

    /// Lets some sectors of an entry happen.
    pub(crate) fn take_some(&mut self, log: &Log, entry: &Entry, rng: &mut Rng) -> Result<()> {
        let Entry::Write {
            start, length, at, ..
        } = *entry
        else {
            return Ok(());
        };
        let mut bytes = vec![0; length as usize];
        log.data(at, &mut bytes)?;
        // Disks write in runs, so what is there and what is not comes in runs, too.
        let mut sector = 0;
        let mut there = rng.bool();
        while sector < length / SECTOR {
            let rest = length / SECTOR - sector;
            // Not all of it at once: that would not be torn.
            let run = rng.u64(1..=if sector == 0 { (rest - 1).max(1) } else { rest });
            if there {
                let range = sector * SECTOR..(sector + run) * SECTOR;
                self.write(
                    start + range.start,
                    &bytes[range.start as usize..range.end as usize],
                )?;
            }
            there = !there;
            sector += run;
        }
        Ok(())
    }

    /// Makes everything that was written so far durable.
    pub(crate) fn settle(&mut self) {
        if !self.above.is_empty() {
            Rc::make_mut(&mut self.below).extend(self.above.drain());
        }
    }

    fn block(&self, number: u64) -> Option<&Block> {
        (self.above.get(&number).or_else(|| self.below.get(&number))).map(Rc::as_ref)
    }
}

/// Two copies of what is on DATA, for each of two threads.
const SCRATCH: u64 = 1 << 30;

/// A folder for scratch files, in memory if there is room: containers often have just 64 MiB there.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    let parent = if free >= SCRATCH {
        memory.to_owned()
    } else {
        place::directory("cuts")?
    };
    tempfile::TempDir::new_in(&parent)
        .with_context(|| format!("a directory in {}", parent.display()))
}
