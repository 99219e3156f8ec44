//! Another generation under a running system: `/usr` and `/etc` change while everything goes on.
//!
//! The new overlay is mounted *beneath* the one in place, which is then detached: at no moment is there
//! neither. What has files of the old one open keeps them until it is restarted. Other mount namespaces
//! (services with a sandbox) follow, as the root is shared.
//!
//! It refuses a generation whose layers are not all there, and mounts nothing then.

use crate::{Context, Layers, Result, etc_overlay, having, mount};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where a generation's layers are mounted, topmost first: to look into, or to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack(Vec<PathBuf>);

impl Stack {
    /// Mounts what is not mounted yet of the layers of `toplevel`.
    pub fn mount(data: &Path, toplevel: &Path) -> Result<Self> {
        Ok(Self(Layers::of(data, toplevel)?.mount()?))
    }

    /// Folders that stand for mounted layers, topmost first.
    pub fn of_folders(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(folders.into_iter().collect())
    }

    /// The mount points, topmost first.
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// The file that `path` (without leading slash) is in this generation, as it lies in its layer.
    pub fn find(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        self.0
            .iter()
            .map(|layer| layer.join(path.as_ref()))
            .find(|file| file.symlink_metadata().is_ok())
    }

    /// The names in a folder of this generation, sorted, each once.
    pub fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let mut names: Vec<String> = self
            .0
            .iter()
            .filter_map(|layer| fs::read_dir(layer.join(folder.as_ref())).ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Makes this the running system's `/usr` and `/etc`. If `/etc` can't be changed, `/usr` is as it was.
    pub fn swap_in(&self, data: &Path) -> Result<()> {
        let usr = mount::new_overlay(&having(&self.0, "usr"), None)
            .context(|| "making the overlay of /usr".to_owned())?;
        let etc = etc_overlay(data, &self.0)?;
        mount::beneath(&usr, Path::new("/usr")).context(|| "mounting beneath /usr".to_owned())?;
        if let Err(cause) = mount::beneath(&etc, Path::new("/etc")) {
            // The new one lies below and has not been seen by anyone: what is on top stays.
            return Err(cause).context(|| "mounting beneath /etc".to_owned());
        }
        // From here on nothing can fail for a reason that has to do with the generation.
        mount::detach(Path::new("/usr")).context(|| "detaching the old /usr".to_owned())?;
        mount::detach(Path::new("/etc")).context(|| "detaching the old /etc".to_owned())
    }

    /// Detaches every mounted layer that is in none of `kept`. Overlays hold on to theirs by themselves.
    pub fn forget_others(kept: &[&Stack]) -> Result<()> {
        let layers = Path::new(crate::LAYERS);
        for entry in fs::read_dir(layers)
            .context(|| format!("reading {}", layers.display()))?
            .flatten()
        {
            let folder = entry.path();
            if kept.iter().any(|stack| stack.0.contains(&folder)) {
                continue;
            }
            if is_mounted(&folder) {
                mount::detach(&folder).context(|| format!("detaching {}", folder.display()))?;
            }
            fs::remove_dir(&folder).context(|| format!("removing {}", folder.display()))?;
        }
        Ok(())
    }
}

/// Whether something is mounted there: it then lies on another file system than its parent.
pub(crate) fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    let above = folder.parent().and_then(device);
    device(folder).is_some_and(|here| Some(here) != above)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_that_of_the_topmost_layer_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (config, base) = (dir.join("config"), dir.join("base"));
        for (layer, file) in [(&config, "etc/a"), (&base, "etc/a"), (&base, "etc/b")] {
            fs::create_dir_all(layer.join("etc")).unwrap();
            fs::write(layer.join(file), "").unwrap();
        }
        let stack = Stack::of_folders([config.clone(), base.clone()]);
        assert_eq!(stack.find("etc/a"), Some(config.join("etc/a")));
        assert_eq!(stack.find("etc/b"), Some(base.join("etc/b")));
        assert_eq!(stack.find("etc/c"), None);
        assert_eq!(stack.names("etc"), ["a", "b"]);
    }

    #[test]
    fn a_plain_folder_is_not_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir_all(dir.join("x")).unwrap();
        assert!(!is_mounted(&dir.join("x")));
        assert!(is_mounted(Path::new("/proc")));
    }
}
