//! Where things are: the checkout, the cache, the results.

use crate::failure::Failure;
use anyhow::{Context, Result};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A checkout of the project and the folders that belong to it.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    cache: PathBuf,
}

impl Workspace {
    /// The checkout that the script `./lichen` says it is in, or the one around the current folder.
    pub fn find() -> Result<Self> {
        let root = match std::env::var_os("LICHEN_ROOT") {
            Some(root) => PathBuf::from(root),
            None => {
                let here = std::env::current_dir().context("cannot tell the current folder")?;
                here.ancestors()
                    .find(|d| d.join("image/debian/packages.toml").is_file())
                    .map(Path::to_owned)
                    .ok_or_else(|| Failure {
                        what: format!("{} is not inside a checkout of lichen", here.display()),
                        hint: "run ./lichen in the checkout".into(),
                    })?
            }
        };
        let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|d| !d.is_empty()) {
            Some(cache) => PathBuf::from(cache),
            None => {
                PathBuf::from(std::env::var_os("HOME").unwrap_or("/root".into())).join(".cache")
            }
        };
        Ok(Workspace {
            root,
            cache: cache.join("lichen"),
        })
    }

    /// Another checkout, with the same cache.
    pub fn at(&self, root: &Path) -> Self {
        Workspace {
            root: root.to_owned(),
            cache: self.cache.clone(),
        }
    }

    /// A path inside the checkout.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The checkout itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of the cache, made if need be.
    pub fn cache(&self, name: &str) -> Result<PathBuf> {
        make(self.cache.join(name))
    }

    /// A folder of results, made if need be.
    pub fn build(&self, name: &str) -> Result<PathBuf> {
        make(self.root.join("build").join(name))
    }

    /// The package lists people edit.
    pub fn intent(&self) -> PathBuf {
        self.path("image/debian/packages.toml")
    }

    /// What `lichen lock` makes of them.
    pub fn lock(&self) -> PathBuf {
        self.path("image/debian/lock.json")
    }

    /// Appliances are discovered, never listed: `appliances/<name>.nix`.
    pub fn appliances(&self) -> Vec<String> {
        self.modules_in("appliances")
    }

    /// Images that nobody but slow stories want: `tests/images/<name>.nix`.
    pub fn test_images(&self) -> Vec<String> {
        self.modules_in("tests/images")
    }

    /// What stories deploy: `tests/generations/<name>.nix`.
    pub fn test_generations(&self) -> Vec<String> {
        self.modules_in("tests/generations")
    }

    fn modules_in(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| {
                e.file_name()
                    .to_str()?
                    .strip_suffix(".nix")
                    .map(str::to_owned)
            })
            .collect();
        names.sort();
        names
    }

    /// Fails, naming those there are, when there is no such appliance.
    pub fn check_appliance(&self, name: &str) -> Result<()> {
        let known = self.appliances();
        if !known.iter().chain(&self.test_images()).any(|n| n == name) {
            crate::fail!(
                hint: format!("known appliances: {}; to add one, create appliances/<name>.nix", known.join(", ")),
                "no appliance is called '{name}'"
            );
        }
        Ok(())
    }

    /// Keeps two commands from downloading into the same files; held until dropped.
    pub fn exclusive(&self) -> Result<File> {
        alone(
            &self.cache("")?.join("lock"),
            "another lichen command is downloading",
        )
    }

    /// Keeps two commands from running the stories of this checkout at once; held until dropped.
    pub fn exclusive_stories(&self) -> Result<File> {
        let path = self.build("log")?.join("stories.lock");
        alone(&path, "another ./lichen test runs stories in this checkout")
    }
}

/// Takes a lock, and says why if it has to wait for it.
fn alone(path: &Path, why: &str) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        crate::ui::say(format!("{why}; waiting for it to finish"));
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

fn make(path: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&path)
        .with_context(|| format!("cannot make the folder {}", path.display()))?;
    Ok(path)
}

/// Disk space that is too small, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    /// What is needed.
    pub needed: u64,
    /// What is free.
    pub free: u64,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = crate::ui::bytes;
        write!(
            f,
            "needs {}, {} is free",
            bytes(self.needed),
            bytes(self.free)
        )
    }
}

/// What the file system of `path` lacks, if less than `needed` bytes are free.
pub fn lacks_space(path: &Path, needed: u64) -> Option<Lack> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let free = stat.f_bavail * stat.f_frsize;
    (free < needed).then_some(Lack { needed, free })
}

/// Fails when the file system of `path` has less than `needed` bytes left.
pub fn check_space(path: &Path, needed: u64, what: &str) -> Result<()> {
    let existing = path
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"));
    if let Some(Lack { needed, free }) = lacks_space(existing, needed) {
        crate::fail!(
            hint: format!(
                "free {} there; `nix-collect-garbage` drops old builds, the cache is in ~/.cache/lichen",
                crate::ui::bytes(needed - free)
            ),
            "no space for {what}: {} is needed in {}, {} is free",
            crate::ui::bytes(needed),
            existing.display(),
            crate::ui::bytes(free)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_of_a_checkout_belong_to_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::find().unwrap().at(folder.path());
        let first = workspace.exclusive_stories().unwrap();
        let second = File::open(folder.path().join("build/log/stories.lock")).unwrap();
        assert!(second.try_lock().is_err(), "the first run is not over");
        drop(first);
        second.try_lock().unwrap();
    }
}
