//! BOOT as a power cut left it, and what the boot script makes of it.

use std::collections::BTreeMap;
use std::fs;

use lichenctl::state::{BootState, Generation};
use testbed::cuts::{Fat, Memo, Remains};
use testbed::{Context, Result, bail, ensure};

/// A generation that the boot script boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootable {
    /// Its number.
    pub generation: Generation,
    /// What its arguments name.
    pub toplevel: String,
    /// Digests of its kernel folder's files.
    pub kernel: BTreeMap<String, u64>,
}

/// What is on BOOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// What boots now.
    pub chosen: Bootable,
    /// What boots once that is given up; the same, if nothing is on trial.
    pub good: Bootable,
    /// Digests of what a board needs before there is any generation.
    pub firmware: BTreeMap<String, u64>,
    /// The owner's file, if it is there.
    pub lichen_toml: Option<Vec<u8>>,
}

impl Boot {
    /// Does as image/boot/boot.cmd does.
    pub fn read(disk: &Remains, memo: &mut Memo<u64>) -> Result<Self> {
        let fat = Fat::read(disk, disk.partition("BOOT")?).context("BOOT")?;
        let state = slots(&fat)?.state();
        let (chosen, _) = state.at_boot();
        let chosen = match bootable(&fat, chosen, memo)? {
            Some(bootable) => bootable,
            None => bootable(&fat, state.good, memo)?
                .with_context(|| format!("neither {chosen} nor {} boots", state.good))?,
        };
        let good = bootable(&fat, state.good, memo)?
            .with_context(|| format!("the good generation {} does not boot", state.good))?;
        let mut firmware = BTreeMap::new();
        for file in fat.files.iter().filter(|file| file.size.is_some()) {
            let own = ["lichen.toml", "st0.env", "st1.env"].contains(&file.path.as_str());
            if !file.path.contains('/') && !own {
                firmware.insert(file.path.clone(), fat.digest(&file.path, memo)?);
            }
        }
        let used = |path: &str| {
            let env = |generation: Generation| format!("gen/{}.env", generation.hex());
            let envs = [env(chosen.generation), env(good.generation)];
            let kernels = (chosen.kernel.keys()).chain(good.kernel.keys());
            !path.contains('/')
                || envs.contains(&path.to_owned())
                || kernels.into_iter().any(|file| path == file)
        };
        for (one, other) in fat.cross_links() {
            ensure!(
                !used(one) && !used(other),
                "{one} and {other} share blocks of BOOT"
            );
        }
        for file in &fat.files {
            if let Some(broken) = &file.broken
                && used(&file.path)
            {
                bail!("{} on BOOT: {broken}", file.path);
            }
        }
        let lichen_toml = match fat.file("lichen.toml") {
            Some(file) => Some(fat.contents(&file.path)?),
            None => None,
        };
        Ok(Self {
            chosen,
            good,
            firmware,
            lichen_toml,
        })
    }
}

fn slots(fat: &Fat<'_>) -> Result<BootState> {
    let folder = tempfile::tempdir()?;
    for slot in ["st0.env", "st1.env"] {
        fs::write(folder.path().join(slot), fat.contents(slot)?)?;
    }
    Ok(BootState::load(folder.path())?)
}

/// What the script boots of a generation; nothing, if it goes on to the next one.
fn bootable(
    fat: &Fat<'_>,
    generation: Generation,
    memo: &mut Memo<u64>,
) -> Result<Option<Bootable>> {
    let env = format!("gen/{}.env", generation.hex());
    let Some(file) = fat.file(&env) else {
        return Ok(None);
    };
    let text = fat.contents(&file.path)?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let folder = value("kdir=").unwrap_or_default();
    // A file that is there is loaded, whole or not: from here on there is no way back to another generation.
    if !["image", "initrd"]
        .iter()
        .all(|name| fat.file(&path(folder, name)).is_some())
    {
        return Ok(None);
    }
    let prefix = path(folder, "");
    let mut kernel = BTreeMap::new();
    for file in fat.files.iter().filter(|file| file.size.is_some()) {
        if file.path.starts_with(&prefix) {
            let digest = fat.digest(&file.path, memo);
            let digest = digest.with_context(|| format!("generation {generation} boots"))?;
            kernel.insert(file.path.clone(), digest);
        }
    }
    let arguments = value("args=").unwrap_or_default();
    let toplevel = arguments
        .split(' ')
        .find_map(|word| word.strip_prefix("lichen.toplevel="));
    Ok(Some(Bootable {
        generation,
        toplevel: toplevel.unwrap_or_default().to_owned(),
        kernel,
    }))
}

/// FAT does not tell cases apart.
fn path(folder: &str, name: &str) -> String {
    format!("{folder}/{name}").to_lowercase()
}
