//! The merged file tree and how it becomes a tar.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result, bail};
use fast_glob::glob_match;
use tar::EntryType;

use crate::spec::{Content, Entry, Owners};

/// Paths are relative, without `./`, in bytewise order: the order of the tar.
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    include: Vec<String>,
    exclude: Vec<String>,
}

struct Node {
    kind: EntryType,
    mode: u32,
    uid: u64,
    gid: u64,
    /// Content of a file, target of a link.
    body: Vec<u8>,
    /// The package it came from, for the message about a clash.
    origin: String,
}

impl Tree {
    /// An empty tree that takes from packages only what `include` (all, if empty) and not `exclude` matches.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        Self {
            nodes: BTreeMap::new(),
            include: include.to_vec(),
            exclude: exclude.to_vec(),
        }
    }

    /// Merges one package's data archive.
    pub fn add_archive(&mut self, data: &[u8], origin: &str) -> Result<()> {
        let mut archive = tar::Archive::new(data);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = canonical(&String::from_utf8_lossy(&entry.path_bytes()));
            let kind = entry.header().entry_type();
            // Folders appear with the files in them, but an empty one has to be asked for by name.
            let wanted = self.include.is_empty() || matches(&self.include, &path);
            if path.is_empty() || !wanted || matches(&self.exclude, &path) {
                continue;
            }
            let body = match kind {
                EntryType::Regular => {
                    let mut body = Vec::with_capacity(entry.size() as usize);
                    entry.read_to_end(&mut body)?;
                    body
                }
                EntryType::Symlink => entry
                    .link_name_bytes()
                    .context("a link without target")?
                    .into_owned(),
                EntryType::Link => {
                    let target = entry
                        .link_name_bytes()
                        .context("a link without target")?
                        .into_owned();
                    canonical(&String::from_utf8_lossy(&target)).into_bytes()
                }
                EntryType::Directory => Vec::new(),
                other => {
                    bail!("{origin}: {path} is a {other:?}; packages have files, links and folders")
                }
            };
            let header = entry.header();
            let node = Node {
                kind,
                mode: header.mode()? & 0o7777,
                uid: header.uid()?,
                gid: header.gid()?,
                body,
                origin: origin.to_owned(),
            };
            self.merge(path, node)?;
        }
        Ok(())
    }

    /// Two packages may share folders, and base-files' links of the merged /usr stand for folders; nothing else.
    fn merge(&mut self, path: String, node: Node) -> Result<()> {
        match self.nodes.get(&path) {
            Some(old) if old.kind == EntryType::Directory && node.kind == EntryType::Directory => {}
            Some(old) if old.kind == EntryType::Symlink && node.kind == EntryType::Directory => {}
            Some(old) => bail!("{path} is in both {} and {}", old.origin, node.origin),
            None => drop(self.nodes.insert(path, node)),
        }
        Ok(())
    }

    /// Adds what the spec lists by hand, replacing what packages brought.
    pub fn add_entry(&mut self, entry: &Entry, owners: &Owners) -> Result<()> {
        let mode = match &entry.mode {
            Some(text) => Some(
                u32::from_str_radix(text, 8)
                    .with_context(|| format!("mode {text:?} is not octal"))?,
            ),
            None => None,
        };
        let (uid, gid) = (
            owners.uid(entry.user.as_deref())?,
            owners.gid(entry.group.as_deref())?,
        );
        let path = canonical(&entry.path);
        let mut put = |path: String, kind, mode, body| {
            self.nodes.insert(
                path,
                Node {
                    kind,
                    mode,
                    uid,
                    gid,
                    body,
                    origin: "the spec".to_owned(),
                },
            );
        };
        match &entry.content {
            Content::Text(text) => put(
                path,
                EntryType::Regular,
                mode.unwrap_or(0o644),
                text.clone().into_bytes(),
            ),
            Content::Link(target) => {
                put(path, EntryType::Symlink, 0o777, target.clone().into_bytes())
            }
            Content::Directory(_) => put(
                path,
                EntryType::Directory,
                mode.unwrap_or(0o755),
                Vec::new(),
            ),
            Content::Source(source) => walk(source, path, mode, &mut put)?,
        }
        Ok(())
    }

    /// Writes the tar: sorted, times zero, parents before children, hard links after their targets.
    pub fn write(mut self, out: impl Write) -> Result<()> {
        let parents: Vec<String> = self
            .nodes
            .keys()
            .flat_map(|path| ancestors(path))
            .map(str::to_owned)
            .collect();
        for path in parents {
            let folder = Node {
                kind: EntryType::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                body: Vec::new(),
                origin: String::new(),
            };
            self.nodes.entry(path).or_insert(folder);
        }
        let mut tar = tar::Builder::new(out);
        let (links, others): (Vec<_>, Vec<_>) = self
            .nodes
            .iter()
            .partition(|(_, n)| n.kind == EntryType::Link);
        for (path, node) in others.into_iter().chain(links) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(node.kind);
            header.set_mode(node.mode);
            header.set_uid(node.uid);
            header.set_gid(node.gid);
            header.set_mtime(0);
            header.set_size(0);
            match node.kind {
                EntryType::Symlink | EntryType::Link => {
                    let target = String::from_utf8_lossy(&node.body).into_owned();
                    tar.append_link(&mut header, path, &target)?;
                }
                EntryType::Directory => tar.append_data(&mut header, path, std::io::empty())?,
                _ => {
                    header.set_size(node.body.len() as u64);
                    tar.append_data(&mut header, path, node.body.as_slice())?;
                }
            }
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }
}

fn matches(globs: &[String], path: &str) -> bool {
    globs.iter().any(|glob| glob_match(glob, path))
}

/// Relative, without `./`, and below /usr where Debian's merged /usr has links.
fn canonical(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_matches('/');
    if path == "." {
        return String::new();
    }
    match path.split_once('/') {
        Some(("bin" | "sbin" | "lib" | "lib64", _)) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Everything below a folder in the store, which keeps of the modes only whether a file is executable.
fn walk(
    source: &Path,
    path: String,
    mode: Option<u32>,
    put: &mut impl FnMut(String, EntryType, u32, Vec<u8>),
) -> Result<()> {
    let meta =
        fs::symlink_metadata(source).with_context(|| format!("reading {}", source.display()))?;
    if meta.is_symlink() {
        let target = fs::read_link(source)?.into_os_string().into_encoded_bytes();
        put(path, EntryType::Symlink, 0o777, target);
    } else if meta.is_dir() {
        for child in fs::read_dir(source)? {
            let child = child?;
            let name = child
                .file_name()
                .into_string()
                .ok()
                .context("a file name that is not UTF-8")?;
            let below = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            walk(&child.path(), below, mode, put)?;
        }
        if !path.is_empty() {
            put(path, EntryType::Directory, 0o755, Vec::new());
        }
    } else {
        let default = if meta.permissions().mode() & 0o111 != 0 {
            0o755
        } else {
            0o644
        };
        let body = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        put(path, EntryType::Regular, mode.unwrap_or(default), body);
    }
    Ok(())
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
