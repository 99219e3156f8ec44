//! An ext4 file system on a disk that a power cut left: as it is after a mount, and what `e2fsck` finds in it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ext4_view::{Ext4Error, Ext4Read, File as Ext4File};
use sha2::{Digest, Sha256};

use super::memo::Trace;
use super::remains::{self, BLOCK};
use super::{Memo, Remains, journal};
use crate::{Tools, process};

const CHECK: Duration = Duration::from_secs(120);

/// The file system.
pub struct Ext4 {
    /// The disk with its journal replayed.
    disk: Remains,
    range: Range<u64>,
}

/// A file, a folder or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Whether it may be executed, and what it holds.
    File(bool, Vec<u8>),
    /// The names in it, sorted.
    Folder(Vec<String>),
    /// Where it leads.
    Link(String),
}

struct Reader {
    disk: Remains,
    start: u64,
    trace: Trace,
}

impl Ext4Read for Reader {
    fn read(
        &mut self,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.trace.add(self.start + at, buffer.len());
        Ok(self.disk.read(self.start + at, buffer)?)
    }
}

impl Ext4 {
    /// The one in `range` of the disk, once a mount has replayed its journal; nothing else is mended.
    pub fn mount(disk: &Remains, range: Range<u64>) -> Result<Self> {
        let disk = journal::recovered(disk, range.start)?;
        let mounted = Self { disk, range };
        mounted.view(&Trace::default())?;
        Ok(mounted)
    }

    /// The same number for the same file system, whatever its journal has of the past.
    pub fn fingerprint(&self) -> Result<u64> {
        let journal = journal::place(&self.disk, self.range.start)?;
        Ok(self.disk.fingerprint(self.range.clone(), journal))
    }

    /// What is at `path`; nothing, if nothing is.
    pub fn node(&self, path: &str) -> Result<Option<Node>> {
        self.node_traced(path, &self.view(&Trace::default())?)
    }

    /// How long the file at `path` is, and what the first `length` bytes of it are; nothing, if there is none.
    pub fn start_of(&self, path: &str, length: usize) -> Result<Option<(u64, Vec<u8>)>> {
        let view = self.view(&Trace::default())?;
        let read = || -> Result<(u64, Vec<u8>), Ext4Error> {
            let mut bytes = vec![0; length];
            let mut file = view.open(path)?;
            let mut done = 0;
            while done < length {
                match file.read_bytes(&mut bytes[done..])? {
                    0 => break,
                    count => done += count,
                }
            }
            bytes.truncate(done);
            Ok((file.metadata().len(), bytes))
        };
        match read() {
            Ok(found) => Ok(Some(found)),
            Err(Ext4Error::NotFound) => Ok(None),
            Err(error) => Err(anyhow!("{path}: {error}")),
        }
    }

    /// Where on the disk blocks with contents of the file at `path` are, in bytes.
    pub fn places(&self, path: &str) -> Result<Vec<u64>> {
        let trace = Trace::default();
        let mut contents = HashSet::new();
        let mut read = || -> Result<(), Ext4Error> {
            let view = self
                .view(&trace)
                .map_err(|error| Ext4Error::Io(error.into()))?;
            let mut file = view.open(path)?;
            // Up to here it was read where it is.
            trace.clear();
            loop {
                let mut part = vec![0; BLOCK as usize];
                let mut done = 0;
                while done < part.len() {
                    match file.read_bytes(&mut part[done..])? {
                        0 => break,
                        count => done += count,
                    }
                }
                if done == 0 {
                    return Ok(());
                }
                contents.insert(part);
            }
        };
        read().map_err(|error| anyhow!("{path}: {error}"))?;
        // What says where they are was read as well, and what lies beside them.
        let mut places = Vec::new();
        for number in trace.blocks() {
            let mut block = vec![0; BLOCK as usize];
            self.disk.read(number * BLOCK, &mut block)?;
            if contents.contains(&block) {
                places.push(number * BLOCK);
            }
        }
        Ok(places)
    }

    /// The text of the file at `path`; nothing, if there is none.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        match self.node(path)? {
            Some(Node::File(_, bytes)) => Ok(Some(
                String::from_utf8(bytes).with_context(|| format!("{path} is not text"))?,
            )),
            Some(other) => Err(anyhow!("{path} is not a file: {other:?}")),
            None => Ok(None),
        }
    }

    /// What Nix calls the hash of a path: SHA-256 of its archive (NAR), as hex. Nothing, if there is no such path.
    /// Computed anew only when it may have changed.
    pub fn nar_hash(&self, path: &str, memo: &mut Memo<Option<String>>) -> Result<Option<String>> {
        memo.answer(path, &self.disk, |trace| {
            let view = self.view(trace)?;
            let mut hash = Sha256::new();
            string(&mut hash, b"nix-archive-1");
            let there = self.archive(path, &view, &mut hash)?;
            Ok(there.then(|| {
                hash.finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect()
            }))
        })
    }

    fn archive(&self, path: &str, view: &ext4_view::Ext4, hash: &mut Sha256) -> Result<bool> {
        let Some(node) = self.node_traced(path, view)? else {
            return Ok(false);
        };
        string(hash, b"(");
        string(hash, b"type");
        match node {
            Node::File(executable, bytes) => {
                string(hash, b"regular");
                if executable {
                    string(hash, b"executable");
                    string(hash, b"");
                }
                string(hash, b"contents");
                string(hash, &bytes);
            }
            Node::Link(target) => {
                string(hash, b"symlink");
                string(hash, b"target");
                string(hash, target.as_bytes());
            }
            Node::Folder(names) => {
                string(hash, b"directory");
                for name in names {
                    for part in [&b"entry"[..], b"(", b"name", name.as_bytes(), b"node"] {
                        string(hash, part);
                    }
                    let below = format!("{path}/{name}");
                    ensure!(self.archive(&below, view, hash)?, "{below} is gone");
                    string(hash, b")");
                }
            }
        }
        string(hash, b")");
        Ok(true)
    }

    fn node_traced(&self, path: &str, view: &ext4_view::Ext4) -> Result<Option<Node>> {
        let node = || -> Result<Node, Ext4Error> {
            let kind = view.symlink_metadata(path)?;
            if kind.is_symlink() {
                let target = view.read_link(path)?;
                return Ok(Node::Link(target.display().to_string()));
            }
            if kind.is_dir() {
                let mut names = Vec::new();
                for entry in view.read_dir(path)? {
                    let name = entry?.file_name().display().to_string();
                    if name != "." && name != ".." {
                        names.push(name);
                    }
                }
                names.sort();
                return Ok(Node::Folder(names));
            }
            let mut file: Ext4File = view.open(path)?;
            let mut bytes = vec![0; usize::try_from(kind.len()).unwrap_or(usize::MAX)];
            let mut done = 0;
            while done < bytes.len() {
                match file.read_bytes(&mut bytes[done..])? {
                    0 => break,
                    count => done += count,
                }
            }
            Ok(Node::File(kind.mode() & 0o100 != 0, bytes))
        };
        match node() {
            Ok(node) => Ok(Some(node)),
            Err(Ext4Error::NotFound) => Ok(None),
            Err(error) => Err(anyhow!("{path}: {error}")),
        }
    }

    fn view(&self, trace: &Trace) -> Result<ext4_view::Ext4> {
        let reader = Reader {
            disk: self.disk.clone(),
            start: self.range.start,
            trace: trace.clone(),
        };
        let view = ext4_view::Ext4::load(Box::new(reader));
        let view = view.map_err(|error| anyhow!("DATA can't be mounted: {error}"))?;
        // Group descriptors change with every block that is taken, but not where the inodes are.
        trace.clear();
        Ok(view)
    }
}

/// A string as archives have it: its length, itself, and zeros up to a multiple of eight.
fn string(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
    hash.update(&[0; 8][..bytes.len().next_multiple_of(8) - bytes.len()]);
}

/// The real `e2fsck`, run on copies that are thrown away.
#[derive(Debug)]
pub struct Fsck {
    tools: Tools,
    directory: tempfile::TempDir,
}

impl Fsck {
    /// Nothing is checked yet.
    pub fn new() -> Result<Self> {
        Ok(Self {
            tools: Tools::from_env()?,
            directory: remains::scratch()?,
        })
    }

    /// Has `e2fsck -p` replay the journal and mend the ext4 in `range`, as the initrd does. What it can't mend by
    /// itself is an error, and so is what it overlooks and a second, full look finds. Gives the file system as it
    /// left it, as a disk without partitions.
    pub fn mend(&self, disk: &Remains, range: Range<u64>) -> Result<Remains> {
        let mended = self.directory.path().join("mended");
        // e2fsck forgets an offset when it opens the file system again after the journal: so a file of its own.
        let before = self.before(disk, &range)?;
        let _ = fs::remove_file(&mended);
        let copy = crate::Disk::copy(&before, &mended)?;
        let file = File::options().write(true).open(copy.path())?;
        for number in disk.written() {
            let at = number * BLOCK;
            if range.contains(&at) {
                let mut bytes = [0; BLOCK as usize];
                disk.read(at, &mut bytes)?;
                file.write_all_at(&bytes, at - range.start)?;
            }
        }
        for (options, right) in [("-p", 0..=1), ("-fp", 0..=1), ("-fn", 0..=0)] {
            let mut e2fsck = self.tools.command("e2fsck");
            let done = process::finish(e2fsck.arg(options).arg(&mended), b"", CHECK)?;
            let status = done.status.code().unwrap_or(-1);
            let said = String::from_utf8_lossy(&done.stdout);
            ensure!(
                right.contains(&status),
                "e2fsck {options} ends with {status}: {}",
                said.trim()
            );
        }
        Remains::of(&mended)
    }

    /// The file system before anything was written, which is what copies begin with.
    fn before(&self, disk: &Remains, range: &Range<u64>) -> Result<PathBuf> {
        let path = self.directory.path().join("before");
        if !path.exists() {
            let file = File::create(&path)?;
            file.set_len(range.end - range.start)?;
            let disk = Remains::of(disk.before())?;
            let mut bytes = vec![0; 1 << 20];
            let mut at = range.start;
            while at < range.end {
                let count = bytes.len().min((range.end - at) as usize);
                disk.read(at, &mut bytes[..count])?;
                // Holes stay holes.
                if bytes[..count].iter().any(|byte| *byte != 0) {
                    file.write_all_at(&bytes[..count], at - range.start)?;
                }
                at += count as u64;
            }
        }
        Ok(path)
    }
}
