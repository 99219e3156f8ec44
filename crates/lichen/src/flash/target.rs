//! The card itself: what it has to be able to do, and how a block device does it.

use super::buffer::Buffer;
use crate::failure::Failure;
use anyhow::{Context, Result};
use rustix::fs::{Access, Advice, FallocateFlags, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What is written to. Memory comes from [`Buffer`]; places and lengths are multiples of a sector.
pub trait Card {
    /// How large it says it is, in bytes.
    fn size(&self) -> u64;
    /// Writes bytes to a place.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes a range read as zeros.
    fn zero(&self, at: u64, length: u64) -> io::Result<()>;
    /// Reads what the card has, not what the kernel remembers.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Returns when all that was written is durable.
    fn sync(&self) -> io::Result<()>;
}

/// Which disk or file it is, whatever its name says. A card that takes the place of another one gets the same number, but not the same
/// `diskseq`, which Linux counts since 5.15.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Of a disk its own number, of a file that of its file system.
    device: u64,
    inode: Option<u64>,
    sequence: Option<String>,
}

impl Identity {
    /// What is at this path now.
    pub fn at(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path);
        Self::of(&found.with_context(|| format!("cannot inspect {}", path.display()))?)
    }

    fn of(found: &std::fs::Metadata) -> Result<Self> {
        if !found.file_type().is_block_device() {
            return Ok(Identity {
                device: found.dev(),
                inode: Some(found.ino()),
                sequence: None,
            });
        }
        let device = found.rdev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let sequence = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/diskseq"));
        Ok(Identity {
            device,
            inode: None,
            sequence: sequence.ok(),
        })
    }
}

/// A block device, or a regular file instead of one.
#[derive(Debug)]
pub struct Target {
    file: File,
    size: u64,
}

/// Whether this user may write to it, told before anything is built for it.
pub fn check_permission(device: &Path) -> Result<()> {
    if rustix::fs::access(device, Access::READ_OK | Access::WRITE_OK).is_ok() {
        return Ok(());
    }
    // The program and not the script `./lichen`: with sudo, that would build this program as root.
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    crate::fail!(
        hint: format!(
            "sudo {} flash IMAGE {}, with the path that ./lichen build APPLIANCE prints",
            program.display(), device.display()
        ),
        "you may not write to {}", device.display()
    );
}

impl Target {
    /// Claims a block device. O_EXCL: the kernel refuses when anything in it is mounted or made of it, and lets
    /// nobody do so while this is open. O_DIRECT: progress and errors are those of the card.
    pub fn device(path: &Path) -> Result<Self> {
        Self::open(path, OFlags::EXCL | OFlags::DIRECT)
    }

    /// A regular file of the size that a card would have.
    pub fn file(path: &Path) -> Result<Self> {
        Self::open(path, OFlags::empty())
    }

    fn open(path: &Path, flags: OFlags) -> Result<Self> {
        let open = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path);
        let mut file = match open {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {
                return Err(Failure {
                    what: format!("{} is in use, says the kernel", path.display()),
                    hint: format!("lsblk {0}; fuser -vam {0}", path.display()),
                }
                .into());
            }
            other => other.with_context(|| format!("cannot open {}", path.display()))?,
        };
        let size = file
            .seek(SeekFrom::End(0))
            .with_context(|| format!("cannot tell the size of {}", path.display()))?;
        Ok(Target { file, size })
    }

    /// Refuses if this is not what was looked at before.
    pub fn must_be(&self, before: &Identity, path: &Path) -> Result<()> {
        let found = self.file.metadata();
        let now = Identity::of(&found.context("cannot inspect what was opened")?)?;
        if now != *before {
            crate::fail!(
                hint: "nothing was written; ./lichen flash --list shows what is there now",
                "{} is not what it was when this command began", path.display()
            );
        }
        Ok(())
    }

    /// A path by which this process reaches what is open here, whatever has its name meanwhile.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

impl Card for Target {
    fn size(&self) -> u64 {
        self.size
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// On a block device, punching a hole is done by the device and only if that promises zeros; zeroing a range
    /// is what BLKZEROOUT does: by the device if it can, else the kernel writes them.
    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        for mode in [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE] {
            match rustix::fs::fallocate(&self.file, mode | FallocateFlags::KEEP_SIZE, at, length) {
                Err(Errno::OPNOTSUPP) => {}
                other => return Ok(other?),
            }
        }
        let zeros = Buffer::new(1 << 20);
        let mut done = 0;
        while done < length {
            let n = (length - done).min(zeros.len() as u64);
            self.write(at + done, &zeros[..n as usize])?;
            done += n;
        }
        Ok(())
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    /// A regular file is read through the page cache, which forgets it here.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()?;
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}
