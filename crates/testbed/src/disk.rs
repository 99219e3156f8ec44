//! The card of a machine: a copy of an image, or a thin layer over one that stays as it was.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use emulator::Drive;
use tempfile::TempDir;

use crate::process;
use crate::{Tools, place};

/// A disk that a machine can be started with. Its bytes are gone with it, unless it was kept.
#[derive(Debug)]
pub struct Disk {
    drive: Drive,
    _directory: Option<TempDir>,
}

impl Disk {
    /// A copy of `image`, for one machine.
    pub fn from_image(image: &Path) -> Result<Self> {
        let directory = scratch()?;
        let disk = Self::copy(image, &directory.path().join("disk.img"))?;
        Ok(Self {
            _directory: Some(directory),
            ..disk
        })
    }

    /// A copy of `image` at `path`, holes kept.
    pub(crate) fn copy(image: &Path, path: &Path) -> Result<Self> {
        let mut copy = std::process::Command::new("cp");
        copy.args([
            "--sparse=always",
            "--reflink=auto",
            "--no-preserve=mode",
            "--",
        ])
        .arg(image)
        .arg(path);
        process::run(&mut copy).with_context(|| format!("copy {}", image.display()))?;
        Ok(Self::at(path))
    }

    /// The raw disk that is at `path`.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            drive: Drive::raw(path),
            _directory: None,
        }
    }

    /// A thin layer over the raw disk `base`, which must not change any more.
    pub fn over(base: &Path) -> Result<Self> {
        let directory = scratch()?;
        let path = directory.path().join("disk.qcow2");
        let mut create = Tools::from_env()?.command("qemu-img");
        create
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
            .arg(base)
            .arg(&path);
        process::run(&mut create).with_context(|| format!("a layer over {}", base.display()))?;
        Ok(Self {
            drive: Drive::layer(&path),
            _directory: Some(directory),
        })
    }

    /// Makes it larger, as a card is that is larger than the image written to it.
    pub fn grow(self, bytes: u64) -> Result<Self> {
        let file = File::options().write(true).open(self.raw()?);
        let file = file.with_context(|| format!("open {}", self.path().display()))?;
        let now = file.metadata()?.len();
        ensure!(
            bytes >= now,
            "{} has {now} bytes already",
            self.path().display()
        );
        file.set_len(bytes)
            .with_context(|| format!("grow {}", self.path().display()))?;
        Ok(self)
    }

    /// Puts a file onto BOOT, as a user does who has the card in a reader.
    pub fn write_boot_file(self, name: &str, contents: &str) -> Result<Self> {
        card::write_to_boot(self.raw()?, &[(name, contents.as_bytes())])?;
        Ok(self)
    }

    /// What a file on BOOT holds.
    pub fn read_boot_file(&self, name: &str) -> Result<Vec<u8>> {
        card::read_from_boot(self.raw()?, name)
    }

    /// Where its bytes are, if they are those of the card.
    fn raw(&self) -> Result<&Path> {
        ensure!(
            self.drive.is_raw(),
            "{} is a layer over another disk and cannot be edited",
            self.path().display()
        );
        Ok(self.path())
    }

    pub(crate) fn path(&self) -> &Path {
        self.drive.file()
    }

    pub(crate) fn drive(&self) -> &Drive {
        &self.drive
    }

    /// Has everything that a machine writes onto it logged in the file `log`, which is made anew.
    pub(crate) fn logged(self, log: &Path) -> Result<Self> {
        File::create(log).with_context(|| format!("create {}", log.display()))?;
        let drive = self.drive.logged(log);
        Ok(Self { drive, ..self })
    }

    /// Makes the file read-only: a machine that would write to this base fails instead of spoiling every later story.
    pub(crate) fn protect(&self) -> Result<()> {
        let mut permissions = fs::metadata(self.path())?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(self.path(), permissions)
            .with_context(|| format!("protect {}", self.path().display()))
    }
}

fn scratch() -> Result<TempDir> {
    let parent = place::directory("disks")?;
    TempDir::new_in(&parent).with_context(|| format!("a directory in {}", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_file_written_onto_boot_is_there_and_the_image_is_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        card::testing::card(&image).unwrap();
        let before = fs::read(&image).unwrap();
        let disk = Disk::from_image(&image).unwrap();
        let disk = disk
            .write_boot_file("lichen.toml", "a longer first text")
            .unwrap();
        let disk = disk
            .write_boot_file("lichen.toml", "hostname = \"x\"\n")
            .unwrap();
        let disk = disk.grow(16 << 20).unwrap();
        assert_eq!(
            disk.read_boot_file("lichen.toml").unwrap(),
            b"hostname = \"x\"\n"
        );
        assert!(disk.read_boot_file("other").is_err());
        assert_eq!(fs::metadata(disk.path()).unwrap().len(), 16 << 20);
        assert_eq!(fs::read(&image).unwrap(), before);
        assert!(disk.grow(1).is_err(), "a card does not shrink");
    }

    #[test]
    fn a_disk_without_boot_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zeros");
        fs::write(&path, vec![0; 4096]).unwrap();
        let error = Disk::from_image(&path)
            .unwrap()
            .write_boot_file("x", "")
            .unwrap_err();
        assert!(format!("{error:#}").contains("it has no GPT"), "{error:#}");
    }
}
