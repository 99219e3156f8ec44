//! A toplevel in the store on DATA: its parts, and whether all of them are present.
//!
//! It refuses anything that the device could not boot: a layer that is missing or shorter than its own superblock says,
//! a kernel without an initrd, a path that Nix does not list as valid.

use crate::hint::Hint;
use crate::root::Root;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const STORE: &str = "/nix/store/";
/// The files that every kernel directory must have: without them the boot script boots nothing.
const KERNEL_FILES: [&str; 2] = ["Image", "initrd"];
/// The offset of an erofs superblock, and its magic number.
const EROFS_AT: u64 = 1024;
const EROFS_MAGIC: [u8; 4] = 0xe0f5_e1e2_u32.to_le_bytes();

/// Why a toplevel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ToplevelError {
    /// The path is not in the store.
    #[error("{0} is not a toplevel: it does not lead to a path below /nix/store")]
    NotInStore(String),
    /// A part of it cannot be read.
    #[error(
        "{toplevel} is not a toplevel, or parts of it are missing on this device: {file}: {source}"
    )]
    Missing {
        /// The toplevel.
        toplevel: String,
        /// The missing part.
        file: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// A layer is not valid.
    #[error("layer {layer} {what}")]
    Layer {
        /// Its path.
        layer: String,
        /// What is wrong with it.
        what: String,
    },
    /// Nix does not have the complete closure.
    #[error("{0} is incomplete: Nix does not list it as valid")]
    Invalid(String),
}

impl Hint for ToplevelError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotInStore(_) => {
                "give the path that `nix build` printed, or a link to it such as /nix/var/nix/profiles/system"
            }
            _ => "copy it again: `nix copy --to ssh://root@HOST TOPLEVEL`",
        }
    }
}

/// One layer of a toplevel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// What it holds: base, packages, kernel, services, config.
    pub name: String,
    /// Its store path.
    pub path: String,
}

/// The description of a toplevel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toplevel {
    /// Its store path.
    pub path: String,
    /// Its layers, topmost first.
    pub layers: Vec<Layer>,
    /// The store path of its kernel folder.
    pub kernel: String,
    /// Its kernel arguments.
    pub params: String,
}

/// The part of manifest.json that is read here.
#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

impl Toplevel {
    /// Reads the toplevel at `path`, which may be a link.
    pub fn load(root: &Root, path: &Path) -> Result<Self, ToplevelError> {
        let path = resolve(root, path)?;
        let missing = |file: String, source| ToplevelError::Missing {
            toplevel: path.clone(),
            file,
            source,
        };
        let folder = at(root, &path);
        let text = |file: &str| {
            fs::read_to_string(folder.join(file)).map_err(|e| missing(file.to_owned(), e))
        };
        let kernel =
            fs::read_link(folder.join("kernel")).map_err(|e| missing("kernel".into(), e))?;
        // `layers` lists what is mounted; the manifest has the names.
        let manifest: Option<Manifest> = serde_json::from_str(&text("manifest.json")?).ok();
        let names: BTreeMap<String, String> = manifest
            .into_iter()
            .flat_map(|m| m.layers)
            .map(|layer| (layer.path, layer.name))
            .collect();
        let layers = text("layers")?
            .lines()
            .map(|path| Layer {
                name: names
                    .get(path)
                    .cloned()
                    .unwrap_or_else(|| "layer".to_owned()),
                path: path.to_owned(),
            })
            .collect();
        Ok(Self {
            layers,
            kernel: kernel.to_string_lossy().into_owned(),
            params: text("kernel-params")?.trim().to_owned(),
            path,
        })
    }

    /// Checks that all parts are present and complete.
    pub fn verify(&self, root: &Root) -> Result<(), ToplevelError> {
        for layer in &self.layers {
            whole_layer(&at(root, &layer.path)).map_err(|what| ToplevelError::Layer {
                layer: layer.path.clone(),
                what,
            })?;
        }
        for file in KERNEL_FILES {
            let file = format!("{}/{file}", self.kernel);
            fs::metadata(at(root, &file)).map_err(|source| ToplevelError::Missing {
                toplevel: self.path.clone(),
                file,
                source,
            })?;
        }
        if root.is_device() && !valid(&self.path) {
            return Err(ToplevelError::Invalid(self.path.clone()));
        }
        Ok(())
    }

    /// The size of each layer in bytes.
    pub fn sizes(&self, root: &Root) -> Vec<u64> {
        let size = |layer: &Layer| fs::metadata(at(root, &layer.path)).map_or(0, |m| m.len());
        self.layers.iter().map(size).collect()
    }

    /// The name of its kernel directory on BOOT. It is derived from the store path, so that generations with the same
    /// kernel share the directory. The image uses the same name.
    pub fn kernel_name(&self) -> &str {
        let name = self.kernel.strip_prefix(STORE).unwrap_or(&self.kernel);
        name.get(..16).unwrap_or(name)
    }

    /// The store paths of the layers of this name.
    pub fn layers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.layers
            .iter()
            .filter(move |layer| layer.name == name)
            .map(|layer| layer.path.as_str())
    }
}

/// A store path, located below `root`.
pub fn at(root: &Root, store_path: &str) -> PathBuf {
    root.at(store_path.trim_start_matches('/'))
}

/// Follows links until the result is a store path; a path inside a store path is not a toplevel.
fn resolve(root: &Root, path: &Path) -> Result<String, ToplevelError> {
    let not_in_store = || ToplevelError::NotInStore(path.display().to_string());
    let is_toplevel = |text: &str| {
        text.strip_prefix(STORE)
            .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    };
    let given = path.to_string_lossy();
    let given = given.trim_end_matches('/');
    if is_toplevel(given) {
        return Ok(given.to_owned());
    }
    let resolved = root
        .is_device()
        .then(|| fs::canonicalize(path).ok())
        .flatten()
        .ok_or_else(not_in_store)?;
    let text = resolved.to_string_lossy().into_owned();
    if is_toplevel(&text) {
        Ok(text)
    } else {
        Err(not_in_store())
    }
}

/// Checks the length: an interrupted copy is shorter than its superblock says.
fn whole_layer(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mut block = [0; 64];
    file.read_exact_at(&mut block, EROFS_AT)
        .map_err(|_| "is not an erofs image".to_owned())?;
    if block[..4] != EROFS_MAGIC {
        return Err("is not an erofs image".into());
    }
    let blocks = u32::from_le_bytes([block[36], block[37], block[38], block[39]]);
    let wanted = u64::from(blocks) << block[12].min(16);
    let length = file.metadata().map_err(cannot)?.len();
    if length < wanted {
        return Err(format!("has only {length} of its {wanted} bytes"));
    }
    Ok(())
}

fn valid(path: &str) -> bool {
    Command::new("nix-store")
        .args(["--check-validity", path])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[cfg(test)]
#[path = "toplevel_tests.rs"]
pub(crate) mod tests;
