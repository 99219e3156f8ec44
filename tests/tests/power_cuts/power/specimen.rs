//! The disk of a machine that was just updated, to be damaged on purpose: proof that the judge finds what is wrong.

use std::ops::Range;

use assemble::superblock;
use card::SECTOR;
use testbed::cuts::{self, Ext4, Fat, Remains};
use testbed::{Context, Log, Mark, Recording, Result, bail};

use super::judge::{Expected, Judge, Truth};

/// A block of DATA, in bytes.
const BLOCK: u64 = 4096;
/// Where in a superblock it stands when the file system was written last: torn, it is mended.
const WRITTEN_LAST: Range<u64> = 0x30..0x34;
/// Where in a superblock it stands which file system it belongs to: no torn write changes that.
const UUID: Range<u64> = 0x68..0x78;

/// The disk, and what the judge has to find on it.
pub struct Specimen<'t> {
    disk: Remains,
    before_the_update: Remains,
    judge: Judge<'t>,
    expected: Expected,
    old: String,
    new: String,
    boot: Range<u64>,
    data: Range<u64>,
}

impl<'t> Specimen<'t> {
    /// From the recording of a machine's life.
    pub fn of(life: &Recording, truth: &'t Truth) -> Result<Self> {
        let log = Log::open(&life.log)?;
        let mark = |name: &str| {
            let found = life.marks.iter().find(|mark| mark.name == name);
            found.context(name.to_owned())
        };
        let toplevel = |mark: &Mark| {
            let toplevel = mark.note["toplevel"].as_str();
            toplevel.map(str::to_owned).context("no toplevel noted")
        };
        let (before, after) = (mark("boot given up")?, mark("trial boot")?);
        let disk = cuts::moment(life, &log, after.entries)?;
        Ok(Self {
            before_the_update: cuts::moment(life, &log, before.entries)?,
            judge: Judge::new(truth),
            expected: Expected::after(after.entries, &life.marks, ""),
            old: toplevel(before)?,
            new: toplevel(after)?,
            boot: disk.partition("BOOT")?,
            data: disk.partition("DATA")?,
            disk,
        })
    }

    pub fn boots_the_new_generation(&mut self) -> Result<()> {
        let booted = self.judge.judge(&self.disk, &self.expected)?;
        assert_eq!(booted, self.new);
        Ok(())
    }

    pub fn every_layer_has_to_be_whole(&mut self) -> Result<()> {
        let layers = self.data()?.text(&format!("{}/layers", self.new))?;
        for layer in layers.context("the generation names no layers")?.lines() {
            let places = self.data()?.places(layer)?;
            let last = *places.last().context("an empty layer")?;
            self.judged_bad("is not what it was", |disk| zero(disk, block(last)))?;
        }
        Ok(())
    }

    pub fn one_valid_boot_state_is_needed(&mut self) -> Result<()> {
        let slots = ["st0.env", "st1.env"];
        let slots = slots.map(|slot| Ok(sector(self.boot()?.places(slot)[0].start)));
        let slots = slots.into_iter().collect::<Result<Vec<_>>>()?;
        self.judged_bad("no valid boot state", |disk| zero_all(disk, slots))
    }

    pub fn the_kernel_has_to_be_whole(&mut self) -> Result<()> {
        let places = self.kernel()?;
        let second_half = places[places.len() / 2..].to_vec();
        self.judged_bad("is not what it should be", |disk| {
            zero_all(disk, second_half)
        })
    }

    /// What would be there if the boot state had been written before the kernel.
    pub fn the_kernel_has_to_be_there_before_the_boot_state_names_it(&mut self) -> Result<()> {
        let places = self.kernel()?;
        let earlier = self.before_the_update.clone();
        self.judged_bad("is not what it should be", |disk| {
            for place in places {
                let mut bytes = vec![0; (place.end - place.start) as usize];
                earlier.read(place.start, &mut bytes)?;
                disk.write(place.start, &bytes)?;
            }
            Ok(())
        })
    }

    pub fn u_boot_has_to_be_whole(&mut self) -> Result<()> {
        let start = self.boot()?.places("u-boot.bin")[0].start;
        self.judged_bad("u-boot.bin on BOOT has changed", |disk| {
            zero(disk, sector(start))
        })
    }

    pub fn the_database_of_nix_has_to_be_readable(&mut self) -> Result<()> {
        // Not the first page, which says what it is.
        let pages = self.data()?.places("/nix/var/nix/db/db.sqlite")?;
        let pages = pages.into_iter().skip(1).map(block);
        self.judged_bad("db.sqlite", |disk| zero_all(disk, pages))
    }

    pub fn nix_has_to_know_the_version_of_its_tables(&mut self) -> Result<()> {
        let version = self.data()?.places("/nix/var/nix/db/schema")?;
        self.judged_bad("can't open its database", |disk| {
            zero_all(disk, version.into_iter().map(block))
        })
    }

    pub fn the_readings_have_to_be_readable(&mut self) -> Result<()> {
        // How many of them are in the log by now, and how many in the database, is a matter of time.
        let database = self.data()?.places("/var/lib/climate/climate.db")?;
        let log = self.data()?.places("/var/lib/climate/climate.db-wal")?;
        let pages = database.into_iter().skip(1).chain(log).map(block);
        self.judged_bad("climate.db", |disk| zero_all(disk, pages))
    }

    pub fn no_reading_that_was_told_may_be_missing(&mut self) -> Result<()> {
        let (from, to) = (0, i64::MAX / 1000);
        let one_more = self.judge.data(&self.disk)?.readings.len() + 1;
        let expected = Expected {
            told: Some((from, to, one_more)),
            ..self.expected.clone()
        };
        self.judged_bad_by(&expected, "readings were told", |_| Ok(()))
    }

    pub fn a_superblock_may_be_torn_but_not_belong_to_another_file_system(&mut self) -> Result<()> {
        let superblock = self.data.start + superblock::AT;
        let within = |part: Range<u64>| superblock + part.start..superblock + part.end;
        self.judged_bad("and not by being torn", |disk| zero(disk, within(UUID)))?;
        let mut torn = self.disk.clone();
        zero(&mut torn, within(WRITTEN_LAST))?;
        assert_eq!(self.judge.judge(&torn, &self.expected)?, self.new);
        Ok(())
    }

    pub fn another_generation_may_not_boot(&mut self) -> Result<()> {
        let expected = Expected {
            toplevels: [self.old.clone()].into(),
            ..self.expected.clone()
        };
        self.judged_bad_by(&expected, "which is none of", |_| Ok(()))
    }

    /// The judge has to find `what` after this damage.
    fn judged_bad(
        &mut self,
        what: &str,
        damage: impl FnOnce(&mut Remains) -> Result<()>,
    ) -> Result<()> {
        self.judged_bad_by(&self.expected.clone(), what, damage)
    }

    fn judged_bad_by(
        &mut self,
        expected: &Expected,
        what: &str,
        damage: impl FnOnce(&mut Remains) -> Result<()>,
    ) -> Result<()> {
        let mut damaged = self.disk.clone();
        damage(&mut damaged)?;
        match self.judge.judge(&damaged, expected) {
            Err(error) if format!("{error:#}").contains(what) => Ok(()),
            other => bail!("not found: {what}; instead: {other:?}"),
        }
    }

    fn boot(&self) -> Result<Fat<'_>> {
        Fat::read(&self.disk, self.boot.clone())
    }

    fn data(&self) -> Result<Ext4> {
        Ext4::mount(&self.disk, self.data.clone())
    }

    /// Where the new generation's kernel is, which was written last.
    fn kernel(&self) -> Result<Vec<Range<u64>>> {
        let boot = self.boot()?;
        let mut files = boot.files.iter().rev();
        let kernel = files.find(|file| file.path.ends_with("/image"));
        Ok(boot.places(&kernel.context("no kernel")?.path))
    }
}

fn sector(start: u64) -> Range<u64> {
    start..start + SECTOR
}

fn block(start: u64) -> Range<u64> {
    start..start + BLOCK
}

fn zero(disk: &mut Remains, place: Range<u64>) -> Result<()> {
    disk.write(place.start, &vec![0; (place.end - place.start) as usize])
}

fn zero_all(disk: &mut Remains, places: impl IntoIterator<Item = Range<u64>>) -> Result<()> {
    places.into_iter().try_for_each(|place| zero(disk, place))
}
