//! Power cuts of a disk with a log of writes made for the test.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::*;

const SAMPLING: Sampling = Sampling {
    seed: 7,
    torn: 1,
    reordered: 20,
};

/// A write: where, how many sectors, the byte they are filled with, and flags.
type Asked = (u64, Option<(u64, u8)>, u64);

/// A log in QEMU's format.
fn recording(folder: &Path, entries: &[Asked]) -> Recording {
    let (before, log) = (folder.join("before"), folder.join("log"));
    fs::write(&before, vec![0; 16 << 10]).unwrap();
    let mut bytes = Vec::new();
    let mut sector = |numbers: &[u64]| {
        let mut sector: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        sector.resize(512, 0);
        bytes.extend(sector);
    };
    // As after a power failure: the log says that it is empty.
    sector(&[0x006a_7366_7773_6872, 1, 0, 512]);
    for (at, data, flags) in entries {
        let (count, byte) = data.unwrap_or_default();
        sector(&[*at, count, *flags, 0]);
        let word = u64::from_le_bytes([byte; 8]);
        (0..count).for_each(|_| sector(&[word; 64]));
    }
    File::create(&log).unwrap().write_all(&bytes).unwrap();
    Recording {
        before,
        log,
        marks: Vec::new(),
    }
}

/// Every power cut, with the first byte of each sector of the disk.
fn cuts(recording: &Recording) -> Vec<(Cut, Vec<u8>)> {
    let log = Log::open(&recording.log).unwrap();
    let mut seen = Vec::new();
    replay(
        recording,
        &log,
        0..epochs(&log).len(),
        SAMPLING,
        |cut, disk| {
            let mut bytes = vec![0; disk.length() as usize];
            disk.read(0, &mut bytes)?;
            seen.push((cut, bytes.chunks(512).map(|sector| sector[0]).collect()));
            Ok(())
        },
    )
    .unwrap();
    seen
}

#[test]
fn every_boundary_is_visited_and_what_was_flushed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [
        (3, Some((1, 1)), 0),
        (0, None, 1),
        (4, Some((8, 2)), 0),
        (20, Some((1, 3)), 0),
        (3, Some((1, 4)), 0),
    ];
    let recording = recording(folder.path(), &entries);
    let seen = cuts(&recording);
    let whole: Vec<_> = seen
        .iter()
        .filter(|(cut, _)| cut.fate == Fate::Whole)
        .collect();
    assert_eq!(whole.len(), 6);
    assert!(whole[0].1.iter().all(|byte| *byte == 0), "before anything");
    assert_eq!((whole[5].1[3], whole[5].1[4], whole[5].1[20]), (4, 2, 3));

    let torn: Vec<_> = seen
        .iter()
        .filter(|(cut, _)| cut.fate == Fate::Torn)
        .collect();
    assert_eq!(torn.len(), 1, "only one write has sectors to tear");
    let there = torn[0].1[4..12].iter().filter(|byte| **byte == 2).count();
    assert!((1..8).contains(&there), "{there} of 8 sectors");

    let reordered = seen.iter().filter(|(cut, _)| cut.fate == Fate::Reordered);
    let mut kinds = BTreeSet::new();
    for (_, bytes) in reordered {
        assert!(bytes[3] == 1 || bytes[3] == 4, "it was flushed");
        kinds.insert((bytes[3] == 4, bytes[4] == 2, bytes[20] == 3));
    }
    assert!(
        kinds.contains(&(true, false, true)) && kinds.contains(&(false, false, true)),
        "{kinds:?}"
    );
    assert_eq!(cuts(&recording).len(), seen.len());
    assert_eq!(cuts(&recording), seen, "the same seed gives the same cuts");
}

#[test]
fn a_moment_is_the_disk_that_is_booted() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(folder.path(), &[(9, Some((2, 5)), 2), (9, Some((1, 0)), 4)]);
    let log = Log::open(&recording.log).unwrap();
    assert_eq!(log.entries.len(), 2, "{:?}", log.entries);
    let disk = moment(&recording, &log, 1).unwrap().to_disk().unwrap();
    let bytes = fs::read(disk.path()).unwrap();
    assert_eq!(
        (bytes[9 * 512], bytes[10 * 512 + 511], bytes[11 * 512]),
        (5, 5, 0)
    );
}

#[test]
fn an_answer_is_found_anew_only_when_what_it_came_from_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Remains::of(&recording(folder.path(), &[]).before).unwrap();
    let (mut memo, mut found) = (Memo::new(), 0);
    let mut answer = |disk: &Remains| {
        let find = |trace: &Trace| {
            found += 1;
            trace.add(8192, 10);
            Ok(found)
        };
        memo.answer("what", disk, find).unwrap()
    };
    assert_eq!(answer(&disk), 1);
    disk.write(0, &[1]).unwrap();
    assert_eq!(answer(&disk), 1, "it was read from elsewhere");
    let before = disk.clone();
    disk.write(8200, &[1]).unwrap();
    assert_eq!(answer(&disk), 2);
    assert_eq!(answer(&before), 1, "and the old one is still known");
}

/// A FAT32 with two files in a folder, made by another program.
fn fat(folder: &Path) -> Remains {
    let path = folder.join("fat");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    file.set_len(64 << 20).unwrap();
    let options = fatfs::FormatVolumeOptions::new()
        .bytes_per_cluster(512)
        .fat_type(fatfs::FatType::Fat32);
    fatfs::format_volume(&mut file, options).unwrap();
    let volume = fatfs::FileSystem::new(&mut file, fatfs::FsOptions::new()).unwrap();
    let files = volume.root_dir().create_dir("a folder").unwrap();
    for (name, byte) in [("first-file.env", 1), ("SECOND.ENV", 2)] {
        files
            .create_file(name)
            .unwrap()
            .write_all(&[byte; 1500])
            .unwrap();
    }
    drop(files);
    volume.unmount().unwrap();
    Remains::of(&path).unwrap()
}

#[test]
fn files_on_a_fat_are_found_with_their_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let disk = fat(folder.path());
    let fat = Fat::read(&disk, 0..disk.length()).unwrap();
    assert_eq!(fat.contents("a folder/first-file.env").unwrap(), [1; 1500]);
    assert_eq!(fat.contents("a folder/second.env").unwrap(), [2; 1500]);
    assert_eq!(fat.file("a folder/second.env").unwrap().clusters.len(), 3);
    assert!(fat.file("a folder").is_none() && fat.file("third").is_none());
    assert!(fat.cross_links().is_empty());
}

#[test]
fn shared_and_lost_clusters_of_a_fat_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let disk = fat(folder.path());
    let fat = Fat::read(&disk, 0..disk.length()).unwrap();
    let cluster = |path: &str, number: usize| fat.file(path).unwrap().clusters[number];
    let (first, second) = ("a folder/first-file.env", "a folder/second.env");
    let link = |from: u32, to: u32| {
        let mut disk = disk.clone();
        // After 32 reserved sectors, unless the boot sector says otherwise.
        let mut reserved = [0; 2];
        disk.read(14, &mut reserved).unwrap();
        let at = u64::from(u16::from_le_bytes(reserved)) * 512 + u64::from(from) * 4;
        disk.write(at, &to.to_le_bytes()).unwrap();
        disk
    };
    let crossed = link(cluster(first, 0), cluster(second, 1));
    let crossed = Fat::read(&crossed, 0..disk.length()).unwrap();
    assert_eq!(crossed.cross_links(), [(first, second)]);

    let lost = link(cluster(second, 1), 0);
    let lost = Fat::read(&lost, 0..disk.length()).unwrap();
    let broken = lost.file(second).unwrap().broken.clone().unwrap();
    assert!(broken.contains("free cluster"), "{broken}");
    assert!(
        lost.contents(second)
            .unwrap_err()
            .to_string()
            .contains("1024 of its 1500 bytes")
    );

    let round = link(cluster(second, 1), cluster(second, 0));
    assert!(
        Fat::read(&round, 0..disk.length())
            .unwrap()
            .file(second)
            .unwrap()
            .broken
            .is_some()
    );
}
