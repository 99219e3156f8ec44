//! Grows DATA to the end of the disk: the image is as small as its content, but cards are larger.
//!
//! Runs at every boot and does nothing if nothing is to be done. It updates the partition table (see [`card::growth`],
//! which is safe against a power cut between any two writes), then the kernel's view of the partition, then the mounted
//! ext4. Each step compares the actual with the wanted state, so the next boot completes an interrupted run.
//!
//! It refuses to change a damaged partition table, and never shrinks anything.

use crate::root::Root;
use crate::sys;
use anyhow::{Context, Result};
use card::{GptError, SECTOR, growth, reader_of_file};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the initrd mounts DATA.
pub const DATA: &str = "/run/data";

/// Why DATA cannot be grown.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// Nothing is mounted at the mount point of DATA.
    #[error("DATA is not mounted at {DATA}")]
    NotMounted,
    /// DATA is not on a partition of a disk.
    #[error("DATA is not a partition: {device} has no {file}", device = .device.display())]
    NoPartition {
        /// The device's folder in sysfs.
        device: PathBuf,
        /// The sysfs file that every partition has.
        file: &'static str,
    },
    /// The partition table is not valid.
    #[error("cannot use the partition table of {disk}: {source}", disk = .disk.display())]
    Table {
        /// The disk.
        disk: PathBuf,
        /// What is wrong.
        source: GptError,
    },
}

impl GrowError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotMounted | Self::NoPartition { .. } => {
                Some("`findmnt /run/data` shows what is mounted there")
            }
            Self::Table { .. } => Some("back up /run/data and write the image to the card again"),
        }
    }
}

/// The partition that holds DATA, as described in sysfs.
#[derive(Debug, PartialEq, Eq)]
struct Partition {
    disk: PathBuf,
    device: PathBuf,
    /// All values are in sectors of [`SECTOR`] bytes, which sysfs uses for every disk.
    disk_sectors: u64,
    number: u32,
    start: u64,
    sectors: u64,
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Grown {
    /// The size of the file system before, in bytes.
    pub before: u64,
    /// The size of the file system now, in bytes.
    pub after: u64,
    /// Whether the partition table was changed.
    pub table: bool,
}

impl fmt::Display for Grown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: u64| format!("{} MiB", bytes >> 20);
        if self.before == self.after && !self.table {
            return write!(f, "DATA already fills the disk: {}", size(self.after));
        }
        write!(
            f,
            "DATA grown from {} to {}",
            size(self.before),
            size(self.after)
        )
    }
}

/// Grows the partition that is mounted at [`DATA`], and its file system.
pub fn run(root: &Root) -> Result<Grown> {
    let mounts = root.at("proc/self/mountinfo");
    let mounts =
        fs::read_to_string(&mounts).with_context(|| format!("cannot read {}", mounts.display()))?;
    let device = mounted_device(&mounts, DATA).ok_or(GrowError::NotMounted)?;
    let partition = Partition::find(root, device)?;
    let (table, sectors) = grow_table(&partition)?;
    if sectors > partition.sectors {
        let disk = File::open(&partition.disk)
            .with_context(|| format!("cannot open {}", partition.disk.display()))?;
        sys::resize_partition(
            &disk,
            partition.number,
            partition.start * SECTOR,
            sectors * SECTOR,
        )
        .with_context(|| {
            format!(
                "the kernel does not accept the new end of partition {}",
                partition.number
            )
        })?;
    }
    let (before, after) = grow_ext4(&root.at(&DATA[1..]), &partition.device, sectors * SECTOR)?;
    Ok(Grown {
        before,
        after,
        table,
    })
}

impl Partition {
    fn find(root: &Root, device: &str) -> Result<Self> {
        let link = root.at("sys/dev/block").join(device);
        let folder = fs::canonicalize(&link).unwrap_or(link);
        let number = |file: &'static str, of: &Path| -> Result<u64, GrowError> {
            let text = fs::read_to_string(of.join(file)).ok();
            text.and_then(|t| t.trim().parse().ok())
                .ok_or(GrowError::NoPartition {
                    device: of.into(),
                    file,
                })
        };
        let partition = number("partition", &folder)?;
        let disk = folder.parent().unwrap_or(&folder);
        Ok(Self {
            disk: root.at("dev").join(disk.file_name().unwrap_or_default()),
            device: root.at("dev").join(folder.file_name().unwrap_or_default()),
            disk_sectors: number("size", disk)?,
            number: u32::try_from(partition).context("sysfs counts too many partitions")?,
            start: number("start", &folder)?,
            sectors: number("size", &folder)?,
        })
    }
}

/// The `major:minor` number of the device mounted at `folder`; the topmost if there are several mounts.
pub(crate) fn mounted_device<'a>(mountinfo: &'a str, folder: &str) -> Option<&'a str> {
    let fields = |line: &'a str| -> Option<(&'a str, &'a str)> {
        let mut fields = line.split(' ').skip(2);
        Some((fields.next()?, fields.nth(1)?))
    };
    mountinfo
        .lines()
        .filter_map(fields)
        .rfind(|(_, at)| *at == folder)
        .map(|(device, _)| device)
}

/// Updates the partition table if necessary; says whether it did, and the partition's size.
fn grow_table(partition: &Partition) -> Result<(bool, u64)> {
    let path = &partition.disk;
    let table_error = |source| GrowError::Table {
        disk: path.clone(),
        source,
    };
    let disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| {
            format!(
                "cannot open {} to change its partition table",
                path.display()
            )
        })?;
    // udev re-reads a disk's table when a writer closes it, unless the disk is locked.
    rustix::fs::flock(&disk, rustix::fs::FlockOperation::LockExclusive)
        .with_context(|| format!("cannot lock {}", path.display()))?;
    let plan = growth::plan(
        &reader_of_file(&disk),
        partition.disk_sectors,
        partition.number,
        partition.start,
    )
    .map_err(table_error)?;
    for write in &plan.writes {
        disk.write_all_at(&write.bytes, write.offset)
            .and_then(|()| disk.sync_data())
            .with_context(|| format!("cannot write {} of {}", write.what, path.display()))?;
    }
    Ok((!plan.writes.is_empty(), plan.sectors))
}

/// Grows the file system on `device`, mounted at `folder`; returns its size before and after, in bytes.
fn grow_ext4(folder: &Path, device: &Path, partition_bytes: u64) -> Result<(u64, u64)> {
    let size = || {
        Ext4Size::read(device)
            .with_context(|| format!("cannot read the file system on {}", device.display()))
    };
    let before = size()?;
    let wanted = partition_bytes / before.block;
    if wanted <= before.blocks {
        return Ok((before.bytes(), before.bytes()));
    }
    let file = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    sys::resize_ext4(&file, wanted).context("cannot grow the file system of DATA")?;
    Ok((before.bytes(), size()?.bytes()))
}

/// The ext4 superblock, which the kernel keeps up to date while the file system is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Ext4Size {
    blocks: u64,
    block: u64,
}

impl Ext4Size {
    fn read(device: &Path) -> io::Result<Self> {
        let mut superblock = [0; 1024];
        File::open(device)?.read_exact_at(&mut superblock, 1024)?;
        Self::of(&superblock).ok_or_else(|| io::Error::other("it is not an ext4 file system"))
    }

    fn of(superblock: &[u8; 1024]) -> Option<Self> {
        let at = |at: usize| {
            u64::from(u32::from_le_bytes(std::array::from_fn(|n| {
                superblock[at + n]
            })))
        };
        let shift = at(0x18);
        if superblock[0x38..0x3a] != [0x53, 0xef] || shift > 6 {
            return None;
        }
        let wide = at(0x60) & 0x80 != 0;
        Some(Self {
            blocks: at(0x4) | if wide { at(0x150) << 32 } else { 0 },
            block: 1024 << shift,
        })
    }

    fn bytes(&self) -> u64 {
        self.blocks * self.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:21 / / rw - tmpfs root rw\n\
23 22 254:2 / /run/data rw,noatime - ext4 /dev/vda2 rw\n\
24 22 254:2 /var /var rw,noatime - ext4 /dev/vda2 rw\n";

    #[test]
    fn the_device_of_data_is_the_one_mounted_there() {
        assert_eq!(mounted_device(MOUNTS, "/run/data"), Some("254:2"));
        assert_eq!(mounted_device(MOUNTS, "/boot"), None);
        let over = format!("{MOUNTS}25 23 8:2 / /run/data rw - ext4 /dev/sda2 rw\n");
        assert_eq!(mounted_device(&over, "/run/data"), Some("8:2"));
        assert_eq!(mounted_device("nonsense\n\n", "/run/data"), None);
    }

    fn sysfs(disk: &str, partition: &str) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let folder = root.at(format!("sys/devices/x/block/{disk}/{partition}"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(root.at("sys/dev/block")).unwrap();
        let put = |path: PathBuf, text: &str| {
            durable::atomic_write(&path, text.as_bytes(), 0o644).unwrap()
        };
        put(folder.parent().unwrap().join("size"), "1000\n");
        put(folder.join("partition"), "2\n");
        put(folder.join("start"), "100\n");
        put(folder.join("size"), "200\n");
        let link = format!("../../devices/x/block/{disk}/{partition}");
        std::os::unix::fs::symlink(link, root.at("sys/dev/block/254:2")).unwrap();
        (dir, root)
    }

    #[test]
    fn the_disk_of_a_partition_by_whatever_name() {
        for (disk, partition) in [
            ("vda", "vda2"),
            ("mmcblk0", "mmcblk0p2"),
            ("sda", "sda2"),
            ("nvme0n1", "nvme0n1p2"),
        ] {
            let (_dir, root) = sysfs(disk, partition);
            let found = Partition::find(&root, "254:2").unwrap();
            let (disk, device) = (root.at("dev").join(disk), root.at("dev").join(partition));
            let expected = Partition {
                disk,
                device,
                disk_sectors: 1000,
                number: 2,
                start: 100,
                sectors: 200,
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_size_of_an_ext4_of_any_width() {
        let mut superblock = [0; 1024];
        assert_eq!(Ext4Size::of(&superblock), None);
        superblock[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        superblock[0x4..0x8].copy_from_slice(&7u32.to_le_bytes());
        superblock[0x18] = 2;
        superblock[0x150] = 1;
        assert_eq!(
            Ext4Size::of(&superblock),
            Some(Ext4Size {
                blocks: 7,
                block: 4096
            })
        );
        superblock[0x60] = 0x80;
        assert_eq!(
            Ext4Size::of(&superblock),
            Some(Ext4Size {
                blocks: (1 << 32) + 7,
                block: 4096
            })
        );
    }

    #[test]
    fn what_is_no_partition_is_refused() {
        let (_dir, root) = sysfs("vda", "vda2");
        let error = Partition::find(&root, "0:21").unwrap_err();
        assert!(
            error.to_string().contains("DATA is not a partition"),
            "{error}"
        );
        let error = run(&Root::new("/nonexistent")).unwrap_err();
        assert!(
            format!("{error:#}").contains("/nonexistent/proc/self/mountinfo"),
            "{error:#}"
        );
    }
}
