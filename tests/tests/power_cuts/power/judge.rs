//! Whether a disk boots into the old generation or the new one, with nothing lost that was told to be there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use card::{SECTOR, growth};
use testbed::cuts::{self, Ext4, Fate, Memo, Remains, Sampling};
use testbed::{Context, Error, Log, Mark, Recording, Result, bail, ensure};

use super::boot::Boot;
use super::data::{self, Data, Hashes, Memory};
use super::mended::mount;
use tests::{HOSTNAME, TIME_ZONE, TOKEN};

/// What has to hold after a power cut.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// One of these has to boot.
    pub toplevels: BTreeSet<String>,
    /// How many readings the service had reported, and from when to when, in seconds.
    pub told: Option<(i64, i64, usize)>,
}

/// What is right, learnt from the moments of a recording at which nothing was going on.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    hashes: Hashes,
    kernels: BTreeMap<String, BTreeMap<String, u64>>,
    firmware: BTreeMap<String, u64>,
    lichen_toml: Vec<u8>,
}

impl Truth {
    /// Learns from the end of every step in these recordings, the first of which is of a first boot.
    pub fn of(recordings: &[Recording], lichen_toml: &str) -> Result<Self> {
        let mut truth = Self {
            lichen_toml: lichen_toml.into(),
            ..Self::default()
        };
        for recording in recordings {
            let log = Log::open(&recording.log)?;
            let quiet: BTreeSet<_> = quiet(recording, &log).collect();
            let none = Sampling {
                seed: 0,
                torn: usize::MAX,
                reordered: 0,
            };
            let epochs = 0..cuts::epochs(&log).len();
            cuts::replay(recording, &log, epochs, none, |cut, disk| {
                if cut.fate == Fate::Whole && quiet.contains(&cut.entries) {
                    truth.learn(disk).with_context(|| format!("{cut}"))?;
                }
                Ok(())
            })?;
        }
        Ok(truth)
    }

    /// What is on DATA, and which toplevels of these are not in full.
    pub fn read_data(&self, data: &Ext4, memory: &mut Memory) -> Result<Data> {
        Data::read(data, self.kernels.keys(), &self.hashes, memory)
    }

    fn learn(&mut self, disk: &Remains) -> Result<()> {
        let boot = Boot::read(disk, &mut Memo::new())?;
        let mounted = mount(disk)?;
        let data = Data::read(&mounted, [], &Hashes::new(), &mut Memory::default())?;
        self.hashes.extend(data.registered);
        let toplevel = boot.chosen.toplevel;
        let kernel = data::kernel_files(&mounted, &toplevel)?;
        self.kernels.insert(toplevel, kernel);
        self.firmware = boot.firmware;
        Ok(())
    }
}

/// When nothing was going on: at marks, and at the end.
fn quiet<'r>(recording: &'r Recording, log: &Log) -> impl Iterator<Item = usize> + 'r {
    let end = log.entries.len();
    recording.marks.iter().map(|mark| mark.entries).chain([end])
}

impl Expected {
    /// After a cut when so many entries of a recording were written.
    pub fn after(entries: usize, marks: &[Mark], first: &str) -> Self {
        let toplevel = |mark: &Mark| {
            mark.note["toplevel"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let past = marks.iter().take_while(|mark| mark.entries <= entries);
        let next = marks.iter().find(|mark| mark.entries > entries);
        let told = past.clone().find_map(|mark| {
            let number = |name: &str| mark.note[name].as_i64();
            let readings = usize::try_from(number("readings")?).ok()?;
            Some((number("from")?, number("to")?, readings))
        });
        let old = past.last().map_or_else(|| first.to_owned(), toplevel);
        Self {
            toplevels: [old].into_iter().chain(next.map(toplevel)).collect(),
            told,
        }
    }
}

/// Judges disks, and remembers what it has judged already.
pub struct Judge<'t> {
    truth: &'t Truth,
    memo: Memo<u64>,
    memory: Memory,
    boots: HashMap<u64, Result<Rc<Boot>, String>>,
    /// From the bytes on DATA to the file system they make.
    mounted: HashMap<u64, u64>,
    datas: HashMap<u64, Result<Rc<Data>, String>>,
}

impl<'t> Judge<'t> {
    /// Nothing has been judged yet.
    pub fn new(truth: &'t Truth) -> Self {
        Self {
            truth,
            memo: Memo::new(),
            memory: Memory::default(),
            boots: HashMap::new(),
            mounted: HashMap::new(),
            datas: HashMap::new(),
        }
    }

    /// How many different file systems on DATA there were.
    pub fn distinct(&self) -> usize {
        self.datas.len()
    }

    /// The toplevel that boots; an error, if that is wrong, or anything else is.
    pub fn judge(&mut self, disk: &Remains, expected: &Expected) -> Result<String> {
        let truth = self.truth;
        table(disk)?;
        let boot = self.boot(disk)?;
        let data = self.data(disk)?;
        for bootable in [&boot.chosen, &boot.good] {
            let what = || format!("generation {} ({})", bootable.generation, bootable.toplevel);
            let kernel = truth.kernels.get(&bootable.toplevel);
            let kernel = kernel.with_context(|| format!("{} is none that was made", what()))?;
            for (file, digest) in kernel {
                let found = bootable.kernel.get(file);
                ensure!(
                    found == Some(digest),
                    "{}: {file} is not what it should be",
                    what()
                );
            }
            if let Some(why) = data.broken.get(&bootable.toplevel) {
                bail!("{}: {why}", what());
            }
        }
        ensure!(
            expected.toplevels.contains(&boot.chosen.toplevel),
            "generation {} boots: {}, which is none of {:?}",
            boot.chosen.generation,
            boot.chosen.toplevel,
            expected.toplevels
        );
        for (file, digest) in &truth.firmware {
            ensure!(
                boot.firmware.get(file) == Some(digest),
                "{file} on BOOT has changed"
            );
        }
        if let Some((from, to, told)) = expected.told {
            let times = from * 1000..=to * 1000;
            let found = data.readings.iter().filter(|at| times.contains(at)).count();
            ensure!(
                found >= told,
                "climate.db: {told} readings were told, {found} are there"
            );
        }
        provisioned(&boot, &data, truth)?;
        Ok(boot.chosen.toplevel.clone())
    }

    fn boot(&mut self, disk: &Remains) -> Result<Rc<Boot>> {
        let key = disk.fingerprint(
            disk.partition("BOOT")?.start..disk.partition("DATA")?.start,
            0..0,
        );
        let memo = &mut self.memo;
        let known = self.boots.entry(key).or_insert_with(|| {
            Boot::read(disk, memo)
                .map(Rc::new)
                .map_err(|error| format!("{error:#}"))
        });
        known.clone().map_err(Error::msg)
    }

    /// What is on DATA.
    pub fn data(&mut self, disk: &Remains) -> Result<Rc<Data>> {
        let bytes = disk.fingerprint(disk.partition("DATA")?, 0..0);
        let known = self.mounted.get(&bytes).and_then(|key| self.datas.get(key));
        let found = match known {
            Some(known) => known.clone(),
            None => {
                let mounted = mount(disk)?;
                let key = mounted.fingerprint()?;
                self.mounted.insert(bytes, key);
                let (truth, memory) = (self.truth, &mut self.memory);
                let known = self.datas.entry(key).or_insert_with(|| {
                    truth
                        .read_data(&mounted, memory)
                        .map(Rc::new)
                        .map_err(|error| format!("{error:#}"))
                });
                known.clone()
            }
        };
        found.map_err(Error::msg)
    }
}

/// The partition table has to be one that Linux takes.
fn table(disk: &Remains) -> Result<()> {
    let read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.read(at, &mut bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    };
    let start = disk.partition("DATA")?.start / SECTOR;
    growth::plan(&read, disk.length() / SECTOR, 2, start).context("the partition table")?;
    Ok(())
}

/// What the owner wrote is on BOOT in full, or in force; and if it is on BOOT in part, the next boot wipes the rest.
fn provisioned(boot: &Boot, data: &Data, truth: &Truth) -> Result<()> {
    let (stored, token, wiping) = &data.provisioned;
    if boot.lichen_toml.as_deref() == Some(&truth.lichen_toml) {
        return Ok(());
    }
    let stored = stored.as_deref().unwrap_or_default();
    let all = [HOSTNAME, TIME_ZONE, "authorized_keys"]
        .iter()
        .all(|part| stored.contains(part));
    ensure!(
        all && token.as_deref() == Some(TOKEN),
        "lichen.toml is not on BOOT in full, and not all of it is stored"
    );
    ensure!(
        boot.lichen_toml.is_none() || *wiping,
        "a part of lichen.toml is on BOOT, and nothing tells that it is to be wiped"
    );
    Ok(())
}
