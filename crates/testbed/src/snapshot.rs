//! A machine brought to a known state once per image, for every story to start from.
//!
//! Its memory is the file that QEMU mapped as the machine's memory, and its disk is the file the machine ran on:
//! neither is copied, and a machine that starts from it maps the one privately and puts a thin layer over the
//! other. Test binaries, which run in processes of their own, share it through the target directory.
//!
//! The writes of that machine are logged, and those of a machine that continues from the snapshot can be logged, too.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emulator::Hardware;
use serde_json::json;

use crate::machine::{self, Start};
use crate::place::{self, FileLock};
use crate::writes::{Marker, Recording};
use crate::{Disk, Machine, Tools, wait_until};

/// Where the parts are.
#[derive(Debug, Clone)]
pub struct Snapshot {
    directory: PathBuf,
    hardware: Hardware,
}

impl Snapshot {
    /// The snapshot `name` of `image`: taken now unless there is one.
    ///
    /// `prepare` puts onto the disk what a user would, and `bring` waits until the machine is where stories start: what it
    /// has not synced by then is in the snapshot's memory, but not on its disk. `inputs` is all that the two depend on
    /// besides the image; when it changes, the snapshot is taken anew.
    pub fn take(
        name: &str,
        image: &Path,
        inputs: &[&str],
        prepare: impl FnOnce(Disk) -> Result<Disk>,
        bring: impl FnOnce(&Machine) -> Result<()>,
    ) -> Result<Self> {
        let hardware = Hardware::default();
        let parent = place::directory("snapshots")?;
        let directory = parent.join(format!("{name}-{}", key(image, inputs, &hardware)?));
        let snapshot = Self {
            directory,
            hardware,
        };
        let _lock = FileLock::take(&parent.join(format!("{name}.lock")))?;
        if !snapshot.state().exists() {
            forget_others(&parent, name)?;
            snapshot
                .make(name, image, prepare, bring)
                .context("take the snapshot that stories start from")?;
        }
        Ok(snapshot)
    }

    /// A machine that continues from there, as if it had never been off.
    pub fn start(&self) -> Result<Machine> {
        self.resume(self.disk()?)
    }

    fn resume(&self, disk: Disk) -> Result<Machine> {
        let (memory, state) = (self.memory(), self.state());
        let start = Start::Warm {
            memory: &memory,
            state: &state,
        };
        Machine::start(&place::story_name(), disk, self.hardware.clone(), start)
    }

    /// A machine with the same disk, switched on.
    pub fn boot(&self) -> Result<Machine> {
        Machine::boot(self.disk()?, self.hardware.clone())
    }

    /// What the machine wrote until it was in this state.
    pub fn first_boot(&self) -> Recording {
        Recording {
            before: self.before(),
            log: self.log(),
            marks: Vec::new(),
        }
    }

    /// What a machine that continues from here writes while `story` runs: recorded now, unless it was recorded before.
    /// `inputs` is all it depends on besides this snapshot.
    pub fn record(
        &self,
        inputs: &[&str],
        story: impl FnOnce(&Machine, &mut Marker) -> Result<()>,
    ) -> Result<Recording> {
        let mut hasher = DefaultHasher::new();
        inputs.hash(&mut hasher);
        let directory = (self.directory).join(format!("recording-{:016x}", hasher.finish()));
        let (log, marks) = (directory.join("writes"), directory.join("marks.json"));
        let _lock = FileLock::take(&self.directory.join("recording.lock"))?;
        if !marks.exists() {
            fs::create_dir_all(&directory)?;
            let disk = self.disk()?.logged(&log)?;
            let mut marker = Marker::of(&log);
            let machine = self.resume(disk)?;
            story(&machine, &mut marker)?;
            machine.quit()?;
            // If this file exists, the log is complete.
            fs::write(&marks, marker.into_json()).context("keep the marks of a recording")?;
        }
        Ok(Recording {
            before: self.directory.join("disk.img"),
            log,
            marks: Marker::read(&marks)?,
        })
    }

    fn make(
        &self,
        name: &str,
        image: &Path,
        prepare: impl FnOnce(Disk) -> Result<Disk>,
        bring: impl FnOnce(&Machine) -> Result<()>,
    ) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        let before = prepare(Disk::copy(image, &self.before())?)?;
        let disk = Disk::copy(before.path(), &self.directory.join("disk.img"))?;
        before.protect()?;
        let base = Disk::at(disk.path());
        let disk = disk.logged(&self.log())?;
        let memory = self.memory();
        let hardware = self.hardware.clone();
        let machine = Machine::start(
            &format!("snapshot-{name}"),
            disk,
            hardware,
            Start::ColdInto(&memory),
        )?;
        bring(&machine)?;
        machine.ssh().hang_up();
        let partial = self.directory.join("state.partial");
        machine.qmp(|qmp| {
            qmp.execute("stop", json!({}))?;
            machine::leave_memory_in_its_file(qmp)?;
            qmp.execute(
                "migrate",
                json!({ "uri": format!("file:{}", partial.display()) }),
            )?;
            wait_until(
                "the snapshot to be written",
                Duration::from_secs(60),
                || {
                    let progress = qmp.execute("query-migrate", json!({}))?;
                    ensure!(progress["status"] == "completed", "it is {progress}");
                    Ok(())
                },
            )
        })?;
        machine.quit()?;
        base.protect()?;
        // If this file exists, so does everything else.
        fs::rename(&partial, self.state())?;
        Ok(())
    }

    fn disk(&self) -> Result<Disk> {
        Disk::over(&self.directory.join("disk.img"))
    }

    fn before(&self) -> PathBuf {
        self.directory.join("before.img")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("writes")
    }

    fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}

/// Reading a whole image to name it would take longer than starting from its snapshot: a path of the Nix store
/// says what it holds, and for any other file its size and times do.
fn key(image: &Path, inputs: &[&str], hardware: &Hardware) -> Result<String> {
    // The path is a link into the store, which will point to the next image after another build.
    let image = fs::canonicalize(image).with_context(|| format!("image {}", image.display()))?;
    let file = fs::metadata(&image).with_context(|| format!("image {}", image.display()))?;
    let mut hasher = DefaultHasher::new();
    (image, file.len(), file.mtime(), file.mtime_nsec()).hash(&mut hasher);
    (inputs, format!("{hardware:?}"), Tools::from_env()?.name()).hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// A snapshot takes about a gigabyte, and those of other images will not be asked for again.
fn forget_others(parent: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && entry
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{name}-"))
        {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}
