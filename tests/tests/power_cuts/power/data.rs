//! DATA as a power cut left it, after what the initrd does to it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::rc::Rc;

use rusqlite::{Connection, OpenFlags};
use testbed::cuts::{Ext4, Memo, Node, digest};
use testbed::{Context, Result, bail, ensure};

/// By store path: SHA-256 of its archive, in hex.
pub type Hashes = BTreeMap<String, String>;

const NIX: &str = "/nix/var/nix/db/db.sqlite";
/// Of the tables, as a number.
const VERSION: &str = "/nix/var/nix/db/schema";
/// There once the image is in Nix's database.
const REGISTERED: &str = "/nix/var/nix/registered";
/// As appliances/climate.nix wants it.
const SWAP_BYTES: u64 = 256 << 20;
const CLIMATE: &str = "/var/lib/climate/climate.db";

/// What is on DATA.
#[derive(Debug, PartialEq, Eq)]
pub struct Data {
    /// The store paths that Nix has registered as valid, all of which are complete.
    pub registered: Hashes,
    /// The toplevels that are not complete, and why.
    pub broken: BTreeMap<String, String>,
    /// The times of all readings, in milliseconds since 1970.
    pub readings: Rc<Vec<i64>>,
    /// What was provisioned, the bearer token, and whether lichen.toml is being wiped.
    pub provisioned: (Option<String>, Option<String>, bool),
}

/// Answers that were found for other cuts and still hold.
#[derive(Debug, Default)]
pub struct Memory {
    hashes: Memo<Option<String>>,
    listed: HashMap<u64, Rc<Hashes>>,
    readings: HashMap<u64, Rc<Vec<i64>>>,
}

impl Data {
    /// Checks what has to be in order at any time, and which of `toplevels` are complete according to `hashes`.
    pub fn read<'t>(
        file_system: &Ext4,
        toplevels: impl IntoIterator<Item = &'t String>,
        hashes: &Hashes,
        memory: &mut Memory,
    ) -> Result<Self> {
        let listed = database(file_system, NIX, &mut memory.listed, |nix| {
            let mut paths = nix.prepare("SELECT path, hash FROM ValidPaths")?;
            let paths = paths.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            paths.collect()
        })?;
        for (path, hash) in listed.iter() {
            is_whole(file_system, path, hash, &mut memory.hashes)
                .with_context(|| format!("Nix takes {path} for whole"))?;
        }
        // Until then, the database is made anew at each boot.
        if file_system.node(REGISTERED)?.is_some() {
            let version = file_system.text(VERSION)?.unwrap_or_default();
            ensure!(
                version.trim().parse::<u32>().is_ok() && !listed.is_empty(),
                "Nix can't open its database of {} paths and version {version:?}",
                listed.len()
            );
        }
        let mut broken = BTreeMap::new();
        for toplevel in toplevels {
            if let Err(error) = holds(file_system, toplevel, hashes, &mut memory.hashes) {
                broken.insert(toplevel.clone(), format!("{error:#}"));
            }
        }
        let readings = database(file_system, CLIMATE, &mut memory.readings, |climate| {
            let mut readings = climate.prepare("SELECT at FROM readings")?;
            let readings = readings.query_map([], |row| row.get(0))?;
            readings.collect()
        })?;
        // A file of the full size is taken for a complete one.
        if let Some((SWAP_BYTES, start)) = file_system.start_of("/var/swapfile", 4096)? {
            ensure!(
                start.ends_with(b"SWAPSPACE2"),
                "/var/swapfile has its size, and is no swap"
            );
        }
        let kept = |name: &str| file_system.text(&format!("/var/lib/lichen/{name}"));
        Ok(Self {
            registered: listed.as_ref().clone(),
            broken,
            readings,
            provisioned: (
                kept("provision.toml")?,
                kept("credentials/climate.bearer-token")?,
                kept("wiping")?.is_some(),
            ),
        })
    }
}

/// Has to hold all of a generation.
fn holds(
    data: &Ext4,
    toplevel: &str,
    hashes: &Hashes,
    memo: &mut Memo<Option<String>>,
) -> Result<()> {
    let mut whole = |path: &str| {
        let hash = hashes
            .get(path)
            .with_context(|| format!("nobody knows {path}"))?;
        is_whole(data, path, hash, memo)
    };
    whole(toplevel)?;
    let layers = data.text(&format!("{toplevel}/layers"))?;
    layers
        .unwrap_or_default()
        .lines()
        .try_for_each(&mut whole)?;
    whole(&kernel_of(data, toplevel)?)
}

/// Digests of the files of a toplevel's kernel folder, by where the boot script looks for them.
pub fn kernel_files(data: &Ext4, toplevel: &str) -> Result<BTreeMap<String, u64>> {
    let store = kernel_of(data, toplevel)?;
    let name = store.strip_prefix("/nix/store/").unwrap_or_default();
    let target = format!("k/{}", name.get(..16).unwrap_or_default());
    let mut files = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(below) = left.pop() {
        match data.node(&format!("{store}{below}"))? {
            Some(Node::Folder(names)) => {
                left.extend(names.iter().map(|name| format!("{below}/{name}")))
            }
            Some(Node::File(_, bytes)) => {
                files.insert(format!("{target}{below}").to_lowercase(), digest(&bytes));
            }
            other => bail!("{store}{below} is {other:?}"),
        }
    }
    Ok(files)
}

fn kernel_of(data: &Ext4, toplevel: &str) -> Result<String> {
    match data.node(&format!("{toplevel}/kernel"))? {
        Some(Node::Link(target)) => Ok(target),
        other => bail!("{toplevel}/kernel is no link: {other:?}"),
    }
}

fn is_whole(data: &Ext4, path: &str, hash: &str, memo: &mut Memo<Option<String>>) -> Result<()> {
    let found = data
        .nar_hash(path, memo)?
        .with_context(|| format!("{path} is gone"))?;
    let wanted = hash.strip_prefix("sha256:").unwrap_or(hash);
    ensure!(
        found == wanted,
        "{path} is not what it was: {found}, not {wanted}"
    );
    Ok(())
}

/// What `ask` finds in the database at `path` after SQLite's own recovery; nothing, if there is none yet. The same
/// bytes are asked once.
fn database<T: Default>(
    data: &Ext4,
    path: &str,
    known: &mut HashMap<u64, Rc<T>>,
    ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<Rc<T>> {
    let mut files = Vec::new();
    for suffix in ["", "-wal", "-journal"] {
        if let Some(Node::File(_, bytes)) = data.node(&format!("{path}{suffix}"))? {
            files.push((suffix, bytes));
        }
    }
    let key = digest(
        &files
            .iter()
            .flat_map(|(suffix, bytes)| [suffix.as_bytes(), bytes])
            .collect::<Vec<_>>()
            .concat(),
    );
    if let Some(answer) = known.get(&key) {
        return Ok(answer.clone());
    }
    let answer = if files
        .iter()
        .any(|(suffix, bytes)| suffix.is_empty() && !bytes.is_empty())
    {
        let folder = tempfile::tempdir()?;
        for (suffix, bytes) in &files {
            fs::write(folder.path().join(format!("db{suffix}")), bytes)?;
        }
        let open = || -> rusqlite::Result<(String, T)> {
            let connection = Connection::open_with_flags(
                folder.path().join("db"),
                OpenFlags::SQLITE_OPEN_READ_WRITE,
            )?;
            // It is thrown away, so nothing of it has to be durable.
            connection.pragma_update(None, "synchronous", "OFF")?;
            let verdict = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            let tables: i64 =
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            // Made, but not set up yet.
            let answer = if tables == 0 {
                T::default()
            } else {
                ask(&connection)?
            };
            Ok((verdict, answer))
        };
        let (verdict, answer) = open().with_context(|| path.to_owned())?;
        ensure!(verdict == "ok", "{path}: {verdict}");
        answer
    } else {
        T::default()
    };
    let answer = Rc::new(answer);
    known.insert(key, answer.clone());
    Ok(answer)
}
