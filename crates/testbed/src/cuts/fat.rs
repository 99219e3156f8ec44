//! A FAT32 as it is, damage included: files with the clusters they claim, whatever their size says.
//!
//! Format: Microsoft's "FAT: General Overview of On-Disk Format", version 1.03. Crates that read FAT hide just what a
//! power cut leaves wrong.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::memo::Trace;
use super::{Memo, Remains};

const ENTRY: usize = 32;
const DELETED: u8 = 0xe5;
const LONG_NAME: u8 = 0x0f;
const VOLUME: u8 = 0x08;
const FOLDER: u8 = 0x10;
const END: u32 = 0x0fff_fff8;

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatFile {
    /// From the root, in lower case, with slashes between and none before.
    pub path: String,
    /// In bytes; a folder has none.
    pub size: Option<u32>,
    /// All that its chain claims.
    pub clusters: Vec<u32>,
    /// Why its chain does not end as it should, if so.
    pub broken: Option<String>,
}

/// The file system.
#[derive(Debug)]
pub struct Fat<'d> {
    disk: &'d Remains,
    start: u64,
    cluster: u64,
    /// Of data, in bytes from `start`.
    data: u64,
    table: Vec<u8>,
    count: u32,
    /// Every file and every folder, the root included.
    pub files: Vec<FatFile>,
}

impl<'d> Fat<'d> {
    /// Reads the one in `range` of the disk, but not what is in its files.
    pub fn read(disk: &'d Remains, range: Range<u64>) -> Result<Self> {
        let start = range.start;
        let mut boot = [0; 512];
        disk.read(start, &mut boot)?;
        let wide = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| boot[at + i]));
        let narrow = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        ensure!(
            boot[510..] == [0x55, 0xaa] && narrow(11) == 512 && narrow(22) == 0,
            "it is not FAT32"
        );
        let (reserved, tables, length) = (narrow(14), u64::from(boot[16]), u64::from(wide(36)));
        let cluster = u64::from(boot[13]) * 512;
        let data = (reserved + tables * length) * 512;
        ensure!(cluster > 0 && length > 0, "its boot sector is invalid");
        let mut table = vec![0; length as usize * 512];
        disk.read(start + reserved * 512, &mut table)?;
        let count = (u64::from(wide(32)) * 512).saturating_sub(data) / cluster;
        let mut fat = Self {
            disk,
            start,
            cluster,
            data,
            table,
            count: u32::try_from(count)?,
            files: Vec::new(),
        };
        let (clusters, broken) = fat.chain(wide(44));
        fat.walk(FatFile {
            path: String::new(),
            size: None,
            clusters,
            broken,
        })?;
        Ok(fat)
    }

    /// The file at `path`, if there is one.
    pub fn file(&self, path: &str) -> Option<&FatFile> {
        self.files
            .iter()
            .find(|file| file.path == path && file.size.is_some())
    }

    /// What `path` holds, as a reader gets it that trusts size and chain.
    pub fn contents(&self, path: &str) -> Result<Vec<u8>> {
        self.contents_traced(path, &Trace::default())
    }

    /// A digest of what `path` holds, computed anew only when it may have changed.
    pub fn digest(&self, path: &str, memo: &mut Memo<u64>) -> Result<u64> {
        let file = self
            .file(path)
            .with_context(|| format!("there is no {path} on BOOT"))?;
        let question = format!("{path} {:?} {:?}", file.size, file.clusters);
        memo.answer(&question, self.disk, |trace| {
            Ok(digest(&self.contents_traced(path, trace)?))
        })
    }

    /// Where on the disk the clusters of `path` are, in bytes; empty, if there is no such file.
    pub fn places(&self, path: &str) -> Vec<Range<u64>> {
        let clusters = self
            .file(path)
            .map(|file| file.clusters.as_slice())
            .unwrap_or_default();
        let places = clusters.iter().map(|cluster| self.place(*cluster));
        places.map(|at| at..at + self.cluster).collect()
    }

    fn contents_traced(&self, path: &str, trace: &Trace) -> Result<Vec<u8>> {
        let file = self
            .file(path)
            .with_context(|| format!("there is no {path} on BOOT"))?;
        let size = file.size.unwrap_or(0) as usize;
        let mut bytes = vec![0; file.clusters.len() * self.cluster as usize];
        // In runs: a kernel has thousands of clusters, most of them one after the other.
        let mut done = 0;
        for run in file.clusters.chunk_by(|a, b| a + 1 == *b) {
            let length = run.len() * self.cluster as usize;
            let at = self.place(run[0]);
            trace.add(at, length);
            self.disk.read(at, &mut bytes[done..done + length])?;
            done += length;
        }
        ensure!(
            size <= bytes.len(),
            "{path} ends after {} of its {size} bytes: {}",
            bytes.len(),
            file.broken.as_deref().unwrap_or("its chain is too short")
        );
        bytes.truncate(size);
        Ok(bytes)
    }

    /// Pairs of files and folders that claim the same cluster.
    pub fn cross_links(&self) -> Vec<(&str, &str)> {
        let mut owners: HashMap<u32, &str> = HashMap::new();
        let mut found = Vec::new();
        for file in &self.files {
            let other = (file.clusters.iter())
                .filter_map(|cluster| owners.insert(*cluster, &file.path))
                .find(|other| *other != file.path);
            found.extend(other.map(|other| (other, file.path.as_str())));
        }
        found
    }

    fn walk(&mut self, folder: FatFile) -> Result<()> {
        let mut bytes = vec![0; folder.clusters.len() * self.cluster as usize];
        for (cluster, part) in folder
            .clusters
            .iter()
            .zip(bytes.chunks_mut(self.cluster as usize))
        {
            self.disk.read(self.place(*cluster), part)?;
        }
        let prefix = if folder.path.is_empty() {
            String::new()
        } else {
            format!("{}/", folder.path)
        };
        ensure!(
            prefix.matches('/').count() < 16,
            "the folder {prefix} contains itself"
        );
        self.files.push(folder);
        let mut long = Vec::new();
        for entry in bytes.chunks_exact(ENTRY) {
            match (entry[0], entry[11]) {
                (0, _) => break,
                (DELETED, _) => long.clear(),
                (_, LONG_NAME) => long.push(entry),
                (_, kind) if kind & VOLUME != 0 => long.clear(),
                (_, kind) => {
                    let name = name(entry, &std::mem::take(&mut long));
                    if name == "." || name == ".." {
                        continue;
                    }
                    let half =
                        |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                    let (clusters, broken) = self.chain(half(20) << 16 | half(26));
                    let size = u32::from_le_bytes(std::array::from_fn(|i| entry[28 + i]));
                    let file = FatFile {
                        path: format!("{prefix}{name}"),
                        size: (kind & FOLDER == 0).then_some(size),
                        clusters,
                        broken,
                    };
                    match file.size {
                        Some(_) => self.files.push(file),
                        None => self.walk(file)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn chain(&self, first: u32) -> (Vec<u32>, Option<String>) {
        let mut clusters = Vec::new();
        let mut next = first;
        while next != 0 && next < END {
            let at = next as usize * 4;
            if next < 2 || next - 2 >= self.count || at + 4 > self.table.len() {
                return (clusters, Some(format!("cluster {next} is beyond its end")));
            }
            if clusters.len() > self.count as usize {
                return (clusters, Some("its chain goes round".to_owned()));
            }
            clusters.push(next);
            next = u32::from_le_bytes(std::array::from_fn(|i| self.table[at + i])) & 0x0fff_ffff;
            if next == 0 {
                return (
                    clusters,
                    Some("its chain ends in a free cluster".to_owned()),
                );
            }
        }
        (clusters, None)
    }

    fn place(&self, cluster: u32) -> u64 {
        self.start + self.data + u64::from(cluster - 2) * self.cluster
    }
}

/// The digest that [`Fat::digest`] gives of these bytes.
pub fn digest(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The long name if there is one that belongs to this entry, else the short one.
fn name(entry: &[u8], long: &[&[u8]]) -> String {
    let sum = (entry[..11].iter()).fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    if !long.is_empty() && long.iter().all(|part| part[13] == sum) {
        let units = long.iter().rev().flat_map(|part| {
            let pieces = [&part[1..11], &part[14..26], &part[28..32]];
            pieces.concat()
        });
        let units: Vec<u8> = units.collect();
        let units = units
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        return String::from_utf16_lossy(&units).to_lowercase();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_lowercase();
    let (base, extension) = (text(&entry[..8]), text(&entry[8..11]));
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}
