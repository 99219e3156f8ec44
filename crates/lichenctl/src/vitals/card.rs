//! The disk that DATA is on, in the kernel's words.

use crate::grow::{DATA, mounted_device};
use crate::root::Root;
use protocol::vitals::Card;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// The unit in which /sys counts, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// Reads it; none where DATA is not mounted. What the kernel says in its messages is not in it.
pub(super) fn read(root: &Root) -> Option<Card> {
    let mounts = fs::read_to_string(root.at("proc/self/mountinfo")).ok()?;
    let device = mounted_device(&mounts, DATA)?;
    let partition = fs::canonicalize(root.at("sys/dev/block").join(device)).ok()?;
    let disk: &Path = match partition.join("partition").exists() {
        true => partition.parent()?,
        false => &partition,
    };
    let ext4 = root.at("sys/fs/ext4").join(partition.file_name()?);
    let name = text(&disk.join("device/name"));
    Some(Card {
        disk: disk.file_name()?.to_string_lossy().into_owned(),
        model: name.or_else(|| text(&disk.join("device/model"))),
        size: number::<u64>(&disk.join("size")).map(|sectors| sectors * SECTOR),
        written: written(&disk.join("stat")),
        lifetime_written: number::<u64>(&ext4.join("lifetime_write_kbytes")).map(|kb| kb * 1024),
        io_errors: None,
        data_errors: number(&ext4.join("errors_count")),
        last_data_error: number(&ext4.join("last_error_time")).filter(|at| *at > 0),
        read_only: read_only(&mounts),
    })
}

/// Bytes written since boot: the seventh of the disk's counters, see the kernel's Documentation/block/stat.rst.
fn written(stat: &Path) -> Option<u64> {
    let sectors: u64 = text(stat)?.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * SECTOR)
}

/// Whether the file system takes no writes, because the kernel has met an error or somebody has said so. The words after
/// the dash are about the file system, those before it about one mount of it, which may be read-only for its own reasons.
fn read_only(mounts: &str) -> Option<bool> {
    let at_data = |line: &&str| line.split(' ').nth(4) == Some(DATA);
    let (_, file_system) = mounts.lines().rfind(at_data)?.split_once(" - ")?;
    let mut options = file_system.split(' ').nth(2)?.split(',');
    Some(options.any(|option| option == "ro" || option == "emergency_ro"))
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number<T: FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_met_an_error_is_read_only() {
        let mounted = |mount: &str, file_system: &str| {
            read_only(&format!(
                "22 1 0:21 / /proc ro - proc proc ro\n\
                 30 1 179:2 / {DATA} {mount} shared:1 - ext4 /dev/mmcblk0p2 {file_system}\n"
            ))
        };
        assert_eq!(mounted("rw,noatime", "rw,errors=remount-ro"), Some(false));
        assert_eq!(mounted("rw,noatime", "ro,errors=remount-ro"), Some(true));
        assert_eq!(mounted("rw,noatime", "rw,emergency_ro"), Some(true));
        assert_eq!(mounted("ro,noatime", "rw"), Some(false));
        assert_eq!(read_only("22 1 0:21 / /proc rw - proc proc rw\n"), None);
    }
}
