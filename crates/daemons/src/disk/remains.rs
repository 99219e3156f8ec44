//! What a cut leaves of a [`Disk`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fastrand::Rng;

use super::{Disk, Id, Node, Pending, write};

/// ext4 writes blocks of this size.
const BLOCK: usize = 4096;
/// A card writes at least so much of one at once.
const SECTOR: usize = 512;
static ZEROES: [u8; 16 * BLOCK] = [0; 16 * BLOCK];

/// What a cut leaves of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Synced,
    /// Everything.
    Written,
    /// All names, and no data.
    Names,
    /// Some of it, at random, as ext4 may have it.
    Some(u64),
    /// The same, but blocks are torn, and lengths may be there before the data, which are zeroes then: worse than ext4.
    Torn(u64),
}

/// What a cut has left: the content of each file, and none of a folder.
pub type Remains<'d> = BTreeMap<PathBuf, Option<Cow<'d, [u8]>>>;

impl Disk {
    /// What a cut leaves now.
    pub fn remains(&self, left: Left) -> Remains<'_> {
        let mut rng = Rng::with_seed(match left {
            Left::Some(seed) | Left::Torn(seed) => seed,
            _ => 0,
        });
        let journaled = self.pending.iter().filter(|p| p.is_journaled()).count();
        let committed = match left {
            Left::Synced => 0,
            Left::Written | Left::Names => journaled,
            Left::Some(_) | Left::Torn(_) => rng.usize(0..=journaled),
        };
        let mut names = self.names.clone();
        let mut of_files: HashMap<Id, Vec<&Pending>> = HashMap::new();
        let mut ended: Vec<Id> = Vec::new();
        let mut number = 0;
        for pending in &self.pending {
            let there = !pending.is_journaled() || number < committed;
            number += usize::from(pending.is_journaled());
            match pending {
                Pending::Length(id, _) | Pending::Data(id, ..) => {
                    // What is written after a length that is not there has no place.
                    if !there {
                        ended.push(*id);
                    }
                    if !ended.contains(id) {
                        of_files.entry(*id).or_default().push(pending);
                    }
                }
                name if there => name.name(&mut names),
                _ => {}
            }
        }
        let content = |id: Id, rng: &mut Rng| -> Cow<'_, [u8]> {
            let old = &self.contents[id];
            match of_files.get(&id) {
                None => Cow::Borrowed(old),
                Some(pending) => Cow::Owned(self::content(old, pending, left, rng)),
            }
        };
        let all = names.into_iter().map(|(path, node)| match node {
            Node::Folder => (path, None),
            Node::File(id) => (path, Some(content(id, &mut rng))),
        });
        all.collect()
    }
}

/// What is left of a file of which `old` was on the disk.
fn content(old: &[u8], pending: &[&Pending], left: Left, rng: &mut Rng) -> Vec<u8> {
    let torn = matches!(left, Left::Torn(_));
    let all = pending.len();
    // Data of a file come to the disk up to some moment; blocks that were overwritten also without their neighbours.
    let some = |rng: &mut Rng| match rng.u8(0..4) {
        0 => 0,
        1 => all,
        _ => rng.usize(0..=all),
    };
    let until = match left {
        Left::Synced | Left::Names => 0,
        Left::Written => all,
        Left::Some(_) | Left::Torn(_) => some(rng),
    };
    let at_random = matches!(left, Left::Some(_) | Left::Torn(_));
    let mut until_of_block: HashMap<usize, usize> = HashMap::new();
    let mut content = old.to_vec();
    let mut furthest = old.len();
    for (index, pending) in pending.iter().enumerate() {
        match pending {
            Pending::Length(_, length) => content.resize(*length, 0),
            Pending::Data(_, at, data) => {
                furthest = furthest.max(at + data.len());
                let mut from = *at;
                while from < at + data.len() {
                    let block = from / BLOCK;
                    let to = (at + data.len()).min((block + 1) * BLOCK);
                    let overwritten = from < old.len();
                    let until = if overwritten && at_random {
                        *until_of_block.entry(block).or_insert_with(|| some(rng))
                    } else {
                        until
                    };
                    if index < until {
                        let piece = &data[from - at..to - at];
                        if torn && overwritten && rng.u8(0..4) == 0 {
                            let sectors =
                                (from / SECTOR..to.div_ceil(SECTOR)).filter(|_| rng.bool());
                            for sector in sectors.collect::<Vec<_>>() {
                                let (a, b) =
                                    (from.max(sector * SECTOR), to.min((sector + 1) * SECTOR));
                                write(&mut content, a, &piece[a - from..b - from]);
                            }
                        } else {
                            write(&mut content, from, piece);
                        }
                    }
                    from = to;
                }
            }
            _ => {}
        }
    }
    if torn && content.len() >= old.len() && furthest > old.len() {
        match rng.u8(0..3) {
            // The length is there, the data are not.
            0 => content.resize(furthest.max(content.len()), 0),
            1 => {
                let zeroes = (old.len().div_ceil(SECTOR)..content.len() / SECTOR)
                    .filter(|_| rng.u8(0..4) == 0);
                for sector in zeroes.collect::<Vec<_>>() {
                    content[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
                }
            }
            _ => {}
        }
    }
    content
}

/// Makes `folder` what a cut has left.
pub fn put(remains: &Remains<'_>, folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir(folder)?,
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(folder, 0o700)?;
    for (path, content) in remains {
        let path = folder.join(path);
        match content {
            None => {
                fs::create_dir(&path)?;
                mode(&path, 0o700)?;
            }
            Some(content) => {
                let file = fs::File::create(&path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                // Most of a fresh log is zeroes, which need no room.
                let pieces = content.chunks(ZEROES.len()).enumerate();
                for (number, piece) in pieces.filter(|(_, piece)| **piece != ZEROES[..piece.len()])
                {
                    file.write_all_at(piece, (number * ZEROES.len()) as u64)?;
                }
                file.set_len(content.len() as u64)?;
                mode(&path, 0o600)?;
            }
        }
    }
    Ok(())
}
