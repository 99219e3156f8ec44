//! What to compose, written by Nix.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The whole request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Packages to merge.
    #[serde(default)]
    pub debs: Vec<PathBuf>,
    /// Globs of the paths to take from packages; empty takes everything.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of paths to leave out; wins over `include`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Further files; they replace what packages bring.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// A folder with `passwd` and `group`, to resolve owners' names.
    #[serde(default)]
    pub accounts: Option<PathBuf>,
}

/// One file, link or folder, or a tree of them, at `path`.
#[derive(Deserialize)]
pub struct Entry {
    /// Where it goes, without a leading slash.
    pub path: String,
    /// Permission bits in octal; default 0644, or the source's executable bits.
    #[serde(default)]
    pub mode: Option<String>,
    /// Owner: a name from `accounts` or a number.
    #[serde(default)]
    pub user: Option<String>,
    /// Group: a name from `accounts` or a number.
    #[serde(default)]
    pub group: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub content: Content,
}

/// An entry's content.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A file with this text.
    Text(String),
    /// A copy of this file, or of everything below this folder.
    Source(PathBuf),
    /// A symbolic link to this target.
    Link(String),
    /// An empty folder (`null`).
    Directory(()),
}

/// Account names to numbers.
#[derive(Default)]
pub struct Owners {
    users: HashMap<String, u64>,
    groups: HashMap<String, u64>,
}

impl Spec {
    /// Reads a spec; errors name the file and the field.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The accounts that entries may name.
    pub fn owners(&self) -> Result<Owners> {
        let Some(dir) = &self.accounts else {
            return Ok(Owners::default());
        };
        let read = |file: &str| -> Result<HashMap<String, u64>> {
            let path = dir.join(file);
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            Ok(text.lines().filter_map(account).collect())
        };
        Ok(Owners {
            users: read("passwd")?,
            groups: read("group")?,
        })
    }
}

/// `name:x:number:…`, the shape shared by passwd(5) and group(5).
fn account(line: &str) -> Option<(String, u64)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
}

impl Owners {
    /// The number of a user; root's, if none is named.
    pub fn uid(&self, name: Option<&str>) -> Result<u64> {
        number(&self.users, name, "user")
    }

    /// The number of a group; root's, if none is named.
    pub fn gid(&self, name: Option<&str>) -> Result<u64> {
        number(&self.groups, name, "group")
    }
}

fn number(known: &HashMap<String, u64>, name: Option<&str>, kind: &str) -> Result<u64> {
    let Some(name) = name else { return Ok(0) };
    if name == "root" {
        return Ok(0);
    }
    if let Some(id) = known.get(name) {
        return Ok(*id);
    }
    name.parse()
        .with_context(|| format!("no {kind} is called {name:?} in this appliance"))
}
